/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A snapshot of a group: its settings, its listeners with their buckets, and the sockets behind
 * them. Taking one holds no lock and writes nothing.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <linux/bpf.h>
#include <netinet/in.h>
#include "faults.h"
#include "placement.h"
#include "reuseportctl.h"
#include "sockets.h"

struct bucket {
	struct rp_bucket owner;
	struct rp_counters counters; /* of all CPUs */
	/* since the snapshot before; in the first one, since the group began */
	__u64 recent, recent_failover, recent_drops;
	const struct sock *sock; /* NULL: empty, or not visible from here */
};

/* A socket at a listener's port that is in no bucket of it */
struct foreign_socket {
	const struct sock *sock;
	int pid, takes_traffic;
	char comm[32];
};

struct listener {
	char name[1024]; /* printable */
	int protocol;
	char tag[2 * BPF_TAG_SIZE +
		 1];		     /* the kernel's hash of the selector; "": it cannot be told */
	int has_counters;	     /* a foreign object has none */
	int counts_sessions;	     /* the instances count those that they refuse */
	struct rp_endpoint endpoint; /* of a live instance; port 0: unknown */
	__u32 n_buckets;	     /* those to show: the group's, and live ones beyond */
	__u32 n_live;
	__u64 received, refused, unreadable, quarantined, disallowed, recent, recent_live;
	struct bucket bucket[RP_MAX_BUCKETS];
	struct rp_instance instances[RP_MAX_BUCKETS]; /* all zeroes: those of another listener */
	__u64 instances_read;			      /* when: ms of CLOCK_MONOTONIC */
	struct foreign_socket *foreign;
	size_t n_foreign;
};

/* An exporter that has brought instances down */
struct convict {
	union rp_addr exporter;
	struct rp_conviction conviction;
};

struct snapshot {
	const struct options *options;
	double time;  /* seconds since the epoch */
	double taken; /* seconds of CLOCK_BOOTTIME */
	__u32 size, nonce, n_overrides;
	struct rp_weights weights;
	__u32 slots[RP_MAX_BUCKETS];   /* of each bucket; all 0: there is no placement table */
	int is_placed;		       /* that table is the one that the settings make */
	int keeps_exporters;	       /* the object has the maps for that */
	struct rp_state_changes state; /* how much that is */
	__u64 boot_time;	       /* whole seconds of CLOCK_BOOTTIME */
	int has_quarantine;	       /* the object has the map for that */
	struct convict *convicts;      /* also those whose quarantine is over */
	size_t n_convicts;
	__u32 n_live; /* of all listeners, shown or not */
	int failover, by_agent;
	int watched;		  /* a tool looks at the exporters: there are more samples */
	__u32 n_overrides_beyond; /* those whose bucket the group does not have */
	struct listener **listeners;
	size_t n_listeners;
	struct socks udp, tcp;
	int sock_diag_error; /* errno; 0: none */
	int in_other_netns;
	char **warnings;
	size_t n_warnings;
};

/*
 * Takes a snapshot, without warnings: diagnose() adds them. before: the one to compare with, or
 * NULL. Returns 0, or a negative errno and m->error.
 */
int take_snapshot(struct snapshot *s, const struct options *o, const struct snapshot *before,
		  struct rp_member *m);
void free_snapshot(struct snapshot *s);

/* The name of a listener: with upstream's *_rp_ebpf_prog, that of the directory */
const char *listener_name(const struct rp_member *m);

/* Whether the options ask for a listener, by --listener or all of them */
int is_asked_for(const struct options *o, const struct rp_member *m);

/* Whether the address counts that an sFlow datagram names, and not its sender's */
int is_by_agent(const struct rp_member *m);

/* The error if no listener was found that the options ask for */
int fail_no_listener(struct rp_member *m, const struct options *o);

/* What a bucket has received, and its share of what the listener has, 0 to 1 */
__u64 received_by(const struct bucket *b);
double share_of(const struct listener *l, const struct bucket *b);

/* The share that a bucket has of the slots, 0 to 1 */
double slots_share(const struct snapshot *s, __u32 bucket);

/* How full the queue of a socket is, 0 to 1 */
double queue_fill(const struct sock *s);

/* "connections" or "datagrams" */
const char *unit_of(const struct listener *l);

/* "crashed", "looped", "stuck", "stopped", or "" */
const char *fault_name(__u32 fault);

/* diagnose.c: adds a warning for each thing that is wrong */
void diagnose(struct snapshot *s);

/* Whether the kernel has two sockets in different reuseport groups: a selector reaches one of them
 */
int is_apart(const struct sock *one, const struct sock *other);

/* Whether exporters are refused now. The count of refusals does not tell: it is since the group
 * began, and stays when the cause is gone. */
int refuses_now(const struct snapshot *s, const struct listener *l);

/* print_*.c. seconds: since the snapshot before; 0: there is none */
void print_table(const struct snapshot *s, double seconds);
void print_json(const struct snapshot *s);
void print_metrics(const struct snapshot *s);

#endif
