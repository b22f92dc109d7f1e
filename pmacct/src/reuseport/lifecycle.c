/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of a listener: see lifecycle.h. */
#include "pmacct.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/exporter_state.h"
#include "reuseport/faults.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/receive.h"
#include "reuseport/sessions.h"

#define HOUSEKEEPING_MS 100   /* how often the main thread does its housekeeping */
#define WAIT_MS         50    /* how long a thread waits for its sockets at most: a signal is answered within 150 ms */
#define PLUGINS_MAX_MS  10000 /* a plugin that does not read after that time, such as one that waits for its database, may never do */
#define WAITING_MS      20    /* how often the helper thread of a waiting listener looks for other instances */
#define QUIET_MS        100   /* a queue that has been empty for so long is drained */

/* Written by the main thread alone; `reads` with listeners_mutex held, because other threads read it. */
static struct {
  int in_loop;             /* it is in its main loop */
  int reads;               /* its plugins are ready, and it reads */
  long long in_loop_since; /* ms; when it entered its main loop */
  long long next_ms;       /* when the next housekeeping is due */
} main_thread;

/* ---- opening ---- */

/* Logs the error of the member, and exits. */
static void refuse(struct rp_member *member)
{
  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: %s. Exiting.\n", config.name, member->error);
  rp_unlock(member);
  if (!reuseport_plugins_forked()) {
    if (config.pidfile) remove_pid_file(config.pidfile);
    exit(1);
  }
  exit_gracefully(1);
}

static void set_socket_options(enum reuseport_listener id, int sock)
{
  struct timeval patience = {0, WAIT_MS * 1000};
  int yes = 1, no = 0;

  /* Upstream's DTLS handshake blocks the main thread (pm_dtls_server_process() in network.c, 1.7.6 to 1.7.9). It waits for
     datagrams that may go to another instance by then. */
  if (id == REUSEPORT_DTLS) patience = (struct timeval){1, 0};

  setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
  if (reuseport_is_udp(id)) {
    /* With SO_REUSEADDR on each UDP socket of the port, the kernel lets sockets of other users in, and prefers them. */
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(no));
    /* The main thread reads without polling first, and must come back for its housekeeping. */
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  fcntl(sock, F_SETFD, FD_CLOEXEC);
}

static void warn_of_missing_maps(const struct rp_member *member)
{
  static int warned;

  if (!member->missing[0] || warned) return;

  warned = TRUE;
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: %s lacks the maps %s%s%s: use reuseport.o to have what they are for.\n", config.name,
      reuseport_config.prog, member->missing, rp_fails_over(member) ? "" : ", and does no failover",
      config.acct_type != ACCT_NF || member->fds[RP_STATE] >= 0 ? "" : ", and keeps neither templates nor sampling rates");
}

/* Opens the group. Returns with listeners_mutex and the group's lock held: join_or_wait() gives both back. */
static void open_listener(enum reuseport_listener id, int sock, const struct sockaddr *addr, socklen_t len)
{
  const struct reuseport_listener_name *name = &reuseport_listener_names[id];
  struct rp_member *member = &listeners[id].member;

  /* before another thread forks, which may happen while this one waits for the mutex */
  rp_init(member);
  listeners[id].sock = sock;
  reuseport_close_listeners_in_children();

  pthread_mutex_lock(&listeners_mutex);
  set_socket_options(id, sock);
  if (rp_open(member, &reuseport_config, name->name, name->protocol)) refuse(member);
  if (rp_check_address(member, sock, addr, len)) refuse(member);
  warn_of_missing_maps(member);
  reuseport_start_watch(id);
}

/* ---- joining ---- */

/* Puts the socket into its bucket. The caller holds listeners_mutex. */
static void join(enum reuseport_listener id)
{
  struct rp_member *member = &listeners[id].member;
  struct rp_bucket bucket;
  __u32 number, live = 0;

  reuseport_tell_alive();
  if (rp_join(member, listeners[id].sock, main_thread.reads ? RP_READY : RP_STARTING)) refuse(member);
  listeners[id].phase = LISTENER_JOINED;
  listeners[id].joined_ms = reuseport_now_ms();
  reuseport_store_socket(id);

  for (number = 0; number < RP_MAX_BUCKETS; number++)
    if (!rp_read_bucket(member, number, &bucket) && bucket.cookie) live++;
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s joined %s as index %u of %u (%u live, nonce %u, failover %s).\n",
      config.name, member->listener, reuseport_config.pin_path, reuseport_config.index, rp_get_size(member), live, member->nonce,
      rp_fails_over(member) ? "on" : "off");
}

/*
 * The helper thread of a waiting listener. The main thread may be busy with its start for many seconds; if the instances that
 * receive the exporters are gone meanwhile, the listener joins, because a queue is better than a refusal.
 */
