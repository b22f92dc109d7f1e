/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The group's directory on a bpffs, and what is pinned in it: which maps there are, where each is pinned, which pins a new
 * instance takes over and which it makes.
 *
 * libbpf's own pinning (bpf_map__set_pin_path() before bpf_object__load()) would not do: it reports a pin that does not fit, one
 * that we may not open and a program that the verifier refuses by one return code, and it does not know live instances.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include "group_internal.h"

/* ---- maps and their paths ---- */

static const struct rp_map_spec specs[RP_TARGETS] = {
    [RP_GROUP] = {RP_MAP_GROUP, 0, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct rp_group), RP_ABI},
    [RP_SIZE] = {RP_MAP_SIZE, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1},
    [RP_NONCE] = {RP_MAP_NONCE, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1},
    [RP_POLICY] = {RP_MAP_POLICY, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1},
    [RP_SLOTS] = {RP_MAP_SLOTS, 0, BPF_MAP_TYPE_ARRAY, 4, 4, RP_SLOT_ENTRIES},
    [RP_WEIGHTS] = {RP_MAP_WEIGHTS, 0, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct rp_weights), 1},
    [RP_OVERRIDES] = {RP_MAP_OVERRIDES, 0, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct rp_prefix), 4, RP_MAX_OVERRIDES},
    [RP_QUARANTINE] = {RP_MAP_QUARANTINE, 0, BPF_MAP_TYPE_HASH, 16, sizeof(struct rp_conviction), RP_MAX_CONVICTED},
    [RP_STATE] = {RP_MAP_STATE, 0, BPF_MAP_TYPE_HASH, sizeof(struct rp_state_key), sizeof(struct rp_state_page), RP_STATE_PAGES},
    [RP_CHANGES] = {RP_MAP_CHANGES, 0, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct rp_state_changes), 1},
    [RP_INSTANCES] = {RP_MAP_INSTANCES, 1, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct rp_instance), RP_MAX_BUCKETS},
    [RP_OWNERS] = {RP_MAP_OWNERS, 1, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct rp_owner), RP_MAX_BUCKETS},
    [RP_COUNTERS] = {RP_MAP_COUNTERS, 1, BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct rp_counters), RP_MAX_BUCKETS + 1},
    [RP_TALKERS] = {RP_MAP_TALKERS, 1, BPF_MAP_TYPE_LRU_HASH, 16, sizeof(struct rp_talker), RP_MAX_TALKERS},
};
static const struct rp_map_spec udp_targets = {RP_MAP_UDP, 1, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, RP_MAX_BUCKETS};
static const struct rp_map_spec tcp_targets = {RP_MAP_TCP, 1, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, RP_MAX_BUCKETS};

const struct rp_map_spec *rp_map_spec(const struct rp_member *m, int id)
{
  if (id != RP_TARGETS) return &specs[id];

  return m->protocol == IPPROTO_TCP ? &tcp_targets : &udp_targets;
}

void rp_listener_path(const struct rp_member *m, char path[PATH_MAX])
{
  snprintf(path, PATH_MAX, "%s/%s", m->config->pin_path, m->listener);
}

void rp_map_path(const struct rp_member *m, int id, char path[PATH_MAX])
{
  const struct rp_map_spec *spec = rp_map_spec(m, id);

  if (spec->per_listener)
    snprintf(path, PATH_MAX, "%s/%s/%s", m->config->pin_path, m->listener, spec->name);
  else
    snprintf(path, PATH_MAX, "%s/%s", m->config->pin_path, spec->name);
}

void rp_program_path(const struct rp_member *m, char path[PATH_MAX])
{
  snprintf(path, PATH_MAX, "%s/%s/%s", m->config->pin_path, m->listener, RP_PROG);
}

/* ---- changes of the file system, which a rehearsal only tries out ---- */

/* Writes the directory that path is in; path is absolute. */
static void parent_of(const char *path, char parent[PATH_MAX])
{
  const char *slash = strrchr(path, '/');

  snprintf(parent, PATH_MAX, "%.*s", slash == path ? 1 : (int) (slash - path), path);
}

/* Returns: 0 if we may add and remove entries in the directory that path is in, or -1 with errno set. */
static int may_write_parent(const char *path)
{
  char parent[PATH_MAX];

  parent_of(path, parent);

  return faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS);
}

static int make_or_try(const struct rp_member *m, const char *path)
{
  if (!m->rehearses) return mkdir(path, 0700);
  if (!access(path, F_OK)) errno = EEXIST;

  return errno == ENOENT ? may_write_parent(path) : -1;
}

static int remove_or_try(const struct rp_member *m, const char *path)
{
  return m->rehearses ? may_write_parent(path) : unlink(path);
}

