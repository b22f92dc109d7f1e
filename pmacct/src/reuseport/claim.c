/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The lowest free index, for an instance that does not number itself: see rp_claim_index() in group.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "group_internal.h"

#define CLAIM "index_%u" /* its directory, in that of the listener */

struct search {
  int (*uses)(const char *listener);
  int in_use[RP_MAX_BUCKETS];
  __u32 inherited; /* the bucket of a socket that the instance has from a dead one; RP_MAX_BUCKETS: none */
};

static int note_buckets(struct rp_member *m, void *arg)
{
  const struct rp_config *c = m->config;
  struct search *s = arg;
  struct rp_bucket bucket;

  for (__u32 index = 0; s->uses(m->listener) && index < c->count; index++) {
    rp_read_bucket(m, index, &bucket);
    if (!bucket.cookie) continue;
    if (c->is_inherited && c->is_inherited(bucket.cookie))
      s->inherited = index;
    else
      s->in_use[index] = 1;
  }

  return 0;
}

/* path: from the directory `at` on. Returns: the directory of the claim, locked, or a negative errno; -EWOULDBLOCK: another instance has
   claimed the index. */
static int lock_claim(int at, const char *path)
{
  int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err;

  if (fd < 0) return -errno;
  if (!flock(fd, LOCK_EX | LOCK_NB)) return fd;

  err = -errno;
  close(fd);

  return err;
}

/* The kernel releases a lock with the last process that has it, in whatever container that is: no claim outlives its instance. */
static int try_claim(struct rp_member *m, __u32 index)
{
  char listener[PATH_MAX], path[PATH_MAX];
  int fd = rp_make_directory(m, (rp_listener_path(m, listener), listener));

  if (fd) return fd;
  snprintf(path, sizeof(path), "%.*s/" CLAIM, PATH_MAX - 32, listener, index);
  fd = rp_make_directory(m, path);
  if (fd) return fd;

  fd = lock_claim(AT_FDCWD, path);
  if (fd >= 0 || fd == -EWOULDBLOCK) return fd;

  return rp_fail(m, fd, "cannot lock %s (%s): all instances of a group run as one user, who owns it", path, strerror(-fd));
}

static int claim_locked(struct rp_member *m, struct search *s, __u32 *index)
{
  const struct rp_config *c = m->config;
  int claim = -EWOULDBLOCK, err = rp_visit_listeners(m, c, BPF_F_RDONLY, note_buckets, s);

  if (err) return err;
  if (s->inherited < c->count) claim = try_claim(m, *index = s->inherited);
  for (__u32 i = 0; claim == -EWOULDBLOCK && i < c->count; i++)
    if (!s->in_use[i]) claim = try_claim(m, *index = i);
  if (claim == -EWOULDBLOCK)
    return rp_fail(m, -EBUSY, "no index is free in %s: each of the %u is in use by an instance, or one that starts has claimed it; 'reuseportctl status' shows them; stop one, or have more of them: reuseport_hashbucket_count, 'reuseportctl resize'",
                   c->pin_path, c->count);

  return claim;
}

int rp_claim_index(struct rp_member *m, const struct rp_config *config, const char *listener, int (*uses)(const char *listener), __u32 *index)
{
  struct search s = {.uses = uses, .inherited = RP_MAX_BUCKETS};
  int ret;

  m->config = config;
  m->listener = listener;
  ret = rp_check_pin_path(m);
  if (!ret) ret = rp_make_directory(m, config->pin_path);
  if (!ret) ret = rp_check_owners(m, 0);
  if (!ret) ret = rp_lock(m, RP_LOCK_SECONDS);
  if (!ret) ret = claim_locked(m, &s, index);
  rp_close(m);

  return ret;
}

void rp_remove_claims(int listener)
{
  char name[32];

  for (__u32 index = 0; index < RP_MAX_BUCKETS; index++) {
    int fd;

    snprintf(name, sizeof(name), CLAIM, index);
    fd = lock_claim(listener, name);
    if (fd < 0) continue;
    unlinkat(listener, name, AT_REMOVEDIR);
    close(fd);
  }
}
