/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* A live group, opened to change its settings: under the group's lock, and not interrupted. */
#ifndef LIVE_GROUP_H
#define LIVE_GROUP_H

#include "reuseportctl.h"

/*
 * Locks a group and opens its settings. From then on no signal ends the command before it has
 * finished. A group without a live instance is refused: its settings are replaced when the first
 * instance starts. who: takes a live instance in words. Returns DONE, or reports the error and
 * returns FAILED.
 */
int open_live_group(struct rp_member *m, const struct rp_config *config, char *who, size_t len);

/* Unlocks and closes. err: 0 or a negative errno, whose text in m is reported. Returns the exit
 * status. */
int close_live_group(struct rp_member *m, int err);

/* The error of a group that has no such map; who: a live instance in words */
int fail_no_map(struct rp_member *m, const char *map, const char *who);

/* Refuses weights that would leave no bucket for the exporters. Returns 0 or a negative errno. */
int check_weights(struct rp_member *m, const struct rp_weights *weights);

/* Sets or clears one bit of enum rp_policy. Returns 0 or a negative errno. */
int set_policy(struct rp_member *m, __u32 bit, int on);

#endif
