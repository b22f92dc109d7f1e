/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What the selector (in the kernel) and the daemons (in user space) share: names, limits, map layouts.
 *
 * 1. The program is called RP_PROG. It needs RP_MAP_SIZE and the socket array of the listener's transport.
 * 2. Every other map is optional: a daemon uses the maps that an object has. It refuses, by name, only a setting of its config
 *    for which the object lacks the map.
 * 3. All zeroes is a valid state of every map: failover is on, there are no overrides, no instance is live.
 *
 * The names of the maps differ within their first 15 characters, since the kernel keeps no more.
 */
#ifndef REUSEPORT_ABI_H
#define REUSEPORT_ABI_H

#include <linux/types.h>

/*
 * The number of all this. It grows with each change of the hash, of the way to a bucket, or of a map's layout or meaning. Instances of one
 * group, their objects and the tool have the same number, or refuse each other by it: instances that disagree on the hash close each
 * other's sessions for ever. A map whose meaning alone changes gets another name, so that what an earlier version has left is not misread.
 */
#define RP_ABI 1

#define RP_PROG    "_selector"
#define RP_MIGRATE "_migrator" /* for TCP, in Linux 5.14 and newer: also moves the connections of a listener that closes */

/* Numbers of the kernel's ABI: its headers before Linux 5.14 have no names for them, and a daemon that was built with those must
   do the same on a newer kernel. */
#define RP_ATTACH_SELECT  39 /* BPF_SK_REUSEPORT_SELECT: RP_PROG */
#define RP_ATTACH_MIGRATE 40 /* BPF_SK_REUSEPORT_SELECT_OR_MIGRATE: RP_MIGRATE */
#define RP_MIGRATING_SK   48 /* offsetof(struct sk_reuseport_md, migrating_sk) */

/* One per group: pinned at <pin path>/<name> */
#define RP_MAP_GROUP     "group"     /* ARRAY of RP_ABI entries, [0] -> struct rp_group: so a file, a map and a pin say their number unread */
#define RP_MAP_SIZE      "size"      /* ARRAY [0] -> u32: buckets in use, 1..RP_MAX_BUCKETS; 0: not set yet */
#define RP_MAP_NONCE     "nonce"     /* ARRAY [0] -> u32: nonce of the hash; 0: not set yet */
#define RP_MAP_POLICY    "policy"    /* ARRAY [0] -> u32: bits of enum rp_policy */
#define RP_MAP_SLOTS     "slots"     /* ARRAY u32 slot -> u32: the bucket that has it, plus 1; 0: not set, then it is hash % size */
#define RP_MAP_WEIGHTS   "weights"   /* ARRAY [0] -> struct rp_weights */
#define RP_MAP_OVERRIDES "overrides" /* LPM_TRIE struct rp_prefix -> u32: bucket of these exporters, or a range, see reuseport_spread.h; and perhaps RP_REBALANCED */

#define RP_MAP_QUARANTINE "quarantine" /* HASH 16 bytes of an address -> struct rp_conviction: exporters that have brought instances down */

/* Of nfacctd alone, since NetFlow v9 and IPFIX alone have templates and options */
#define RP_MAP_STATE   "exporter_state" /* HASH struct rp_state_key -> struct rp_state_page: what exporters tell only now and then */
#define RP_MAP_CHANGES "state_changes"  /* ARRAY [0] -> struct rp_state_changes, mapped into the memory of the instances */

/* One per listener: pinned at <pin path>/<listener>/<name> */
#define RP_MAP_UDP    "udp_balancing_targets" /* REUSEPORT_SOCKARRAY u32 bucket -> u64 socket (read: its cookie) */
#define RP_MAP_TCP    "tcp_balancing_targets" /* the same, for TCP */
#define RP_MAP_OWNERS "owners"                /* ARRAY u32 bucket -> struct rp_owner */
/* Of the listener that a daemon's main thread reads: mapped into the memory of the instances */
#define RP_MAP_INSTANCES "instances" /* ARRAY u32 bucket -> struct rp_instance */
#define RP_MAP_COUNTERS  "counters"  /* PERCPU_ARRAY u32 bucket -> struct rp_counters */
#define RP_MAP_TALKERS   "talkers"   /* LRU_HASH 16 bytes of an address -> struct rp_talker: who sends how many datagrams, by samples */

/* Of the debug build, not pinned: each loaded program has one of its own */
#define RP_MAP_DEBUG "debug_text"

