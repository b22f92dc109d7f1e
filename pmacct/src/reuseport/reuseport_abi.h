/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the selector (in the kernel) and the daemons (in userspace) share: names, limits, map layouts.
 *
 * 1. The program is called RP_PROG. It needs RP_MAP_SIZE and the socket array of the listener's transport.
 * 2. Every other map is optional: a daemon uses what an object has, and refuses by name only what its config
 *    asks for and the object cannot do.
 * 3. All zeroes is a valid state of every map: failover on, nothing overridden, nobody there.
 *
 * Map names stay distinct within 15 characters: the kernel keeps no more.
 */
#ifndef REUSEPORT_ABI_H
#define REUSEPORT_ABI_H

#include <linux/types.h>

#define RP_PROG    "_selector"
#define RP_MIGRATE "_migrator" /* the same for TCP, where the kernel can: also finds a closing listener's connections a new one */

/* The kernel's own, by number: its headers before Linux 5.14 have no names for them, and what was built with those must do
   the same on a newer one */
#define RP_ATTACH_SELECT  39 /* BPF_SK_REUSEPORT_SELECT: RP_PROG */
#define RP_ATTACH_MIGRATE 40 /* BPF_SK_REUSEPORT_SELECT_OR_MIGRATE: RP_MIGRATE */
#define RP_MIGRATING_SK   48 /* offsetof(struct sk_reuseport_md, migrating_sk) */

/* One per group: pinned at <pin path>/<name> */
#define RP_MAP_SIZE      "size"      /* ARRAY [0] -> u32: buckets in use, 1..RP_MAX_BUCKETS; 0: not set yet */
#define RP_MAP_NONCE     "nonce"     /* ARRAY [0] -> u32: seed of the hash; 0: not set yet */
#define RP_MAP_POLICY    "policy"    /* ARRAY [0] -> u32: bits of enum rp_policy */
#define RP_MAP_OVERRIDES "overrides" /* LPM_TRIE struct rp_prefix -> u32: bucket of these exporters */

/* One per listener: pinned at <pin path>/<listener>/<name> */
#define RP_MAP_UDP      "udp_balancing_targets" /* REUSEPORT_SOCKARRAY u32 bucket -> u64 socket (read: its cookie) */
#define RP_MAP_TCP      "tcp_balancing_targets" /* the same, for TCP */
#define RP_MAP_OWNERS   "owners"                /* ARRAY u32 bucket -> struct rp_owner */
#define RP_MAP_COUNTERS "counters"              /* PERCPU_ARRAY u32 bucket -> struct rp_counters */

/* The debug build's, of each load its own */
#define RP_MAP_DEBUG "debug_text"

#define RP_MAX_BUCKETS   128
#define RP_NO_BUCKET     RP_MAX_BUCKETS /* the counters' entry for traffic that never got as far as a bucket */
#define RP_MAX_OVERRIDES 65536
#define RP_COMM_LEN      16

enum rp_policy {
  RP_NO_FAILOVER = 1 << 0, /* an empty bucket's exporters are refused instead of served by live ones */
  RP_OVERRIDDEN = 1 << 1,  /* RP_MAP_OVERRIDES has entries: spares everybody else the look-up */
};

/* What became of a datagram, or of a SYN */
enum rp_outcome {
  RP_OWN,        /* delivered to the bucket that its exporter belongs to */
  RP_FAILOVER,   /* delivered to this bucket, which stands in for an empty one */
  RP_REFUSED,    /* dropped: its bucket was empty, and failover off or nobody live */
  RP_UNREADABLE, /* dropped: no source address to be read (under RP_NO_BUCKET only) */
  RP_OUTCOMES,
};

struct rp_counters {
  __u64 n[RP_OUTCOMES];
};

/* Key of RP_MAP_OVERRIDES */
struct rp_prefix {
  __u32 bits;    /* prefix length, 0..128; an IPv4 /24 is 96 + 24 */
  __u8 addr[16]; /* network order, IPv4 as v4-mapped */
};

enum rp_state {
  RP_READY,    /* its owner reads the socket, or nobody said otherwise */
  RP_STARTING, /* in its bucket although its owner does not read yet: there was nobody else */
  RP_DRAINING, /* the bucket is given up, its owner still reads what the socket has queued */
};

/* Where a socket is bound */
struct rp_endpoint {
  __u64 netns;   /* inode number of the network namespace; 0: unknown */
  __u8 addr[16]; /* network order, IPv4 as v4-mapped */
  __u32 port;    /* 0: nothing of this is known */
  __u32 scope;   /* of a link-local address */
};

/* Who put the socket into a slot. Valid only while the slot holds the socket of that cookie, or for a while after
   RP_DRAINING. */
struct rp_owner {
  __u64 cookie; /* SO_COOKIE */
  __u64 since;  /* seconds since the epoch */
  struct rp_endpoint endpoint;
  __u32 pid; /* as its owner sees itself: another PID namespace counts differently */
  char comm[RP_COMM_LEN];
  __u32 state; /* enum rp_state */
};

#endif
