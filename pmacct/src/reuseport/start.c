/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The start of a group, by its first instance: what its config has, and what an earlier group has left, becomes the group's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "group_internal.h"
#include "placement.h"

static const __u32 zero;

/* ---- start of a group ---- */

/* What their faults were stays: it says why the group ended. */
static void forget_instances(struct rp_member *m)
{
  struct rp_instance instance;

  for (__u32 index = 0; m->fds[RP_INSTANCES] >= 0 && index < RP_MAX_BUCKETS; index++) {
    if (bpf_map_lookup_elem(m->fds[RP_INSTANCES], &index, &instance) || !instance.pid) continue;
    instance.alive = instance.reads = 0;
    instance.pid = 0;
    bpf_map_update_elem(m->fds[RP_INSTANCES], &index, &instance, BPF_ANY);
  }
}

static int reset_counters(struct rp_member *m, void *unused)
{
  int cpus = libbpf_num_possible_cpus(), err = 0;
  struct rp_counters *none;

  (void) unused;
  /* Without /sys the number of CPUs is unknown: old counts are no reason not to start. */
  forget_instances(m);
  if (m->fds[RP_COUNTERS] < 0 || cpus <= 0) return 0;
  none = calloc(cpus, sizeof(*none));
  if (!none) return rp_fail(m, -ENOMEM, "no memory for counters");
  for (__u32 index = 0; !err && index <= RP_NO_BUCKET; index++)
    if (bpf_map_update_elem(m->fds[RP_COUNTERS], &index, none, BPF_ANY))
      err = rp_fail(m, -errno, "cannot write map '%s' in %s/%s (%s)", RP_MAP_COUNTERS, m->config->pin_path, m->listener, strerror(errno));
  free(none);

  return err;
}

/* The count of the config becomes the group's, unless that was resized since the config was written. Returns: which count it is. */
static __u32 take_count(struct rp_member *m)
{
  __u32 size = rp_get_setting(m, RP_SIZE);
  const struct rp_group never = {0};

  if (m->config->count == size || rp_had_count(m, m->config->count)) return size;
  if (m->fds[RP_GROUP] >= 0) bpf_map_update_elem(m->fds[RP_GROUP], &zero, &never, BPF_ANY);

  return m->config->count;
}

int rp_start_settings(struct rp_member *m)
{
  __u32 nonce = rp_get_setting(m, RP_NONCE), policy = rp_get_setting(m, RP_POLICY), count = take_count(m);
  const struct rp_config *c = m->config;
  struct rp_weights weights;
  int err;

  if (c->nonce) nonce = c->nonce;
  while (!nonce)
    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce)) return rp_fail(m, -errno, "no random nonce (%s): set reuseport_nonce", strerror(errno));
  if (c->failover != RP_UNSET) policy = c->failover == RP_FALSE ? policy | RP_NO_FAILOVER : policy & ~RP_NO_FAILOVER;

  rp_read_weights(m, &weights);
  rp_cut_weights(&weights, count);
  err = rp_set_setting(m, RP_NONCE, nonce);
  if (!err) err = rp_set_setting(m, RP_POLICY, policy);
  if (!err) err = rp_place(m, count, &weights);
  if (!err) err = rp_visit_listeners(m, c, 0, reset_counters, NULL);

  return err;
}
