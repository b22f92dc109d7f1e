/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Sockets that outlive their instances, and keep their buckets: see rp_evict_dead() in faults.h. */
#include <stdio.h>
#include <string.h>
#include "faults.h"
#include "group_internal.h"

struct eviction {
  __u32 index;
  void (*each)(const struct rp_member *listener, __u32 pid);
};

/*
 * Whether the process that a bucket names runs. By its name, too: its number may be another process's by now, or in the PID namespace that
 * this process sees. The name that a process has when it joins, it keeps.
 */
static int runs(const struct rp_bucket *bucket)
{
  char path[64], comm[RP_COMM_LEN + 2] = "";
  FILE *file;

  snprintf(path, sizeof(path), "/proc/%u/comm", bucket->pid);
  file = bucket->pid ? fopen(path, "re") : NULL;
  if (!file) return 0;

  if (!fgets(comm, sizeof(comm), file)) comm[0] = '\0';
  fclose(file);
  comm[strcspn(comm, "\n")] = '\0';
  rp_make_printable(comm);

  return !strcmp(comm, bucket->comm);
}

/* Whether another instance receives this bucket's exporters when it is empty. It is seen to run, so we see the processes of this group. */
static int has_running_peer(const struct rp_member *m, __u32 index)
{
  struct rp_bucket peer;

  for (__u32 other = 0; rp_fails_over(m) && other < RP_MAX_BUCKETS; other++)
    if (other != index && !rp_read_bucket(m, other, &peer) && peer.cookie && peer.state == RP_READY && runs(&peer)) return 1;

  return 0;
}

static int evict_dead(struct rp_member *m, void *arg)
{
  const struct eviction *e = arg;
  struct rp_bucket bucket;
  int ret;

  rp_read_bucket(m, e->index, &bucket);
  if (!bucket.cookie || !bucket.pid || runs(&bucket) || !has_running_peer(m, e->index)) return 0;

  ret = rp_evict(m, e->index, bucket.pid);
  if (ret > 0) e->each(m, bucket.pid);
  if (ret < 0) return rp_fail(m, ret, "cannot take the socket of listener %s out of bucket %u (%s)", m->listener, e->index, strerror(-ret));

  return 0;
}

int rp_evict_dead(struct rp_member *m, const struct rp_config *config, __u32 index, void (*each)(const struct rp_member *listener, __u32 pid))
{
  struct eviction e = {index, each};

  return rp_visit_listeners(m, config, 0, evict_dead, &e);
}
