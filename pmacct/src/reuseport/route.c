/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which bucket receives an exporter: user space's copy of choose() and fail_over() in bpf/reuseport.bpf.c. */
#include <string.h>
#include "faults.h"
#include "group_internal.h"

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
    route->bucket = rp_draw(hash, 0, size);
    return hash;
  }
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
  for (__u32 draw = 1; draw <= RP_FAILOVER_DRAWS + RP_MAX_BUCKETS; draw++) {
    if (!is_empty(m, route->receiver)) return;
    if (!rp_fails_over(m)) break;
    route->receiver = draw <= RP_FAILOVER_DRAWS ? rp_draw(hash, draw, size) : (route->receiver + 1) % size;
  }
  route->receiver = RP_NO_BUCKET;
}

void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route)
{
  rp_find_route_in_range(m, exporter, 0, route);
}

__u32 rp_find_bucket(const struct rp_member *m, const union rp_addr *exporter)
{
  struct rp_route route;

  find_bucket(m, exporter, rp_get_size(m), 0, &route);

  return route.bucket;
}
