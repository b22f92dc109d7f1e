/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Who is in which bucket of which listener: read from the pins alone, without the object, and without a write. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "group_internal.h"

/* ---- one bucket ---- */

void rp_make_printable(char *text)
{
  for (; *text; text++)
    if (*text < ' ' || *text > '~') *text = '?';
}

/* index may be beyond RP_MAX_BUCKETS: arrays of other systems may be larger */
static void read_bucket(const struct rp_member *m, __u32 index, struct rp_bucket *bucket)
{
  struct rp_owner owner;

  memset(bucket, 0, sizeof(*bucket));
  if (bpf_map_lookup_elem(m->fds[RP_TARGETS], &index, &bucket->cookie)) {
    bucket->cookie = 0;
    return;
  }
  if (m->fds[RP_OWNERS] < 0 || bpf_map_lookup_elem(m->fds[RP_OWNERS], &index, &owner) || owner.cookie != bucket->cookie) return;

  bucket->since = owner.since;
  bucket->pid = owner.pid;
  bucket->state = owner.state;
  bucket->endpoint = owner.endpoint;
  memcpy(bucket->comm, owner.comm, RP_COMM_LEN);
  rp_make_printable(bucket->comm);
}

int rp_read_bucket(const struct rp_member *m, __u32 index, struct rp_bucket *bucket)
{
  if (m->fds[RP_TARGETS] < 0 || index >= RP_MAX_BUCKETS) return -EINVAL;
  read_bucket(m, index, bucket);

  return 0;
}

void rp_describe_owner(const char *listener, __u32 index, const struct rp_bucket *bucket, char *text, size_t len)
{
  if (bucket->pid)
    snprintf(text, len, "%s pid %u at index %u of listener %s", bucket->comm, bucket->pid, index, listener);
  else
    snprintf(text, len, "a process that left no name at index %u of listener %s", index, listener);
  /* the listener's name is that of a directory */
  rp_make_printable(text);
}

/* ---- one listener ---- */

/* Returns: the entries of a socket array, which another version may have made; 0: it is no socket array. */
static __u32 count_entries(int fd)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_MAP_TYPE_REUSEPORT_SOCKARRAY ? 0 : info.max_entries;
}

/* Finds the first bucket from that index on that has a socket. Returns: 1 and who it is in words, or 0. */
static int find_socket(const struct rp_member *m, __u32 from, struct rp_bucket *bucket, char *who, size_t len)
{
  const char *name = strcmp(m->listener, ".") ? m->listener : m->config->pin_path;
  __u32 entries = count_entries(m->fds[RP_TARGETS]);

  for (__u32 index = from; index < entries; index++) {
    read_bucket(m, index, bucket);
    if (!bucket->cookie) continue;
    rp_describe_owner(name, index, bucket, who, len);
    return 1;
  }

  return 0;
}

static int has_socket(const struct rp_member *m)
{
  struct rp_bucket bucket;
  char who[128];

  return find_socket(m, 0, &bucket, who, sizeof(who));
}

/* Opens the pin of one map, unless it is another version's or no map of ours. Returns: 0, or a negative errno. */
static int open_map(struct rp_member *m, int id, __u32 flags)
{
  char path[PATH_MAX];
  int fd;

  rp_map_path(m, id, path);
  fd = rp_get_pin(path, flags);
  if (fd == -ENOENT) return 0;
  if (fd < 0) return rp_fail(m, fd, "cannot open %s (%s): %s", path, strerror(-fd), rp_explain_denial(fd));

  if (id == RP_TARGETS ? count_entries(fd) > 0 : rp_map_fits(fd, rp_map_spec(m, id)))
    m->fds[id] = fd;
  else
    close(fd);

  return 0;
}

