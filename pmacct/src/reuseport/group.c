/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pinned group: see group.h for what it promises. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "group.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

struct map_spec {
  const char *name;
  int per_listener;
  __u32 type, key_size, value_size, max_entries;
};

static const struct map_spec specs[RP_TARGETS] = {
    [RP_SIZE] = {RP_MAP_SIZE, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1},
    [RP_NONCE] = {RP_MAP_NONCE, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1},
    [RP_POLICY] = {RP_MAP_POLICY, 0, BPF_MAP_TYPE_ARRAY, 4, 4, 1},
    [RP_OVERRIDES] = {RP_MAP_OVERRIDES, 0, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct rp_prefix), 4, RP_MAX_OVERRIDES},
    [RP_OWNERS] = {RP_MAP_OWNERS, 1, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct rp_owner), RP_MAX_BUCKETS},
    [RP_COUNTERS] = {RP_MAP_COUNTERS, 1, BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct rp_counters),
                     RP_MAX_BUCKETS + 1},
};

/* The socket array depends on the transport */
static const struct map_spec udp_targets = {RP_MAP_UDP, 1, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, RP_MAX_BUCKETS};
static const struct map_spec tcp_targets = {RP_MAP_TCP, 1, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, 4, 8, RP_MAX_BUCKETS};

static const __u32 zero;

static const struct map_spec *spec_of(const struct rp_member *m, int id)
{
  if (id != RP_TARGETS) return &specs[id];

  return m->protocol == IPPROTO_TCP ? &tcp_targets : &udp_targets;
}

/* libbpf says in words what its return code leaves open: the first of them belongs into our one line */
static void (*log_line)(const char *line);
static __thread char libbpf_said[200];

static int libbpf_print(enum libbpf_print_level level, const char *format, va_list args)
{
  char line[512], *end;

  vsnprintf(line, sizeof(line), format, args);
  end = strchr(line, '\n');
  if (end) *end = '\0';
  if (level == LIBBPF_WARN && !libbpf_said[0]) snprintf(libbpf_said, sizeof(libbpf_said), "%.199s", line);
  if (log_line && line[0]) log_line(line);

  return 0;
}

void rp_set_log(void (*log)(const char *line))
{
  log_line = log;
}

int rp_fail(struct rp_member *m, int err, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  vsnprintf(m->error, sizeof(m->error), format, args);
  va_end(args);

  return err;
}

void rp_init(struct rp_member *m)
{
  memset(m, 0, sizeof(*m));
  m->lock = m->prog = -1;
  for (int id = 0; id < RP_MAPS; id++) m->fds[id] = -1;
}

/* By name: a child that was forked meanwhile has the lock too, until it closes its copy */
void rp_unlock(struct rp_member *m)
{
  if (m->lock < 0) return;
  flock(m->lock, LOCK_UN);
  close(m->lock);
  m->lock = -1;
}

void rp_close(struct rp_member *m)
{
  rp_unlock(m);
  for (int id = 0; id < RP_MAPS; id++) {
    if (m->opened && m->fds[id] >= 0) close(m->fds[id]);
    m->map[id] = NULL;
    m->fds[id] = -1;
  }
  if (m->opened && m->prog >= 0) close(m->prog);
  m->prog = -1;
  /* closes the fds of prog and maps that are its own: the pins and the attached group hold what has to stay */
  if (m->object) bpf_object__close(m->object);
  m->object = NULL;
  m->opened = 0;
  m->cookie = 0;
}

/* ---- privileges ---- */

#define MEMLOCK_PER_PROGRAM (256 * 1024UL)

static const char *no_privilege = "no privilege for BPF: run as root, or with CAP_BPF (CAP_SYS_ADMIN before Linux 5.8)";

static int has_capability(int one, int other)
{
  unsigned long long caps = 0;
  char line[128];
  FILE *file = fopen("/proc/thread-self/status", "re");

  if (!file) return 1;
  while (fgets(line, sizeof(line), file) && sscanf(line, "CapEff: %llx", &caps) != 1) continue;
  fclose(file);

  return caps >> one & 1 || caps >> other & 1;
}

/* Whether the kernel would let us create maps and load programs, for all that capabilities say */
static int may_load(void)
{
  return has_capability(CAP_BPF, CAP_SYS_ADMIN);
}

static const char *forbidden = "although we have CAP_BPF: a seccomp filter, as containers have it, a user namespace or a security module forbids bpf()";

/* Why a pin could not be opened */
static const char *denied(int err)
{
  if (err == -EPERM) return may_load() ? forbidden : no_privilege;

  if (err == -EMFILE || err == -ENFILE) return "raise the limit of open files, LimitNOFILE= or 'ulimit -n'";

  return "its files are its daemons' user's: run as that user, or root";
}

/* Before Linux 5.11 BPF memory counts against RLIMIT_MEMLOCK, 64 KiB by default, of all processes of the user */
static int charges_memlock(void)
{
  unsigned int major, minor;
  struct utsname kernel;

  return !uname(&kernel) && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 && (major < 5 || (major == 5 && minor < 11));
}

/* As far as we may */
static void raise_memlock(void)
{
  struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

  if (!charges_memlock() || !setrlimit(RLIMIT_MEMLOCK, &limit) || getrlimit(RLIMIT_MEMLOCK, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_MEMLOCK, &limit);
}

/* More than the group needs, in bytes: with eight listeners, and all its instances' programs */
static unsigned long memlock_needed(const struct rp_member *m)
{
  unsigned long bytes = m->config->count * MEMLOCK_PER_PROGRAM;
  int cpus = libbpf_num_possible_cpus();
  struct bpf_map *map;

  if (cpus <= 0) cpus = 1024;
  bpf_object__for_each_map (map, m->object)
    bytes += bpf_map__max_entries(map) * (64UL + bpf_map__key_size(map) + bpf_map__value_size(map) * cpus);

  return bytes * 8;
}

/* ---- the directory ---- */

/* Returns 0 if we may add entries to the directory that path is in, and remove them, or -1 with errno set. */
static int may_write_parent(const char *path)
{
  const char *slash = strrchr(path, '/');
  char parent[PATH_MAX];

  snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int) (slash - path), path);

  return faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS);
}

/* The same, where path may be in a directory that rehearse_mkdir() has found possible, and that does not exist. */
static int rehearse_pin(const char *path)
{
  return may_write_parent(path) && errno != ENOENT ? -1 : 0;
}

/* mkdir(path) without the directory: the same result and errno. */
static int rehearse_mkdir(const char *path)
{
  if (!access(path, F_OK)) errno = EEXIST;

  return errno == ENOENT ? may_write_parent(path) : -1;
}

