/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What this process may do with BPF, and why not. bpf() says EPERM for many reasons, each with another remedy: the error lines
 * name the one that applies.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include "group_internal.h"

#define MEMLOCK_PER_PROGRAM (256 * 1024UL) /* bytes that a loaded selector takes at most */
#define MEMLOCK_LISTENERS   8              /* listeners for which the limit that we recommend is enough */

static const char *no_privilege = "no privilege for BPF: run as root, or with CAP_BPF (CAP_SYS_ADMIN before Linux 5.8)";

static const char *forbidden = "although we have CAP_BPF: a seccomp filter, as containers have it, a user namespace or a security module forbids bpf()";

/* ---- capabilities ---- */

int rp_has_capability(int one, int other)
{
  unsigned long long caps = 0;
  char line[128];
  FILE *file = fopen("/proc/thread-self/status", "re");

  if (!file) return 1;
  while (fgets(line, sizeof(line), file) && sscanf(line, "CapEff: %llx", &caps) != 1) continue;
  fclose(file);

  return caps >> one & 1 || caps >> other & 1;
}

int rp_may_load(void)
{
  return rp_has_capability(CAP_BPF, CAP_SYS_ADMIN);
}

const char *rp_explain_denial(int err)
{
  if (err == -EPERM) return rp_may_load() ? forbidden : no_privilege;

  if (err == -ENOSYS) return "a seccomp filter, as containers have it, forbids bpf(), or this kernel lacks it: see CONFIG_BPF_SYSCALL";

  if (err == -EMFILE || err == -ENFILE) return "raise the limit of open files, LimitNOFILE= or 'ulimit -n'";

  return "the pins belong to the user that the daemons run as: run as that user, or root";
}

/* ---- the kernel ---- */

/* Loads the smallest program there is of the attach type. A kernel that knows the type either takes it or refuses it for another
   reason than its form, such as privilege. */
int rp_kernel_knows(int attach_type)
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

/* Before Linux 5.11, BPF memory counts against RLIMIT_MEMLOCK, 64 KiB by default, of all processes of the user together. */
static int charges_memlock(void)
{
  unsigned int major, minor;
  struct utsname kernel;

  return !uname(&kernel) && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 && (major < 5 || (major == 5 && minor < 11));
}

void rp_raise_memlock(void)
{
  struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

  if (!charges_memlock() || !setrlimit(RLIMIT_MEMLOCK, &limit) || getrlimit(RLIMIT_MEMLOCK, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_MEMLOCK, &limit);
}

/* Returns: bytes that are more than the programs of all instances and the maps of MEMLOCK_LISTENERS listeners take. */
static unsigned long memlock_needed(const struct rp_member *m)
{
  unsigned long bytes = m->config->count * MEMLOCK_PER_PROGRAM;
  int cpus = libbpf_num_possible_cpus();
  struct bpf_map *map;

  if (cpus <= 0) cpus = 1024;
  bpf_object__for_each_map (map, m->object)
    bytes += bpf_map__max_entries(map) * (64UL + bpf_map__key_size(map) + bpf_map__value_size(map) * cpus);

  return bytes * MEMLOCK_LISTENERS;
}

int rp_fail_load(struct rp_member *m)
{
  const char *path = m->config->prog;
  unsigned long needed = memlock_needed(m);
  struct rlimit limit;

  if (!rp_may_load())
    return rp_fail(m, -EPERM, "cannot load %s: %s, or have 'reuseportctl preload' pin it for this listener beforehand", path, no_privilege);
  if (charges_memlock() && !getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY)
    return rp_fail(m, -EPERM, "cannot load %s: before Linux 5.11 that takes memory from RLIMIT_MEMLOCK, which is %lu bytes: set it to %lu (LimitMEMLOCK= in a systemd unit, 'ulimit -l %lu' in a shell)", path, (unsigned long) limit.rlim_cur, needed, needed / 1024);

  return rp_fail(m, -EPERM, "cannot load %s %s", path, forbidden);
}
