/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * BGP, BMP and telemetry sessions that go to another instance: those that failed over to this one, when their owner is live again, and all of
 * them when this instance leaves. Each thread with sessions calls this for its own listener.
 *
 * 1. When an instance joins, its flows come to it at once, but sessions stay where they failed over to, until they are closed there.
 * 2. That is seconds later, or minutes if the owner crashes again and again, and not all at once: returns.h says when. Its routers do not send
 *    their tables each time, and it reads few of them at a time.
 */
#ifndef REUSEPORT_SESSIONS_H
#define REUSEPORT_SESSIONS_H

#include <sys/select.h>
#include "reuseport/listener_names.h"

/*
 * Closes the sessions whose owner is live again, so that the router's next connect reaches the owner; removes them from fds.
 * Looks at most once a second. Does nothing without failover. The listener has joined.
 * Returns: whether it has closed any.
 */
extern int reuseport_return_sessions(enum reuseport_listener id, fd_set *fds);

/*
 * Shuts all sessions down, so that their routers connect again, to another instance, however long the plugins of this one write; removes them
 * from fds. What routers have told stays, for the flows that are queued. The listener has left, and is closed.
 */
extern void reuseport_end_sessions(enum reuseport_listener id, fd_set *fds);

#endif
