/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The group's settings in their maps: read, written, reset by the first instance, compared by the others. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "group_internal.h"
#include "placement.h"

static const __u32 zero;

/* ---- one setting ---- */

__u32 rp_get_setting(const struct rp_member *m, enum rp_map_id id)
{
  __u32 value = 0;

  if (m->fds[id] >= 0) bpf_map_lookup_elem(m->fds[id], &zero, &value);

  return value;
}

__u32 rp_get_size(const struct rp_member *m)
{
  __u32 size = rp_get_setting(m, RP_SIZE);

  return size && size <= RP_MAX_BUCKETS ? size : RP_MAX_BUCKETS;
}

/* A selector without the map policy has no failover. */
int rp_fails_over(const struct rp_member *m)
{
  return m->fds[RP_POLICY] >= 0 && !(rp_get_setting(m, RP_POLICY) & RP_NO_FAILOVER);
}

int rp_set_setting(struct rp_member *m, enum rp_map_id id, __u32 value)
{
  if (m->fds[id] < 0 || !bpf_map_update_elem(m->fds[id], &zero, &value, BPF_ANY)) return 0;

  return rp_fail(m, -errno, "cannot write map '%s' in %s (%s)", rp_map_spec(m, id)->name, m->config->pin_path, strerror(errno));
}

/* ---- reset ---- */

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

/* What cannot be deleted does no harm: the policy says that there are no overrides. */
static void delete_overrides(struct rp_member *m)
{
  struct rp_prefix key;

  while (m->fds[RP_OVERRIDES] >= 0 && !bpf_map_get_next_key(m->fds[RP_OVERRIDES], NULL, &key))
    if (bpf_map_delete_elem(m->fds[RP_OVERRIDES], &key)) break;
}

int rp_reset_settings(struct rp_member *m)
{
  static const struct rp_weights all_the_same;
  const struct rp_config *c = m->config;
  __u32 nonce = c->nonce;
  int err;

  while (!nonce)
    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce)) return rp_fail(m, -errno, "no random nonce (%s)", strerror(errno));

  delete_overrides(m);
  err = rp_set_setting(m, RP_NONCE, nonce);
  if (!err) err = rp_place(m, c->count, &all_the_same);
  /* quarantines stay in force: the exporter may have brought down the last instance */
  if (!err) err = rp_set_setting(m, RP_POLICY, (rp_get_setting(m, RP_POLICY) & (RP_QUARANTINES | RP_BY_AGENT)) | (c->failover == RP_FALSE ? RP_NO_FAILOVER : 0));
  if (!err) err = rp_visit_listeners(m, c, 0, reset_counters, NULL);

  return err;
}

/* ---- compare ---- */

int rp_match_settings(struct rp_member *m, const char *live)
{
  const struct rp_config *c = m->config;
  __u32 size = rp_get_setting(m, RP_SIZE), nonce = rp_get_setting(m, RP_NONCE);
  int failover = rp_fails_over(m);

  if (c->count != size)
    return rp_fail(m, -EEXIST, "reuseport_hashbucket_count is %u here, but %u in the running group %s (%s): use the same in all instances", c->count, size, c->pin_path, live);
  if (c->nonce && c->nonce != nonce)
    return rp_fail(m, -EEXIST, "reuseport_nonce is %u here, but %u in the running group %s (%s): use the same in all instances, or leave it out", c->nonce, nonce, c->pin_path, live);
  if (c->failover != RP_UNSET && m->fds[RP_POLICY] >= 0 && (c->failover == RP_TRUE) != failover)
    return rp_fail(m, -EEXIST, "reuseport_failover is %s here, but %s in the running group %s (%s): use the same in all instances, or leave it out",
                   failover ? "false" : "true", failover ? "true" : "false", c->pin_path, live);

  return 0;
}

/* ---- for tools ---- */

static int open_setting(struct rp_member *m, int id)
{
  const struct rp_map_spec *spec = rp_map_spec(m, id);
  char path[PATH_MAX];
  int fd;

  if (spec->per_listener) return 0;

  rp_map_path(m, id, path);
  fd = rp_get_pin(path, 0);
  if (fd == -ENOENT) return 0;
  if (fd < 0) return rp_fail(m, fd, "cannot open %s (%s): %s", path, strerror(-fd), rp_explain_denial(fd));
  m->fds[id] = fd;
  if (!rp_map_fits(fd, spec)) return rp_fail(m, -EEXIST, "what is pinned at %s is not the map '%s'", path, spec->name);

  return 0;
}

int rp_open_settings(struct rp_member *m, const struct rp_config *config)
{
  int err = 0;

  m->config = config;
  m->listener = "";
  m->opened = 1;
  if (access(config->pin_path, F_OK))
    err = rp_fail(m, -ENOENT, "no group at %s (%s): give its reuseport_pin_path", config->pin_path, strerror(errno));
  if (!err) err = rp_lock(m, RP_LOCK_SECONDS);
  for (int id = 0; !err && id < RP_TARGETS; id++) err = open_setting(m, id);
  if (err) rp_close(m);

  return err;
}