static int pin_or_try(const struct rp_member *m, int fd, const char *path)
{
  if (!m->rehearses) return bpf_obj_pin(fd, path);

  /* A directory that is not there is one that make_or_try() has found possible. */
  return may_write_parent(path) && errno != ENOENT ? -1 : 0;
}

/* ---- directories ---- */

int rp_check_pin_path(struct rp_member *m)
{
  const char *path = m->config->pin_path, *slash = strrchr(path, '/');
  char parent[PATH_MAX];
  struct statfs fs;

  if (path[0] != '/' || slash[1] == '\0' || strlen(path) >= PATH_MAX / 2)
    return rp_fail(m, -EINVAL, "reuseport_pin_path '%s' is not a directory's absolute path: set one like %s", path, RP_DEFAULT_PIN_PATH);

  parent_of(path, parent);
  if (statfs(access(path, F_OK) ? parent : path, &fs))
    return rp_fail(m, -errno, "cannot make reuseport_pin_path %s: the directory above it cannot be read (%s): %s", path, strerror(errno),
                   errno == EACCES ? "'chmod a+x' it" : "make it, or mount a bpffs there");
  if ((__u32) fs.f_type != (__u32) BPF_FS_MAGIC)
    return rp_fail(m, -ENOENT, "reuseport_pin_path %s is not on a bpffs: mount one ('mount -t bpf -o mode=0711 bpf /sys/fs/bpf') and choose a directory in it", path);

  return 0;
}

/* Checks the pin path, or a directory above it. also: a user that it may belong to, beside root and us. */
static int check_directory(struct rp_member *m, const char *path, const struct stat *st, int is_above, uid_t also)
{
  /* in a directory with the sticky bit, such as the root of a bpffs that is mounted without a mode, others cannot replace ours */
  int others_write = st->st_mode & (S_IWGRP | S_IWOTH) && !(is_above && st->st_mode & S_ISVTX);

  if (st->st_uid && st->st_uid != geteuid() && st->st_uid != also)
    return rp_fail(m, -EPERM, "%s belongs to user id %u, who could change what is in it: use a reuseport_pin_path that belongs, with the directories above it, to root or to user id %u, who runs this", path, st->st_uid, geteuid());
  if (others_write)
    return rp_fail(m, -EPERM, "%s has mode %04o, so that other users could change what is in it: 'chmod go-w %s', or use another reuseport_pin_path", path, st->st_mode & 07777, path);

  return 0;
}

int rp_check_owners(struct rp_member *m, int as_tool)
{
  char path[PATH_MAX], parent[PATH_MAX];
  struct stat st, above;
  uid_t also = 0;
  int err, is_above = 0;

  /* one that is not there yet, in a rehearsal, or that cannot be read: the function that opens it says why */
  if (!realpath(m->config->pin_path, path)) {
    parent_of(m->config->pin_path, parent);
    if (!realpath(parent, path)) return 0;
    is_above = 1;
  }
  if (stat(path, &st)) return 0;
  /* root changes a group of the daemons' user for him; whoever else tries is denied it */
  if (as_tool) also = st.st_uid;

  for (;;) {
    err = check_directory(m, path, &st, is_above, also);
    parent_of(path, parent);
    /* up to the root of the bpffs */
    if (err || stat(parent, &above) || above.st_dev != st.st_dev || above.st_ino == st.st_ino) return err;
    memcpy(path, parent, sizeof(path));
    st = above;
    is_above = 1;
  }
}

int rp_make_directory(struct rp_member *m, const char *path)
{
  if (!make_or_try(m, path) || errno == EEXIST) return 0;
  if (errno == EPERM && strchr(strrchr(path, '/'), '.'))
    return rp_fail(m, -errno, "cannot make directory %s: bpffs takes no name with a dot in it, choose another reuseport_pin_path", path);

  return rp_fail(m, -errno, "cannot make directory %s (%s): the directory above it must belong to the daemon's user, or choose another reuseport_pin_path", path, strerror(errno));
}

/* ---- pins ---- */

/* libbpf before 1.0 has no way to open a pin for reading only. */
int rp_get_pin(const char *path, __u32 flags)
{
  union bpf_attr attr = {.pathname = (__u64) (unsigned long) path, .file_flags = flags};
  int fd = syscall(__NR_bpf, BPF_OBJ_GET, &attr, sizeof(attr));

  if (fd >= 0) return fd;

  return errno == ENOTDIR ? -ENOENT : -errno;
}

__u32 rp_map_id(int fd)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

/* Flags are not compared, since the kernel adds some of its own. */
int rp_map_fits(int fd, const struct rp_map_spec *spec)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == spec->type && info.key_size == spec->key_size &&
         info.value_size == spec->value_size && info.max_entries == spec->max_entries;
}

