/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The end of an instance: leaves its buckets, reads what is queued, and hands over to upstream's shutdown.
 *
 * 1. A signal handler sets a flag only. The main thread does the rest, between two datagrams.
 * 2. The buckets are given up first. From then on nothing new arrives, except in the sessions that a thread has.
 * 3. The daemon ends by PM_sigint_handler() (signals.c of upstream), once the queues have stayed empty; on another signal, or
 *    after RP_LEAVE_SECONDS, in which no plugin hung or waited for a disk, it ends with datagrams queued, and logs a warning.
 */
#include "pmacct.h"
#include <sys/prctl.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define LOCK_MS 100 /* how long another process may hold the group's lock until an instance leaves without it */

static volatile sig_atomic_t stop_signals, last_signal = SIGINT;

/* Written by the main thread. Other threads read `left` in reuseport_select(), to choose how long to wait: one that sees it late waits that much
   longer, once. */
static struct {
  int left;                   /* it is out of its buckets */
  int signals_expected;       /* how many signals there may have been: one more ends the daemon at once */
  long long began_ms;         /* when it began */
  long long until_ms;         /* when it ends, whatever is queued */
  unsigned long long handled; /* datagrams that the main thread has read since then */
} draining;

/* ---- signals ---- */

static void on_stop_signal(int signum)
{
  last_signal = signum;
  if (stop_signals < 100) stop_signals++;
  if (reuseport_is_draining() && stop_signals > draining.signals_expected) reuseport_hurry_plugins();
}

void reuseport_catch_signals()
{
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* What the main loops of upstream block. */
static void fill_signal_set(sigset_t *set)
{
  sigemptyset(set);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGCHLD);
  sigaddset(set, SIGHUP);
  sigaddset(set, SIGUSR1);
  sigaddset(set, SIGUSR2);
}

void reuseport_let_signals_in()
{
  sigset_t set, before;

  fill_signal_set(&set);
  pthread_sigmask(SIG_UNBLOCK, &set, &before);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int reuseport_loop_sets_signals()
{
  static int blocked;
  int first = !blocked;

  blocked = TRUE;

  return first || !reuseport_enabled();
}

int reuseport_sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
  return reuseport_loop_sets_signals() ? sigprocmask(how, set, before) : 0;
}

int reuseport_signalled()
{
  return stop_signals > 0;
}

/* ---- draining ---- */

/* Returns: a member that has joined, or NULL. */
static struct rp_member *find_joined()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_JOINED) return &listeners[id].member;

  return NULL;
}

/* Locks the group by that member. Returns: whether to leave now: with the lock, or because another process, such as one that is stopped, does not
   release it. */
static int lock_to_leave(struct rp_member *member)
{
  if (rp_lock(member, 0) != -EBUSY) return TRUE;

  rp_unlock(member);
  if (reuseport_now_ms() - draining.began_ms < LOCK_MS) return FALSE;

  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: another process has held the lock on %s for more than %d ms: leaving without it. It may be stopped, or "
                   "hang: see 'fuser -v %s'.\n",
      config.name, reuseport_config.pin_path, LOCK_MS, reuseport_config.pin_path);

  return TRUE;
}

void reuseport_leave_if_due()
{
  struct rp_member *member = find_joined();

  if (!reuseport_is_draining() || draining.left || (member && !lock_to_leave(member))) return;

  reuseport_leave_all();
  if (member) rp_unlock(member);
  draining.left = TRUE;
  draining.handled = 0;
}

void reuseport_start_draining(int extra_signals)
{
  draining.began_ms = reuseport_now_ms();
  draining.until_ms = draining.began_ms + RP_LEAVE_SECONDS * 1000;
  draining.signals_expected = stop_signals + extra_signals;
  reuseport_set_draining();
  reuseport_leave_if_due();
}

/* Others are to know that the sockets are still bound. */
static void renew_leave()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_LEFT && listeners[id].sock >= 0) rp_renew_leave(&listeners[id].member);
}