#define RP_MAX_BUCKETS 128
#define RP_NO_BUCKET   RP_MAX_BUCKETS /* the entry of RP_MAP_COUNTERS for traffic for which no bucket was found */
#define RP_SLOT_COUNT  4096           /* of the placement table */
/* In RP_MAP_SLOTS, after the slots: how many buckets are not drained; all buckets of the group, plus 1, the drained ones last */
#define RP_SLOT_TAKERS     RP_SLOT_COUNT
#define RP_SLOT_ORDER      (RP_SLOT_COUNT + 1)
#define RP_SLOT_ENTRIES    (RP_SLOT_ORDER + RP_MAX_BUCKETS)
#define RP_MAX_OVERRIDES   65536
#define RP_MAX_CONVICTED   1024
#define RP_MAX_TALKERS     32768
#define RP_SAMPLED         512 /* one datagram in so many is a sample: a sample costs as much as several decisions */
#define RP_SAMPLED_WATCHED 16  /* the same with RP_WATCHED */
#define RP_COMM_LEN        16

#define RP_STATE_PAGES      65536                    /* of all exporters together */
#define RP_STATE_CROWDED    (RP_STATE_PAGES / 4 * 3) /* from then on, exporters that are new are kept only when they stay */
#define RP_STATE_PAGES_EACH 64                       /* of one exporter at most */
#define RP_STATE_PAGE_BYTES 928                      /* with its head and its key, a page takes 1,024 bytes of the kernel's memory */
#define RP_STATE_MARKS      4096

enum rp_policy {
  RP_NO_FAILOVER = 1 << 0, /* an empty bucket's exporters are refused */
  RP_OVERRIDDEN = 1 << 1,  /* RP_MAP_OVERRIDES has entries; without them the selector does not look */
  RP_QUARANTINES = 1 << 2, /* RP_MAP_QUARANTINE has exporters that are in quarantine; the same */
  RP_BY_AGENT = 1 << 3,    /* the agent whose address is in an sFlow datagram is its exporter, not the sender */
  RP_WATCHED = 1 << 4,     /* a tool looks at RP_MAP_TALKERS, see struct rp_group: more datagrams are samples */
};

/* What became of a datagram, or of a SYN */
enum rp_outcome {
  RP_OWN,         /* delivered to the bucket that its exporter belongs to */
  RP_FAILOVER,    /* delivered to this bucket, because the exporter's own is empty */
  RP_REFUSED,     /* dropped: its bucket is empty, and failover is off or no instance is live */
  RP_UNREADABLE,  /* dropped: its source address cannot be read; counted at RP_NO_BUCKET only */
  RP_QUARANTINED, /* dropped: its exporter is in quarantine; counted at RP_NO_BUCKET only */
  RP_OTHER_GROUP, /* beside one of the first three: its bucket has a socket, which is in another reuseport group of the kernel */
  RP_OUTCOMES,
};

struct rp_counters {
  __u64 n[RP_OUTCOMES];
  __u64 random; /* the last number of the generator that chooses samples */
};

/* When the number of buckets was changed while instances were live, and which numbers their configs may still have; and until when a tool
   looks. Times are seconds of CLOCK_BOOTTIME. */
struct rp_group {
  __u64 resized;                     /* 0: never */
  __u64 counts[RP_MAX_BUCKETS / 64]; /* bit N - 1: there were N buckets in the RP_RESIZE_SECONDS before */
  __u64 watched;                     /* when RP_WATCHED ends, if the tool that has set it does not set it again */
};

#define RP_RESIZE_SECONDS 86400

/* What was sampled of an exporter; times are ns of CLOCK_MONOTONIC */
struct rp_talker {
  __u64 datagrams; /* for which the samples stand */
  __u64 bytes;     /* of these, with their UDP headers */
  __u64 samples;
  __u64 first; /* when the first sample came */
  __u64 last;
};

#define RP_REBALANCED (1U << 16) /* in a value of RP_MAP_OVERRIDES: it is one of 'reuseportctl rebalance', not an operator's */

#define RP_DEFAULT_WEIGHT 100
#define RP_MAX_WEIGHT     1000

/* What share of the slots each bucket has, in proportion to the others */
struct rp_weights {
  __u64 drained[RP_MAX_BUCKETS / 64]; /* a bit for each bucket that has none, whatever its weight: it serves overrides alone */
  __u16 weight[RP_MAX_BUCKETS];       /* 0: not set, RP_DEFAULT_WEIGHT; else 1..RP_MAX_WEIGHT */
};

/* Key of RP_MAP_OVERRIDES */
struct rp_prefix {
  __u32 bits;    /* prefix length, 0..128; an IPv4 /24 is 96 + 24 */
  __u8 addr[16]; /* network order, IPv4 as v4-mapped */
};

enum rp_state {
  RP_READY,    /* the instance reads the socket; also if the object keeps no owners */
  RP_STARTING, /* in its bucket although the instance does not read yet, since no other was live */
  RP_DRAINING, /* the instance has left its bucket and reads what the socket has queued */
};

/* Where a socket is bound */
struct rp_endpoint {
  __u64 netns;   /* inode number of the network namespace; 0: unknown */
  __u8 addr[16]; /* network order, IPv4 as v4-mapped */
  __u32 port;    /* 0: address and port are unknown */
  __u32 scope;   /* of a link-local address */
  __u32 device;  /* index of the device or VRF that it is bound to; 0: none */
  __u32 v6only;  /* IPV6_V6ONLY */
  char device_name[16];
};