static int make_directory(struct rp_member *m, const char *path)
{
  if (!(m->rehearses ? rehearse_mkdir(path) : mkdir(path, 0700)) || errno == EEXIST) return 0;
  if (errno == EPERM && strchr(strrchr(path, '/'), '.'))
    return rp_fail(m, -errno, "cannot make directory %s: bpffs takes no name with a dot in it, choose another reuseport_pin_path", path);

  return rp_fail(m, -errno, "cannot make directory %s (%s): the directory above it must belong to the daemon's user, or choose another reuseport_pin_path", path, strerror(errno));
}

static int check_pin_path(struct rp_member *m)
{
  const char *path = m->config->pin_path, *slash = strrchr(path, '/');
  char above[PATH_MAX];
  struct statfs fs;

  if (path[0] != '/' || slash[1] == '\0' || strlen(path) >= PATH_MAX / 2)
    return rp_fail(m, -EINVAL, "reuseport_pin_path '%s' is not a directory's absolute path: set one like %s", path, RP_DEFAULT_PIN_PATH);

  snprintf(above, sizeof(above), "%.*s", slash == path ? 1 : (int) (slash - path), path);
  if (statfs(access(path, F_OK) ? above : path, &fs))
    return rp_fail(m, -errno, "cannot make reuseport_pin_path %s: the directory above it cannot be read (%s)", path, strerror(errno));
  if ((__u32) fs.f_type != (__u32) BPF_FS_MAGIC)
    return rp_fail(m, -ENOENT, "reuseport_pin_path %s is not on a bpffs: mount one ('mount -t bpf bpf /sys/fs/bpf') and choose a directory in it", path);

  return make_directory(m, path);
}

/* A directory that is removed while we wait leaves us with a lock on nothing */
static int lock_group(struct rp_member *m, int seconds)
{
  const char *path = m->config->pin_path;
  const struct timespec nap = {0, 20 * 1000 * 1000};
  struct stat locked, named;
  int err;

  m->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (m->lock < 0)
    return rp_fail(m, -errno, "cannot open the group's directory %s (%s): all instances of a group run as one user, who owns it", path, strerror(errno));

  for (int naps = 0; (err = flock(m->lock, LOCK_EX | LOCK_NB)) && errno == EWOULDBLOCK; naps++) {
    if (naps >= seconds * 50)
      return rp_fail(m, -EBUSY, "another process holds the lock on %s for more than %d s: see 'fuser -v %s'", path,
                     seconds, path);
    nanosleep(&nap, NULL);
  }
  if (err) return rp_fail(m, -errno, "cannot lock the group's directory %s (%s)", path, strerror(errno));

  if (fstat(m->lock, &locked) || stat(path, &named) || locked.st_ino != named.st_ino)
    return rp_fail(m, -EBUSY, "somebody removed %s while this instance waited for its lock: start it again", path);

  return 0;
}

/* ---- the kernel ---- */

/* Whether it knows SK_REUSEPORT programs, and those that migrate connections: it loads the smallest one there is, or
   refuses it for another reason */
static int kernel_knows(int attach_type)
{
  int migrates = attach_type == RP_ATTACH_MIGRATE;
  const struct bpf_insn insns[] = {
      {.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_1, .off = RP_MIGRATING_SK},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = SK_PASS},
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr attr = {
      .prog_type = BPF_PROG_TYPE_SK_REUSEPORT,
      .insns = (__u64) (unsigned long) (migrates ? insns : insns + 1),
      .insn_cnt = migrates ? 3 : 2,
      .license = (__u64) (unsigned long) "GPL",
      .expected_attach_type = attach_type,
  };
  int fd = syscall(__NR_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

  if (fd >= 0) close(fd);

  return fd >= 0 || (errno != EINVAL && errno != ENOSYS && errno != EACCES);
}

/* ---- the object ---- */

static int check_file(struct rp_member *m)
{
  const char *path = m->config->prog;
  char magic[4] = "";
  struct stat st;
  int fd, is_elf;

  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st)) {
    int err = -errno;

    if (fd >= 0) close(fd);
    return rp_fail(m, err, "cannot read reuseport_bpf_prog %s (%s): set it to the path of reuseport.o", path,
                   strerror(-err));
  }

  is_elf = S_ISREG(st.st_mode) && read(fd, magic, sizeof(magic)) == sizeof(magic) && !memcmp(magic, "\177ELF", 4);
  close(fd);
  if (S_ISDIR(st.st_mode))
    return rp_fail(m, -EISDIR, "reuseport_bpf_prog %s is a directory: set it to the path of reuseport.o", path);
  if (!is_elf)
    return rp_fail(m, -ENOEXEC, "reuseport_bpf_prog %s is not an ELF file: set it to the path of reuseport.o", path);

  return 0;
}

/*
 * Checks one map of the object against the contract. Foreign objects may lack the optional ones; an array of
 * sockets that is there for the other transport is left alone.
 */
static int check_map(struct rp_member *m, int id)
{
  const struct map_spec *spec = spec_of(m, id);
  struct bpf_map *map = bpf_object__find_map_by_name(m->object, spec->name);

  /* libbpf before 1.0 gives a map that takes over a pin the kernel's name for it, cut to 15 characters */
  m->map[id] = map;
  if (!map) {
    if (id == RP_SIZE)
      return rp_fail(m, -ENOEXEC, "%s has no map '%s': it cannot honour reuseport_hashbucket_count; use reuseport.o",
                     m->config->prog, spec->name);
    if (id == RP_TARGETS)
      return rp_fail(m, -ENOEXEC, "%s has no map '%s' for the sockets of listener %s; use reuseport.o", m->config->prog,
                     spec->name, m->listener);

    snprintf(m->missing + strlen(m->missing), sizeof(m->missing) - strlen(m->missing), "%s%s",
             m->missing[0] ? ", " : "", spec->name);
    return 0;
  }

  if (bpf_map__type(map) != spec->type || bpf_map__key_size(map) != spec->key_size ||
      bpf_map__value_size(map) != spec->value_size || bpf_map__max_entries(map) != spec->max_entries)
    return rp_fail(m, -ENOEXEC,
                   "map '%s' of %s has another type or size (type %u, key %u, value %u, %u entries; needed: type %u, key "
                   "%u, value %u, %u entries); use the reuseport.o that belongs to this daemon",
                   spec->name, m->config->prog, (__u32) bpf_map__type(map), bpf_map__key_size(map),
                   bpf_map__value_size(map), bpf_map__max_entries(map), spec->type, spec->key_size, spec->value_size,
                   spec->max_entries);

  return 0;
}

