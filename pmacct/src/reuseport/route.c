/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bucket receives an exporter: user space's copy of choose() and fail_over() in bpf/reuseport.bpf.c. */
#include <string.h>
#include "faults.h"
#include "group_internal.h"

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
  *bucket = rp_draw(*hash, 0, size);

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
  for (__u32 draw = 1; draw <= RP_FAILOVER_DRAWS + RP_MAX_BUCKETS; draw++) {
    if (!is_empty(m, route->receiver)) return;
    if (!rp_fails_over(m)) break;
    route->receiver = draw <= RP_FAILOVER_DRAWS ? rp_draw(hash, draw, size) : (route->receiver + 1) % size;
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
