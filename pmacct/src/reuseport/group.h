/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pinned group: open, lock, join, read who is there. libbpf only, knows nothing of pmacct.
 *
 * 1. rp_open() takes the group's lock, rp_join(), rp_unlock() or rp_close() gives it back: bind (and listen) between.
 * 2. A bound socket joins when its owner is about to read it. Until then rp_has_ready_peer() instances serve its exporters;
 *    if there are none, it joins at once, because a queue is better than a refusal.
 * 3. Whoever stops leaves its bucket first, and then reads what its socket has queued.
 * 4. Whatever is refused is refused before the socket joins: the group and its live instances stay as they were.
 * 5. While any instance is live in any listener of the group, its settings stand and a newcomer must match them.
 *    With nobody live they are leftovers, and the newcomer's settings replace them.
 * 6. Every function that fails returns a negative errno and leaves one line in `error`, without a newline:
 *    what, on which object, why, what to do.
 */
#ifndef REUSEPORT_GROUP_H
#define REUSEPORT_GROUP_H

#include <linux/types.h>
#include <sys/socket.h>
#include "reuseport_abi.h"
#include "reuseport_hash.h"

#define RP_DEFAULT_PIN_PATH "/sys/fs/bpf/pmacct"
#define RP_LOCK_SECONDS     30 /* how long to wait for somebody else's lock */
#define RP_LEAVE_SECONDS    10 /* how long a socket may be read after it left its bucket */

enum rp_map_id {
  RP_SIZE,
  RP_NONCE,
  RP_POLICY,
  RP_OVERRIDES,
  RP_OWNERS,
  RP_COUNTERS,
  RP_TARGETS,
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
  __u32 nonce;               /* 0: the group's, or a random one if there is no live group */
  enum rp_tristate failover; /* RP_UNSET: the group's, or true if there is no live group */
  int takeover;              /* replace the socket of a live instance that has this index */
};

/* One listener's membership of the group */
struct rp_member {
  const struct rp_config *config;
  const char *listener;
  int protocol; /* IPPROTO_UDP or IPPROTO_TCP */
  struct bpf_object *object;
  struct bpf_program *selector; /* of its programs, the one for this listener */
  int lock;                     /* open directory that holds the lock, or -1 */
  int opened;                   /* prog and fds were opened from pins, not by the object */
  int rehearses;                /* rp_rehearse(): nothing of the group may change */
  __u64 cookie;                 /* of the socket that joined; 0: none */
  struct rp_endpoint endpoint;  /* where it is bound, since rp_check_address() */
  struct bpf_map *map[RP_MAPS]; /* NULL: the object has none */
  int prog;
  int fds[RP_MAPS];  /* of these maps, once loaded; -1: none */
  __u32 nonce;       /* in force since rp_open() */
  char missing[128]; /* optional maps that the object lacks, by name, or "" */
  char error[1024];
};

/* One bucket of a listener, as rp_read_bucket() finds it */
struct rp_bucket {
  __u64 cookie; /* of the socket in it; 0: empty */
  __u64 since;  /* seconds since the epoch; 0: unknown */
  __u32 pid;    /* 0: unknown, its object keeps no owners */
  __u32 state;  /* enum rp_state */
  struct rp_endpoint endpoint;
  char comm[RP_COMM_LEN + 1];
};

/* Makes an empty member: before anything else */
void rp_init(struct rp_member *m);

/*
 * Locks the group, loads the object, checks it against the config, the pins and the live instances, and makes
 * what pins are missing. config and listener must outlive the member. Errors, among others: -ENOENT, -ENOEXEC
 * (not an object of ours), -EPERM, -EBUSY (index in use, or lock held), -EEXIST (other settings, pins or another network
 * namespace in force).
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
 * For daemons that may not load programs: makes and pins all that a listener needs. config: prog and pin_path alone matter. In a
 * running group, whoever joins next without the privilege attaches this program. m: empty, and closed again afterwards.
 */
int rp_preload(struct rp_member *m, const struct rp_config *config, const char *listener, int protocol);

/*
 * Before bind(): whether the address that sock is going to have is the group's own. If live instances of the listener have
 * another one: -EADDRNOTAVAIL. In use while nobody is live in the listener, the
 * program would be attached to somebody else's port: -EADDRINUSE. Errors of socket() too.
 */