static int open_object(struct rp_member *m)
{
  const struct rp_config *c = m->config;
  struct bpf_program *prog, *migrator = NULL;
  struct bpf_map *map;
  int err;

  err = check_file(m);
  if (err) return err;

  libbpf_set_print(libbpf_print);
  libbpf_said[0] = '\0';
  m->object = bpf_object__open_file(c->prog, NULL);
  err = libbpf_get_error(m->object);
  if (err) {
    m->object = NULL;
    return rp_fail(m, -ENOEXEC, "%s is not a BPF object that libbpf can read (%s): set reuseport_bpf_prog to the path of "
                                "reuseport.o",
                   c->prog, libbpf_said);
  }

  m->selector = bpf_object__find_program_by_name(m->object, RP_PROG);
  if (!m->selector)
    return rp_fail(m, -ENOEXEC, "%s has no program '%s': set reuseport_bpf_prog to the path of reuseport.o", c->prog,
                   RP_PROG);

  if (m->protocol == IPPROTO_TCP) migrator = bpf_object__find_program_by_name(m->object, RP_MIGRATE);
  if (migrator && kernel_knows(RP_ATTACH_MIGRATE)) m->selector = migrator;

  bpf_object__for_each_program (prog, m->object) bpf_program__set_autoload(prog, prog == m->selector);
  /* libbpf 1.x does not know the section "sk_reuseport/selector" of older objects, and leaves its type open */
  bpf_program__set_type(m->selector, BPF_PROG_TYPE_SK_REUSEPORT);
  bpf_program__set_expected_attach_type(m->selector, m->selector == migrator ? RP_ATTACH_MIGRATE : RP_ATTACH_SELECT);
  /* An object may ask libbpf to pin its maps by name, in one place for all groups of the host: ours are per group */
  bpf_object__for_each_map (map, m->object) bpf_map__set_pin_path(map, NULL);

  for (int id = 0; id < RP_MAPS; id++) {
    err = check_map(m, id);
    if (err) return err;
  }

  return 0;
}

/* ---- the pins ---- */

static void pin_name(const struct rp_member *m, const struct map_spec *spec, char path[PATH_MAX])
{
  if (spec->per_listener)
    snprintf(path, PATH_MAX, "%s/%s/%s", m->config->pin_path, m->listener, spec->name);
  else
    snprintf(path, PATH_MAX, "%s/%s", m->config->pin_path, spec->name);
}

/* Opens what is pinned there; flags: 0 or BPF_F_RDONLY. Returns its fd or a negative errno, -ENOENT if there is none. libbpf
   before 1.0 has no way to say which. */
static int get_pin(const char *path, __u32 flags)
{
  union bpf_attr attr = {.pathname = (__u64) (unsigned long) path, .file_flags = flags};
  int fd = syscall(__NR_bpf, BPF_OBJ_GET, &attr, sizeof(attr));

  return fd >= 0 ? fd : errno == ENOTDIR ? -ENOENT
                                         : -errno;
}

/* But for flags, since the kernel adds some of its own */
static int pinned_fits(int fd, const struct map_spec *spec)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == spec->type && info.key_size == spec->key_size &&
         info.value_size == spec->value_size && info.max_entries == spec->max_entries;
}

/* An earlier version of the same map, which nobody needs once nobody is live: same name, another shape */
static int pinned_is_ours(int fd, const struct map_spec *spec)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == spec->type &&
         !strncmp(info.name, spec->name, sizeof(info.name) - 1);
}

static int reuse_pin(struct rp_member *m, int id, const char *live)
{
  const struct map_spec *spec = spec_of(m, id);
  char path[PATH_MAX];
  int fd, err = 0;

  pin_name(m, spec, path);
  fd = get_pin(path, 0);
  if (fd < 0) {
    if (fd == -ENOENT && (!live || spec->per_listener)) return 0;
    if (fd == -ENOENT)
      return rp_fail(m, -EEXIST, "map '%s' is not pinned in %s, although instances are live (%s): they use another object than %s, or somebody removed the pin; use theirs, or stop them all and start again", spec->name, m->config->pin_path, live, m->config->prog);
    if (fd == -EPERM) return rp_fail(m, fd, "cannot open %s: %s", path, denied(fd));
    return rp_fail(m, fd, "cannot open %s (%s): the group's pins must belong to the daemon's user", path, strerror(-fd));
  }

  if (pinned_fits(fd, spec)) {
    if (bpf_map__reuse_fd(m->map[id], fd))
      err = rp_fail(m, -EIO, "cannot use the map pinned at %s (%s)", path, strerror(errno));
  }
  else if (!pinned_is_ours(fd, spec))
    err = rp_fail(m, -EEXIST, "something else than map '%s' is pinned at %s: remove it, or choose another "
                              "reuseport_pin_path",
                  spec->name, path);
  else if (live)
    err = rp_fail(m, -EEXIST, "the live instances (%s) use another version of map '%s', pinned at %s: use their "
                              "reuseport.o, or stop them all first",
                  live, spec->name, path);
  else if (m->rehearses ? may_write_parent(path) : unlink(path))
    err = rp_fail(m, -errno, "cannot remove the leftover %s (%s)", path, strerror(errno));

  close(fd);

  return err;
}

/* A group that has a map which the object lacks, such as the seed, is another object's */
static int lacks_pinned(struct rp_member *m, int id, const char *live)
{
  const struct map_spec *spec = spec_of(m, id);
  char path[PATH_MAX];

  pin_name(m, spec, path);
  if (!live || spec->per_listener || access(path, F_OK)) return 0;

  return rp_fail(m, -EEXIST, "%s has no map '%s', which the live instances use (%s): use their object", m->config->prog, spec->name, live);
}

static int make_pin(struct rp_member *m, int id)
{
  char path[PATH_MAX];

  pin_name(m, spec_of(m, id), path);
  if (!access(path, F_OK) || !(m->rehearses ? rehearse_pin(path) : bpf_obj_pin(m->fds[id], path))) return 0;

  return rp_fail(m, -errno, "cannot pin map '%s' at %s (%s): the directory must belong to the daemon's user",
                 spec_of(m, id)->name, path, strerror(errno));
}

/* ---- who is there ---- */

void rp_make_printable(char *text)
{
  for (; *text; text++)
    if (*text < ' ' || *text > '~') *text = '?';
}

