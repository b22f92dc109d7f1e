/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Exporter -> slot of the placement table: the same C in the selector, in user space and in the tests. The table says which bucket
 * a slot belongs to: see placement.h.
 *
 * 1. The address alone decides, all 16 bytes of it; an IPv4 exporter is the same on a dual-stack listener.
 * 2. The same address and nonce give the same slot on every machine, whatever its byte order.
 * 3. Failover: an exporter whose bucket is empty has RP_FAILOVER_DRAWS other slots, one after the other. If the bucket of each of
 *    these is empty, too, it has all buckets in an order of its own. So the exporters of an empty bucket spread evenly over the live
 *    ones, and an exporter stays with the one that it has until that one is empty, or one that comes before it is not.
 */
#ifndef REUSEPORT_HASH_H
#define REUSEPORT_HASH_H

#include "reuseport_abi.h"

#define RP_FAILOVER_DRAWS 4
#define RP_SHUFFLE_ROUNDS 8

/*
 * Unrolls a loop for the verifier: if the loader has no CAP_PERFMON, it follows the loop's counter speculatively beyond its end
 * until the program is "too complex".
 */
#ifdef __clang__
#define RP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RP_UNROLL
#endif

/* Keeps a compiler from computing ahead, or from making a branch of what is none. */
/* clang-format off */
#define RP_OPAQUE(variable) __asm__ volatile("" : "+r"(variable))
/* clang-format on */

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

static inline __u32 rp_slot(__u64 hash)
{
  return hash % RP_SLOT_COUNT;
}

/* Returns: the hash of a draw of failover, 1..RP_FAILOVER_DRAWS. */
static inline __u64 rp_redraw(__u64 hash, __u32 draw)
{
  return rp_mix(hash + draw);
}

/*
 * Returns: which of n, 1..RP_MAX_BUCKETS, comes i-th in the exporter's own order of them.
 *
 * In each round, numbers whose sum is the same modulo n form pairs, and some of the pairs swap. So the order is a permutation of any
 * number of buckets, and all orders are about as frequent. Without a branch, which would double what the verifier walks.
 *
 * Source: the swap-or-not shuffle (Hoang, Morris and Rogaway, 2012).
 */
static inline __u32 rp_shuffle(__u64 hash, __u32 i, __u32 n)
{
  hash = rp_mix(hash + RP_FAILOVER_DRAWS + 1) | 1;
  RP_UNROLL
  for (int round = 0; round < RP_SHUFFLE_ROUNDS; round++) {
    __u32 partner, swaps;

    hash *= 0xda942042e4dd58b5ULL;
    RP_OPAQUE(hash);
    partner = (__u32) ((hash >> 32) * n >> 32) - i;
    partner += n & -(partner >> 31);
    /* the same for both of the pair */
    swaps = -((__u32) (hash >> 24) * (2 * i * partner + 1) >> 31);
    RP_OPAQUE(swaps);
    i ^= (i ^ partner) & swaps;
  }

  return i;
}

#endif
