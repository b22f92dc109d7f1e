/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The life of a listener: see lifecycle.h. */
#include "pmacct.h"
#include <poll.h>
#include <pthread.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/exporter_state.h"
#include "reuseport/health.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/receive.h"
#include "reuseport/room.h"
#include "reuseport/sessions.h"

#define HOUSEKEEPING_MS 100   /* how often the main thread does its housekeeping */
#define PLUGINS_MAX_MS  10000 /* a plugin that does not read after that time, such as one that waits for its database, may never do */
#define QUIET_MS        100   /* a queue that has been empty for so long is drained */

/* Written by the main thread alone; `reads` with listeners_mutex held, because other threads read it. */
static struct {
  int in_loop;             /* it is in its main loop */
  int reads;               /* its plugins are ready, and it reads */
  long long in_loop_since; /* ms; when it entered its main loop */
  long long next_ms;       /* when the next housekeeping is due */
} main_thread;

/* ---- the main thread's housekeeping ---- */

/* bucket: as it is, with the socket of another process or with none. */
static void log_lost_bucket(enum reuseport_listener id, const struct rp_bucket *bucket)
{
  char who[64] = "another process";

  if (reuseport_has_fault(RP_STUCK) || reuseport_has_fault(RP_STOPPED)) {
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: is awake again, after it did not %s for more than %d s and was taken out of its buckets. Draining, "
                     "then exiting.\n",
        config.name, reuseport_has_fault(RP_STUCK) ? "read" : "run", REUSEPORT_STUCK_MS / 1000);
    return;
  }
  if (bucket->pid) snprintf(who, sizeof(who), "%s pid %u", bucket->comm, bucket->pid);
  if (bucket->cookie)
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: index %u of listener %s was taken over by %s. Draining, then "
                  "exiting.\n",
        config.name, reuseport_config.index, reuseport_listener_names[id].name, who);
  else
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: another process emptied index %u of listener %s in %s. Draining, then "
                     "exiting.\n",
        config.name, reuseport_config.index, reuseport_listener_names[id].name, reuseport_config.pin_path);
}

/* Joins what waits, and drains if another process has changed one of the buckets. The caller holds listeners_mutex. */
static void check_buckets()
{
  struct rp_bucket bucket;
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS && !reuseport_is_draining(); id++) {
    struct listener *listener = &listeners[id];

    if (listener->phase == LISTENER_WAITING && main_thread.reads) reuseport_join(id);
    if (listener->phase != LISTENER_JOINED || rp_owns_bucket(&listener->member, &bucket)) continue;

    log_lost_bucket(id, &bucket);
    /* the service manager, or an operator, may stop this instance once the new one runs */
    reuseport_start_draining(1);
  }
}

/* The caller holds listeners_mutex. */
static void start_reading()
{
  int id;

  main_thread.reads = TRUE;
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_JOINED) rp_set_ready(&listeners[id].member);
}

/* The caller holds listeners_mutex. */
static void leave_hung_plugin()
{
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: a plugin has not read for %d s what this instance has for it. Its exporters go to other instances. "
                   "Draining, then exiting.\n",
      config.name, REUSEPORT_STUCK_MS / 1000);
  reuseport_note_fault(RP_STUCK, 0, NULL);
  reuseport_start_draining(1);
}

int reuseport_is_reading()
{
  return main_thread.reads;
}

/* Returns: whether the daemon drains, but waits for the group's lock; it goes on to read. */
static int is_leaving()
{
  return reuseport_is_draining() && !reuseport_has_left_buckets();
}

static void housekeeping()
{
  long long now = reuseport_now_ms();
  int starts_reading = FALSE;

  reuseport_come_round(reuseport_main_listener());
  if (now < main_thread.next_ms && (!reuseport_signalled() || reuseport_is_draining())) return;

  if (!main_thread.in_loop) {
    main_thread.in_loop = TRUE;
    main_thread.in_loop_since = now;
    reuseport_catch_signals();
  }
  reuseport_let_signals_in();
  reuseport_note_round();

  pthread_mutex_lock(&listeners_mutex);
  if (reuseport_signalled() && !reuseport_is_draining()) {
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: leaving %s on a signal. Draining, then exiting.\n", config.name, reuseport_config.pin_path);
    reuseport_start_draining(0);
  }
  /* the service manager, or an operator, may stop it meanwhile */
  if (reuseport_lacks_a_plugin() && !reuseport_is_draining()) reuseport_start_draining(1);
  if (reuseport_plugin_hangs() && !reuseport_is_draining() && reuseport_others_can_serve()) leave_hung_plugin();
  if (!main_thread.reads && !reuseport_is_draining() &&
      (reuseport_plugins_ready() || now - main_thread.in_loop_since > PLUGINS_MAX_MS)) {
    starts_reading = TRUE;
    start_reading();
  }
  check_buckets();
  reuseport_leave_if_due();
  main_thread.next_ms = now + (main_thread.reads && !is_leaving() ? HOUSEKEEPING_MS : REUSEPORT_PLUGINS_MS);
  pthread_mutex_unlock(&listeners_mutex);

  reuseport_tidy_exporter_state();
  if (starts_reading) {
    reuseport_check_room();
    reuseport_notify_ready();
  }
}