static void read_bucket(int targets, int owners, __u32 bucket, struct rp_bucket *slot)
{
  struct rp_owner owner;

  memset(slot, 0, sizeof(*slot));
  if (bpf_map_lookup_elem(targets, &bucket, &slot->cookie)) {
    slot->cookie = 0;
    return;
  }
  if (owners < 0 || bpf_map_lookup_elem(owners, &bucket, &owner) || owner.cookie != slot->cookie) return;

  slot->since = owner.since;
  slot->pid = owner.pid;
  slot->state = owner.state;
  slot->endpoint = owner.endpoint;
  memcpy(slot->comm, owner.comm, RP_COMM_LEN);
  rp_make_printable(slot->comm);
}

int rp_read_bucket(const struct rp_member *m, __u32 bucket, struct rp_bucket *slot)
{
  if (m->fds[RP_TARGETS] < 0 || bucket >= RP_MAX_BUCKETS) return -EINVAL;
  read_bucket(m->fds[RP_TARGETS], m->fds[RP_OWNERS], bucket, slot);

  return 0;
}

static void describe(const char *listener, __u32 bucket, const struct rp_bucket *slot, char *text, size_t len)
{
  if (slot->pid)
    snprintf(text, len, "%s pid %u at index %u of listener %s", slot->comm, slot->pid, bucket, listener);
  else
    snprintf(text, len, "a process that left no name at index %u of listener %s", bucket, listener);
}

/* How many slots a socket array has, whatever version made it; 0: it is none */
static __u32 slots_of(int fd)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_MAP_TYPE_REUSEPORT_SOCKARRAY ? 0 : info.max_entries;
}

static int first_live(const struct rp_member *m, __u32 from, struct rp_bucket *slot, char *who, size_t len)
{
  __u32 slots = slots_of(m->fds[RP_TARGETS]);

  for (__u32 bucket = from; bucket < slots; bucket++) {
    read_bucket(m->fds[RP_TARGETS], m->fds[RP_OWNERS], bucket, slot);
    if (!slot->cookie) continue;
    describe(strcmp(m->listener, ".") ? m->listener : m->config->pin_path, bucket, slot, who, len);
    return 1;
  }

  return 0;
}

/* Opens what is pinned of one listener, without a look at the object: 1, 0 if there is no such listener, or a negative
   errno */
static int open_pins(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol, __u32 flags)
{
  char path[PATH_MAX];
  int fd;

  rp_init(m);
  m->config = config;
  m->listener = listener;
  m->protocol = protocol;
  m->opened = 1;

  for (int id = RP_MAPS - 1; id >= 0; id--) {
    const struct map_spec *spec = spec_of(m, id);

    pin_name(m, spec, path);
    fd = get_pin(path, flags);
    if (fd == -ENOENT && id == RP_TARGETS) return 0;
    if (fd == -ENOENT) continue;
    if (fd < 0) return rp_fail(m, fd, "cannot open %s (%s): %s", path, strerror(-fd), denied(fd));
    m->fds[id] = fd;
    if (id == RP_TARGETS ? slots_of(fd) > 0 : pinned_fits(fd, spec)) continue;
    /* another version's, or somebody else's */
    close(fd);
    m->fds[id] = -1;
    if (id == RP_TARGETS) return 0;
  }

  return 1;
}

/* pmacct's own nfacctd_rp_ebpf_prog pins the arrays of both transports, whatever the listener is */
static int open_listener(struct rp_member *m, const struct rp_config *config, const char *listener, __u32 flags)
{
  int udp = open_pins(m, config, listener, IPPROTO_UDP, flags), tcp;
  struct rp_member other;
  struct rp_bucket slot;
  char who[128];

  if (udp < 0 || (udp && first_live(m, 0, &slot, who, sizeof(who)))) return udp;

  tcp = open_pins(&other, config, listener, IPPROTO_TCP, flags);
  if (tcp < 0 || (tcp && (!udp || first_live(&other, 0, &slot, who, sizeof(who))))) {
    rp_close(m);
    *m = other;
    return tcp;
  }
  rp_close(&other);

  return udp;
}

static int is_listener(const struct dirent *entry)
{
  /* "." too: pmacct's own nfacctd_rp_ebpf_prog pins all maps of a listener in one directory */
  return strcmp(entry->d_name, "..") != 0;
}

static int each_listener(struct rp_member *m, const struct rp_config *config, __u32 flags, int (*each)(struct rp_member *listener, void *arg), void *arg)
{
  struct rp_member listener;
  struct dirent **names;
  int count, ret = 0;

  count = scandir(config->pin_path, &names, is_listener, alphasort);
  if (count < 0) {
    ret = -errno;
    return rp_fail(m, ret, "cannot list the group's directory %s (%s): %s", config->pin_path, strerror(-ret), denied(ret));
  }
  for (int i = 0; i < count; i++) {
    if (!ret) {
      ret = open_listener(&listener, config, names[i]->d_name, flags);
      if (ret > 0) ret = each(&listener, arg);
      if (listener.error[0]) rp_fail(m, ret, "%s", listener.error);
      rp_close(&listener);
    }
    free(names[i]);
  }
  free(names);

  return ret;
}

int rp_each_listener(struct rp_member *m, const struct rp_config *config, int (*each)(struct rp_member *listener, void *arg), void *arg)
{
  if (access(config->pin_path, F_OK))
    return rp_fail(m, -errno, "no group at %s (%s): give its reuseport_pin_path", config->pin_path, strerror(errno));

  return each_listener(m, config, BPF_F_RDONLY, each, arg);
}

struct search {
  __u32 from;
  struct rp_bucket *slot;
  char *who;
  size_t len;
};

static int search_listener(struct rp_member *m, void *arg)
{
  struct search *s = arg;

  return first_live(m, s->from, s->slot, s->who, s->len);
}

/* Whether anybody is live in that bucket or a later one of any listener: 1, 0, or a negative errno. slot and who: the first
   of them. What cannot be read must not pass for dead. */
static int find_live(struct rp_member *m, __u32 from, struct rp_bucket *slot, char *who, size_t len)
{
  struct search search = {from, slot, who, len};

  return each_listener(m, m->config, BPF_F_RDONLY, search_listener, &search);
}

__u64 rp_read_own_netns(void)
{
  struct stat ns;

  return stat("/proc/thread-self/ns/net", &ns) ? 0 : ns.st_ino;
}

/* ---- the settings ---- */

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

/* A program without policy knows no stand-ins */
int rp_fails_over(const struct rp_member *m)
{
  return m->fds[RP_POLICY] >= 0 && !(rp_get_setting(m, RP_POLICY) & RP_NO_FAILOVER);
}

int rp_set_setting(struct rp_member *m, enum rp_map_id id, __u32 value)
{
  if (m->fds[id] < 0 || !bpf_map_update_elem(m->fds[id], &zero, &value, BPF_ANY)) return 0;

  return rp_fail(m, -errno, "cannot write map '%s' in %s (%s)", spec_of(m, id)->name, m->config->pin_path,
                 strerror(errno));
}

