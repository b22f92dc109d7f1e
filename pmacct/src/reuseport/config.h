/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The reuseport_* keys of the config. Calls the group library and pmacct, and no other file of the daemons' side.
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

/* Returns: whether the daemon opens this listener with its config. */
extern int reuseport_listens(enum reuseport_listener id);

#endif