void reuseport_wait_for_hung_plugins()
{
  static long long next_ms;
  long long now = reuseport_now_ms();

  if (!reuseport_is_draining() || now < next_ms || !reuseport_hung_plugin_may_go_on()) return;

  next_ms = now + 1000;
  draining.until_ms = now + RP_LEAVE_SECONDS * 1000;
  if (draining.left) renew_leave();
}

int reuseport_has_left_buckets()
{
  return draining.left;
}

void reuseport_count_handled(int datagrams)
{
  draining.handled += datagrams;
}

/* ---- the end ---- */

/*
 * Tells exporters that their DTLS sessions end, so that they connect again, to another instance. PM_sigint_handler() would do so,
 * too, by pm_dtls_server_bye(NULL), but that crashes (network.c, 1.7.6 to 1.7.9: it writes to its argument), and records that the
 * plugins have not written yet are lost.
 */
static void end_dtls_sessions()
{
#ifdef WITH_GNUTLS
  struct xflow_status_entry *entry;
  int idx;

  for (idx = 0; idx < XFLOW_STATUS_TABLE_SZ; idx++)
    for (entry = dtls_status_table.t[idx]; entry; entry = entry->next) pm_dtls_server_bye(&entry->dtls);
#endif
}

/* Waits for the plugins to read: what is in the rings, or pipes, is lost if a plugin gets its signal before it has read them. */
static void wait_for_plugins()
{
  long long deadline = reuseport_now_ms() + RP_LEAVE_SECONDS * 1000;

  reuseport_send_gathered();
  for (reuseport_lacks_a_plugin(); !reuseport_plugins_ready() && reuseport_now_ms() < deadline; reuseport_lacks_a_plugin())
    reuseport_sleep_ms(REUSEPORT_PLUGINS_MS);
}

/*
 * PM_sigint_handler() closes the other sockets, and not this one, which would stay bound while plugins write: another instance that starts
 * meanwhile would take it for a stranger's. Its thread may be reading: it gets a socket to which nothing is sent.
 */
static void close_telemetry_socket()
{
  int other;

  if (listeners[REUSEPORT_TELEMETRY_UDP].phase == LISTENER_UNBOUND) return;

  other = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (other < 0) other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (other < 0) return;
  dup2(other, listeners[REUSEPORT_TELEMETRY_UDP].sock);
  close(other);
}

static void finish(int level, const char *how)
{
  sigset_t set;

  Log(level, "%s ( %s/core ): reuseport: %s: handled %llu more datagrams in %lld ms since it left.\n",
      level == LOG_WARNING ? "WARN" : "INFO", config.name, how, draining.handled, reuseport_now_ms() - draining.began_ms);
  reuseport_stop_watch();
  reuseport_empty_store();
  wait_for_plugins();

  /* otherwise handle_falling_child() (signals.c, 1.7.6 to 1.7.9) may exit with an error first, when the plugins end */
  signal(SIGCHLD, SIG_DFL);
  /* those of SIGINT and SIGTERM stay: PM_sigint_handler() counts the last record twice if it is entered twice */
  fill_signal_set(&set);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  /* a process that outlives its plugin, such as one that writes to a database, becomes a child of the core */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  /* PM_sigint_handler() waits for one plugin only, and the service manager may kill the others when the core is gone */
  atexit(reuseport_wait_for_children);
  end_dtls_sessions();
  close_telemetry_socket();
  PM_sigint_handler(last_signal);
}

void reuseport_end_if_overdue()
{
  if (!reuseport_is_draining()) return;

  if (stop_signals > draining.signals_expected)
    finish(LOG_WARNING, "not drained, on another signal: what is queued is lost");
  if (reuseport_now_ms() > draining.until_ms)
    finish(LOG_WARNING, "not drained, there was too much: what is queued is lost");
}

void reuseport_end_if_drained()
{
  if (draining.left && !reuseport_any_inherited_queued() && !reuseport_any_queued()) finish(LOG_INFO, "drained");
}

void reuseport_end_without_queue()
{
  if (draining.left) finish(LOG_INFO, "left");
}
