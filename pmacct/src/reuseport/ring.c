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

int reuseport_ring_is_read(const struct ring *rg, const struct ch_status *status, u_int64_t bufsz, u_int32_t seq)
{
  const char *last = rg->base + status->last_buf_off;

  /* a plugin that is behind by a whole ring is at the same place, and expects an older number */
  return rg->ptr == reuseport_next_buffer(rg, last, bufsz) && ((const struct ch_buf_hdr *) last)->seq == (seq + MAX_SEQNUM - 1) % MAX_SEQNUM;
}

u_int32_t reuseport_next_seq(const struct ring *rg, struct ch_status *status)
{
  __atomic_store_n(&status->read_at, rg->ptr - rg->base + 1, __ATOMIC_RELAXED);

  return __atomic_load_n(&((const struct ch_buf_hdr *) rg->ptr)->seq, __ATOMIC_ACQUIRE);
}