/* Of one listener */
static int reset_counters(struct rp_member *m, void *unused)
{
  int cpus = libbpf_num_possible_cpus(), err = 0;
  struct rp_counters *none;

  (void) unused;
  /* without /sys: old counts are no reason not to start */
  if (m->fds[RP_COUNTERS] < 0 || cpus <= 0) return 0;
  none = calloc(cpus, sizeof(*none));
  if (!none) return rp_fail(m, -ENOMEM, "no memory for counters");
  for (__u32 bucket = 0; !err && bucket <= RP_NO_BUCKET; bucket++)
    if (bpf_map_update_elem(m->fds[RP_COUNTERS], &bucket, none, BPF_ANY))
      err = rp_fail(m, -errno, "cannot write map '%s' in %s/%s (%s)", RP_MAP_COUNTERS, m->config->pin_path, m->listener, strerror(errno));
  free(none);

  return err;
}

/* Nobody live: whatever an earlier group left behind gives way */
static int reset_settings(struct rp_member *m)
{
  const struct rp_config *c = m->config;
  struct rp_prefix key;
  __u32 nonce = c->nonce;
  int err;

  while (!nonce)
    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce)) return rp_fail(m, -errno, "no random seed (%s)", strerror(errno));
  while (m->fds[RP_OVERRIDES] >= 0 && !bpf_map_get_next_key(m->fds[RP_OVERRIDES], NULL, &key))
    if (bpf_map_delete_elem(m->fds[RP_OVERRIDES], &key)) break;

  err = rp_set_setting(m, RP_SIZE, c->count);
  if (!err) err = rp_set_setting(m, RP_NONCE, nonce);
  if (!err) err = rp_set_setting(m, RP_POLICY, c->failover == RP_FALSE ? RP_NO_FAILOVER : 0);
  if (!err) err = each_listener(m, c, 0, reset_counters, NULL);

  return err;
}

static int match_settings(struct rp_member *m, const char *live)
{
  const struct rp_config *c = m->config;
  __u32 size = rp_get_setting(m, RP_SIZE), nonce = rp_get_setting(m, RP_NONCE);
  int failover = rp_fails_over(m);

  if (c->count != size)
    return rp_fail(m, -EEXIST, "reuseport_hashbucket_count is %u here, but %u in the running group %s (%s): use the same "
                               "in all instances",
                   c->count, size, c->pin_path, live);
  if (c->nonce && c->nonce != nonce)
    return rp_fail(m, -EEXIST, "reuseport_nonce is %u here, but %u in the running group %s (%s): use the same in all "
                               "instances, or leave it out",
                   c->nonce, nonce, c->pin_path, live);
  if (c->failover != RP_UNSET && m->fds[RP_POLICY] >= 0 && (c->failover == RP_TRUE) != failover)
    return rp_fail(m, -EEXIST, "reuseport_failover is %s here, but %s in the running group %s (%s): use the same in all "
                               "instances, or leave it out",
                   failover ? "false" : "true", failover ? "true" : "false", c->pin_path,
                   live);

  return 0;
}

static int in_use(struct rp_member *m, const struct rp_bucket *slot)
{
  char who[128];

  describe(m->listener, m->config->index, slot, who, sizeof(who));

  return rp_fail(m, -EBUSY, "reuseport_hashbucket_index %u is in use in %s by %s: choose another index, stop that "
                            "instance, or set reuseport_takeover",
                 m->config->index, m->config->pin_path, who);
}

/* ---- loading ---- */

/* The kernel refused us, and why that may be */
static int no_load(struct rp_member *m)
{
  const char *path = m->config->prog;
  struct rlimit limit;

  if (!may_load())
    return rp_fail(m, -EPERM, "cannot load %s: %s, or have 'reuseportctl load' pin it for this listener beforehand", path, no_privilege);
  if (charges_memlock() && !getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY)
    return rp_fail(m, -EPERM, "cannot load %s: before Linux 5.11 that takes memory from RLIMIT_MEMLOCK, which is %lu bytes: set it to %lu (LimitMEMLOCK= in a systemd unit, 'ulimit -l %lu' in a shell)", path, (unsigned long) limit.rlim_cur, memlock_needed(m), memlock_needed(m) / 1024);

  return rp_fail(m, -EPERM, "cannot load %s %s", path, forbidden);
}

static void program_pin_name(const struct rp_member *m, char path[PATH_MAX])
{
  snprintf(path, PATH_MAX, "%s/%s/%s", m->config->pin_path, m->listener, RP_PROG);
}

