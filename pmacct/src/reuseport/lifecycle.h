/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The life of a listener, from bind to the end of the daemon: what index.c, opening.c, joining.c, lifecycle.c, select.c, receive.c, shutdown.c,
 * plugins.c, plugin_pipes.c, threads.c, fork.c, orphan.c, notify.c and service.c have in common.
 *
 * 1. The main thread moves all listeners of the process from phase to phase, inside reuseport_recvfrom() or reuseport_select().
 *    That way they join and leave together.
 * 2. In nfacctd and sfacctd, BGP, BMP and telemetry are threads. Each opens its own listener, and closes it once it has left. In
 *    pmbgpd, pmbmpd and pmtelemetryd the main thread does both.
 * 3. While a listener waits, a helper thread joins it as soon as no other instance receives its exporters.
 */
#ifndef REUSEPORT_LIFECYCLE_H
#define REUSEPORT_LIFECYCLE_H

#include "reuseport/group.h"
#include "reuseport/listener_names.h"

struct channels_list_entry;
struct plugins_list_entry;

#define REUSEPORT_WAIT_MS    50  /* how long a thread waits for its sockets at most: a signal is answered within 150 ms */
#define REUSEPORT_QUIET_MS   100 /* a queue that has been empty for so long is drained */
#define REUSEPORT_PLUGINS_MS 20  /* how often to look whether the plugins read, while they do not yet */

/* How long to wait at most for plugins to read the last buffer: as long as upstream waits for those that have read it, too */
#define REUSEPORT_LAST_READ_MS 2000

/* ---- index.c ---- */

/* Has the index that no other instance has, or exits; filename: of the config, for the error line. */
extern void reuseport_claim_index(const char *filename);

/* Puts the index into the values that reuseport_note_values() has found. */
extern void reuseport_expand_values();

/* Lets other instances claim the index; in a child: closes its copy of the claim. */
extern void reuseport_release_index();
extern void reuseport_close_claim();

/* ---- joining.c ---- */

/* Logs the error of the member, and exits. */
extern void reuseport_exit_refused(struct rp_member *);

/* The socket is bound, or listens: joins, or waits until this instance reads or no other one receives its exporters. The caller holds listeners_mutex and
   the group's lock; this gives both back. */
extern void reuseport_join_or_wait(enum reuseport_listener id);

/* Puts the listener's socket into its bucket, or exits. The caller holds listeners_mutex. */
extern void reuseport_join(enum reuseport_listener id);

/* Gives up the buckets of an instance that has been starting for so many ms, if others read meanwhile; it joins when it reads. */
extern void reuseport_step_back_if_stuck(int ms);

/* ---- lifecycle.c ---- */

/* For the main thread, before it reads: does what is due, waits until the plugins read what it is going to hand to them, and ends an
   overdue drain. */
extern void reuseport_prepare_to_read();

/* Ends a daemon that drains, if the socket stays empty for a while and so are all queues. */
extern void reuseport_end_if_quiet(int sock);

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

/* Leaves the buckets of a daemon that drains, if it has not yet, because another process held the group's lock. The caller holds listeners_mutex. */
extern void reuseport_leave_if_due();

/* For the main thread, ten times a second: gives a daemon that drains more time while a plugin hangs, in whose ring there may be no room. */
extern void reuseport_wait_for_hung_plugins();

/* Returns: whether the daemon that drains is out of its buckets. */
extern int reuseport_has_left_buckets();

/* Counts datagrams, or sockets with data, that the main thread has read: for the log line at the end. */
extern void reuseport_count_handled(int datagrams);

/* Each ends a daemon that drains, by PM_sigint_handler(): on another signal or when its time is up; if no datagrams are
   queued; whatever is queued, where closing the sessions is all there is to do. */
extern void reuseport_end_if_overdue();
extern void reuseport_end_if_drained();
extern void reuseport_end_without_queue();

/* ---- plugins.c ---- */

/* Returns: whether the core has forked any plugin. Before that, exit_all() of 1.7.6 (util.c) would kill the whole process group,
   because it signals plugins whose pid is 0. */
extern int reuseport_plugins_forked();

/* Makes nfacctd_templates_file, if it is not there: upstream only updates one that is, and logs an error otherwise. */
extern void reuseport_make_templates_file();

/* Returns: whether a signal has asked the main thread to reload maps, reopen log files, or print statistics. */
extern int reuseport_reload_is_due();

/* Returns: whether it has maps to reload. In pmbgpd, pmbmpd and pmtelemetryd upstream does not take note when that is done: never. */
extern int reuseport_reloads_maps();

