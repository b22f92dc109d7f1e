/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * How sessions of BGP, BMP and telemetry come and go, beside what upstream does with them.
 *
 * 1. A session, or the connection that a BGP xconnect opens for one, is its process's alone: no child has a copy, neither one that is forked
 *    nor one that is executed, and who closes it shuts it down. A copy would keep it up, and the router would send into a socket that no
 *    process reads.
 * 2. Upstream waits by select(2), which knows descriptors below FD_SETSIZE, 1024. A session whose descriptor would be above, or leave none for
 *    logs and brokers, is closed at once, and so is one for which accept(2) finds no descriptor: the router may try another time.
 * 3. Sessions that are refused so, or by *_max_peers, are counted in the record of the instance (reuseport_abi.h), and logged once a minute. If
 *    there is no descriptor to refuse them with, they wait.
 */
#ifndef REUSEPORT_ACCEPT_H
#define REUSEPORT_ACCEPT_H

#include "reuseport/listener_names.h"

/* When a listener joins: there are no sessions yet, and none is refused. */
extern void reuseport_forget_sessions(enum reuseport_listener);

/* Lets other processes know how many sessions the listener has, and that so many more were closed for their owner to have them. */
extern void reuseport_count_sessions(enum reuseport_listener, int held, int returned);

/*
 * In a forked child: puts /dev/null in the place of all sessions. Their numbers stay in use, because upstream goes by them in a process
 * that writes a dump.
 */
extern void reuseport_drop_sessions_in_child();

#endif
