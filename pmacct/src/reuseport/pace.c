/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How long to let datagrams gather: see pace.h. */
#include "pace.h"

#define WINDOW_NS        20000000 /* over which the rate is taken: long enough that a few datagrams in a row are no rate */
#define SLOW_NS          500000   /* between two datagrams: 2,000 a second */
#define WAIT_MAX_NS      1000000
#define TIMER_NS         60000 /* what a sleep takes beyond what was asked for: the kernel's timer slack, and the wake-up */
#define TRUESIZE_LARGEST 4608  /* of a datagram in a page of its own, as some drivers have it: assumed until measured */

int reuseport_pace_is_fast(const struct reuseport_pace *pace)
{
  return pace->interval_ns && pace->interval_ns <= SLOW_NS;
}

int reuseport_pace_count(struct reuseport_pace *pace, long long now_ns, unsigned int datagrams)
{
  long long since_last_ns = now_ns - pace->last_read_ns, window_ns = now_ns - pace->window_began_ns;

  pace->datagrams += datagrams;
  pace->last_read_ns = now_ns;
  pace->shortest_ns = pace->interval_ns;
  if (datagrams && since_last_ns / datagrams < pace->interval_ns) pace->shortest_ns = since_last_ns / datagrams;
  if (window_ns < WINDOW_NS) return 0;

  pace->interval_ns = pace->shortest_ns = pace->datagrams ? window_ns / pace->datagrams : 0;
  pace->window_began_ns = now_ns;
  pace->datagrams = 0;

  return reuseport_pace_is_fast(pace);
}

void reuseport_pace_measure(struct reuseport_pace *pace, unsigned int datagrams, long long bytes)
{
  long long truesize = bytes / datagrams;

  /* an exporter with larger datagrams counts at once, one with smaller ones in the course of some windows */
  pace->truesize = truesize > pace->truesize ? truesize : pace->truesize - (pace->truesize - truesize) / 8;
}

long long reuseport_pace_wait_ns(const struct reuseport_pace *pace)
{
  /* one less, as a margin for what comes while a batch is handled */
  long long datagrams = pace->buffer / 8 / (pace->truesize ? pace->truesize : TRUESIZE_LARGEST) - 1;
  long long wait_ns = datagrams * pace->shortest_ns;

  if (!reuseport_pace_is_fast(pace)) return 0;
  if (wait_ns > WAIT_MAX_NS) wait_ns = WAIT_MAX_NS;

  /* a sleep that is hardly longer than the kernel's timer takes gathers nothing */
  return wait_ns > 2 * TIMER_NS ? wait_ns - TIMER_NS : 0;
}
