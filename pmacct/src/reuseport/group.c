/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How an instance opens its group, joins it with a socket and leaves it: see group.h for what is promised. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "faults.h"
#include "group_internal.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* ---- opening ---- */

/* Whether the socket in a bucket is one that this instance has from a dead one. */
static int is_inherited(const struct rp_member *m, const struct rp_bucket *bucket)
{
  return m->config->is_inherited && m->config->is_inherited(bucket->cookie);
}

/* Checks that the object has the maps for which the config has keys. */
static int check_abilities(struct rp_member *m)
{
  const struct rp_config *c = m->config;

  if (c->nonce && !m->map[RP_NONCE])
    return rp_fail(m, -ENOEXEC, "%s has no map '%s' and cannot honour reuseport_nonce: leave the key out, or use reuseport.o", c->prog, RP_MAP_NONCE);
  if (c->failover == RP_TRUE && !m->map[RP_POLICY])
    return rp_fail(m, -ENOEXEC, "%s has no map '%s' and cannot honour reuseport_failover: leave the key out, or use reuseport.o", c->prog, RP_MAP_POLICY);

  return 0;
}

/* Looks for a live instance in all listeners of the group, which exists. live: it in words, or "". */
static int find_live_here(struct rp_member *m, char *live, size_t len)
{
  __u64 netns = rp_read_own_netns();
  struct rp_bucket bucket;
  int found = rp_find_live_bucket(m, 0, &bucket, live, len);

  if (found <= 0) return found;
  if (bucket.endpoint.netns && netns && bucket.endpoint.netns != netns)
    return rp_fail(m, -EEXIST, "the group %s is live in another network namespace (%s): use another reuseport_pin_path in this one", m->config->pin_path, live);

  return 0;
}

/* Has the object take over the pins of the group that exists. live: as find_live_here() finds it. */
static int reuse_pins(struct rp_member *m, char *live, size_t len)
{
  const char *who;
  char path[PATH_MAX];
  int err;

  rp_listener_path(m, path);
  err = rp_make_directory(m, path);
  if (!err) err = find_live_here(m, live, len);
  who = live[0] ? live : NULL;
  if (!err && who) err = rp_check_number(m, live);
  for (int id = 0; !err && id < RP_MAPS; id++) err = m->map[id] ? rp_reuse_pin(m, id, who) : rp_check_lacking(m, id, who);

  return err;
}

static int pin_maps(struct rp_member *m)
{
  int err = 0;

  for (int id = 0; !err && id < RP_MAPS; id++)
    if (m->fds[id] >= 0) err = rp_pin_map(m, id);

  return err;
}

/* Makes the listener's maps and program, and pins the maps. live: a live instance in words, or "". */
static int make_listener(struct rp_member *m, char *live, size_t len)
{
  /* a group that does not exist yet, and of which a rehearsal makes nothing */
  int absent = m->lock < 0, err = 0;

  live[0] = '\0';
  if (!absent) err = reuse_pins(m, live, len);
  if (!err) err = rp_load_object(m);
  if (!err && !absent) err = pin_maps(m);

  return err;
}

/* Whether the socket in our bucket may be replaced. */
static int may_replace(const struct rp_member *m, const struct rp_bucket *bucket)
{
  return m->config->takeover || is_inherited(m, bucket);
}

static int index_in_use(struct rp_member *m, const struct rp_bucket *bucket)
{
  char who[128];

  rp_describe_owner(m->listener, m->config->index, bucket, who, sizeof(who));

  return rp_fail(m, -EBUSY, "reuseport_hashbucket_index %u is in use in %s by %s: choose another index, stop that instance, or set reuseport_takeover", m->config->index, m->config->pin_path, who);
}

