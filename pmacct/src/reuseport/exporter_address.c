/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What pmacct's table of exporters takes for an exporter's own address: see reuseport.h. */
#include "pmacct.h"
#include "addr.h"
#include "nfacctd.h"
#include "reuseport/reuseport.h"

void reuseport_forget_zero_exporter(struct xflow_status_entry *entry)
{
  if (!reuseport_enabled() || !entry || !is_any(&entry->exp_addr)) return;

  memset(&entry->exp_addr, 0, sizeof(entry->exp_addr));
  memset(&entry->exp_sa, 0, sizeof(entry->exp_sa));
}