/* Who put the socket into a bucket. Valid only while the bucket holds the socket of that cookie; with RP_DRAINING, for
   2 * RP_LEAVE_SECONDS since then. */
struct rp_owner {
  __u64 cookie; /* SO_COOKIE */
  __u64 since;  /* seconds of CLOCK_BOOTTIME */
  struct rp_endpoint endpoint;
  __u32 pid; /* in the PID namespace of the instance */
  char comm[RP_COMM_LEN];
  __u32 state; /* enum rp_state */
};

/* An exporter that an instance was decoding when it crashed, or never came to an end */
struct rp_conviction {
  __u64 until;    /* seconds of CLOCK_BOOTTIME: the last one of its quarantine */
  __u64 last;     /* the same: when it was convicted last */
  __u32 times;    /* how often it was; forgotten RP_FORGET_SECONDS after the last time */
  __u32 active;   /* it is in quarantine */
  __u32 signal;   /* by which the instance ended; SIGABRT: it decoded one datagram for ever */
  __u32 instance; /* its index */
};

#define RP_FORGET_SECONDS 86400

/* What became of an instance that did not stop by itself */
enum rp_fault {
  RP_NO_FAULT,
  RP_CRASHED, /* it got a fatal signal */
  RP_LOOPED,  /* it took all its time for one datagram or message, and ended itself */
  RP_STUCK,   /* its main thread waited for something; it has given up its buckets */
  RP_STOPPED, /* it did not run at all; another instance has emptied its buckets */
  RP_FAULTS,
};

/* Written by the instance of that bucket, but for RP_STOPPED */
struct rp_instance {
  __u64 alive;      /* ms of CLOCK_MONOTONIC: when the thread that looks after it did so; 0: never */
  __u64 reads;      /* the same: when its main thread was last seen to come round for the next datagrams */
  __u64 fault_at;   /* seconds of CLOCK_BOOTTIME; 0: no fault since the group began */
  __u8 accused[16]; /* the exporter that it decoded then; all zeroes: none */
  __u32 pid;        /* of the instance, and of the one that had the fault */
  __u32 fault_pid;
  __u32 fault;             /* enum rp_fault, of the last one that had any */
  __u32 signal;            /* RP_CRASHED: which */
  __u32 reported;          /* another instance has logged it */
  __u32 refused;           /* of each listener with sessions, not the main thread's alone: sessions that did not fit, since it joined */
  __u64 disallowed;        /* datagrams that its allow file does not list */
  __u32 faults[RP_FAULTS]; /* how many of each kind, since the group's directory was made */
  __u32 held;              /* of each listener with sessions: those that it has */
  __u32 returned;          /* the same: those that it closed, since it joined, for their owner to have them */
  __u32 reserved;
};

/* Key of RP_MAP_STATE */
struct rp_state_key {
  __u8 exporter[16]; /* network order, IPv4 as v4-mapped */
  __u32 page;        /* from 0 on */
};

/* An exporter that never told anything has no pages. */
struct rp_state_page {
  __u32 first_seen; /* page 0 only: seconds of CLOCK_BOOTTIME */
  __u32 last_seen;  /* the same, written once a minute */
  __u16 pages;      /* page 0 only: how many the exporter has */
  __u16 used;       /* bytes of data */
  __u32 reserved;
  __u8 data[RP_STATE_PAGE_BYTES]; /* records: a struct rp_state_record and its bytes each, padded to a multiple of 8 */
};

enum rp_state_kind {
  RP_STATE_TEMPLATE,         /* the bytes: a definition as it came, from the template's id on; if it was withdrawn, its id and 0 fields */
  RP_STATE_OPTIONS_TEMPLATE, /* the same */
  RP_STATE_OPTIONS_DATA,     /* one record of options data, as it came */
};

#define RP_STATE_WITHDRAWAL 4 /* bytes; a definition has more */

struct rp_state_record {
  __u64 subject; /* options data: a hash of what the record is about; else 0 */
  __u32 domain;  /* source id of NetFlow v9, or observation domain of IPFIX */
  __u16 id;      /* the template's */
  __u16 length;  /* of the bytes */
  __u8 version;  /* 9: NetFlow v9; 10: IPFIX */
  __u8 kind;     /* enum rp_state_kind */
  __u8 reserved[2];
  __u32 order; /* of the exporter's records, those that came later have the larger one */
};

struct rp_state_changes {
  __u32 marks[RP_STATE_MARKS]; /* by the exporter's hash: grows whenever a record of such an exporter is written */
  __u64 pages;                 /* of RP_MAP_STATE that are in use */
  __u64 evicted;               /* exporters whose state was deleted, because they were not seen for long */
  __u64 refused;               /* attempts to write an exporter's state for which there was no room */
  __u64 too_large;             /* records that were not kept, because they or their exporter's state are too large */
};

#endif
