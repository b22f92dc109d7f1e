/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The group's settings in their maps: read, written by the first instance and by tools, compared by the others. They outlive the
 * instances, so that a group whose instances are all restarted at once is the same afterwards.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "faults.h"
#include "group_internal.h"

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

/* ---- resizing ---- */

/* Returns: whether the group was resized within RP_RESIZE_SECONDS; record: what is noted of that, all zeroes if nothing is. */
static int was_resized_lately(const struct rp_member *m, struct rp_group *record)
{
  memset(record, 0, sizeof(*record));
  if (m->fds[RP_GROUP] < 0 || bpf_map_lookup_elem(m->fds[RP_GROUP], &zero, record) || !record->resized) return 0;

  /* signed: in a time namespace, another instance's clock may be ahead */
  return (long long) (rp_boot_seconds() - record->resized) < RP_RESIZE_SECONDS;
}

int rp_had_count(const struct rp_member *m, __u32 count)
{
  struct rp_group record;

  return was_resized_lately(m, &record) && record.counts[(count - 1) / 64] >> (count - 1) % 64 & 1;
}

int rp_note_resize(struct rp_member *m, __u32 size)
{
  __u32 before = rp_get_setting(m, RP_SIZE);
  struct rp_group record;

  if (!was_resized_lately(m, &record)) memset(record.counts, 0, sizeof(record.counts));
  record.resized = rp_boot_seconds();
  if (before && before <= RP_MAX_BUCKETS) record.counts[(before - 1) / 64] |= 1ULL << (before - 1) % 64;
  if (before == size || m->fds[RP_GROUP] < 0 || !bpf_map_update_elem(m->fds[RP_GROUP], &zero, &record, BPF_ANY)) return 0;

  return rp_fail(m, -errno, "cannot write map '%s' in %s (%s)", RP_MAP_GROUP, m->config->pin_path, strerror(errno));
}

/* A config may have an index that the group has no more, or not yet. */
int rp_check_index(struct rp_member *m, __u32 size)
{
  const struct rp_config *c = m->config;

  if (c->index < size) return 0;

  return rp_fail(m, -EEXIST, "the group %s was resized to %u buckets: reuseport_hashbucket_index %u is beyond; choose one below, or 'reuseportctl resize' it again", c->pin_path, size, c->index);
}

/* ---- a tool that looks ---- */

static __u64 watched_until(const struct rp_member *m, struct rp_group *record)
{
  if (m->fds[RP_GROUP] < 0 || bpf_map_lookup_elem(m->fds[RP_GROUP], &zero, record)) memset(record, 0, sizeof(*record));

  return record->watched;
}

int rp_watch(struct rp_member *m, __u64 until)
{
  struct rp_group record;

  if (m->fds[RP_GROUP] < 0 || m->fds[RP_POLICY] < 0) return 0;
  if (watched_until(m, &record) < until) {
    record.watched = until;
    if (bpf_map_update_elem(m->fds[RP_GROUP], &zero, &record, BPF_ANY))
      return rp_fail(m, -errno, "cannot write map '%s' in %s (%s)", RP_MAP_GROUP, m->config->pin_path, strerror(errno));
  }

  return rp_set_setting(m, RP_POLICY, rp_get_setting(m, RP_POLICY) | RP_WATCHED);
}

void rp_end_watch(struct rp_member *m, __u64 until)
{
  __u32 policy = rp_get_setting(m, RP_POLICY);
  struct rp_group record;

  if (policy & RP_WATCHED && watched_until(m, &record) <= until) rp_set_setting(m, RP_POLICY, policy & ~RP_WATCHED);
}

void rp_tidy_watch(struct rp_member *m)
{
  __u64 now = rp_boot_seconds();
  struct rp_group record;

  if (!(rp_get_setting(m, RP_POLICY) & RP_WATCHED) || watched_until(m, &record) > now) return;
  if (!rp_lock(m, 0)) rp_end_watch(m, now);
  rp_unlock(m);
}

/* ---- compare ---- */

int rp_match_settings(struct rp_member *m, const char *live)
{
  const struct rp_config *c = m->config;
  __u32 size = rp_get_setting(m, RP_SIZE), nonce = rp_get_setting(m, RP_NONCE);
  int failover = rp_fails_over(m);

  if (c->count != size && !rp_had_count(m, c->count))
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
  if (!rp_map_fits(fd, spec)) return rp_fail(m, -EEXIST, "what is pinned at %s is not the map '%s': stop all instances, then remove it", path, spec->name);

  return 0;
}

/* Opens the settings, unless another version has left them: that is for 'reuseportctl reset', which removes them. */
static int open_settings(struct rp_member *m)
{
  char live[128];
  int err = rp_find_live(m, 0, live, sizeof(live));

  if (err < 0) return err;
  err = rp_check_number(m, live);
  if (err) return live[0] ? err : 0;
  for (int id = 0; !err && id < RP_TARGETS; id++) err = open_setting(m, id);

  return err;
}

int rp_open_settings(struct rp_member *m, const struct rp_config *config)
{
  int err = 0;

  m->config = config;
  m->listener = "";
  m->opened = 1;
  if (access(config->pin_path, F_OK))
    err = rp_fail(m, -ENOENT, "no group at %s (%s): give its reuseport_pin_path", config->pin_path, strerror(errno));
  if (!err) err = rp_check_pin_path(m);
  if (!err) err = rp_check_owners(m, 1);
  if (!err) err = rp_lock(m, RP_LOCK_SECONDS);
  if (!err) err = open_settings(m);
  if (err) rp_close(m);

  return err;
}
