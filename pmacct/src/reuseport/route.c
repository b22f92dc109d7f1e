/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bucket receives an exporter: user space's copy of choose() and fail_over() in bpf/reuseport.bpf.c. */
#include <string.h>
#include "faults.h"
#include "group_internal.h"

/* Returns: whether there is an override of the exporter that counts; value: that of the map. */
static int find_override(const struct rp_member *m, const union rp_addr *exporter, __u32 size, __u32 *value)
{
  struct rp_prefix key = {.bits = 128};

  memcpy(key.addr, exporter->b, sizeof(key.addr));

  return rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN && m->fds[RP_OVERRIDES] >= 0 && !bpf_map_lookup_elem(m->fds[RP_OVERRIDES], &key, value) &&
         (*value & RP_OVERRIDE_BUCKET) < size;
}

/* Finds the bucket, and why it is that. Returns: the hash by which failover draws another one. */
static __u64 find_bucket(const struct rp_member *m, const union rp_addr *exporter, __u32 size, struct rp_route *route)
{
  __u32 nonce = rp_get_setting(m, RP_NONCE), value = 0;
  __u64 hash;

  route->overridden = find_override(m, exporter, size, &value);
  route->rebalanced = route->overridden && value & RP_REBALANCED;
  if (route->overridden) {
    route->bucket = value & RP_OVERRIDE_BUCKET;
    return rp_hash_overridden(route->bucket, nonce);
  }
  hash = rp_hash(exporter, nonce);
  route->bucket = rp_draw(hash, 0, size);

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
  for (__u32 draw = 1; draw <= RP_FAILOVER_DRAWS + RP_MAX_BUCKETS; draw++) {
    if (!is_empty(m, route->receiver)) return;
    if (!rp_fails_over(m)) break;
    route->receiver = draw <= RP_FAILOVER_DRAWS ? rp_draw(hash, draw, size) : (route->receiver + 1) % size;
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
  return rp_draw(rp_hash(exporter, rp_get_setting(m, RP_NONCE)), 0, rp_get_size(m));
}
