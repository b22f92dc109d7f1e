/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a listener, from bind to the end of the daemon: what lifecycle.c, receive.c, shutdown.c, plugins.c, orphan.c and notify.c have in
 * common.
 *
 * 1. The main thread moves all listeners of the process from phase to phase, inside reuseport_recvfrom() or reuseport_select().
 *    That way they join and leave together.
 * 2. In nfacctd and sfacctd, BGP, BMP and telemetry are threads. Each opens its own listener, and closes it once it has left. In
 *    pmbgpd, pmbmpd and pmtelemetryd the main thread does both.
 * 3. While a listener waits, a helper thread joins it as soon as no other instance receives its exporters.
 */
#ifndef REUSEPORT_LIFECYCLE_H
#define REUSEPORT_LIFECYCLE_H

#define REUSEPORT_PLUGINS_MS 20 /* how often to look whether the plugins read, while they do not yet */

/* ---- lifecycle.c ---- */

/* For the main thread, before it reads: does what is due, waits until the plugins read what it is going to hand to them, and ends an
   overdue drain. */
extern void reuseport_prepare_to_read();

/* Returns: whether the main thread reads: then its plugins are forked, and ready. */
extern int reuseport_is_reading();

/* Ends a daemon that drains, if the socket stays empty for a while and so are all queues. */
extern void reuseport_end_if_quiet(int sock);

/* Gives up the buckets of an instance that has been starting for so many ms, if others read meanwhile; it joins when it reads. */
extern void reuseport_step_back_if_stuck(int ms);

/* ---- shutdown.c ---- */

/* Handles SIGINT and SIGTERM from now on: they are only noted. */
extern void reuseport_catch_signals();

/*
 * Lets in the signals that have come since the last time, and blocks them again. Upstream unblocks them after each datagram and blocks
 * them before the next (main() in nfacctd.c and sfacctd.c, 1.7.6 to 1.7.9): two system calls a datagram, and a signal waits for a
 * datagram. With the keys, the main thread unblocks them here only.
 */
extern void reuseport_let_signals_in();

/* Returns: whether a signal has asked the daemon to stop. */
extern int reuseport_signalled();

/*
 * Leaves all buckets; the daemon ends when its queues are empty. extra_signals: how many further signals do not end it at once,
 * because they ask for what happens anyway. The caller holds listeners_mutex.
 */
extern void reuseport_start_draining(int extra_signals);
extern int reuseport_is_draining();

/* Counts datagrams, or sockets with data, that the main thread has read: for the log line at the end. */
extern void reuseport_count_handled(int datagrams);

/* Each ends a daemon that drains, by PM_sigint_handler(): on another signal or after RP_LEAVE_SECONDS; if no datagrams are
   queued; whatever is queued, where closing the sessions is all there is to do. */
extern void reuseport_end_if_overdue();
extern void reuseport_end_if_drained();
extern void reuseport_end_without_queue();

/* ---- plugins.c ---- */

/* Returns: whether the core has forked any plugin. Before that, exit_all() of 1.7.6 (util.c) would kill the whole process group,
   because it signals plugins whose pid is 0. */
extern int reuseport_plugins_forked();

/* Returns: whether all plugins poll their rings. What the core hands to a plugin that does not poll yet stays in the ring until
   the next datagram. */
extern int reuseport_plugins_ready();

/*
 * Returns: whether a plugin has so much of its ring left to read that the next batch might overwrite it. The core is to wait then: what
 * is too much is dropped at the socket, where it is counted and shown, and not in the ring. A plugin that has read nothing for a second
 * is not waited for, and none that does not publish where it reads: the memory plugin, which has a pipe, and those with plugin_pipe_zmq.
 */
extern int reuseport_plugins_lag();

/* Makes nfacctd_templates_file, if it is not there: upstream only updates one that is, and logs an error otherwise. */
extern void reuseport_make_templates_file();

/* Returns: whether a signal has asked the main thread to reload maps, reopen log files, or print statistics. */
extern int reuseport_reload_is_due();

/* For atexit(): waits until all children have ended. */
extern void reuseport_wait_for_children();

/* ---- orphan.c ---- */

/* In the core, before it forks. */
extern void reuseport_note_core();

/* In each forked child: if it is a plugin, it is not to end without writing when the core is killed. */
extern void reuseport_outlive_core();

/* ---- notify.c ---- */

/* Tells systemd, or another service manager that sets NOTIFY_SOCKET, that the instance reads: a unit of Type=notify counts as
   started then, and the restart of the next instance may begin. */
extern void reuseport_notify_ready();

/* Returns: where the service manager listens, for log lines; NULL: there is none. */
extern const char *reuseport_service_manager();

/* Sends it a message, and a copy of fd, unless that is -1. Returns: 0, or -1 with errno set. */
extern int reuseport_notify(const char *message, int fd);

#endif
