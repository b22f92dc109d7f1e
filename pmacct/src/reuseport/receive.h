/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Datagrams from the sockets to pmacct: what the life cycle must know of receive.c.
 *
 * 1. One system call reads a batch of datagrams from a UDP listener, and each call of pmacct gets one of them. Only the thread that
 *    reads the listener touches its batch.
 * 2. Datagrams of a listener keep their order. Each comes with the length, the truncation and the sender that recvfrom() gives.
 * 3. What is in a batch counts as queued: an instance that drains hands it out before it ends. SIGKILL loses it: at most REUSEPORT_BATCH
 *    datagrams of each UDP listener, beside what is in the socket's queue, which systemd keeps (fd_store.h).
 * 4. Children have a copy of the batches, and never read them.
 */
#ifndef REUSEPORT_RECEIVE_H
#define REUSEPORT_RECEIVE_H

#include <sys/select.h>

#define REUSEPORT_BATCH 64 /* datagrams */

/* The datagram that was handed out last is decoded: what it told is kept for other instances. */
extern void reuseport_end_datagram();

/*
 * Replaces select() while a batch holds datagrams: marks those listeners as ready. Every eighth call polls the other sockets, and marks
 * those that are ready in their place, so that a busy exporter does not keep them waiting. ready: the sockets to look at, and then
 * those that are ready. Returns: how many are ready; 0, with ready unchanged: no batch holds datagrams.
 */
extern int reuseport_select_batches(int nfds, fd_set *ready);

/* Returns: how many of the sockets in fds are listeners that are read in batches. */
extern int reuseport_count_batches(const fd_set *fds);

#endif
