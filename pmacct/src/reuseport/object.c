/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The BPF object that reuseport_bpf_prog names: read, checked against what we need, loaded. Objects of others are taken too, as far
 * as they have what the config asks for: see reuseport_abi.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/capability.h>
#include "group_internal.h"

/* ---- opening ---- */

static int fail_to_read(struct rp_member *m, int err)
{
  return rp_fail(m, err, "cannot read reuseport_bpf_prog %s (%s): set it to the path of reuseport.o", m->config->prog, strerror(-err));
}

/* Checks that prog is an ELF file, because the error line can say what else it is, and libbpf's return code cannot. */
static int check_file(struct rp_member *m)
{
  const char *path = m->config->prog;
  char magic[4] = "";
  struct stat st;
  int fd, err, is_elf;

  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_to_read(m, -errno);
  err = fstat(fd, &st) ? -errno : 0;
  is_elf = !err && S_ISREG(st.st_mode) && read(fd, magic, sizeof(magic)) == sizeof(magic) && !memcmp(magic, "\177ELF", 4);
  close(fd);

  if (err) return fail_to_read(m, err);
  if (S_ISDIR(st.st_mode))
    return rp_fail(m, -EISDIR, "reuseport_bpf_prog %s is a directory: set it to the path of reuseport.o", path);
  if (!is_elf)
    return rp_fail(m, -ENOEXEC, "reuseport_bpf_prog %s is not an ELF file: set it to the path of reuseport.o", path);

  return 0;
}

static int open_file(struct rp_member *m)
{
  rp_watch_libbpf();
  m->object = bpf_object__open_file(m->config->prog, NULL);
  if (!libbpf_get_error(m->object)) return 0;

  m->object = NULL;

  return rp_fail(m, -ENOEXEC, "%s is not a BPF object that libbpf can read (%s): set reuseport_bpf_prog to the path of reuseport.o", m->config->prog, rp_libbpf_warning());
}

/* TCP takes the program that also migrates connections, where object and kernel have that. */
static int choose_program(struct rp_member *m)
{
  struct bpf_program *prog, *migrator = NULL;
  int attach_type = RP_ATTACH_SELECT;

  m->selector = bpf_object__find_program_by_name(m->object, RP_PROG);
  if (!m->selector)
    return rp_fail(m, -ENOEXEC, "%s has no program '%s': set reuseport_bpf_prog to the path of reuseport.o", m->config->prog, RP_PROG);

  if (m->protocol == IPPROTO_TCP) migrator = bpf_object__find_program_by_name(m->object, RP_MIGRATE);
  if (migrator && rp_kernel_knows(RP_ATTACH_MIGRATE)) {
    m->selector = migrator;
    attach_type = RP_ATTACH_MIGRATE;
  }

  bpf_object__for_each_program (prog, m->object) bpf_program__set_autoload(prog, prog == m->selector);
  /* libbpf 1.x does not know the section "sk_reuseport/selector" of older objects, and leaves the type open. */
  bpf_program__set_type(m->selector, BPF_PROG_TYPE_SK_REUSEPORT);
  bpf_program__set_expected_attach_type(m->selector, attach_type);

  return 0;
}

/* ---- maps ---- */

static int other_number(struct rp_member *m, __u32 number)
{
  return rp_fail(m, -ENOEXEC, "%s has ABI number %u, and this program %d: use the reuseport.o that was installed with it", m->config->prog, number, RP_ABI);
}

/* The object has no such map: refuses it if that is `size` or the socket array, and otherwise notes the map's name in m->missing. */
static int lacks_map(struct rp_member *m, int id)
{
  const char *name = rp_map_spec(m, id)->name;
  size_t used = strlen(m->missing);

  /* another project's object lacks both */
  if (id == RP_GROUP && bpf_object__find_map_by_name(m->object, RP_MAP_POLICY)) return other_number(m, 0);
  if (id == RP_SIZE)
    return rp_fail(m, -ENOEXEC, "%s has no map '%s': it cannot honour reuseport_hashbucket_count; use reuseport.o", m->config->prog, name);
  if (id == RP_TARGETS)
    return rp_fail(m, -ENOEXEC, "%s has no map '%s' for the sockets of listener %s; use reuseport.o", m->config->prog, name, m->listener);

  snprintf(m->missing + used, sizeof(m->missing) - used, "%s%s", used ? ", " : "", name);

  return 0;
}

/* The socket array of the other transport is not looked at. */
static int check_map(struct rp_member *m, int id)
{
  const struct rp_map_spec *spec = rp_map_spec(m, id);
  struct bpf_map *map = bpf_object__find_map_by_name(m->object, spec->name);

  /* Keep it: once a map has taken over a pin, libbpf before 1.0 knows it by the kernel's name, cut to 15 characters. */
  m->map[id] = map;
  if (!map) return lacks_map(m, id);
  if (id == RP_GROUP && bpf_map__max_entries(map) != RP_ABI) return other_number(m, bpf_map__max_entries(map));

  if (bpf_map__type(map) == spec->type && bpf_map__key_size(map) == spec->key_size && bpf_map__value_size(map) == spec->value_size &&
      bpf_map__max_entries(map) == spec->max_entries)
    return 0;

  return rp_fail(m, -ENOEXEC,
                 "map '%s' of %s has another type or size (type %u, key %u, value %u, %u entries; needed: type %u, key "
                 "%u, value %u, %u entries); use the reuseport.o that belongs to this daemon",
                 spec->name, m->config->prog, (__u32) bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map),
                 bpf_map__max_entries(map), spec->type, spec->key_size, spec->value_size, spec->max_entries);
}

