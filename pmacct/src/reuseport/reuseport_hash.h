/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exporter -> bucket: the same C in the selector, in userspace and in the tests.
 *
 * 1. The address alone decides, all 16 bytes of it; an IPv4 exporter is the same on a dual-stack listener.
 * 2. The same address, nonce and size give the same bucket on every machine, whatever its byte order.
 * 3. Consistent: growing from n to n+1 buckets moves 1/(n+1) of the exporters, and those to the new bucket.
 * 4. The stand-ins of an empty bucket are spread over the others like exporters over buckets.
 */
#ifndef REUSEPORT_HASH_H
#define REUSEPORT_HASH_H

#include <linux/types.h>

/* How many buckets are drawn for an exporter whose own one is empty, before all of them are tried in turn */
#define RP_STANDIN_DRAWS 8

/* A source address in network order; IPv4 is ::ffff:a.b.c.d */
union rp_addr {
  __u8 b[16];
  __u32 w[4];
  __u64 q[2];
};

/* Two words as they follow each other in memory */
static inline __u64 rp_pair(__u32 first, __u32 second)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return (__u64) second << 32 | first;
#else
  return (__u64) first << 32 | second;
#endif
}

static inline void rp_addr_v4(union rp_addr *a, __u32 addr_be)
{
  a->q[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  a->q[1] = rp_pair(0xffff0000, addr_be);
#else
  a->q[1] = rp_pair(0x0000ffff, addr_be);
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

/* David Stafford's "Mix13" finalizer (2011): every input bit reaches every output bit */
static inline __u64 rp_mix(__u64 x)
{
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/* Hash of all that is overridden to a bucket: whose addresses these are, they stay together if that bucket is empty */
static inline __u64 rp_hash_overridden(__u32 bucket, __u32 nonce)
{
  return rp_mix((__u64) bucket << 32 | nonce);
}

/* Hash of an exporter. The halves are mixed one after the other, so that permuted words differ. */
static inline __u64 rp_hash(const union rp_addr *a, __u32 nonce)
{
  return rp_mix(rp_mix(rp_be64(a->q[0]) + nonce) ^ rp_be64(a->q[1]));
}

/*
 * The verifier follows a loop's counter beyond its end, speculatively, when the loader has no CAP_PERFMON, and
 * gives up: "too complex". Without a counter there is nothing to follow.
 */
#ifdef __clang__
#define RP_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RP_UNROLL
#endif

/*
 * Jump consistent hash (Lamping and Veach, 2014), in integers: no table, and about ln(n) rounds. The quotient of
 * the last round would be n or more; comparing products instead saves that division, and draws of 24 bits keep
 * the others within 32. n: 1..RP_MAX_BUCKETS. Returns a bucket below n. Fewer than one key in 10^12 has more
 * rounds to go after these 32, and stays where it is.
 */
static inline __u32 rp_jump(__u64 key, __u32 n)
{
  __u32 bucket = 0;

  RP_UNROLL
  for (int round = 0; round < 32; round++) {
    __u32 top, draw;

    key = key * 2862933555777941757ULL + 1;
    top = (bucket + 1) << 24;
    draw = (__u32) (key >> 40) + 1;
    if (top >= (__u64) draw * n) break;
    bucket = top / draw;
  }

  return bucket;
}

/* The bucket of draw 0 is the exporter's own, those of draws 1..RP_STANDIN_DRAWS may stand in for it */
static inline __u32 rp_draw(__u64 hash, __u32 draw, __u32 n)
{
  return rp_jump(draw ? rp_mix(hash + draw) : hash, n);
}

#endif