static __u32 id_of(int fd)
{
  struct bpf_map_info info = {0};
  __u32 len = sizeof(info);

  return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

/* Whether a program uses that map */
static int uses_map(int prog, int map)
{
  __u32 ids[32], id = id_of(map);
  struct bpf_prog_info info = {.nr_map_ids = sizeof(ids) / sizeof(ids[0]), .map_ids = (__u64) (unsigned long) ids};
  __u32 len = sizeof(info);

  if (bpf_obj_get_info_by_fd(prog, &info, &len) || info.type != BPF_PROG_TYPE_SK_REUSEPORT) return 0;
  for (__u32 i = 0; i < info.nr_map_ids && i < sizeof(ids) / sizeof(ids[0]); i++)
    if (ids[i] == id) return 1;

  return 0;
}

/* We may not load, but use what somebody has pinned who may: 1 if it is there */
static int borrow(struct rp_member *m)
{
  char path[PATH_MAX];
  int fd;

  program_pin_name(m, path);
  fd = get_pin(path, 0);
  if (fd < 0) return fd == -ENOENT ? 0 : rp_fail(m, fd, "cannot open %s (%s): %s", path, strerror(-fd), denied(fd));

  m->opened = 1;
  m->prog = fd;
  for (int id = 0; id < RP_MAPS; id++) {
    pin_name(m, spec_of(m, id), path);
    fd = m->map[id] ? get_pin(path, 0) : -1;
    if (m->map[id] && fd < 0) return rp_fail(m, fd, "cannot open %s (%s): run 'reuseportctl load' again", path, strerror(-fd));
    m->fds[id] = fd;
  }
  if (uses_map(m->prog, m->fds[RP_TARGETS])) return 1;
  program_pin_name(m, path);

  return rp_fail(m, -EEXIST, "what is pinned at %s is not a selector for the maps beside it: run 'reuseportctl load' again", path);
}

/* For those who may not load */
static int pin_program(struct rp_member *m)
{
  char path[PATH_MAX];

  if (m->opened) return 0;
  program_pin_name(m, path);
  if ((!unlink(path) || errno == ENOENT) && !bpf_obj_pin(m->prog, path)) return 0;

  return rp_fail(m, -errno, "cannot pin the selector at %s (%s): the directory must belong to the daemon's user", path, strerror(errno));
}

static int load(struct rp_member *m)
{
  int err, borrowed;
  char words[64];

  raise_memlock();
  libbpf_said[0] = '\0';
  err = bpf_object__load(m->object);
  if (!err) {
    m->prog = bpf_program__fd(m->selector);
    for (int id = 0; id < RP_MAPS; id++) m->fds[id] = m->map[id] ? bpf_map__fd(m->map[id]) : -1;
    return 0;
  }

  if (bpf_object__find_map_by_name(m->object, RP_MAP_DEBUG) && may_load() && !has_capability(CAP_PERFMON, CAP_SYS_ADMIN))
    return rp_fail(m, -EPERM, "%s is a debug build, which takes CAP_PERFMON beside CAP_BPF: give the daemon both, or use reuseport.o", m->config->prog);
  /* EACCES is the verifier's */
  if (err == -EPERM) {
    borrowed = may_load() ? 0 : borrow(m);
    return borrowed ? (borrowed < 0 ? borrowed : 0) : no_load(m);
  }
  if (!kernel_knows(RP_ATTACH_SELECT))
    return rp_fail(m, -EOPNOTSUPP, "this kernel has no SK_REUSEPORT programs: Linux 4.19 or newer with "
                                   "CONFIG_BPF_SYSCALL is needed");
  libbpf_strerror(err, words, sizeof(words));

  return rp_fail(m, -ENOEXEC, "the kernel refuses %s (%s; %s): use the reuseport.o that belongs to this daemon", m->config->prog, words, libbpf_said);
}

static int check_abilities(struct rp_member *m)
{
  const struct rp_config *c = m->config;

  if (c->nonce && !m->map[RP_NONCE])
    return rp_fail(m, -ENOEXEC, "%s has no map '%s' and cannot honour reuseport_nonce: leave the key out, or use "
                                "reuseport.o",
                   c->prog, RP_MAP_NONCE);
  if (c->failover == RP_TRUE && !m->map[RP_POLICY])
    return rp_fail(m, -ENOEXEC, "%s has no map '%s' and cannot honour reuseport_failover: leave the key out, or use "
                                "reuseport.o",
                   c->prog, RP_MAP_POLICY);

  return 0;
}

/* The maps and the program of a listener, pinned. live: somebody who is, in words, or "" */
static int open_group(struct rp_member *m, char *live, size_t len)
{
  const struct rp_config *c = m->config;
  char listener_dir[PATH_MAX];
  struct rp_bucket slot;
  const char *who;
  __u64 netns;
  int err, id, is_live;

  live[0] = '\0';
  /* a rehearsal of a group that does not exist yet */
  if (m->lock < 0) return load(m);

  snprintf(listener_dir, sizeof(listener_dir), "%s/%s", c->pin_path, m->listener);
  err = make_directory(m, listener_dir);
  if (err) return err;

  is_live = find_live(m, 0, &slot, live, len);
  if (is_live < 0) return is_live;
  netns = rp_read_own_netns();
  if (is_live && slot.endpoint.netns && netns && slot.endpoint.netns != netns)
    return rp_fail(m, -EEXIST, "the group %s is live in another network namespace (%s): use another reuseport_pin_path in this one", c->pin_path, live);
  who = is_live ? live : NULL;
  for (id = 0; id < RP_MAPS; id++) {
    err = m->map[id] ? reuse_pin(m, id, who) : lacks_pinned(m, id, who);
    if (err) return err;
  }

  err = load(m);
  for (id = 0; !err && id < RP_MAPS; id++)
    if (m->fds[id] >= 0) err = make_pin(m, id);

  return err;
}

static int open_locked(struct rp_member *m)
{
  const struct rp_config *c = m->config;
  struct rp_bucket slot;
  char live[128];
  int err;

  err = open_group(m, live, sizeof(live));
  if (!err && live[0]) err = match_settings(m, live);
  if (!err && !live[0] && !m->rehearses) err = reset_settings(m);
  if (err) return err;
  m->nonce = rp_get_setting(m, RP_NONCE);

  read_bucket(m->fds[RP_TARGETS], m->fds[RP_OWNERS], c->index, &slot);
  if (slot.cookie && !c->takeover) return in_use(m, &slot);

  return 0;
}

static int load_locked(struct rp_member *m)
{
  char live[128];
  int err = open_group(m, live, sizeof(live));

  return err ? err : pin_program(m);
}

static int open_by(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol, int (*locked)(struct rp_member *))
{
  int err;

  m->config = config;
  m->listener = listener;
  m->protocol = protocol;

  err = open_object(m);
  if (!err) err = check_abilities(m);
  if (!err) err = check_pin_path(m);
  if (!err && !(m->rehearses && access(config->pin_path, F_OK))) err = lock_group(m, RP_LOCK_SECONDS);
  if (!err) err = locked(m);
  if (err) rp_close(m);

  return err;
}

int rp_open(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol)
{
  return open_by(m, config, listener, protocol, open_locked);
}

int rp_rehearse(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol)
{
  int err;

  m->rehearses = 1;
  err = open_by(m, config, listener, protocol, open_locked);
  rp_close(m);

  return err;
}

int rp_preload(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol)
{
  int err = open_by(m, config, listener, protocol, load_locked);

  if (!err) rp_close(m);

  return err;
}

/* ---- the address ---- */

/* Whether anybody has the address: a socket that would not share it cannot be bound then. A negative errno if it cannot
   be bound for another reason. */
static int address_in_use(int sock, const struct sockaddr *addr, socklen_t len)
{
  int type, yes = 1, v6only, probe, err = 0;
  char device[64] = "";
  socklen_t type_len = sizeof(type), v6only_len = sizeof(v6only), device_len = sizeof(device);

  if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &type_len)) return -errno;
  probe = socket(addr->sa_family, type | SOCK_CLOEXEC, 0);
  if (probe < 0) return -errno;

  /* or connections in TIME_WAIT would count */
  if (type == SOCK_STREAM) setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (!getsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &v6only_len))
    setsockopt(probe, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, v6only_len);
  if (!getsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, device, &device_len) && device_len)
    setsockopt(probe, SOL_SOCKET, SO_BINDTODEVICE, device, device_len);
  if (bind(probe, addr, len)) err = -errno;
  close(probe);

  return err == -EADDRINUSE ? 1 : err;
}

