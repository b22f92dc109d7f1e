/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Which bucket receives an exporter: user space's copy of choose() and fail_over() in bpf/reuseport.bpf.c. */
#include <string.h>
#include "faults.h"
#include "group_internal.h"

static __u32 read_entry(const struct rp_member *m, __u32 key)
{
  __u32 value = 0;

  if (m->fds[RP_SLOTS] >= 0) bpf_map_lookup_elem(m->fds[RP_SLOTS], &key, &value);

  return value;
}

static __u32 find_in_table(const struct rp_member *m, __u64 hash, __u32 size)
{
  __u32 placed = read_entry(m, rp_slot(hash));

  return placed ? placed - 1 : hash % size;
}

/* Returns: the bucket that comes i-th when all are tried, or RP_NO_BUCKET. */
static __u32 scan_bucket(const struct rp_member *m, __u64 hash, __u32 i)
{
  __u32 takers = read_entry(m, RP_SLOT_TAKERS), placed;

  if (!takers) return rp_shuffle(hash, i, RP_MAX_BUCKETS);

  placed = read_entry(m, RP_SLOT_ORDER + (i < takers ? rp_shuffle(hash, i, takers) : i));

  return placed ? placed - 1 : RP_NO_BUCKET;
}

/* Returns: whether an override has the exporter, whose buckets the group has; value: what it says. */
static int find_override(const struct rp_member *m, const union rp_addr *exporter, __u32 size, __u32 *value)
{
  struct rp_prefix key = {.bits = 128};

  memcpy(key.addr, exporter->b, sizeof(key.addr));

  return rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN && m->fds[RP_OVERRIDES] >= 0 && !bpf_map_lookup_elem(m->fds[RP_OVERRIDES], &key, value) &&
         rp_range_last(*value) < size && rp_range_first(*value) <= rp_range_last(*value);
}

/* Finds the exporter's bucket. Returns: the hash by which failover draws another one. */
static __u64 find_bucket(const struct rp_member *m, const union rp_addr *exporter, __u32 size, __u32 number, struct rp_route *route)
{
  __u32 nonce = rp_get_setting(m, RP_NONCE), value;
  __u64 hash = rp_hash(exporter, nonce);

  memset(route, 0, sizeof(*route));
  route->range = 1;
  route->overridden = find_override(m, exporter, size, &value);
  if (!route->overridden) {
    route->bucket = find_in_table(m, hash, size);
    return hash;
  }
  route->rebalanced = !!(value & RP_REBALANCED);
  route->by = rp_range_by(value);
  route->range = rp_range_last(value) - rp_range_first(value) + 1;
  route->bucket = rp_range_first(value) + number % route->range;

  return rp_hash_overridden(route->bucket, nonce);
}

static int is_empty(const struct rp_member *m, __u32 index)
{
  struct rp_bucket bucket;

  return rp_read_bucket(m, index, &bucket) || !bucket.cookie;
}

void rp_find_route_in_range(const struct rp_member *m, const union rp_addr *exporter, __u32 number, struct rp_route *route)
{
  __u32 size = rp_get_size(m);
  __u64 hash = find_bucket(m, exporter, size, number, route);

  route->quarantined = rp_is_quarantined(m, exporter);
  route->receiver = route->quarantined ? RP_NO_BUCKET : route->bucket;
  if (route->quarantined) return;
  if (!is_empty(m, route->receiver)) return;
  for (__u32 i = 1; rp_fails_over(m) && i <= RP_FAILOVER_DRAWS + RP_MAX_BUCKETS; i++) {
    if (i <= RP_FAILOVER_DRAWS)
      route->receiver = find_in_table(m, rp_redraw(hash, i), size);
    else
      route->receiver = scan_bucket(m, hash, i - RP_FAILOVER_DRAWS - 1);
    if (!is_empty(m, route->receiver)) return;
  }
  route->receiver = RP_NO_BUCKET;
}

void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route)
{
  rp_find_route_in_range(m, exporter, 0, route);
}

__u32 rp_find_place(const struct rp_member *m, const union rp_addr *exporter)
{
  return find_in_table(m, rp_hash(exporter, rp_get_setting(m, RP_NONCE)), rp_get_size(m));
}
