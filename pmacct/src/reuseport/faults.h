/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What keeps a fault with who has it: buckets that are given up without ceremony, and exporters in quarantine. Part of the group
 * library.
 *
 * 1. An exporter that was decoded when its instance crashed, or that was decoded for ever, is convicted: the selector drops what it
 *    sends, so that failover does not hand it to the next instance. The quarantine lasts 60 seconds, then ten minutes, then an hour.
 *    Each instance ends the quarantines that are over.
 * 2. Functions that say so may be called by a signal handler, in any thread: they take no lock and allocate nothing.
 * 3. An object without the maps: there is no quarantine.
 */
#ifndef REUSEPORT_FAULTS_H
#define REUSEPORT_FAULTS_H

#include "group.h"

/* Maps the records of all buckets, RP_MAX_BUCKETS of them, into memory, until the process ends. Returns: NULL with errno set; ENOENT: the
   object lacks the map. */
struct rp_instance *rp_map_instances(const struct rp_member *m);

/* Takes the member's socket out of its bucket, if it is there, without the group's lock: an instance that joins in its place at this very
   moment could be taken out instead. For signal handlers, too. */
void rp_give_up_bucket(const struct rp_member *m);

/* Takes the socket of another instance, which does not run, out of that bucket of the member's listener. pid: its process. Does not wait
   for the group's lock. Returns: 1; 0: there is none; or a negative errno. */
int rp_evict(struct rp_member *m, __u32 index, __u32 pid);

/*
 * Takes the sockets of a process that has ended, and which a service manager keeps, out of that bucket of all listeners in which another
 * instance reads, so that exporters fail over. Leaves them in their buckets otherwise, where they queue until the next start. Calls each() for
 * every listener from whose bucket it has taken one; may be called while an instance joins. m takes the error.
 * Returns: 0, or a negative errno.
 */
int rp_evict_dead(struct rp_member *m, const struct rp_config *config, __u32 index, void (*each)(const struct rp_member *listener, __u32 pid));

/* Puts an exporter into quarantine. signal: by which the instance of that index ends. For signal handlers, too. Returns: for how many
   seconds, or a negative errno. */
int rp_convict(const struct rp_member *m, const union rp_addr *exporter, int signal, __u32 index);

/* Ends the quarantines that are over, and forgets convictions that are old. Call it now and then. */
void rp_tidy_quarantine(struct rp_member *m);

/* Ends the quarantine of one exporter, and forgets its convictions. Returns: 0, or a negative errno; -ENOENT: it has none. */
int rp_release(const struct rp_member *m, const union rp_addr *exporter);

/* Returns: whether the selector drops what the exporter sends. Takes no lock. */
int rp_is_quarantined(const struct rp_member *m, const union rp_addr *exporter);

/* Calls each() for every exporter that was convicted. Takes no lock. */
void rp_each_conviction(const struct rp_member *m, void (*each)(const union rp_addr *, const struct rp_conviction *, void *arg), void *arg);

#endif
