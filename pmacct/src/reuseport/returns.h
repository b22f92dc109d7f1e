/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * When sessions go back to the instance that they belong to.
 *
 * 1. An instance that has ended within two minutes, counted from when its sessions returned, has not lasted.
 * 2. Sessions return 5 seconds after their owner is live, also if it has not lasted once: it may have been restarted by hand. If it has
 *    not lasted twice in a row, it is 10 seconds, and twice as long each further time, up to 10 minutes.
 * 3. From then on they return at 20 a second, to one owner from all other instances together: the more there are, the longer it takes.
 */
#ifndef REUSEPORT_RETURNS_H
#define REUSEPORT_RETURNS_H

#include <time.h>
#include "reuseport_hash.h"

/* What is known of the instance in a bucket. Starts all zero. Times are in seconds, and go on. */
struct reuseport_owner {
  __u64 cookie; /* of its socket; 0: there is none that reads */
  time_t since; /* since when it reads */
  int failures; /* how many in a row, before it, did not last */
  int away;     /* how many of its sessions this instance had at most, since then */
};

/* Notes that there is an instance, whose socket has that cookie. One that was there before this instance counts as new: at worst it counts as
   one that has not lasted, once. */
extern void reuseport_owner_begins(struct reuseport_owner *, __u64 cookie, time_t now);

/* Notes that it is gone. */
extern void reuseport_owner_ends(struct reuseport_owner *, time_t now);

/* Returns: for how many seconds the sessions of an owner stay after it is live again. */
extern time_t reuseport_return_delay(const struct reuseport_owner *);

/* Returns: for how many seconds that exporter's session stays. live: how many instances there are, the owner and this one included. */
extern time_t reuseport_return_after(const struct reuseport_owner *, int live, const union rp_addr *exporter);

#endif
