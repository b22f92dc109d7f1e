/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * An instance that crashes, hangs or does not run takes away its own share only, and only for seconds.
 *
 * 1. Each thread that reads exporters or sessions notes whose data it has in hand, and that it comes round for the next.
 * 2. A fatal signal: the handler puts the exporter that this very thread has in hand into quarantine, gives up the buckets, and lets the
 *    signal have its way, core dump included. A signal that another process sent accuses nobody.
 * 3. A thread of the daemon, the watch, looks after the others. One that takes all its time for one datagram: its exporter gets into
 *    quarantine, and the instance ends by SIGABRT. One that waits for something, while datagrams wait: the instance gives up its buckets
 *    if another one reads, and leaves when it wakes up.
 * 4. The watch also looks after the other instances: it empties the buckets of one that does not run at all, reports the faults of
 *    others, and ends what is over: quarantines, and the looks of tools that were killed.
 *
 * An object without the map `instances`: there is nothing of this.
 */
#ifndef REUSEPORT_HEALTH_H
#define REUSEPORT_HEALTH_H

#include <signal.h>
#include "reuseport/faults.h"
#include "reuseport/listener_names.h"

#define REUSEPORT_STUCK_MS 5000 /* a main thread that has not come round for so long is stuck; an instance whose watch has not looked does not run */

/* What health.c and watch.c know; set when the watch starts. */
extern struct health {
  struct rp_instance *all, *own;  /* the records of all buckets, and of this one; NULL: the object has none */
  const struct rp_member *member; /* of the listener that the main thread reads, whose records they are */
  __u32 pid;
  __u64 began;                /* seconds of CLOCK_BOOTTIME: later faults are its own, not those of a predecessor with the same pid */
  volatile sig_atomic_t ends; /* the daemon ends: the watch judges no thread */
} health;

/* When a listener is opened: if it is the main thread's, catches fatal signals and starts the watch. */
extern void reuseport_start_watch(enum reuseport_listener id);

/* Ends the watch's judgements: the daemon is about to end, which may take long. */
extern void reuseport_stop_watch();

/* Before a listener joins: others are not to take the instance for one that does not run. */
extern void reuseport_tell_alive();

/* For the main thread, when it comes round: others are to know that it reads. */
extern void reuseport_note_round();

/* In a forked child: fatal signals are the child's own affair. */
extern void reuseport_release_signals();

/* Returns: whether other instances read, and would get the exporters of this one. */
extern int reuseport_others_can_serve();

/* Returns: whether that is the last fault that this instance had. */
extern int reuseport_has_fault(enum rp_fault fault);

/* ---- for the watch and for signal handlers ---- */

/* Gives up the buckets of all listeners, without any lock. */
extern void reuseport_give_up_buckets();

/* Writes a fault into the record of this instance. exporter: NULL: nobody is accused. */
extern void reuseport_note_fault(enum rp_fault fault, int signal, const union rp_addr *exporter);

/* Puts an exporter into quarantine, unless the config does not want that. Returns: for how many seconds, or at most 0: it is not. */
extern int reuseport_convict(const union rp_addr *exporter, int signal);

/* Logs that the instance of that index has crashed, once in the group. Not for signal handlers. */
extern void reuseport_report_crash(__u32 index);

/* Maps the records of all instances, begins this one's and catches fatal signals. member: of the listener that the main thread reads. Returns:
   whether it has; the object may have no such map. */
extern int reuseport_open_record(const struct rp_member *member);

#endif
