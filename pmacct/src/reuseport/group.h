/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A group of instances that share their ports: open it, join it, leave it, look at it. Needs libbpf and nothing of pmacct.
 *
 * 1. rp_open() takes the group's lock; rp_join(), rp_unlock() or rp_close() releases it. Bind (and listen) in between.
 * 2. A bound socket joins when its instance is about to read it. Until then its exporters go to ready peers; if there are none
 *    (rp_has_ready_peer()), it joins at once, because a queue is better than a refusal.
 * 3. An instance that stops leaves its bucket first, and then reads what its socket has queued.
 * 4. An instance that cannot join is refused before its socket is in a bucket: the group and its live instances stay as they were.
 * 5. While an instance is live in any listener of the group, the settings in force stay, and a new instance must match them.
 *    Without a live instance, what the new instance's config has replaces them, and the rest stays: overrides, quarantines, and a
 *    nonce, a failover or, for a day after a resize, a count that the config leaves open.
 * 6. A function that returns an error returns a negative errno and leaves one line in `error`, without a newline: what failed, on
 *    which object, why, what to do.
 */
#ifndef REUSEPORT_GROUP_H
#define REUSEPORT_GROUP_H

#include <linux/types.h>
#include <sys/socket.h>
#include "reuseport_abi.h"
#include "reuseport_hash.h"
#include "reuseport_spread.h"

#define RP_DEFAULT_PIN_PATH "/sys/fs/bpf/pmacct"
#define RP_LOCK_SECONDS     30 /* how long to wait for the group's lock */
#define RP_LEAVE_SECONDS    10 /* how long a socket stays bound after it left its bucket, or after rp_renew_leave() */

enum rp_map_id {
  RP_GROUP, /* first, since its number says whether the others are to be trusted */
  RP_SIZE,
  RP_NONCE,
  RP_POLICY,
  RP_SLOTS,
  RP_WEIGHTS,
  RP_OVERRIDES,
  RP_QUARANTINE,
  RP_STATE, /* what exporters tell only now and then: see state_pages.h */
  RP_CHANGES,
  RP_INSTANCES, /* of the daemon whose main thread reads the listener: see faults.h */
  RP_OWNERS,
  RP_COUNTERS,
  RP_TALKERS,
  RP_TARGETS, /* the socket array of the listener's transport */
  RP_MAPS,
};

enum rp_tristate {
  RP_UNSET = -1,
  RP_FALSE,
  RP_TRUE,
};

/* What an instance asks for */
struct rp_config {
  const char *prog;          /* path of the BPF object */
  const char *pin_path;      /* the group's directory, on a bpffs; its parent must exist */
  __u32 count;               /* buckets of the group, 1..RP_MAX_BUCKETS */
  __u32 index;               /* the instance's own bucket, below count */
  __u32 nonce;               /* 0: the group's, or a random one if there is no group */
  enum rp_tristate failover; /* RP_UNSET: the group's, or true if there is no group */
  int takeover;              /* replace the socket of a live instance that has this index */
  int no_quarantine;         /* an exporter that brings this instance down is not put into quarantine */
  /* Whether the instance has that socket from a dead one of its index, and may replace it; NULL: it has none. */
  int (*is_inherited)(__u64 cookie);
};

/* One listener's membership of the group */
struct rp_member {
  const struct rp_config *config;
  const char *listener;         /* its name, and that of its directory in the group's */
  int protocol;                 /* IPPROTO_UDP or IPPROTO_TCP */
  struct bpf_object *object;    /* NULL: opened from pins alone */
  struct bpf_program *selector; /* the object's program for this listener */
  int lock;                     /* open directory that holds the lock, or -1 */
  int opened;                   /* prog and fds were opened from pins, not by the object */
  int rehearses;                /* rp_rehearse(): nothing of the group may change */
  __u64 cookie;                 /* of the socket that joined; 0: none */
  struct rp_endpoint endpoint;  /* where it is bound, since rp_check_address() */
  struct bpf_map *map[RP_MAPS]; /* NULL: the object has none */
  int prog;                     /* fd of the selector, once loaded, or -1 */
  int fds[RP_MAPS];             /* fds of the maps, once loaded; -1: none */
  __u32 nonce;                  /* in force since rp_open() */
  char missing[160];            /* names of the optional maps that the object lacks, or "" */
  char error[1024];
};

/* One bucket of a listener, as rp_read_bucket() finds it */
struct rp_bucket {
  __u64 cookie; /* of the socket in it; 0: empty */
  __u64 since;  /* seconds of CLOCK_BOOTTIME; 0: unknown */
  __u32 pid;    /* 0: unknown, the object keeps no owners */
  __u32 state;  /* enum rp_state */
  struct rp_endpoint endpoint;
  char comm[RP_COMM_LEN + 1]; /* printable */
};

/* ---- member ---- */

