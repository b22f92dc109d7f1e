/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemons call to share their ports: keys, log lines, life cycle. A thin skin over group.c.
 *
 * Without any reuseport_* key in the config every function here does nothing. With them, whatever cannot be
 * honoured is logged in one line and ends the daemon with exit status 1.
 */
#ifndef REUSEPORT_H
#define REUSEPORT_H

/* Each listener has a socket array of its own: the kernel only selects among sockets of one port */
enum reuseport_listener {
  REUSEPORT_NFACCTD,
  REUSEPORT_BMP,
  REUSEPORT_LISTENERS,
};

/* Config keys, for the dictionary in cfg.c: filename, plugin name or NULL, value */
extern int cfg_key_reuseport_hashbucket_count(char *, char *, char *);
extern int cfg_key_reuseport_hashbucket_index(char *, char *, char *);
extern int cfg_key_reuseport_bpf_prog(char *, char *, char *);
extern int cfg_key_reuseport_pin_path(char *, char *, char *);
extern int cfg_key_reuseport_nonce(char *, char *, char *);
extern int cfg_key_reuseport_failover(char *, char *, char *);
extern int cfg_key_reuseport_takeover(char *, char *, char *);

/* Whether the keys are set */
extern int reuseport_enabled();

/* Checks the keys against each other, the rest of the config, the object and the running group, when all is parsed */
extern void reuseport_check_config(char *filename);

/* Opens and locks the group and sets the socket's options, before it is bound to that address. No child that is forked
   from now on holds the socket. */
extern void reuseport_open(enum reuseport_listener, int sock, const struct sockaddr *, socklen_t);

/* The socket is bound (UDP) or listening (TCP) by now: unlocks the group. It joins now if nobody else serves the
   instance's exporters, otherwise when it is about to be read. */
extern void reuseport_bound(enum reuseport_listener);

/* From now on SIGINT and SIGTERM are ours, and out of the set of those that are blocked. After plugins were forked. */
extern void reuseport_take_signals(sigset_t *blocked);

/*
 * In the place of recvfrom() in nfacctd's main loop. Joins, before the first datagram; sees to it that the bucket still
 * is the instance's own; and on a signal, or when somebody has taken it over, leaves, returns what is queued, and then
 * ends the daemon by PM_sigint_handler(). Arguments, return value and errno are those of recvfrom().
 */
extern ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *, socklen_t *);

/*
 * Each time round the loop of the BMP daemon, before it copies what it waits for: closes the listener once it has left,
 * and sessions that belong to another instance, live again. In pmbmpd also all that reuseport_recvfrom() does beside
 * reading. fds and recalc_fds: the loop's own variables.
 */
extern void reuseport_bmp_turn(fd_set *fds, int *recalc_fds);

/* How long that loop may wait, and how many connections it may let wait, if upstream would so long, and so many */
extern struct timeval *reuseport_select_timeout(struct timeval *);
extern int reuseport_backlog(int);

/* Notes that this process made a socket file; whether a socket file or a pidfile is its own to remove */
extern void reuseport_made(const char *path);
extern int reuseport_may_remove(const char *path);

#endif
