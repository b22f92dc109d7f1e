/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What stands for an entry of pmacct's table of exporters when it is full: see checks.h. */
#include "pmacct.h"
#include "addr.h"
#include "nfacctd.h"
#include "reuseport/checks.h"

struct xflow_status_entry *reuseport_spare_status(const void *table)
{
  static struct xflow_status_entry spare;

  /* sfacctd does without an entry */
  if (table != &xflow_status_table || config.acct_type != ACCT_NF) return NULL;
  if (spare.in_rd_map) cdada_map_destroy(spare.in_rd_map);
  if (spare.out_rd_map) cdada_map_destroy(spare.out_rd_map);
#ifdef NF9_MAX_FIXED_FIELD_LEN
  if (spare.vrf_name_map) cdada_map_destroy(spare.vrf_name_map);
  if (spare.iface_name_map) cdada_map_destroy(spare.iface_name_map);
#endif
  memset(&spare, 0, sizeof(spare));

  return &spare;
}
