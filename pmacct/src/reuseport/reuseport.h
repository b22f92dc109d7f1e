/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemons call to share their ports: keys, log lines, life cycle. A thin skin over group.c.
 *
 * Without any reuseport_* key in the config every function here does nothing. With them, whatever cannot be
 * honoured is logged in one line and ends the daemon with exit status 1.
 */
#ifndef REUSEPORT_H
#define REUSEPORT_H

#include <sys/select.h>
#include <sys/socket.h>

/* Each listener has a socket array of its own: the kernel only selects among sockets of one port */
enum reuseport_listener {
  REUSEPORT_NFACCTD,
  REUSEPORT_TEMPLATES, /* nfacctd_templates_port */
  REUSEPORT_DTLS,      /* nfacctd_dtls_port */
  REUSEPORT_SFACCTD,
  REUSEPORT_BGP,
  REUSEPORT_BMP,
  REUSEPORT_TELEMETRY_TCP,
  REUSEPORT_TELEMETRY_UDP,
  REUSEPORT_LISTENERS,
};

/* Their names, by which they are pinned, and transports */
#define REUSEPORT_LISTENER_NAMES                                \
  {                                                             \
    [REUSEPORT_NFACCTD] = {"nfacctd", IPPROTO_UDP},             \
    [REUSEPORT_TEMPLATES] = {"nfacctd_templates", IPPROTO_UDP}, \
    [REUSEPORT_DTLS] = {"nfacctd_dtls", IPPROTO_UDP},           \
    [REUSEPORT_SFACCTD] = {"sfacctd", IPPROTO_UDP},             \
    [REUSEPORT_BGP] = {"bgp", IPPROTO_TCP},                     \
    [REUSEPORT_BMP] = {"bmp", IPPROTO_TCP},                     \
    [REUSEPORT_TELEMETRY_TCP] = {"telemetry_tcp", IPPROTO_TCP}, \
    [REUSEPORT_TELEMETRY_UDP] = {"telemetry_udp", IPPROTO_UDP}, \
  }

/* Upstream's telemetry daemon has one of the two */
#define REUSEPORT_TELEMETRY (config.telemetry_port_tcp ? REUSEPORT_TELEMETRY_TCP : REUSEPORT_TELEMETRY_UDP)

/* -x INDEX, for getopt() */
#define REUSEPORT_ARGS "x:"

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

/*
 * In the place of bind() and listen(): opens the group and sees to it that the listener fits in, before it is bound. It
 * joins now if nobody else serves the instance's exporters, otherwise when it is about to be read. No child that is
 * forked from now on holds the socket.
 */
extern int reuseport_bind(enum reuseport_listener, int sock, const struct sockaddr *, socklen_t);
extern int reuseport_listen(enum reuseport_listener, int sock, int backlog);

/*
 * In the place of recvfrom() in the main loop of nfacctd and sfacctd. Joins, before the first datagram; sees to it that
 * the bucket still is the instance's own; and on a signal, or when somebody has taken it over, leaves, returns what is
 * queued, and then ends the daemon by PM_sigint_handler(). Arguments, return value and errno are those of recvfrom().
 */
extern ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *, socklen_t *);

/*
 * In the place of select() where a thread has several sockets: waits for a shorter time. In the main thread it does all
 * that reuseport_recvfrom() does beside reading. Where there are sessions, it closes those that belong to another
 * instance, live again, and a listener that has left; then it returns -1 and EINTR, having changed fds, of which ready is
 * a copy, and recalc_fds: variables of upstream's loops. Both are NULL where there are none.
 */
extern int reuseport_select(enum reuseport_listener, int nfds, fd_set *ready, struct timeval *timeout, fd_set *fds, int *recalc_fds);

/* Notes that this process made a socket file; whether a socket file or a pidfile is its own to remove */
extern void reuseport_made(const char *path);
extern int reuseport_may_remove(const char *path);

#endif