static void *watch_peers(void *arg)
{
  enum reuseport_listener id = (enum reuseport_listener)(intptr_t) arg;
  int waits;

  do {
    reuseport_sleep_ms(WAITING_MS);
    pthread_mutex_lock(&listeners_mutex);
    if (listeners[id].phase == LISTENER_WAITING && !rp_has_ready_peer(&listeners[id].member)) join(id);
    waits = listeners[id].phase == LISTENER_WAITING;
    pthread_mutex_unlock(&listeners_mutex);
  } while (waits);

  return NULL;
}

/* Starts the helper thread, which has all signals blocked: they go to the threads that upstream has for them. */
static void start_watching_peers(enum reuseport_listener id)
{
  sigset_t all, before;
  pthread_t thread;

  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  if (pthread_create(&thread, NULL, watch_peers, (void *) (intptr_t) id))
    join(id);
  else
    pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void reuseport_step_back_if_stuck(int ms)
{
  int id;

  /* whoever holds it may be what is stuck */
  if (pthread_mutex_trylock(&listeners_mutex)) return;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    struct listener *listener = &listeners[id];

    if (listener->phase != LISTENER_JOINED || main_thread.reads || reuseport_now_ms() - listener->joined_ms < ms) continue;
    if (!rp_has_ready_peer(&listener->member)) continue;

    rp_give_up_bucket(&listener->member);
    listener->phase = LISTENER_WAITING;
    start_watching_peers(id);
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: listener %s has been starting for more than %d s and gives its bucket back, since other instances "
                     "read: what keeps the daemon or its plugins from starting is above in this log.\n",
        config.name, listener->member.listener, ms / 1000);
  }
  pthread_mutex_unlock(&listeners_mutex);
}

/* The socket is bound, or listens: decides what becomes of it. Gives back what open_listener() holds. */
static void join_or_wait(enum reuseport_listener id)
{
  struct rp_member *member = &listeners[id].member;

  if (reuseport_is_draining()) {
    rp_unlock(member);
    listeners[id].phase = LISTENER_LEFT;
  }
  else if (rp_has_ready_peer(member)) {
    rp_unlock(member);
    listeners[id].phase = LISTENER_WAITING;
    start_watching_peers(id);
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s is bound and joins %s when it reads; live instances serve its "
                  "exporters until then.\n",
        config.name, member->listener, reuseport_config.pin_path);
  }
  else
    join(id);
  pthread_mutex_unlock(&listeners_mutex);
}

int reuseport_bind(enum reuseport_listener id, int sock, const struct sockaddr *addr, socklen_t len)
{
  if (!reuseport_enabled()) return bind(sock, addr, len);

  if (id == REUSEPORT_NFACCTD) reuseport_make_templates_file();
  open_listener(id, sock, addr, len);
  /* the caller, upstream's code, logs why and exits */
  if (bind(sock, addr, len)) return -1;
  if (reuseport_is_udp(id)) join_or_wait(id);

  return 0;
}

int reuseport_listen(enum reuseport_listener id, int sock, int backlog)
{
  if (!reuseport_enabled()) return listen(sock, backlog);

  /* not upstream's 1: when another instance ends, many routers connect at once */
  if (listen(sock, SOMAXCONN)) return -1;
  join_or_wait(id);

  return 0;
}

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

    if (listener->phase == LISTENER_WAITING && main_thread.reads) join(id);
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

int reuseport_is_reading()
{
  return main_thread.reads;
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

  pthread_mutex_lock(&listeners_mutex);
  if (reuseport_signalled() && !reuseport_is_draining()) {
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: leaving %s on a signal. Draining, then exiting.\n", config.name, reuseport_config.pin_path);
    reuseport_start_draining(0);
  }
  if (!main_thread.reads && !reuseport_is_draining() &&
      (reuseport_plugins_ready() || now - main_thread.in_loop_since > PLUGINS_MAX_MS)) {
    starts_reading = TRUE;
    start_reading();
  }
  check_buckets();
  main_thread.next_ms = now + (main_thread.reads ? HOUSEKEEPING_MS : REUSEPORT_PLUGINS_MS);
  pthread_mutex_unlock(&listeners_mutex);

  reuseport_tidy_exporter_state();
  if (starts_reading) reuseport_notify_ready();
}

void reuseport_prepare_to_read()
{
  for (housekeeping(); !main_thread.reads && !reuseport_is_draining(); housekeeping()) reuseport_sleep_ms(REUSEPORT_PLUGINS_MS);

  reuseport_end_if_overdue();
}

void reuseport_end_if_quiet(int sock)
{
  struct pollfd queue = {.fd = sock, .events = POLLIN};

  if (!poll(&queue, 1, QUIET_MS)) reuseport_end_if_drained();
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

  return closed || (phase == LISTENER_JOINED && reuseport_return_sessions(id, fds));
}

static struct timeval shorten(const struct timeval *timeout)
{
  struct timeval shorter = {0, (reuseport_is_draining() ? QUIET_MS : WAIT_MS) * 1000};

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
  else
    reuseport_come_round(id);
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
