/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * How long to let datagrams gather before the next batch is read.
 *
 * If each datagram wakes the process, the wake-ups cost more than the datagrams. Flow accounting does not mind a millisecond;
 * the socket's buffer does:
 *
 * 1. Below 2,000 datagrams a second there is no wait: each datagram is read when it comes.
 * 2. At the rate that was just seen, a wait fills at most an eighth of the socket's buffer.
 * 3. A wait takes at most a millisecond.
 */
#ifndef REUSEPORT_PACE_H
#define REUSEPORT_PACE_H

/* Set buffer; all else starts at 0. */
struct reuseport_pace {
  long long buffer;          /* bytes that the socket's buffer holds: SO_RCVBUF, as the kernel has granted it */
  long long truesize;        /* bytes of the buffer that a datagram takes, as measured; 0: not measured yet */
  long long window_began_ns; /* when the count of datagrams began */
  long long last_read_ns;    /* when the last batch was read */
  long long interval_ns;     /* between two datagrams, over the last window; 0: there were none */
  long long shortest_ns;     /* the shorter of interval_ns and the interval in the last batch */
  unsigned int datagrams;    /* in this window */
};

/* Counts the datagrams of a batch, which may be 0, that was read at now_ns (CLOCK_MONOTONIC, nanoseconds). Returns: whether it is
   time to measure how much of the buffer a datagram takes: a window ended, and datagrams come fast. */
extern int reuseport_pace_count(struct reuseport_pace *, long long now_ns, unsigned int datagrams);

/* Notes that so many datagrams, at least 1, took so many bytes of the socket's buffer (SK_MEMINFO_RMEM_ALLOC). */
extern void reuseport_pace_measure(struct reuseport_pace *, unsigned int datagrams, long long bytes);

/* Returns: whether datagrams come fast, 2,000 a second or more. */
extern int reuseport_pace_is_fast(const struct reuseport_pace *);

/* Returns: how long to sleep before the next batch is read, in nanoseconds; 0: not at all. */
extern long long reuseport_pace_wait_ns(const struct reuseport_pace *);

#endif
