/* SPDX-License-Identifier: GPL-2.0-or-later */
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

/* Returns: whether there is an override of the exporter that counts; value: that of the map. */
static int find_override(const struct rp_member *m, const union rp_addr *exporter, __u32 size, __u32 *value)
{
  struct rp_prefix key = {.bits = 128};

  memcpy(key.addr, exporter->b, sizeof(key.addr));

  return rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN && m->fds[RP_OVERRIDES] >= 0 && !bpf_map_lookup_elem(m->fds[RP_OVERRIDES], &key, value) &&
         (*value & ~RP_REBALANCED) < size;
}

/* Finds the bucket, and why it is that. Returns: the hash by which failover draws another one. */
static __u64 find_bucket(const struct rp_member *m, const union rp_addr *exporter, __u32 size, struct rp_route *route)
{
  __u32 nonce = rp_get_setting(m, RP_NONCE), value = 0;
  __u64 hash;

  route->overridden = find_override(m, exporter, size, &value);
  route->rebalanced = route->overridden && value & RP_REBALANCED;
  if (route->overridden) {
    route->bucket = value & ~RP_REBALANCED;
    return rp_hash_overridden(route->bucket, nonce);
  }
  hash = rp_hash(exporter, nonce);
  route->bucket = find_in_table(m, hash, size);

  return hash;
}

static int is_empty(const struct rp_member *m, __u32 index)
{
  struct rp_bucket bucket;

  return rp_read_bucket(m, index, &bucket) || !bucket.cookie;
}

void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route)
{
  __u32 size = rp_get_size(m);
  __u64 hash = find_bucket(m, exporter, size, route);

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

__u32 rp_find_bucket(const struct rp_member *m, const union rp_addr *exporter)
{
  struct rp_route route;

  find_bucket(m, exporter, rp_get_size(m), &route);

  return route.bucket;
}

__u32 rp_find_place(const struct rp_member *m, const union rp_addr *exporter)
{
  return find_in_table(m, rp_hash(exporter, rp_get_setting(m, RP_NONCE)), rp_get_size(m));
}