/* What rp_open() does with the lock held. */
static int open_locked(struct rp_member *m)
{
  const struct rp_config *c = m->config;
  struct rp_bucket bucket;
  char live[128];
  int err;

  err = make_listener(m, live, sizeof(live));
  if (!err && live[0]) err = rp_match_settings(m, live);
  if (!err) err = rp_check_index(m, rp_had_count(m, c->count) ? rp_get_size(m) : c->count);
  if (!err && !live[0] && !m->rehearses) err = rp_start_settings(m);
  if (err) return err;

  m->nonce = rp_get_setting(m, RP_NONCE);
  if (!rp_read_bucket(m, c->index, &bucket) && bucket.cookie && !may_replace(m, &bucket)) return index_in_use(m, &bucket);

  return 0;
}

/* What rp_preload() does with the lock held. */
static int preload_locked(struct rp_member *m)
{
  char live[128];
  int err = make_listener(m, live, sizeof(live));

  return err ? err : rp_pin_program(m);
}

/* Calls then() with the object open and the group locked. */
static int with_group(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol, int (*then)(struct rp_member *))
{
  int err;

  m->config = config;
  m->listener = listener;
  m->protocol = protocol;

  err = rp_open_object(m);
  if (!err) err = check_abilities(m);
  if (!err) err = rp_check_pin_path(m);
  if (!err) err = rp_make_directory(m, config->pin_path);
  if (!err) err = rp_check_owners(m, 0);
  if (!err && !(m->rehearses && access(config->pin_path, F_OK))) err = rp_lock(m, RP_LOCK_SECONDS);
  if (!err) err = then(m);
  if (err) rp_close(m);

  return err;
}

int rp_open(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol)
{
  return with_group(m, config, listener, protocol, open_locked);
}

int rp_rehearse(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol)
{
  int err;

  m->rehearses = 1;
  err = with_group(m, config, listener, protocol, open_locked);
  rp_close(m);

  return err;
}

int rp_preload(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol)
{
  int err = with_group(m, config, listener, protocol, preload_locked);

  rp_close(m);

  return err;
}

/* ---- joining ---- */

int rp_has_ready_peer(const struct rp_member *m)
{
  int fails_over = rp_fails_over(m);
  struct rp_bucket bucket;

  for (__u32 index = 0; index < RP_MAX_BUCKETS; index++)
    if ((fails_over || index == m->config->index) && !rp_read_bucket(m, index, &bucket) && bucket.cookie && bucket.state == RP_READY &&
        !is_inherited(m, &bucket))
      return 1;

  return 0;
}

/* comm: of this process, RP_COMM_LEN bytes */
static void read_own_comm(char *comm)
{
  int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);

  if (fd < 0) return;
  if (read(fd, comm, RP_COMM_LEN) < 0) comm[0] = '\0';
  close(fd);
  for (int i = 0; i < RP_COMM_LEN; i++)
    if (comm[i] == '\n') comm[i] = '\0';
}

/* Lets other processes know whose socket is in the bucket, where it is bound, and in which state it is. */
static void publish_owner(struct rp_member *m, enum rp_state state)
{
  struct rp_owner owner = {.cookie = m->cookie, .since = rp_boot_seconds(), .endpoint = m->endpoint, .pid = getpid(), .state = state};

  if (m->fds[RP_OWNERS] < 0) return;
  read_own_comm(owner.comm);
  bpf_map_update_elem(m->fds[RP_OWNERS], &m->config->index, &owner, BPF_ANY);
}

/* Whether the socket array that rp_open() found is still the one that is pinned. */
static int is_still_pinned(const struct rp_member *m)
{
  char path[PATH_MAX];
  int fd, same;

  rp_map_path(m, RP_TARGETS, path);
  fd = rp_get_pin(path, BPF_F_RDONLY);
  if (fd < 0) return 0;
  same = rp_map_id(fd) == rp_map_id(m->fds[RP_TARGETS]);
  close(fd);

  return same;
}

/* Locks the group again. It may have been resized meanwhile: the size that is in force now counts. */
static int relock(struct rp_member *m)
{
  const struct rp_config *c = m->config;
  int err;

  err = rp_lock(m, RP_LOCK_SECONDS);
  if (err) return err;

  if (!is_still_pinned(m))
    return rp_fail(m, -EEXIST, "the pins in %s/%s were removed or replaced while this instance started: start it again", c->pin_path, m->listener);

  return rp_check_index(m, rp_get_setting(m, RP_SIZE));
}

