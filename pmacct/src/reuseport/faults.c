/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Buckets given up without ceremony, and exporters in quarantine: see faults.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "faults.h"
#include "group_internal.h"

struct rp_instance *rp_map_instances(const struct rp_member *m)
{
  void *instances;

  if (m->fds[RP_INSTANCES] < 0) {
    errno = ENOENT;
    return NULL;
  }
  instances = mmap(NULL, RP_MAX_BUCKETS * sizeof(struct rp_instance), PROT_READ | PROT_WRITE, MAP_SHARED, m->fds[RP_INSTANCES], 0);

  return instances == MAP_FAILED ? NULL : instances;
}

/* ---- buckets ---- */

void rp_give_up_bucket(const struct rp_member *m)
{
  __u64 cookie = 0;

  if (!m->cookie || bpf_map_lookup_elem(m->fds[RP_TARGETS], &m->config->index, &cookie) || cookie != m->cookie) return;
  bpf_map_delete_elem(m->fds[RP_TARGETS], &m->config->index);
}

static int holds(const struct rp_member *m, __u32 index, __u32 pid)
{
  struct rp_bucket bucket;

  return !rp_read_bucket(m, index, &bucket) && bucket.cookie && bucket.pid == pid;
}

/* With the lock, if it is free, so that no other instance joins between the look and the deletion. The one that does not run may hold it. */
int rp_evict(struct rp_member *m, __u32 index, __u32 pid)
{
  int ret = 0;

  if (!holds(m, index, pid)) return 0;

  rp_lock(m, 0);
  if (holds(m, index, pid)) ret = bpf_map_delete_elem(m->fds[RP_TARGETS], &index) ? -errno : 1;
  rp_unlock(m);

  return ret;
}

/* ---- quarantine ---- */

static int sentence(__u32 times)
{
  /* Not doubled each time: at 60, 180 and 420 seconds, an exporter would bring down a fourth instance within ten minutes. */
  static const int seconds[] = {60, 600, 3600};
  const __u32 longest = sizeof(seconds) / sizeof(seconds[0]);

  return seconds[(times < longest ? times : longest) - 1];
}

static int find(const struct rp_member *m, const union rp_addr *exporter, struct rp_conviction *conviction)
{
  return m->fds[RP_QUARANTINE] < 0 || bpf_map_lookup_elem(m->fds[RP_QUARANTINE], exporter, conviction) ? -ENOENT : 0;
}

static int write_policy(const struct rp_member *m, __u32 policy)
{
  const __u32 zero = 0;

  return bpf_map_update_elem(m->fds[RP_POLICY], &zero, &policy, BPF_ANY) ? -errno : 0;
}

int rp_convict(const struct rp_member *m, const union rp_addr *exporter, int signal, __u32 index)
{
  struct rp_conviction c = {0};
  __u64 now = rp_boot_seconds();

  if (m->fds[RP_QUARANTINE] < 0 || m->fds[RP_POLICY] < 0) return -ENOENT;
  if (!find(m, exporter, &c) && now - c.last >= RP_FORGET_SECONDS) c.times = 0;

  c.times++;
  c.last = now;
  c.until = now + sentence(c.times);
  c.active = 1;
  c.signal = signal;
  c.instance = index;
  if (bpf_map_update_elem(m->fds[RP_QUARANTINE], exporter, &c, BPF_ANY)) return -errno;
  /* not under the group's lock; rp_tidy_quarantine() sets it again if another process has written an older policy */
  if (!(rp_get_setting(m, RP_POLICY) & RP_QUARANTINES) && write_policy(m, rp_get_setting(m, RP_POLICY) | RP_QUARANTINES)) return -errno;

  return sentence(c.times);
}

void rp_each_conviction(const struct rp_member *m, void (*each)(const union rp_addr *, const struct rp_conviction *, void *arg), void *arg)
{
  union rp_addr key, *before = NULL;
  struct rp_conviction c;
  int n;

  if (m->fds[RP_QUARANTINE] < 0) return;
  /* bounded, because the kernel starts anew when the key before has been deleted */
  for (n = 0; n < 2 * RP_MAX_CONVICTED && !bpf_map_get_next_key(m->fds[RP_QUARANTINE], before, &key); n++, before = &key)
    if (!bpf_map_lookup_elem(m->fds[RP_QUARANTINE], &key, &c)) each(&key, &c, arg);
}

struct tidying {
  const struct rp_member *m;
  __u64 now;
  int convicts, active; /* how many there are, and how many of them remain in quarantine */
  union rp_addr old;    /* one that is to be forgotten */
  int has_old;
};

static void tidy_one(const union rp_addr *exporter, const struct rp_conviction *conviction, void *arg)
{
  struct tidying *t = arg;
  struct rp_conviction c = *conviction;

  /* not when that second begins: of the one in which it was convicted, a part had gone */
  if (c.active && t->now > c.until) {
    c.active = 0;
    bpf_map_update_elem(t->m->fds[RP_QUARANTINE], exporter, &c, BPF_EXIST);
  }
  t->active += c.active;
  t->convicts++;
  if (!c.active && (t->now - c.last >= RP_FORGET_SECONDS || t->convicts > RP_MAX_CONVICTED / 2)) {
    t->old = *exporter;
    t->has_old = 1;
  }
}

/* Makes the policy say whether there are any, for the selector looks only then. */
static void update_policy(struct rp_member *m, int any)
{
  __u32 policy = rp_get_setting(m, RP_POLICY), wanted = any ? policy | RP_QUARANTINES : policy & ~RP_QUARANTINES;

  if (policy == wanted) return;
  if (!rp_lock(m, 0)) {
    policy = rp_get_setting(m, RP_POLICY);
    write_policy(m, any ? policy | RP_QUARANTINES : policy & ~RP_QUARANTINES);
  }
  rp_unlock(m);
}

void rp_tidy_quarantine(struct rp_member *m)
{
  struct tidying t = {.m = m, .now = rp_boot_seconds()};

  if (m->fds[RP_QUARANTINE] < 0 || m->fds[RP_POLICY] < 0) return;
  rp_each_conviction(m, tidy_one, &t);
  /* one at a time: deleting while walking would start the walk anew */
  if (t.has_old) bpf_map_delete_elem(m->fds[RP_QUARANTINE], &t.old);
  update_policy(m, t.active > 0);
}

int rp_is_quarantined(const struct rp_member *m, const union rp_addr *exporter)
{
  struct rp_conviction c;

  return rp_get_setting(m, RP_POLICY) & RP_QUARANTINES && !find(m, exporter, &c) && c.active;
}

int rp_release(const struct rp_member *m, const union rp_addr *exporter)
{
  struct rp_conviction c;

  if (find(m, exporter, &c)) return -ENOENT;

  return bpf_map_delete_elem(m->fds[RP_QUARANTINE], exporter) ? -errno : 0;
}
