/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What pmacct's own files call to share their ports; pmacct.h includes it.
 *
 * 1. Without any reuseport_* key in the config, the functions that stand for a system call are that system call, and the
 *    others do nothing.
 * 2. With the keys, a setting that cannot be applied is logged in one line and ends the daemon with exit status 1.
 */
#ifndef REUSEPORT_H
#define REUSEPORT_H

#include <sys/select.h>
#include <sys/socket.h>
#include "checks.h"
#include "listener_names.h"

/* The telemetry daemon of upstream has one of the two (telemetry_daemon() in telemetry.c, 1.7.6 to 1.7.9). */
#define REUSEPORT_TELEMETRY (config.telemetry_port_tcp ? REUSEPORT_TELEMETRY_TCP : REUSEPORT_TELEMETRY_UDP)

/* For getopt(): -x INDEX */
#define REUSEPORT_ARGS "x:"

/* Config keys, for the dictionary in cfg.c. Arguments: the config's file name, the plugin's name or NULL, the value. */
extern int cfg_key_reuseport_hashbucket_count(char *, char *, char *);
extern int cfg_key_reuseport_hashbucket_index(char *, char *, char *);
extern int cfg_key_reuseport_bpf_prog(char *, char *, char *);
extern int cfg_key_reuseport_pin_path(char *, char *, char *);
extern int cfg_key_reuseport_nonce(char *, char *, char *);
extern int cfg_key_reuseport_failover(char *, char *, char *);
extern int cfg_key_reuseport_takeover(char *, char *, char *);
extern int cfg_key_reuseport_quarantine(char *, char *, char *);

/* Returns: whether the config has any of the keys. */
extern int reuseport_enabled();

/* Finds the values of a config that have $index in them. Before they are evaluated: then each line is "KEY:VALUE". */
extern void reuseport_note_values(char **lines, int number);

/*
 * Checks, when the whole config is parsed, the keys against each other, against the other keys, the BPF object and the group.
 * Changes nothing of the group, but that it claims an index if that is 'auto'. Puts the index in the place of each $index. Exits with
 * status 1 if the config cannot be applied.
 */
extern void reuseport_check_config(char *filename);

/*
 * In place of bind() and listen(). Opens the group and checks that the listener fits in, before it is bound. The listener joins
 * at once if no other instance receives this instance's exporters, and otherwise when the main thread is about to read.
 * Children that are forked later do not hold the socket. Exits with status 1 if the group refuses the listener.
 * Returns: as bind() and listen() do.
 */
extern int reuseport_bind(enum reuseport_listener, int sock, const struct sockaddr *, socklen_t);
extern int reuseport_listen(enum reuseport_listener, int sock, int backlog);

/*
 * In place of recvfrom() in the main loop of nfacctd and sfacctd. Joins before the first datagram, and checks now and then
 * that the bucket is still this instance's. On a signal, or when another instance has taken the bucket, it leaves, returns
 * what is queued, and then ends the daemon by PM_sigint_handler(). Reads datagrams in batches and returns one of them: see
 * receive.h. Arguments, return value and errno are those of recvfrom(), with a timeout of 50 ms: -1 and EAGAIN, so that the
 * main loop does what a signal has asked for, such as to reload maps, although no datagram comes. flags: none; MSG_PEEK for the DTLS
 * listener, which gnutls reads: for that one, this is recvfrom().
 */
extern ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *, socklen_t *);

/* The same for a socket that reuseport_select() has marked as ready, in any thread, and without the life cycle. flags: MSG_PEEK, if
   any. If the socket is no UDP listener, this is recvfrom(). */
extern ssize_t reuseport_receive(int sock, void *buf, size_t len, int flags, struct sockaddr *, socklen_t *);

/* In place of pm_recv() with MSG_WAITALL, for telemetry: len bytes of a session, or of a datagram. Returns: as recv(); for a session of which
   not all of them come within seconds, or none any more, 0, so that it is closed. */
extern ssize_t reuseport_receive_whole(int sock, void *buf, size_t len);