static int attach(struct rp_member *m, int sock)
{
  if (!setsockopt(sock, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &m->prog, sizeof(m->prog))) return 0;

  return rp_fail(m, -errno, "cannot attach %s to the socket of listener %s (%s)", m->config->prog, m->listener, strerror(errno));
}

/* flags: BPF_ANY to replace a socket, BPF_NOEXIST otherwise */
static int put_socket(struct rp_member *m, int sock, __u64 flags)
{
  const struct rp_config *c = m->config;
  struct rp_bucket bucket;
  __u64 value = sock;
  int err;

  if (!bpf_map_update_elem(m->fds[RP_TARGETS], &c->index, &value, flags)) return 0;

  err = -errno;
  rp_read_bucket(m, c->index, &bucket);
  if (err == -EEXIST) return index_in_use(m, &bucket);

  return rp_fail(m, err, "cannot put the socket of listener %s into bucket %u (%s): it must be bound with SO_REUSEPORT and be in no other group", m->listener, c->index, strerror(-err));
}

/*
 * The socket goes into the array before the program is attached: in the other order the group would be without a socket for a
 * moment. In a takeover the program is attached first: if that fails, the previous instance keeps its bucket.
 */
static int join_locked(struct rp_member *m, int sock, enum rp_state state)
{
  const struct rp_config *c = m->config;
  struct rp_bucket bucket;
  int err, replaces;

  replaces = !rp_read_bucket(m, c->index, &bucket) && bucket.cookie && may_replace(m, &bucket);
  err = rp_pin_program(m);
  if (!err && replaces) err = attach(m, sock);
  if (!err) err = put_socket(m, sock, replaces ? BPF_ANY : BPF_NOEXIST);
  if (err) return err;

  err = replaces ? 0 : attach(m, sock);
  if (err) {
    bpf_map_delete_elem(m->fds[RP_TARGETS], &c->index);
    return err;
  }
  m->cookie = rp_read_cookie(sock);
  publish_owner(m, state);

  return 0;
}

int rp_join(struct rp_member *m, int sock, enum rp_state state)
{
  int err = m->lock < 0 ? relock(m) : 0;

  if (!err) err = join_locked(m, sock, state);
  rp_unlock(m);

  return err;
}

/* Without the lock: an instance that replaces us between the two calls would lose its name, but not its bucket. */
void rp_set_ready(struct rp_member *m)
{
  struct rp_bucket bucket;

  if (rp_owns_bucket(m, &bucket)) publish_owner(m, RP_READY);
}

int rp_owns_bucket(const struct rp_member *m, struct rp_bucket *bucket)
{
  return !rp_read_bucket(m, m->config->index, bucket) && bucket->cookie && bucket->cookie == m->cookie;
}

/* ---- leaving ---- */

/* The lock keeps an instance that replaces us from joining between the look and the deletion, which would hit its socket. */
int rp_leave(struct rp_member *m)
{
  struct rp_bucket bucket;

  if (!rp_owns_bucket(m, &bucket)) return 0;
  if (bpf_map_delete_elem(m->fds[RP_TARGETS], &m->config->index))
    return rp_fail(m, -errno, "cannot take the socket of listener %s out of bucket %u (%s)", m->listener, m->config->index, strerror(errno));
  publish_owner(m, RP_DRAINING);

  return 0;
}

void rp_renew_leave(struct rp_member *m)
{
  struct rp_owner owner;

  if (m->fds[RP_OWNERS] < 0 || rp_lock(m, 0)) {
    rp_unlock(m);
    return;
  }
  if (!bpf_map_lookup_elem(m->fds[RP_OWNERS], &m->config->index, &owner) && owner.cookie == m->cookie && owner.state == RP_DRAINING)
    publish_owner(m, RP_DRAINING);
  rp_unlock(m);
}