/* Returns: the ABI number of what is pinned; RP_ABI, if it is unknown, or another project's. */
static __u32 read_number(const struct rp_member *m)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);
  char path[PATH_MAX];
  int fd;

  rp_map_path(m, RP_GROUP, path);
  fd = rp_get_pin(path, BPF_F_RDONLY);
  if (fd == -ENOENT) {
    /* ours, from before there was a number */
    rp_map_path(m, RP_POLICY, path);
    return access(path, F_OK) ? RP_ABI : 0;
  }
  if (fd < 0) return RP_ABI;

  if (bpf_obj_get_info_by_fd(fd, &info, &len)) info.max_entries = RP_ABI;
  close(fd);

  return info.max_entries;
}

int rp_check_number(struct rp_member *m, const char *live)
{
  __u32 number = read_number(m);

  if (number == RP_ABI) return 0;

  return rp_fail(m, -EEXIST, "the group %s has ABI number %u (%s), and this program %d: use programs and a reuseport.o of its version, or stop all its instances first", m->config->pin_path, number, live[0] ? live : "no instance is live", RP_ABI);
}

/* Whether the map is an earlier version of ours: the same name and type in another size. */
static int is_earlier_version(int fd, const struct rp_map_spec *spec)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == spec->type && !strncmp(info.name, spec->name, sizeof(info.name) - 1);
}

static int use_map(struct rp_member *m, int id, int fd, const char *path)
{
  if (!bpf_map__reuse_fd(m->map[id], fd)) return 0;

  return rp_fail(m, -EIO, "cannot use the map pinned at %s (%s)", path, strerror(errno));
}

/* What is pinned at path cannot be used: removes it if it is a leftover of ours. */
static int replace_pin(struct rp_member *m, int id, int fd, const char *path, const char *live)
{
  const struct rp_map_spec *spec = rp_map_spec(m, id);

  if (!is_earlier_version(fd, spec))
    return rp_fail(m, -EEXIST, "something else than map '%s' is pinned at %s: remove it, or choose another reuseport_pin_path", spec->name, path);
  if (live)
    return rp_fail(m, -EEXIST, "the live instances (%s) use another version of map '%s', pinned at %s: use their reuseport.o, or stop them all first", live, spec->name, path);
  if (remove_or_try(m, path)) return rp_fail(m, -errno, "cannot remove the leftover %s (%s): run 'reuseportctl reset' as root", path, strerror(errno));

  return 0;
}

/* err: of rp_get_pin(). A listener's pins may be missing; the group's must be there if an instance is live. */
static int accept_missing_pin(struct rp_member *m, int id, int err, const char *path, const char *live)
{
  const struct rp_map_spec *spec = rp_map_spec(m, id);

  if (err == -ENOENT && (!live || spec->per_listener)) return 0;
  if (err == -ENOENT)
    return rp_fail(m, -EEXIST, "map '%s' is not pinned in %s, although instances are live (%s): they use another object than %s, or the pin was removed; use theirs, or stop them all and start again", spec->name, m->config->pin_path, live, m->config->prog);

  return rp_fail(m, err, "cannot open %s (%s): %s", path, strerror(-err), rp_explain_denial(err));
}

int rp_reuse_pin(struct rp_member *m, int id, const char *live)
{
  char path[PATH_MAX];
  int fd, err;

  rp_map_path(m, id, path);
  fd = rp_get_pin(path, 0);
  if (fd < 0) return accept_missing_pin(m, id, fd, path, live);

  err = rp_map_fits(fd, rp_map_spec(m, id)) ? use_map(m, id, fd, path) : replace_pin(m, id, fd, path, live);
  close(fd);

  return err;
}

int rp_check_lacking(struct rp_member *m, int id, const char *live)
{
  const struct rp_map_spec *spec = rp_map_spec(m, id);
  char path[PATH_MAX];

  rp_map_path(m, id, path);
  if (!live || spec->per_listener || access(path, F_OK)) return 0;

  return rp_fail(m, -EEXIST, "%s has no map '%s', which the live instances use (%s): use their object", m->config->prog, spec->name, live);
}

int rp_pin_map(struct rp_member *m, int id)
{
  char path[PATH_MAX];

  rp_map_path(m, id, path);
  if (!access(path, F_OK) || !pin_or_try(m, m->fds[id], path)) return 0;

  return rp_fail(m, -errno, "cannot pin map '%s' at %s (%s): the directory must belong to the daemon's user", rp_map_spec(m, id)->name, path, strerror(errno));
}

int rp_pin_program(struct rp_member *m)
{
  char path[PATH_MAX];

  /* opened from its pin */
  if (m->opened) return 0;

  rp_program_path(m, path);
  if ((!unlink(path) || errno == ENOENT) && !bpf_obj_pin(m->prog, path)) return 0;

  return rp_fail(m, -errno, "cannot pin the selector at %s (%s): the directory must belong to the daemon's user", path, strerror(errno));
}