void reuseport_prepare_to_read()
{
  for (housekeeping(); !main_thread.reads && !reuseport_is_draining(); housekeeping()) reuseport_sleep_ms(REUSEPORT_PLUGINS_MS);

  reuseport_end_if_overdue();
}

void reuseport_end_if_quiet(int sock)
{
  struct pollfd queue = {.fd = sock, .events = POLLIN};

  if (!poll(&queue, 1, is_leaving() ? REUSEPORT_PLUGINS_MS : QUIET_MS)) reuseport_end_if_drained();
}

/* ---- threads with several sockets ---- */

/* Closes a listener that has left: the kernel hands the connections that wait to another instance, if it can. Returns: whether it
   has. */
static int close_left_listener(enum reuseport_listener id, enum listener_phase phase, fd_set *fds)
{
  if (phase != LISTENER_LEFT || listeners[id].sock < 0) return FALSE;

  FD_CLR(listeners[id].sock, fds);
  close(listeners[id].sock);
  listeners[id].sock = -1;

  return TRUE;
}

/* Returns: whether it has closed the listener, or any session. */
static int close_sockets(enum reuseport_listener id, fd_set *fds)
{
  enum listener_phase phase;
  int closed;

  pthread_mutex_lock(&listeners_mutex);
  phase = listeners[id].phase;
  closed = close_left_listener(id, phase, fds);
  pthread_mutex_unlock(&listeners_mutex);

  if (closed) reuseport_end_sessions(id, fds);

  return closed || (phase == LISTENER_JOINED && reuseport_return_sessions(id, fds));
}

static struct timeval shorten(const struct timeval *timeout)
{
  struct timeval shorter = {0, (reuseport_has_left_buckets() ? QUIET_MS : REUSEPORT_WAIT_MS) * 1000};

  return timeout && !timeout->tv_sec && timeout->tv_usec < shorter.tv_usec ? *timeout : shorter;
}

/* Marks the listener alone as ready, so that the main loop calls reuseport_recvfrom(), and does then what signals have asked for.
   Returns: how many are ready. */
static int mark_only(enum reuseport_listener id, fd_set *ready)
{
  FD_ZERO(ready);
  FD_SET(listeners[id].sock, ready);

  return 1;
}

int reuseport_select(enum reuseport_listener id, int nfds, fd_set *ready, struct timeval *timeout, fd_set *fds, int *recalc_fds)
{
  int is_main = id == reuseport_main_listener(), has_sessions = !reuseport_is_udp(id), ret;
  struct timeval shorter;

  if (!reuseport_enabled()) return select(nfds, ready, NULL, NULL, timeout);

  if (is_main)
    reuseport_prepare_to_read();
  else {
    reuseport_wait_for_forks(id);
    reuseport_come_round(id);
  }
  ret = reuseport_select_batches(nfds, ready);
  if (ret) return ret;

  if (id == REUSEPORT_NFACCTD && reuseport_reload_is_due()) return mark_only(id, ready);
  if (has_sessions && close_sockets(id, fds)) {
    *recalc_fds = TRUE;
    errno = EINTR;
    return -1;
  }
  /* the sessions end with the daemon: there is no queue to wait for */
  if (is_main && has_sessions) reuseport_end_without_queue();

  shorter = shorten(timeout);
  ret = select(nfds, ready, NULL, NULL, &shorter);
  /* PM_sigint_handler() closes sockets that other threads still wait for: do not spin */
  if (ret < 0 && errno == EBADF) reuseport_sleep_ms(HOUSEKEEPING_MS);
  /* datagrams of a batch are counted when they are handed out */
  if (is_main && ret > 0) reuseport_count_handled(ret - reuseport_count_batches(ready));
  if (is_main && !ret) reuseport_end_if_drained();

  return ret;
}
