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

/* Returns: whether an override names the bucket. hash: by which failover draws another bucket. */
static int find_bucket(const struct rp_member *m, const union rp_addr *exporter, __u32 size, __u32 *bucket, __u64 *hash)
{
  struct rp_prefix key = {.bits = 128};
  __u32 nonce = rp_get_setting(m, RP_NONCE);

  memcpy(key.addr, exporter->b, sizeof(key.addr));
  if (rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN && m->fds[RP_OVERRIDES] >= 0 &&
      !bpf_map_lookup_elem(m->fds[RP_OVERRIDES], &key, bucket) && *bucket < size) {
    *hash = rp_hash_overridden(*bucket, nonce);
    return 1;
  }
  *hash = rp_hash(exporter, nonce);
  *bucket = find_in_table(m, *hash, size);

  return 0;
}

static int is_empty(const struct rp_member *m, __u32 index)
{
  struct rp_bucket bucket;

  return rp_read_bucket(m, index, &bucket) || !bucket.cookie;
}

void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route)
{
  __u32 size = rp_get_size(m);
  __u64 hash;

  route->quarantined = rp_is_quarantined(m, exporter);
  route->overridden = find_bucket(m, exporter, size, &route->bucket, &hash);
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
  __u32 bucket;
  __u64 hash;

  find_bucket(m, exporter, rp_get_size(m), &bucket, &hash);

  return bucket;
}
