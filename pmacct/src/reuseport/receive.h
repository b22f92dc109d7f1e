/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagrams from the sockets to pmacct: what the life cycle must know of receive.c.
 *
 * 1. Each UDP listener has a ring, which is filled by one system call and handed out one datagram a call. Only the thread that reads
 *    the listener touches its ring.
 * 2. Datagrams of a listener keep their order. Each comes with the length, the truncation and the sender that recvfrom() gives.
 * 3. What is in a ring counts as queued: an instance that drains hands it out before it ends. SIGKILL loses it: REUSEPORT_BATCH
 *    datagrams at most, beside what is in the socket's queue.
 * 4. Children have a copy of the rings, and never read them.
 */
#ifndef REUSEPORT_RECEIVE_H
#define REUSEPORT_RECEIVE_H

#include <sys/select.h>

#define REUSEPORT_BATCH 64 /* datagrams in a ring */

/*
 * In place of select() as long as rings hold datagrams. Now and then it polls the other sockets, too, so that none of them waits
 * for an exporter that never stops sending. ready: the sockets to look at, and then those that can be read.
 * Returns: how many can be read; 0, with ready unchanged: the rings of these sockets are empty.
 */
extern int reuseport_select_rings(int nfds, fd_set *ready);

/* Returns: how many of the sockets in fds have a ring. */
extern int reuseport_count_rings(const fd_set *fds);

/* Returns: whether a ring, of whatever thread, holds datagrams that are not handled yet. Ask after the sockets, because a datagram
   goes from there into a ring. */
extern int reuseport_any_in_ring();

#endif
