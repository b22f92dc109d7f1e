/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Whether there is room for the sessions of BGP, BMP and telemetry that an instance may get, its own and those that fail over to it. What lacks
 * is said beforehand, in one line each.
 */
#ifndef REUSEPORT_ROOM_H
#define REUSEPORT_ROOM_H

#include "reuseport/listener_names.h"

/* Returns: the first descriptor that no session may have. */
extern int reuseport_first_unusable();

/* Returns: what to do to have more of them, in words. */
extern const char *reuseport_more_room();

/* Returns: how many sessions the listener may have; 0 if it has none. By the config, once its thread has come to its first select(). */
extern int reuseport_max_peers(enum reuseport_listener);

/* Returns: the key that says so. */
extern const char *reuseport_max_peers_key(enum reuseport_listener);

/* When the config is parsed: warns of keys that are not set, for their defaults are small; raises the limit of open files to what select(2) can
   use. */
struct configuration;
extern void reuseport_check_max_peers(const char *filename, const struct configuration *core);

/* When the main thread begins to read: warns if descriptors do not suffice for what these keys allow. */
extern void reuseport_check_room();

/* For the thread of a listener, now and then: warns if, when another instance ends, more than these keys allow would come to this one. sessions: that it
   has now; live: how many instances read. */
extern void reuseport_check_share(enum reuseport_listener, int sessions, int live);

#endif
