/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BGP, BMP and telemetry sessions that failed over to this instance, and go back when their owner is live again.
 *
 * When an instance joins, its flows come to it at once, but sessions stay where they failed over to. Each thread with sessions
 * calls this for its own listener.
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

#endif
