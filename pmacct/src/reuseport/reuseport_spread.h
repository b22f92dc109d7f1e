/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The value of an override: one bucket, or a range of buckets over which an exporter is spread because it sends more than one instance
 * bears. The same C in the selector, in user space and in the tests.
 *
 * 1. A value below RP_MAX_BUCKETS is a bucket. In a range, enum rp_spread says what places a datagram; TCP goes to the first bucket.
 * 2. A range counts only if the group has all of its buckets; a selector that knows no ranges takes none for a bucket that exists.
 */
#ifndef REUSEPORT_SPREAD_H
#define REUSEPORT_SPREAD_H

#include <linux/types.h>

enum rp_spread {
  RP_SPREAD_NOT,    /* the value is a bucket */
  RP_SPREAD_DOMAIN, /* NetFlow v9: source id; IPFIX: observation domain; sFlow: sub-agent; NetFlow v5: engine */
  RP_SPREAD_PORT,   /* the source port */
};

static inline __u32 rp_range(__u32 first, __u32 last, enum rp_spread by)
{
  return first | last << 8 | (__u32) by << 24;
}

static inline enum rp_spread rp_range_by(__u32 value)
{
  return (enum rp_spread)(value >> 24 & 3);
}

static inline __u32 rp_range_first(__u32 value)
{
  return rp_range_by(value) == RP_SPREAD_NOT ? value & 0xffff : value & 0xff;
}

static inline __u32 rp_range_last(__u32 value)
{
  return rp_range_by(value) == RP_SPREAD_NOT ? value & 0xffff : value >> 8 & 0xff;
}

/* Returns: the bucket of a range, whose last is not below its first, for a domain or a port. Numbers that count from 0 by 1, by 16 or by
   256, as the numbers of line cards do, are placed evenly; 0 has the first bucket. */
static inline __u32 rp_range_place(__u32 value, __u32 number)
{
  __u32 first = value & 0xff, last = value >> 8 & 0xff;

  number ^= number >> 16;
  number ^= number >> 8;
  number ^= number >> 4;

  return first + number % (last - first + 1);
}

#endif
