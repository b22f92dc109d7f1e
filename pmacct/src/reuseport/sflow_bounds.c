/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Where a datagram of sFlow ends: see checks.h. */
#include "pmacct.h"
#include "reuseport/checks.h"

int reuseport_has_left(u_int32_t **at, const u_char *end, u_int32_t bytes)
{
  const u_char *here = (const u_char *) *at;

  if (here <= end && bytes <= (size_t) (end - here)) return TRUE;
  /* behind the end: that is where upstream's loops stop */
  *at = (u_int32_t *) (end + 1);

  return FALSE;
}

u_int32_t reuseport_fitting(u_int32_t **at, const u_char *end, u_int32_t count)
{
  return count <= UINT32_MAX / 4 && reuseport_has_left(at, end, 4 * count) ? count : 0;
}
