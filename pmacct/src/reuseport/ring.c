/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Where a plugin is in the ring that the core writes: see checks.h. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "reuseport/checks.h"

const char *reuseport_next_buffer(const struct ring *rg, const char *buffer, u_int64_t size)
{
  const char *next = buffer + size;

  return next + size > rg->end ? rg->base : next;
}

int reuseport_ring_is_read(const struct ring *rg, const struct ch_status *status, u_int64_t bufsz)
{
  return rg->ptr == reuseport_next_buffer(rg, rg->base + status->last_buf_off, bufsz);
}

void reuseport_note_position(const struct ring *rg, struct ch_status *status)
{
  __atomic_store_n(&status->read_at, rg->ptr - rg->base + 1, __ATOMIC_RELAXED);
}