/*
 * In place of accept() for a session. One that would leave the process without descriptors, or have one that select() does not know, is closed,
 * and counted as refused. Returns: as accept(); -1 if there is none, or it was refused.
 */
extern int reuseport_accept(enum reuseport_listener, int sock, struct sockaddr *, socklen_t *);

/* For the connection that a BGP xconnect has opened, or could not open: no child has it. Returns: whether there is one that select() knows. */
extern int reuseport_take_xconnect(int sock);

/* In place of close(): for a session that is refused because the daemon has as many as it may; and for any session, so that it ends although a
   child may have a copy. */
extern void reuseport_refuse_session(enum reuseport_listener, int session);
extern void reuseport_close_session(int session);

/* In place of recv() on a session: if what it returns brings the daemon down, it is known whose it was. */
extern ssize_t reuseport_recv(int sock, void *buf, size_t len, int flags);

/* The same, for what is read by another function: the thread has what comes from that session in hand until it selects again. */
extern void reuseport_take_session_in_hand(int sock);

/*
 * Returns: whether what reuseport_recvfrom() has returned last is no datagram that came, but what the exporter told earlier, to this
 * instance or another: the decoder learns from it; plugins, statistics and other collectors get nothing of it.
 */
extern int reuseport_replays();

/* Counts a datagram that the daemon's allow file does not list, for 'reuseportctl status'. */
extern void reuseport_count_disallowed();

/*
 * For the main loop of nfacctd, sfacctd and pmtelemetryd, which blocks signals, and lets them in once for each datagram. Returns: whether
 * it is to do so: with the keys only the first time, to block them. The functions above let them in every 100 ms, between two batches.
 */
extern int reuseport_loop_sets_signals();

/* In place of sigprocmask() in such a loop. */
extern int reuseport_sigprocmask(int how, const sigset_t *, sigset_t *);

/* Returns: whether reuseport_recvfrom(), which has returned received, has no datagram. The main loop does then what signals have asked
   for, and reads again. */
extern int reuseport_is_idle(ssize_t received);

/* Does what is left of that, if anything: reloads the maps of the plugins. Returns: as reuseport_is_idle() does. */
struct plugin_requests;
extern int reuseport_end_idle_turn(ssize_t received, struct plugin_requests *);

/*
 * In place of select() where a thread has several sockets: waits for a shorter time. In the main thread it does all that
 * reuseport_recvfrom() does, except for reading. In a thread with sessions, it closes the sessions whose owner is live again,
 * and a listener that has left. It then changes fds, of which ready is a copy, sets recalc_fds (variables of upstream's
 * loops), and returns -1 with EINTR. fds and recalc_fds are NULL where there are no sessions.
 */
extern int reuseport_select(enum reuseport_listener, int nfds, fd_set *ready, struct timeval *timeout, fd_set *fds, int *recalc_fds);

/*
 * Forgets the exporter address that came in options data of NetFlow v9 or IPFIX, if it is 0.0.0.0 or ::. The exporter is the
 * sender of the datagram then, as it is without such options. entry: may be NULL.
 */
struct xflow_status_entry;
extern void reuseport_forget_zero_exporter(struct xflow_status_entry *entry);

/* For PM_sigint_handler(), which has handed the last buffers to the plugins: waits until they have read them. Returns: FALSE, at once,
   without the keys. */
extern int reuseport_plugins_have_read();

/*
 * For a plugin with plugin_pipe_zmq, before it takes the next buffer: publishes which one it has read last. zmq_host: of its struct
 * channels_list_entry. buffer: where that one is, all zeroes before the first one.
 */
extern void reuseport_note_read(const void *zmq_host, const void *buffer);

/* For a plugin that is about to end: if that is because its core was killed, it writes first what it has. */
extern void reuseport_end_orphan();

/* Notes that this process has made a socket file at path. */
extern void reuseport_made(const char *path);

/* Returns: whether the socket file or pidfile at path is this process's own, and not the one of the instance that replaced it. */
extern int reuseport_may_remove(const char *path);

#endif
