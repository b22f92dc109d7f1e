/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What the files of the group library use of each other, and no other file uses. A file calls only files that stand below it here:
 *
 *   group, claim       opens, rehearses, preloads, joins, leaves; the index of an instance that does not number itself
 *   object             the BPF object: read, checked, loaded
 *   address, route     where a listener is bound; which bucket receives an exporter
 *   settings           count, nonce and policy of the group
 *   placement          which bucket has which slots
 *   inspect            who is in which bucket of which listener
 *   pins               the group's directory and the files in it
 *   privileges         what this process may do, and why not
 *   member             the start and the end of a struct rp_member, its lock and its error line
 */
#ifndef REUSEPORT_GROUP_INTERNAL_H
#define REUSEPORT_GROUP_INTERNAL_H

#include <limits.h>
#include <netinet/in.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "group.h"

/* ---- member ---- */

/* Has libbpf's messages of this thread from now on go to rp_set_log()'s function, and remembers the first warning. */
void rp_watch_libbpf(void);

/* Returns: the first warning since rp_watch_libbpf(), or "". It says in words what libbpf's return code leaves open. */
const char *rp_libbpf_warning(void);

/* ---- privileges ---- */

/* Whether the effective capabilities of this thread have one of the two, CAP_*. */
int rp_has_capability(int one, int other);

/* Whether the kernel would let us create maps and load programs, as far as capabilities decide that. */
int rp_may_load(void);

/* Whether the kernel knows SK_REUSEPORT programs of that attach type, RP_ATTACH_*. */
int rp_kernel_knows(int attach_type);

/* Raises RLIMIT_MEMLOCK as far as we may, on kernels that charge BPF memory to it. */
void rp_raise_memlock(void);

/* Returns: why the kernel refused us a pin or its directory with err, a negative errno, and what to do. */
const char *rp_explain_denial(int err);

/* Writes the error line for a load that the kernel refused with EPERM. Returns: -EPERM. */
int rp_fail_load(struct rp_member *m);

/* ---- pins ---- */

/* A map as bpf/reuseport.bpf.c declares it */
struct rp_map_spec {
  const char *name;
  int per_listener; /* pinned in the listener's directory, not in the group's */
  __u32 type, key_size, value_size, max_entries;
};

/* Returns: the map's declaration; that of the socket array depends on the member's transport. */
const struct rp_map_spec *rp_map_spec(const struct rp_member *m, int id);

/* Where the listener's map, its selector and all of its pins are pinned. */
void rp_map_path(const struct rp_member *m, int id, char path[PATH_MAX]);
void rp_program_path(const struct rp_member *m, char path[PATH_MAX]);
void rp_listener_path(const struct rp_member *m, char path[PATH_MAX]);

/* Checks that the pin path is absolute and on a bpffs. */
int rp_check_pin_path(struct rp_member *m);

/*
 * Checks that no other user can change what is in the pin path: it and the directories above it on the bpffs belong to root or to us, and
 * are not writable by others. as_tool: the pin path may be another user's.
 */
int rp_check_owners(struct rp_member *m, int as_tool);

/* Makes a directory unless it exists; its parent must. */
int rp_make_directory(struct rp_member *m, const char *path);

/* Opens a pin; flags: 0 or BPF_F_RDONLY. Returns: its fd, or a negative errno, -ENOENT if nothing is pinned there. */
int rp_get_pin(const char *path, __u32 flags);

/* Returns: the ID of the map that fd refers to; 0: unknown. */
__u32 rp_map_id(int fd);

/* Whether the map that fd refers to has the declared type and sizes. */
int rp_map_fits(int fd, const struct rp_map_spec *spec);

/*
 * Has the object use the map that is pinned for it, if there is one. A leftover of an earlier version is removed. live: a live
 * instance in words, or NULL; then the group's pins must be there and fit. The caller holds the group's lock.
 */
int rp_reuse_pin(struct rp_member *m, int id, const char *live);

/* Checks that a live group does not use this map, which the object does not have. live as above; the caller holds the lock. */
int rp_check_lacking(struct rp_member *m, int id, const char *live);

/*
 * Checks the ABI number of what is pinned, against RP_ABI. live: a live instance in words, or "". What another project has pinned has
 * none, and is not refused.
 */
int rp_check_number(struct rp_member *m, const char *live);

/* Pins the map, if nothing is pinned in its place. The caller holds the group's lock. */
int rp_pin_map(struct rp_member *m, int id);

/* Pins the selector that the member has loaded, in place of an earlier one. The caller holds the group's lock. */
int rp_pin_program(struct rp_member *m);

/* ---- inspect ---- */

/* Writes "NAME pid PID at index INDEX of listener LISTENER". */
void rp_describe_owner(const char *listener, __u32 index, const struct rp_bucket *bucket, char *text, size_t len);

/* rp_each_listener() for a group that exists, its maps opened with these flags: 0 or BPF_F_RDONLY. */
int rp_visit_listeners(struct rp_member *m, const struct rp_config *config, __u32 flags, int (*visit)(struct rp_member *listener, void *arg),
                       void *arg);

/* rp_find_live() that also reads the bucket it finds. */
int rp_find_live_bucket(struct rp_member *m, __u32 from, struct rp_bucket *bucket, char *who, size_t len);

/* ---- settings ---- */

/* Whether a config may still have that count: the group had it, and was resized within RP_RESIZE_SECONDS. */
int rp_had_count(const struct rp_member *m, __u32 count);

/* Checks that the index of m->config is below size, the group's number of buckets. */
int rp_check_index(struct rp_member *m, __u32 size);

/*
 * Writes what m->config says of the settings, and makes up what neither it nor the group has; clears counters. For a group without a live
 * instance; the caller holds the lock.
 */
int rp_start_settings(struct rp_member *m);

/* Checks that the settings of m->config are those in force. live: a live instance in words. */
int rp_match_settings(struct rp_member *m, const char *live);

/* ---- object ---- */

/* Reads m->config->prog, chooses the program for the listener's transport and checks the maps. Loads nothing. */
int rp_open_object(struct rp_member *m);

/*
 * Loads the program and makes the maps that rp_reuse_pin() has not found. Without the privilege, opens the program and the maps
 * that `reuseportctl preload` or another instance has pinned.
 */
int rp_load_object(struct rp_member *m);

#endif