/* Opens what is pinned of one listener. Returns: 1, 0 if there is no such listener, or a negative errno. */
static int open_pins(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol, __u32 flags)
{
  int err;

  rp_init(m);
  m->config = config;
  m->listener = listener;
  m->protocol = protocol;
  m->opened = 1;

  err = open_map(m, RP_TARGETS, flags);
  if (err) return err;
  if (m->fds[RP_TARGETS] < 0) return 0;
  for (int id = RP_TARGETS - 1; !err && id >= 0; id--) err = open_map(m, id, flags);

  return err ? err : 1;
}

/* pmacct's own *_rp_ebpf_prog (1.7.8) pins the socket arrays of both transports, whatever the listener's is: the one with sockets
   in it counts. */
static int open_listener(struct rp_member *m, const struct rp_config *config, const char *listener, __u32 flags)
{
  int udp = open_pins(m, config, listener, IPPROTO_UDP, flags), tcp;
  struct rp_member other;

  if (udp < 0 || (udp && has_socket(m))) return udp;

  tcp = open_pins(&other, config, listener, IPPROTO_TCP, flags);
  if (tcp < 0 || (tcp && (!udp || has_socket(&other)))) {
    rp_close(m);
    *m = other;
    return tcp;
  }
  rp_close(&other);

  return udp;
}

/* ---- all listeners ---- */

/* "." too: pmacct's own *_rp_ebpf_prog (1.7.8) pins all maps of a listener in the directory itself. */
static int may_be_listener(const struct dirent *entry)
{
  return strcmp(entry->d_name, "..") != 0;
}

static int visit_listener(struct rp_member *m, const struct rp_config *config, const char *name, __u32 flags,
                          int (*visit)(struct rp_member *listener, void *arg), void *arg)
{
  struct rp_member listener;
  int ret = open_listener(&listener, config, name, flags);

  if (ret > 0) ret = visit(&listener, arg);
  if (listener.error[0]) rp_fail(m, ret, "%s", listener.error);
  rp_close(&listener);

  return ret;
}

int rp_visit_listeners(struct rp_member *m, const struct rp_config *config, __u32 flags, int (*visit)(struct rp_member *listener, void *arg),
                       void *arg)
{
  struct dirent **names;
  int count, ret = 0;

  count = scandir(config->pin_path, &names, may_be_listener, alphasort);
  if (count < 0) {
    ret = -errno;
    return rp_fail(m, ret, "cannot list the group's directory %s (%s): %s", config->pin_path, strerror(-ret), rp_explain_denial(ret));
  }
  for (int i = 0; i < count; i++) {
    if (!ret) ret = visit_listener(m, config, names[i]->d_name, flags, visit, arg);
    free(names[i]);
  }
  free(names);

  return ret;
}

int rp_each_listener(struct rp_member *m, const struct rp_config *config, int (*each)(struct rp_member *listener, void *arg), void *arg)
{
  char live[128];
  int err;

  m->config = config;
  if (access(config->pin_path, F_OK))
    return rp_fail(m, -errno, "no group at %s (%s): give its reuseport_pin_path", config->pin_path, strerror(errno));

  err = rp_find_live(m, 0, live, sizeof(live));
  if (err >= 0) err = rp_check_number(m, live);
  if (err) return err;

  return rp_visit_listeners(m, config, BPF_F_RDONLY, each, arg);
}

/* ---- search ---- */

struct search {
  __u32 from;
  struct rp_bucket *bucket;
  char *who;
  size_t len;
};

static int search_listener(struct rp_member *m, void *arg)
{
  struct search *s = arg;

  return find_socket(m, s->from, s->bucket, s->who, s->len);
}

/* An error is not taken for "no live instance": what we cannot read may be live. */
int rp_find_live_bucket(struct rp_member *m, __u32 from, struct rp_bucket *bucket, char *who, size_t len)
{
  struct search search = {from, bucket, who, len};

  who[0] = '\0';

  return rp_visit_listeners(m, m->config, BPF_F_RDONLY, search_listener, &search);
}

int rp_find_live(struct rp_member *m, __u32 from, char *who, size_t len)
{
  struct rp_bucket bucket;

  return rp_find_live_bucket(m, from, &bucket, who, len);
}