/* Makes an empty member: the first call for each. */
void rp_init(struct rp_member *m);

/* Releases the lock and frees all that the member holds. A socket that has joined stays in its bucket until it is closed. */
void rp_close(struct rp_member *m);

/* Locks the group's directory, which must exist, waiting for at most that many seconds. Returns: 0, or a negative errno, -EBUSY: another
   member holds the lock, in this process or another one. */
int rp_lock(struct rp_member *m, int seconds);

/* Releases the group's lock, if the member holds it. The group may change until rp_join(). */
void rp_unlock(struct rp_member *m);

/* Writes the member's error line. Returns: err. */
int rp_fail(struct rp_member *m, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sets the function that gets libbpf's own messages, a line at a time; NULL, as at the start: none. */
void rp_set_log(void (*log)(const char *line));

/* ---- open, join, leave ---- */

/*
 * Locks the group, loads the object, checks it against the config, the pins and the live instances, and makes the pins that are
 * missing. config and listener must outlive the member, which is empty. If the group was resized within a day, a config may have the
 * count from before: the group's counts then (rp_get_size()).
 * Returns: 0 with the lock held, or a negative errno, the member closed. Among others: -ENOENT (no such file or directory),
 * -ENOEXEC (not an object of ours), -EPERM, -EBUSY (index in use, or lock held), -EEXIST (other settings or pins in force, or
 * another network namespace).
 */
int rp_open(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol);

/*
 * Makes the checks of rp_open() and changes nothing of the group: no directory, no pin, no setting. Where rp_open() would make
 * or remove something, checks that the directory may be written. Holds the group's lock meanwhile, if the group exists. m: empty,
 * and closed again afterwards.
 * Returns: 0, or the negative errno of rp_open(), with the same line in `error`.
 */
int rp_rehearse(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol);

/*
 * Makes and pins what a listener needs, for daemons that may not load programs: they use these pins. Of config, prog and pin_path
 * alone matter. In a group with live instances, the next one to join without the privilege attaches this program. m: empty,
 * and closed again afterwards.
 * Returns: as rp_open().
 */
int rp_preload(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol);

/*
 * Chooses the index for an instance that does not number itself, under the group's lock: that of a socket which it has from a dead one, else
 * the lowest whose bucket is empty in all listeners that uses() says it has, and which no other instance has claimed. listener: the one
 * that the claim is kept with. Of config, pin_path, count and is_inherited alone matter; makes the group's directory and the listener's.
 * m: empty, and closed again afterwards.
 * Returns: the claim, a file descriptor, which the instance keeps open until it leaves its buckets, and no child of it; or a negative
 * errno, -EBUSY: none is free.
 */
int rp_claim_index(struct rp_member *m, const struct rp_config *config, const char *listener, int (*uses)(const char *listener), __u32 *index);

/* Removes what claims have left in a listener's directory, an open one. The caller holds the group's lock. */
void rp_remove_claims(int listener);

/*
 * Checks, before bind(), that the address which sock is going to have is the group's own. The caller holds the group's lock.
 * Returns: 0; -EADDRNOTAVAIL: live instances of the listener have another address, device or v6only; -EADDRINUSE: sockets outside the group have it,
 * and would get our selector; or another negative errno of socket() and bind().
 */
int rp_check_address(struct rp_member *m, int sock, const struct sockaddr *addr, socklen_t len);

/* Returns: 1 if another ready instance receives our exporters while our bucket is empty, or 0. Takes no lock. */
int rp_has_ready_peer(const struct rp_member *m);

/*
 * Puts a bound (UDP) or listening (TCP) socket with SO_REUSEPORT into the bucket, in that state, and releases the lock. Takes
 * the lock first if the caller does not hold it.
 * Returns: 0, or a negative errno; -EEXIST: since rp_open(), the group was replaced, or resized to less than our index.
 */
int rp_join(struct rp_member *m, int sock, enum rp_state state);

/* Publishes that the socket that joined is being read: its state becomes RP_READY. Takes no lock. */
void rp_set_ready(struct rp_member *m);

/* Returns: 1 if the socket that joined is still in its bucket, or 0; bucket: what is in it. Takes no lock. */
int rp_owns_bucket(const struct rp_member *m, struct rp_bucket *bucket);

/*
 * Takes the socket that joined out of its bucket, if it is still there, so that nothing new arrives at it. The caller holds the group's lock,
 * in this member or another one, or has found that it cannot be had in time: to stay in the bucket would lose more.
 * Returns: 0, or a negative errno, and the socket is still in its bucket.
 */
int rp_leave(struct rp_member *m);

/* For a member that has left, every now and then, if its socket stays bound for longer than RP_LEAVE_SECONDS: lets others know. Not if another
   process holds the group's lock, or has joined in that bucket. */
void rp_renew_leave(struct rp_member *m);

/* ---- inspect; these take no lock ---- */

/* Reads one bucket of the member's listener. Returns: 0, or -EINVAL if index is not below RP_MAX_BUCKETS. */
int rp_read_bucket(const struct rp_member *m, __u32 index, struct rp_bucket *bucket);

/*
 * Calls each() for every listener of the group at config->pin_path, by name, with its maps opened for reading only, until it
 * returns something else than 0. The pins may also be those of upstream's *_rp_ebpf_prog (1.7.8), all in one directory: then the
 * listener's name is ".". m takes the error.
 * Returns: what each() returned last, or a negative errno.
 */
int rp_each_listener(struct rp_member *m, const struct rp_config *config, int (*each)(struct rp_member *listener, void *arg), void *arg);

/* Looks for an instance in the buckets from that index on, of all listeners. Returns: 1 and who it is in words, 0, or a negative errno. */
int rp_find_live(struct rp_member *m, __u32 from, char *who, size_t len);

/* Replaces each character that is not printable ASCII by '?': a process chooses its name (comm) itself. */
void rp_make_printable(char *text);

/* ---- settings ---- */

/* Locks the group at config->pin_path and opens its settings for writing; not those that another version has left, for which no instance
   is live. m: empty. Returns: 0 with the lock held, -ENOENT: there is no group, or another negative errno, the member closed. */
int rp_open_settings(struct rp_member *m, const struct rp_config *config);

/* Returns: the socket's SO_COOKIE, which no other socket of the host has, whatever descriptor it gets; 0: that is no socket. */
__u64 rp_read_cookie(int sock);

/* Returns: seconds of CLOCK_BOOTTIME, as the records have them. For signal handlers, too. */
__u64 rp_boot_seconds(void);

/* Returns: a setting of one u32 as it is now; 0 if the object does not have it. Takes no lock. */
__u32 rp_get_setting(const struct rp_member *m, enum rp_map_id id);

/* Writes a setting of one u32; does nothing if the object does not have it. The caller holds the group's lock. Returns: 0, or a
   negative errno. */
int rp_set_setting(struct rp_member *m, enum rp_map_id id, __u32 value);

/* Returns: the number of buckets as it is now, 1..RP_MAX_BUCKETS. Takes no lock. */
__u32 rp_get_size(const struct rp_member *m);

/* Notes, before the number of buckets is changed to size, which one it was, so that configs may have that one for a day. The caller holds
   the group's lock. Returns: 0, or a negative errno. */
int rp_note_resize(struct rp_member *m, __u32 size);

/* Has the selector take more samples (RP_WATCHED) until that time, in seconds of CLOCK_BOOTTIME, or later if it is to already. The caller
   holds the group's lock. Returns: 0, or a negative errno. */
int rp_watch(struct rp_member *m, __u64 until);

/* Ends that, unless it is to last beyond that time. The caller holds the group's lock. */
void rp_end_watch(struct rp_member *m, __u64 until);

/* Ends it if its time is over: a tool that was killed cannot. Call it now and then, without the lock. */
void rp_tidy_watch(struct rp_member *m);

/* Returns: 1 if other instances receive an empty bucket's exporters, or 0. Takes no lock. */
int rp_fails_over(const struct rp_member *m);

/* ---- route ---- */

/* What the selector does with an exporter */
struct rp_route {
  __u32 bucket;      /* the bucket that it belongs to */
  int overridden;    /* by an override, not by the hash */
  int rebalanced;    /* the override is one of 'reuseportctl rebalance' */
  enum rp_spread by; /* of an override that spreads the exporter: bucket is one of the range, the first for TCP */
  __u32 range;       /* how many buckets that has; otherwise 1 */
  int quarantined;
  __u32 receiver; /* the bucket that gets its traffic: the same, or another by failover; RP_NO_BUCKET: it is refused */
};

/* Finds out what the selector does with an exporter, by the settings and the buckets as they are now. Takes no lock. */
void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route);

/* The same for what goes to another bucket of an override's range: the number-th from its first on, below route->range. */
void rp_find_route_in_range(const struct rp_member *m, const union rp_addr *exporter, __u32 number, struct rp_route *route);

/* Returns: the bucket that an exporter has without overrides. Takes no lock. */
__u32 rp_find_place(const struct rp_member *m, const union rp_addr *exporter);

/* ---- address ---- */

/* Returns: the inode number of the calling thread's network namespace, as struct rp_endpoint has it; 0: unknown. */
__u64 rp_read_own_netns(void);

/* Reads the IP address of a socket address; an IPv4 one becomes v4-mapped. Returns: 0, or -EAFNOSUPPORT, and addr is all zeroes. */
int rp_addr_from_sockaddr(union rp_addr *addr, const struct sockaddr *from);

/* Writes an address as text, a v4-mapped one as IPv4. len: INET6_ADDRSTRLEN is always enough. */
void rp_format_addr(const union rp_addr *addr, char *text, size_t len);

#endif
