/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exporter -> bucket: the same C in the selector, in user space and in the tests.
 *
 * 1. The address alone decides, all 16 bytes of it; an IPv4 exporter is the same on a dual-stack listener.
 * 2. The same address, nonce and size give the same bucket on every machine, whatever its byte order.
 * 3. Consistent: growing from n to n+1 buckets moves 1/(n+1) of the exporters, all of them to the new bucket.
 * 4. Failover spreads the exporters of an empty bucket evenly over the other buckets.
 */
#ifndef REUSEPORT_HASH_H
#define REUSEPORT_HASH_H

#include <linux/types.h>

/* How many buckets failover draws for an exporter before it tries all buckets in turn */
#define RP_FAILOVER_DRAWS 8

/* A source address in network order; IPv4 is ::ffff:a.b.c.d */
union rp_addr {
  __u8 b[16];
  __u32 w[4];
  __u64 q[2];
};

/* Returns: two words as one, in the order of memory. */
static inline __u64 rp_pair(__u32 first, __u32 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return (__u64) second << 32 | first;
#else
  return (__u64) first << 32 | second;
#endif
}

/* Makes a v4-mapped address; addr_be: the IPv4 address in network order. */
static inline void rp_addr_v4(union rp_addr *a, __u32 addr_be)
{
  a->q[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  a->q[1] = rp_pair(0xffff0000, addr_be);
#else
  a->q[1] = rp_pair(0x0000ffff, addr_be);
#endif
}

/* Whether an address is v4-mapped; the IPv4 address is in w[3]. */
static inline int rp_addr_is_v4(const union rp_addr *a)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return a->q[0] == 0 && a->w[2] == 0xffff0000;
#else
  return a->q[0] == 0 && a->w[2] == 0x0000ffff;
#endif
}

static inline __u64 rp_be64(__u64 x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return __builtin_bswap64(x);
#else
  return x;
#endif
}

/* Source: David Stafford's "Mix13" finalizer (2011). Each bit of the input reaches each bit of the output. */
static inline __u64 rp_mix(__u64 x)
{
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/* Returns: the hash of all exporters with an override to that bucket. One hash for all: if the bucket is empty, the addresses of one
   router fail over together. */
static inline __u64 rp_hash_overridden(__u32 bucket, __u32 nonce)
{
  return rp_mix((__u64) bucket << 32 | nonce);
}

/* Returns: the hash of an exporter. The halves are mixed one after the other, so that permuted words differ. */
static inline __u64 rp_hash(const union rp_addr *a, __u32 nonce)
{
  return rp_mix(rp_mix(rp_be64(a->q[0]) + nonce) ^ rp_be64(a->q[1]));
}

/*
 * Unrolls a loop for the verifier: if the loader has no CAP_PERFMON, it follows the loop's counter speculatively beyond its end
 * until the program is "too complex".
 */
#ifdef __clang__
#define RP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RP_UNROLL
#endif

/* Returns: x with all bits below its highest one set; x is below 256. */
static inline __u32 rp_fill(__u32 x)
{
  x |= x >> 1;
  x |= x >> 2;
  return x | x >> 4;
}

/*
 * Returns: a number from 0 to mask, which is 2^k - 1 and below RP_MAX_BUCKETS. The lowest bits of the key say how many bits the
 * number has, others are these bits. Each length takes them from its own place in the key, so that numbers of different length are
 * independent. The place does not depend on the mask, so that a larger mask moves keys to its new numbers only.
 */
static inline __u32 rp_pick(__u64 key, __u32 mask)
{
  __u32 top = rp_fill(key & mask), below = top >> 1;

  return top - below + (__u32) (key >> (below * 7 & 63) & below);
}

/*
 * A consistent hash in constant time, without a table and without a division. n: 1..RP_MAX_BUCKETS. Returns: a bucket below n.
 *
 * It picks one of 2^k buckets, the next power of two, and mostly that bucket exists. If not, it draws again: numbers that hit the
 * upper half, where n ends, count if they are below n; one that hits the lower half stands for the pick of that half. After 32
 * draws, which leaves one key in 2^32 undecided, the lower half's pick is taken.
 *
 * Source: BinomialHash (Coluzzi, Brocco, Antonucci and Leidi, 2024).
 */
static inline __u32 rp_spread(__u64 key, __u32 n)
{
  __u32 mask = rp_fill(n - 1), bucket = rp_pick(key, mask);
  __u64 next = key;

  if (bucket < n) return bucket;

  RP_UNROLL
  for (int i = 0; i < 32; i++) {
    next = next * 2862933555777941757ULL + 1;
    bucket = next >> 40 & mask;
    if (bucket <= mask >> 1) break;
    if (bucket < n) return bucket;
  }

  return rp_pick(key, mask >> 1);
}

/* Returns: the bucket of that draw. Draw 0 is the exporter's own bucket, draws 1..RP_FAILOVER_DRAWS are for failover. */
static inline __u32 rp_draw(__u64 hash, __u32 draw, __u32 n)
{
  return rp_spread(draw ? rp_mix(hash + draw) : hash, n);
}

#endif
