/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The reuseport_* keys of the config. Calls the group library and pmacct, and no other file of the daemons' side.
 * They are not in struct configuration, since the group library, which knows nothing of pmacct, takes them as a struct rp_config.
 *
 * To be included as "reuseport/config.h" only. pmacct's tree has no config.h (its configure makes none), and Makefile.am keeps
 * this directory off the compiler's include path.
 */
#ifndef REUSEPORT_CONFIG_H
#define REUSEPORT_CONFIG_H

#include "reuseport/group.h"
#include "reuseport/reuseport.h"

/* What the keys ask for: complete when reuseport_check_config() returns. */
extern struct rp_config reuseport_config;

/* Which of the keys the config has. */
extern struct reuseport_keys {
  int any, count, index;
  int auto_index; /* the index is to be claimed */
} reuseport_keys;

/* Finds a key that matches the pattern, as fnmatch(3) has it, whether this release of pmacct knows the key or not. Returns: the config's line,
   or NULL. */
extern const char *reuseport_find_key(const char *pattern);

/* Returns: whether telemetry comes to no port that could be shared. */
extern int reuseport_telemetry_elsewhere();

/* Notes which listeners the daemon opens with its config. */
struct configuration;
extern void reuseport_note_listeners(const struct configuration *core);

/* Returns: whether the daemon opens this listener. */
extern int reuseport_listens(enum reuseport_listener id);

#endif