int rp_addr_from_sockaddr(union rp_addr *addr, const struct sockaddr *from)
{
  memset(addr, 0, sizeof(*addr));
  switch (from->sa_family) {
  case AF_INET:
    rp_addr_v4(addr, ((const struct sockaddr_in *) from)->sin_addr.s_addr);
    return 0;
  case AF_INET6:
    memcpy(addr, &((const struct sockaddr_in6 *) from)->sin6_addr, sizeof(*addr));
    return 0;
  }

  return -EAFNOSUPPORT;
}

void rp_format_addr(const union rp_addr *addr, char *text, size_t len)
{
  int is_v4 = rp_addr_is_v4(addr);

  if (!inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? &addr->w[3] : &addr->w[0], text, len)) snprintf(text, len, "?");
}

static void read_endpoint(const struct sockaddr *addr, struct rp_endpoint *endpoint)
{
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) addr;
  union rp_addr ip;

  memset(endpoint, 0, sizeof(*endpoint));
  endpoint->netns = rp_read_own_netns();
  if (rp_addr_from_sockaddr(&ip, addr)) return;
  memcpy(endpoint->addr, ip.b, sizeof(endpoint->addr));
  endpoint->port = ntohs(addr->sa_family == AF_INET ? ((const struct sockaddr_in *) addr)->sin_port : v6->sin6_port);
  if (addr->sa_family == AF_INET6) endpoint->scope = v6->sin6_scope_id;
}

/* "192.0.2.1 port 2100" */
static void describe_endpoint(const struct rp_endpoint *endpoint, char *text, size_t len)
{
  char ip[INET6_ADDRSTRLEN];
  union rp_addr addr;

  memcpy(addr.b, endpoint->addr, sizeof(addr.b));
  rp_format_addr(&addr, ip, sizeof(ip));
  snprintf(text, len, "%s port %u", ip, endpoint->port);
}

static int compare_endpoint(struct rp_member *m, const struct rp_endpoint *theirs, const char *who)
{
  const char *path = m->config->pin_path;
  char here[64], there[64];

  if (!theirs->port || !m->endpoint.port) return 0;
  if (theirs->port == m->endpoint.port && theirs->scope == m->endpoint.scope && !memcmp(theirs->addr, m->endpoint.addr, sizeof(theirs->addr))) return 0;

  describe_endpoint(&m->endpoint, here, sizeof(here));
  describe_endpoint(theirs, there, sizeof(there));

  return rp_fail(m, -EADDRNOTAVAIL, "listener %s is to be at %s here, but is live at %s in the group %s (%s): use the same address and port in all instances, or another reuseport_pin_path", m->listener, here, there, path, who);
}

/* Its socket stays bound for a moment, although it is in no bucket any more */
static int somebody_is_leaving(const struct rp_member *m)
{
  struct rp_owner owner;
  __u64 now = time(NULL);

  for (__u32 bucket = 0; m->fds[RP_OWNERS] >= 0 && bucket < RP_MAX_BUCKETS; bucket++)
    if (!bpf_map_lookup_elem(m->fds[RP_OWNERS], &bucket, &owner) && owner.state == RP_DRAINING &&
        owner.since + RP_LEAVE_SECONDS >= now)
      return 1;

  return 0;
}

int rp_check_address(struct rp_member *m, int sock, const struct sockaddr *addr, socklen_t len)
{
  const char *path = m->config->pin_path;
  struct rp_bucket slot = {0};
  char who[128], where[64];
  int used = address_in_use(sock, addr, len), err;

  read_endpoint(addr, &m->endpoint);

  for (__u32 bucket = 0; !slot.cookie && bucket < RP_MAX_BUCKETS; bucket++) {
    rp_read_bucket(m, bucket, &slot);
    if (slot.cookie) describe(m->listener, bucket, &slot, who, sizeof(who));
  }

  err = slot.cookie ? compare_endpoint(m, &slot.endpoint, who) : 0;
  if (err) return err;
  if (used == 1 && !slot.cookie && !somebody_is_leaving(m))
    return rp_fail(m, -EADDRINUSE, "the address of listener %s is in use by sockets that are not in the group %s, and would get nothing any more: stop them (no reuseport_* keys? another user? pins removed?), or use their reuseport_pin_path", m->listener, path);
  if (used == 0 && slot.cookie)
    return rp_fail(m, -EADDRNOTAVAIL, "listener %s of the group %s is live (%s), but not at this address and port: use the same in all instances, or another reuseport_pin_path", m->listener, path, who);

  if (used >= 0) return 0;
  describe_endpoint(&m->endpoint, where, sizeof(where));

  return rp_fail(m, used, "listener %s cannot be at %s (%s)%s", m->listener, where, strerror(-used),
                 used == -EACCES ? ": a port below 1024 needs CAP_NET_BIND_SERVICE" : used == -EADDRNOTAVAIL ? ": no interface has that address"
                                                                                                             : "");
}

/* ---- joining ---- */

int rp_has_ready_peer(const struct rp_member *m)
{
  int fails_over = rp_fails_over(m);
  struct rp_bucket slot;

  for (__u32 bucket = 0; bucket < RP_MAX_BUCKETS; bucket++)
    if ((fails_over || bucket == m->config->index) && !rp_read_bucket(m, bucket, &slot) && slot.cookie &&
        slot.state == RP_READY)
      return 1;

  return 0;
}

static void publish_owner(struct rp_member *m, enum rp_state state)
{
  struct rp_owner owner = {.cookie = m->cookie, .since = time(NULL), .endpoint = m->endpoint, .pid = getpid(), .state = state};
  int fd;

  if (m->fds[RP_OWNERS] < 0) return;
  fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (read(fd, owner.comm, sizeof(owner.comm)) < 0) owner.comm[0] = '\0';
    close(fd);
  }
  for (int i = 0; i < RP_COMM_LEN; i++)
    if (owner.comm[i] == '\n') owner.comm[i] = '\0';
  bpf_map_update_elem(m->fds[RP_OWNERS], &m->config->index, &owner, BPF_ANY);
}

/* Locks the group that rp_open() found, if it is there still. Its size may have changed: then that one holds. */
static int relock(struct rp_member *m)
{
  const struct rp_config *c = m->config;
  __u32 size;
  char path[PATH_MAX];
  int err, fd;

  err = lock_group(m, RP_LOCK_SECONDS);
  if (err) return err;

  pin_name(m, spec_of(m, RP_TARGETS), path);
  fd = get_pin(path, BPF_F_RDONLY);
  err = fd < 0 || id_of(fd) != id_of(m->fds[RP_TARGETS]) ? -EEXIST : 0;
  if (fd >= 0) close(fd);
  if (err)
    return rp_fail(m, err, "somebody removed or replaced the pins in %s/%s while this instance started: start it again", c->pin_path, m->listener);

  size = rp_get_setting(m, RP_SIZE);
  if (c->index >= size)
    return rp_fail(m, -EEXIST, "the group %s has %u buckets since this instance started: reuseport_hashbucket_index %u is beyond; choose one below, or 'reuseportctl resize' it again", c->pin_path, size, c->index);

  return 0;
}