/* For atexit(): waits until all children have ended; for those that run another program, a few seconds. Exits with status 1 if a plugin had ended before. */
extern void reuseport_wait_for_children();

/*
 * For the main thread of nfacctd and sfacctd, every now and then: takes note of plugins that have ended, on which upstream's
 * handle_falling_child() would act in whichever thread gets the signal (signals.c, 1.7.6 to 1.7.9). Nothing is handed to them any more.
 * Returns: whether the instance is to end for that: no plugin is left, or plugin_exit_any is set, as it is if the config does not say
 * otherwise. It exits with status 1 then. While threads may still wait for forks, the caller holds listeners_mutex.
 */
extern int reuseport_lacks_a_plugin();

/* ---- plugin_pipes.c ---- */

/* Returns: the channel with that index, or NULL behind the last one. */
extern struct channels_list_entry *reuseport_channel(int idx);

/* Returns: whether all plugins wait for what the core hands to them, and have read what it has. In a ring, what it hands to a plugin that
   does not poll yet stays until the next datagram; in a pipe of ZeroMQ, what it sends to one that has not subscribed yet is lost. */
extern int reuseport_plugins_ready();

/* Returns: whether all plugins have come to their loops; those that do not tell count as such. */
extern int reuseport_plugins_have_begun();

/*
 * Returns: whether a plugin has so much of its ring left to read that the next batch might overwrite it, or has not subscribed to its pipe yet. The
 * core is to wait then: what is too much is dropped at the socket, where it is counted and shown, and not in the ring. It does not wait for
 * plugins that do not publish where they read: the memory plugin and mongodb's, both without plugin_pipe_zmq.
 */
extern int reuseport_plugins_lag();

/* For the main thread, ten times a second. Returns: a plugin that has not read for seconds, though there is something; or NULL. */
extern const struct plugins_list_entry *reuseport_find_hung_plugin();

/* given_up: has the core not wait for such plugins any more, unless they are all that there are, until they read; otherwise has it wait for them
   again. Returns: whether that was different for any. */
extern int reuseport_give_up_plugins(int given_up);

/* Returns: whether a plugin is stopped, or waits for a disk, or hangs for less than a minute: it may go on, but finds a signal before it reads. */
extern int reuseport_hung_plugin_may_go_on();

/* Reads who started a process. Returns: its state, as in proc(5); 0: there is none. */
extern char reuseport_read_process(pid_t pid, pid_t *parent);

/* At the end: plugins that hang are not waited for longer than others. For signal handlers, too. */
extern void reuseport_hurry_plugins();

/* Hands to plugins with plugin_pipe_zmq what has gathered for them. */
extern void reuseport_send_gathered();

/* ---- threads.c ---- */

/* Starts a thread of our own, which has all signals blocked: they go to the threads that upstream has for them. Returns: 0, or an errno. */
extern int reuseport_start_thread(void *(*run)(void *), void *arg);

/* For a thread of BGP, BMP or telemetry, before it selects for the first time: waits until the core has forked all plugins. */
extern void reuseport_wait_for_forks(enum reuseport_listener id);

/* For the main thread of nfacctd and sfacctd, before it forks: waits until these threads have come there. */
extern void reuseport_wait_for_threads();

/* ---- fork.c ---- */

/*
 * Sees to it that children which are forked from now on, by this process or by them, close their copies of all listeners, that
 * SIGINT and SIGTERM wait while one of these processes forks, and that no thread holds listeners_mutex then. May be called more than
 * once.
 */
extern void reuseport_close_listeners_in_children();

/* ---- orphan.c ---- */

/* In the core, before it forks. */
extern void reuseport_note_core();

/* In each forked child: if it is a plugin, it is not to end without writing when the core is killed. */
extern void reuseport_outlive_core();

/* ---- service.c ---- */

/* Starts the thread that tells the service manager, if there is one, that the instance is only slow, and its watchdog that it does not hang. */
extern void reuseport_start_telling();

/* ---- notify.c ---- */

/* Tells systemd, or another service manager that sets NOTIFY_SOCKET, that the instance reads: a unit of Type=notify counts as
   started then, and the restart of the next instance may begin. */
extern void reuseport_notify_ready();

/* Returns: where the service manager listens, for log lines; NULL: there is none. */
extern const char *reuseport_service_manager();

/* Sends it a message, and a copy of fd, unless that is -1. Returns: 0, or -1 with errno set. */
extern int reuseport_notify(const char *message, int fd);

#endif