int rp_check_address(struct rp_member *m, int sock, const struct sockaddr *addr, socklen_t len);

/* Whether somebody who reads serves this instance's exporters as long as it is not in its bucket */
int rp_has_ready_peer(const struct rp_member *m);

/* Gives the lock back, before rp_join(): the group may change meanwhile */
void rp_unlock(struct rp_member *m);

/*
 * Puts a bound (UDP) or listening (TCP) socket with SO_REUSEPORT into the bucket, in that state, and unlocks. Locks the
 * group first if need be: -EEXIST if it is not the one any more that rp_open() found, or has fewer buckets now.
 */
int rp_join(struct rp_member *m, int sock, enum rp_state state);

/* Lets the others know that the owner of a socket that joined reads it now */
void rp_set_ready(struct rp_member *m);

/* Whether the socket that joined still is in its bucket. If not, slot tells who is. */
int rp_owns_bucket(const struct rp_member *m, struct rp_bucket *slot);

/* Takes the socket that joined out of its bucket, if it is there: nothing new arrives at it. It can join no more. */
int rp_leave(struct rp_member *m);

/* Reads one bucket of the member's listener; bucket is below RP_MAX_BUCKETS. Takes no lock. */
int rp_read_bucket(const struct rp_member *m, __u32 bucket, struct rp_bucket *slot);

/* The group's settings as they are now: buckets, and whether live instances stand in for an empty one. No lock. */
__u32 rp_get_size(const struct rp_member *m);
int rp_fails_over(const struct rp_member *m);

/* The bucket that an exporter belongs to, live or not, by the settings in force now. Takes no lock. */
__u32 rp_find_bucket(const struct rp_member *m, const union rp_addr *exporter);

/* ---- for who looks at a group, or steers it ---- */

/* What the selector does with an exporter */
struct rp_route {
  __u32 bucket;   /* that it belongs to */
  int overridden; /* by an override, not by the hash */
  __u32 receiver; /* the bucket that gets what it sends: the same, or a stand-in; RP_NO_BUCKET: it is refused */
};
void rp_find_route(const struct rp_member *m, const union rp_addr *exporter, struct rp_route *route);

/*
 * Calls each() for every listener of the group at config->pin_path, by name, with its maps opened for reading only, until it
 * returns something else than 0, and returns that. Takes no lock and writes nothing. The pins may also be those of upstream's
 * *_rp_ebpf_prog, all in one directory: then the listener's name is ".". m takes the error.
 */
int rp_each_listener(struct rp_member *m, const struct rp_config *config, int (*each)(struct rp_member *listener, void *arg), void *arg);

/* Locks the group at config->pin_path, and opens for writing what settings it has. m: empty. -ENOENT: there is no group. */
int rp_open_settings(struct rp_member *m, const struct rp_config *config);

/* Whether anybody is live in that bucket or a later one, of any listener: 1 and who it is in words, 0, or a negative errno */
int rp_find_live(struct rp_member *m, __u32 from, char *who, size_t len);

/* A setting of the group, of one u32; 0 if the object has none. Writing one that it does not have does nothing. */
__u32 rp_get_setting(const struct rp_member *m, enum rp_map_id id);
int rp_set_setting(struct rp_member *m, enum rp_map_id id, __u32 value);

/* Returns: the inode number of the calling thread's network namespace, as struct rp_endpoint has it; 0: unknown. */
__u64 rp_read_own_netns(void);

/* Reads the IP address of a socket address; an IPv4 one becomes v4-mapped. Returns: 0, or -EAFNOSUPPORT, and addr is all zeroes. */
int rp_addr_from_sockaddr(union rp_addr *addr, const struct sockaddr *from);

/* Writes an address as text, a v4-mapped one as IPv4. len: INET6_ADDRSTRLEN is always enough. */
void rp_format_addr(const union rp_addr *addr, char *text, size_t len);

/* Replaces each character that is not printable ASCII by '?': a process chooses its name (comm) itself. */
void rp_make_printable(char *text);

/* For `error`; returns err */
int rp_fail(struct rp_member *m, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Unlocks and frees; a socket that has joined stays in its bucket until it is closed */
void rp_close(struct rp_member *m);

/* Where libbpf's own messages go, a line each; NULL, as at the start: nowhere */
void rp_set_log(void (*log)(const char *line));

#endif