static int attach(struct rp_member *m, int sock)
{
  if (!setsockopt(sock, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &m->prog, sizeof(m->prog))) return 0;

  return rp_fail(m, -errno, "cannot attach %s to the socket of listener %s (%s)", m->config->prog, m->listener, strerror(errno));
}

/* Into the array first, then the program: the other way round nobody would be in it for a moment. Not so if somebody is
   there already: a program that cannot be attached must not cost the predecessor its bucket. */
static int join_locked(struct rp_member *m, int sock, enum rp_state state)
{
  const struct rp_config *c = m->config;
  socklen_t len = sizeof(m->cookie);
  __u64 value = sock;
  struct rp_bucket slot;
  int err, succeeds;

  rp_read_bucket(m, c->index, &slot);
  succeeds = c->takeover && slot.cookie;
  err = pin_program(m);
  if (!err && succeeds) err = attach(m, sock);
  if (err) return err;

  if (bpf_map_update_elem(m->fds[RP_TARGETS], &c->index, &value, succeeds ? BPF_ANY : BPF_NOEXIST)) {
    err = -errno;
    rp_read_bucket(m, c->index, &slot);
    if (err == -EEXIST) return in_use(m, &slot);

    return rp_fail(m, err, "cannot put the socket of listener %s into bucket %u (%s): it must be bound with SO_REUSEPORT and "
                           "be in no other group",
                   m->listener, c->index, strerror(-err));
  }

  err = succeeds ? 0 : attach(m, sock);
  if (err) {
    bpf_map_delete_elem(m->fds[RP_TARGETS], &c->index);
    return err;
  }
  if (getsockopt(sock, SOL_SOCKET, SO_COOKIE, &m->cookie, &len)) m->cookie = 0;
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

void rp_set_ready(struct rp_member *m)
{
  struct rp_bucket slot;

  /* a successor that signs meanwhile would be unnamed, and its bucket none the less its own */
  if (rp_owns_bucket(m, &slot)) publish_owner(m, RP_READY);
}

/* ---- while it runs ---- */

int rp_owns_bucket(const struct rp_member *m, struct rp_bucket *slot)
{
  return !rp_read_bucket(m, m->config->index, slot) && slot->cookie && slot->cookie == m->cookie;
}

/* The lock keeps a successor from joining between the look and the deletion, which would hit its socket */
int rp_leave(struct rp_member *m)
{
  struct rp_bucket slot;
  int err = 0;

  /* without the lock too, such as when the pins are gone: staying would lose more */
  lock_group(m, 2);
  if (rp_owns_bucket(m, &slot)) {
    if (bpf_map_delete_elem(m->fds[RP_TARGETS], &m->config->index))
      err = rp_fail(m, -errno, "cannot take the socket of listener %s out of bucket %u (%s)", m->listener, m->config->index, strerror(errno));
    else
      publish_owner(m, RP_DRAINING);
  }
  rp_unlock(m);

  return err;
}

/* Whether the exporter is overridden; its bucket, and the hash that its stand-ins are drawn by */
static int find_bucket(const struct rp_member *m, const union rp_addr *exporter, __u32 size, __u32 *bucket, __u64 *hash)
{
  struct rp_prefix key = {.bits = 128};
  __u32 nonce = rp_get_setting(m, RP_NONCE);

  memcpy(key.addr, exporter->b, sizeof(key.addr));
  if (rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN && m->fds[RP_OVERRIDES] >= 0 &&
      !bpf_map_lookup_elem(m->fds[RP_OVERRIDES], &key, bucket) && *bucket < size) {
    *hash = rp_hash_overridden(*bucket, nonce);
    return 1;
  }
  *hash = rp_hash(exporter, nonce);
  *bucket = rp_draw(*hash, 0, size);

  return 0;
}

void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route)
{
  __u32 size = rp_get_size(m);
  struct rp_bucket slot;
  __u64 hash;

  route->overridden = find_bucket(m, exporter, size, &route->bucket, &hash);
  route->receiver = route->bucket;
  for (__u32 draw = 1; draw <= RP_FAILOVER_DRAWS + RP_MAX_BUCKETS; draw++) {
    if (!rp_read_bucket(m, route->receiver, &slot) && slot.cookie) return;
    if (!rp_fails_over(m)) break;
    route->receiver = draw <= RP_FAILOVER_DRAWS ? rp_draw(hash, draw, size) : (route->receiver + 1) % size;
  }
  route->receiver = RP_NO_BUCKET;
}

__u32 rp_find_bucket(const struct rp_member *m, const union rp_addr *exporter)
{
  __u32 bucket;
  __u64 hash;

  find_bucket(m, exporter, rp_get_size(m), &bucket, &hash);

  return bucket;
}

/* ---- steering ---- */

int rp_find_live(struct rp_member *m, __u32 from, char *who, size_t len)
{
  struct rp_bucket slot;

  who[0] = '\0';

  return find_live(m, from, &slot, who, len);
}

int rp_open_settings(struct rp_member *m, const struct rp_config *config)
{
  char path[PATH_MAX];
  int err;

  m->config = config;
  m->listener = "";
  m->opened = 1;
  err = access(config->pin_path, F_OK) ? rp_fail(m, -ENOENT, "no group at %s (%s): give its reuseport_pin_path", config->pin_path, strerror(errno)) : 0;
  if (!err) err = lock_group(m, RP_LOCK_SECONDS);

  for (int id = 0; !err && id < RP_TARGETS; id++) {
    if (specs[id].per_listener) continue;
    pin_name(m, &specs[id], path);
    m->fds[id] = get_pin(path, 0);
    if (m->fds[id] >= 0 && !pinned_fits(m->fds[id], &specs[id]))
      err = rp_fail(m, -EEXIST, "what is pinned at %s is not the map '%s'", path, specs[id].name);
    else if (m->fds[id] < 0 && m->fds[id] != -ENOENT)
      err = rp_fail(m, m->fds[id], "cannot open %s (%s): %s", path, strerror(-m->fds[id]), denied(m->fds[id]));
  }
  if (err) rp_close(m);

  return err;
}