int rp_open_object(struct rp_member *m)
{
  struct bpf_map *map;
  int err;

  err = check_file(m);
  if (!err) err = open_file(m);
  if (!err) err = choose_program(m);
  if (err) return err;

  /* The object may ask libbpf to pin its maps by name, in one directory for all groups of the host. Each group has its own. */
  bpf_object__for_each_map (map, m->object) bpf_map__set_pin_path(map, NULL);
  for (int id = 0; !err && id < RP_MAPS; id++) err = check_map(m, id);

  return err;
}

/* ---- loading ---- */

/* Whether a selector uses that map. */
static int uses_map(int prog, int map)
{
  __u32 ids[32], id = rp_map_id(map);
  struct bpf_prog_info info = {.nr_map_ids = sizeof(ids) / sizeof(ids[0]), .map_ids = (__u64) (unsigned long) ids};
  __u32 len = sizeof(info);

  if (bpf_obj_get_info_by_fd(prog, &info, &len) || info.type != BPF_PROG_TYPE_SK_REUSEPORT) return 0;
  for (__u32 i = 0; i < info.nr_map_ids && i < sizeof(ids) / sizeof(ids[0]); i++)
    if (ids[i] == id) return 1;

  return 0;
}

/* Opens the map that is pinned for the object. What does not fit is no such map: rp_reuse_pin() has removed it, but in a rehearsal. */
static int borrow_map(struct rp_member *m, int id)
{
  char path[PATH_MAX];
  int fd;

  rp_map_path(m, id, path);
  fd = rp_get_pin(path, 0);
  if (fd >= 0 && !rp_map_fits(fd, rp_map_spec(m, id))) {
    close(fd);
    fd = -ENOENT;
  }
  m->fds[id] = fd;

  if (fd == -ENOENT) return rp_fail(m, fd, "cannot open %s (%s): run 'reuseportctl preload' again", path, strerror(-fd));
  if (fd < 0) return rp_fail(m, fd, "cannot open %s (%s): %s", path, strerror(-fd), rp_explain_denial(fd));

  return 0;
}

/* Opens the pinned maps that the object has. */
static int borrow_maps(struct rp_member *m)
{
  int err = 0;

  for (int id = 0; !err && id < RP_MAPS; id++)
    if (m->map[id]) err = borrow_map(m, id);

  return err;
}

/* Without the privilege to load: uses what another process has pinned. Returns: 1, 0 if nothing is pinned, or a negative errno. */
static int borrow_pins(struct rp_member *m)
{
  char path[PATH_MAX];
  int fd, err;

  rp_program_path(m, path);
  fd = rp_get_pin(path, 0);
  if (fd == -ENOENT) return 0;
  if (fd < 0) return rp_fail(m, fd, "cannot open %s (%s): %s", path, strerror(-fd), rp_explain_denial(fd));

  m->opened = 1;
  m->prog = fd;
  err = borrow_maps(m);
  if (err) return err;
  if (uses_map(m->prog, m->fds[RP_TARGETS])) return 1;

  return rp_fail(m, -EEXIST, "what is pinned at %s is not a selector for the maps beside it: run 'reuseportctl preload' again", path);
}

static int is_debug_build(const struct rp_member *m)
{
  return bpf_object__find_map_by_name(m->object, RP_MAP_DEBUG) != NULL;
}

/* err: of bpf_object__load(). EPERM means privilege; the verifier says EACCES. Returns: 0 if it can do without loading. */
static int load_refused(struct rp_member *m, int err)
{
  char words[64];
  int borrowed;

  if (is_debug_build(m) && rp_may_load() && !rp_has_capability(CAP_PERFMON, CAP_SYS_ADMIN))
    return rp_fail(m, -EPERM, "%s is a debug build, which takes CAP_PERFMON beside CAP_BPF: give the daemon both, or use reuseport.o", m->config->prog);
  if (err == -EPERM) {
    borrowed = rp_may_load() ? 0 : borrow_pins(m);
    if (!borrowed) return rp_fail_load(m);
    return borrowed > 0 ? 0 : borrowed;
  }
  if (!rp_kernel_knows(RP_ATTACH_SELECT))
    return rp_fail(m, -EOPNOTSUPP, "this kernel has no SK_REUSEPORT programs: Linux 4.19 or newer with CONFIG_BPF_SYSCALL is needed");
  libbpf_strerror(err, words, sizeof(words));

  return rp_fail(m, -ENOEXEC, "the kernel refuses %s (%s; %s): use the reuseport.o that belongs to this daemon", m->config->prog, words, rp_libbpf_warning());
}

int rp_load_object(struct rp_member *m)
{
  int err;

  rp_raise_memlock();
  rp_watch_libbpf();
  err = bpf_object__load(m->object);
  if (err) return load_refused(m, err);

  m->prog = bpf_program__fd(m->selector);
  for (int id = 0; id < RP_MAPS; id++) m->fds[id] = m->map[id] ? bpf_map__fd(m->map[id]) : -1;

  return 0;
}
