/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a listener: bound, waiting, in its bucket, left, drained.
 *
 * 1. The main thread moves all listeners of the process, from inside reuseport_recvfrom() or reuseport_select(): that
 *    way they join and leave one right after the other. In nfacctd and sfacctd, BGP, BMP and telemetry are threads: each opens a listener
 *    of its own, and closes it once it has left. In pmbgpd, pmbmpd and pmtelemetryd there is one thread for both.
 * 2. As long as a listener waits for its turn, a thread sees to it that it is not needed earlier.
 * 3. Signals only set a flag. What they ask for is done by the main thread, between two datagrams.
 * 4. The end is upstream's: PM_sigint_handler(), after the socket has been read empty.
 */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include "bgp/bgp.h"
#include "bmp/bmp.h"
#include "telemetry/telemetry.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include "reuseport/life.h"

#define TURN_MS     100   /* how often the main thread looks after its listeners, and how long any thread sleeps at most */
#define PLUGINS_MS  20    /* the same, while plugins start */
#define PLUGINS_MAX 10000 /* a plugin that does not listen after that, such as one that waits for its database, never may */
#define WAITING_MS  20    /* how often a listener that waits looks whether it is needed */
#define QUIET_MS    100   /* a queue that has been empty for so long is drained */
#define HOME_EVERY  1     /* seconds between two looks at whose sessions we have */
#define HOME_GRACE  5     /* seconds that a session stays after its owner is back */
#define HOME_SPREAD 10    /* seconds over which sessions go home, each router at its own moment */

static const struct {
  const char *name;
  int protocol;
} listeners[REUSEPORT_LISTENERS] = REUSEPORT_LISTENER_NAMES;

enum phase {
  ABSENT,  /* not bound yet, or never */
  WAITING, /* bound; others serve its exporters */
  JOINED,  /* in its bucket */
  LEFT,    /* its bucket is given up, or was taken */
};

static struct {
  struct rp_member member;
  enum phase phase;
  int sock;
} lives[REUSEPORT_LISTENERS] = {
    [0 ... REUSEPORT_LISTENERS - 1] = {.sock = -1},
};
/* Always before the group's lock, which one thread would not get from another either: from before bind() until the
   socket is bound, or listens, and wherever listeners are moved */
static pthread_mutex_t listeners_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The main thread's */
static struct {
  int loops;                  /* it is in its loop */
  int reads;                  /* and its plugins are in theirs */
  int stops;                  /* it drains, and then goes */
  int signals_then;           /* how many there had been when that began: one more ends it */
  long long next, began;      /* ms: its next turn; when it started to wait for its plugins, or to drain */
  unsigned long long handled; /* datagrams since then, of its own listeners */
} self;

static volatile sig_atomic_t stop_signals, last_signal = SIGINT;

long long reuseport_now_ms()
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);

  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void nap(int ms)
{
  const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

  nanosleep(&t, NULL);
}

/* ---- opening ---- */

static void log_libbpf(const char *line)
{
  Log(LOG_DEBUG, "DEBUG ( %s/core ): reuseport: %s\n", config.name, line);
}

void reuseport_rehearse(const char *filename, enum reuseport_listener id)
{
  struct rp_member member;

  rp_set_log(config.debug || debug ? log_libbpf : NULL);
  rp_init(&member);
  if (rp_open(&member, &reuseport_config, listeners[id].name, listeners[id].protocol)) {
    Log(LOG_ERR, "ERROR: [%s] reuseport: %s. Exiting.\n", filename, member.error);
    exit(1);
  }
  rp_close(&member);
}

/* A child that inherits a listener keeps its bucket occupied after the daemon died: traffic would go nowhere. The same
   with the group's lock. Runs in every forked child, plugins and writers alike, and once per fd, since the child
   reuses the number. */
static void close_listeners_in_child()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    if (lives[id].sock < 0) continue;
    close(lives[id].sock);
    lives[id].sock = -1;
    if (lives[id].member.lock >= 0) close(lives[id].member.lock);
    lives[id].member.lock = -1;
  }
}

static void watch_forks()
{
  pthread_atfork(NULL, NULL, close_listeners_in_child);
}

/* Before they are, exit_gracefully() of 1.7.6 would signal the whole process group: their pids are 0 */
static int plugins_forked()
{
  const struct plugins_list_entry *list;

  for (list = plugins_list; list; list = list->next)
    if (strcmp(list->type.string, "core") && list->pid) return TRUE;

  return FALSE;
}

static void refuse(struct rp_member *member)
{
  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: %s. Exiting.\n", config.name, member->error);
  rp_unlock(member);
  if (!plugins_forked()) {
    if (config.pidfile) remove_pid_file(config.pidfile);
    exit(1);
  }
  exit_gracefully(1);
}

/* Leaves the mutex locked, and the group, until bound() */
static void open_listener(enum reuseport_listener id, int sock, const struct sockaddr *addr, socklen_t len)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  static int warned;
  struct rp_member *member = &lives[id].member;
  struct timeval patience = {0, TURN_MS * 1000};
  int yes = 1, no = 0;

  /* before another thread forks, which may be while this one waits */
  rp_init(member);
  lives[id].sock = sock;
  pthread_once(&once, watch_forks);

  pthread_mutex_lock(&listeners_mutex);
  setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
  /* With SO_REUSEADDR on every UDP socket of the port the kernel lets other users' sockets in, and serves them first */
  if (listeners[id].protocol == IPPROTO_UDP) setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(no));
  /* The main thread reads without asking first, and has its turns. Upstream's handshake blocks it, too: what that waits for may
     be somebody else's by then. */
  if (id == REUSEPORT_DTLS) patience = (struct timeval){1, 0};
  if (listeners[id].protocol == IPPROTO_UDP) setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  fcntl(sock, F_SETFD, FD_CLOEXEC);

  if (rp_open(member, &reuseport_config, listeners[id].name, listeners[id].protocol)) refuse(member);
  if (rp_check_address(member, sock, addr, len)) refuse(member);
  if (member->missing[0] && !warned++)
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: %s lacks the maps %s%s: use reuseport.o to have what they are for.\n",
        config.name, reuseport_config.prog, member->missing, rp_fails_over(member) ? "" : ", and does no failover");
}

/* ---- joining ---- */

static void join(int id)
{
  struct rp_member *member = &lives[id].member;
  struct rp_bucket slot;
  __u32 bucket, live = 0;

  if (rp_join(member, lives[id].sock, self.reads ? RP_READY : RP_STARTING)) refuse(member);
  lives[id].phase = JOINED;

  for (bucket = 0; bucket < RP_MAX_BUCKETS; bucket++)
    if (!rp_read_bucket(member, bucket, &slot) && slot.cookie) live++;
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s joined %s as index %u of %u (%u live, nonce %u, failover %s).\n",
      config.name, member->listener, reuseport_config.pin_path, reuseport_config.index, rp_get_size(member), live, member->nonce,
      rp_fails_over(member) ? "on" : "off");
}

/* The main thread may load and sleep for many seconds. If those who serve its exporters are gone meanwhile, the listener
   joins. */
static void *wait_in_reserve(void *arg)
{
  int id = (int) (intptr_t) arg, waits;

  do {
    nap(WAITING_MS);
    pthread_mutex_lock(&listeners_mutex);
    if (lives[id].phase == WAITING && !rp_has_ready_peer(&lives[id].member)) join(id);
    waits = lives[id].phase == WAITING;
    pthread_mutex_unlock(&listeners_mutex);
  } while (waits);

  return NULL;
}

/* Signals are for the other threads, as they would be without this one */
static void start_reserve(int id)
{
  sigset_t all, before;
  pthread_t thread;

  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  if (pthread_create(&thread, NULL, wait_in_reserve, (void *) (intptr_t) id))
    join(id);
  else
    pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void bound(enum reuseport_listener id)
{
  struct rp_member *member = &lives[id].member;

  if (self.stops) {
    rp_unlock(member);
    lives[id].phase = LEFT;
  }
  else if (rp_has_ready_peer(member)) {
    rp_unlock(member);
    lives[id].phase = WAITING;
    start_reserve(id);
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

  open_listener(id, sock, addr, len);
  /* upstream says why, and exits */
  if (bind(sock, addr, len)) return -1;
  if (listeners[id].protocol == IPPROTO_UDP) bound(id);

  return 0;
}

int reuseport_listen(enum reuseport_listener id, int sock, int backlog)
{
  if (!reuseport_enabled()) return listen(sock, backlog);

  /* as many as come at once when another instance ends */
  if (listen(sock, SOMAXCONN)) return -1;
  bound(id);

  return 0;
}

/* What the core hands to a plugin that does not poll yet stays in the ring until the next datagram */
static int plugins_poll()
{
  int idx;

  for (idx = 0; idx < MAX_N_PLUGINS && (channels_list[idx].aggregation || channels_list[idx].aggregation_2); idx++)
    if (!channels_list[idx].plugin->cfg.pipe_zmq && !channels_list[idx].status->wakeup) return FALSE;

  return TRUE;
}

/* ---- leaving ---- */

static void on_stop_signal(int signum)
{
  last_signal = signum;
  if (stop_signals < 100) stop_signals++;
}

static void take_signals()
{
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* Upstream blocks them, and lets them in after the next datagram, which may never come. Blocks them again by itself. */
static void let_signals_in()
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void leave(int id)
{
  struct rp_member *member = &lives[id].member;

  if (lives[id].phase == JOINED && rp_leave(member))
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: %s. What arrives until its socket is closed may be lost.\n",
        config.name, member->error);
  if (lives[id].phase != ABSENT) lives[id].phase = LEFT;
}

/* signals: how many more are a mere confirmation, and no sign of hurry */
static void stop(long long now, int signals)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) leave(id);
  self.stops = TRUE;
  self.signals_then = stop_signals + signals;
  self.began = now;
  self.handled = 0;
}

/* Upstream waits for one of its plugins only; the service manager may kill what is left when the core is gone. Waits also for
   what plugins have left behind, such as those that write to a database. */
static void wait_for_plugins()
{
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  while (wait(NULL) > 0) continue;
}

/* Tells exporters that their sessions end: their next ones are somebody else's. Upstream would do so too, but crashes there
   before 1.8, with what its plugins have not written. */
static void end_dtls_sessions()
{
#ifdef WITH_GNUTLS
  struct xflow_status_entry *entry;
  int idx;

  for (idx = 0; idx < XFLOW_STATUS_TABLE_SZ; idx++)
    for (entry = dtls_status_table.t[idx]; entry; entry = entry->next) pm_dtls_server_bye(&entry->dtls);
#endif
}

static void finish(int level, const char *how)
{
  long long deadline;

  Log(level, "%s ( %s/core ): reuseport: %s: handled %llu more datagrams in %lld ms since it left.\n",
      level == LOG_WARNING ? "WARN" : "INFO", config.name, how, self.handled, reuseport_now_ms() - self.began);
  /* what is in the rings is lost if a plugin gets its signal before it is done */
  for (deadline = reuseport_now_ms() + RP_LEAVE_SECONDS * 1000; !plugins_poll() && reuseport_now_ms() < deadline;) nap(PLUGINS_MS);

  /* or upstream's handler of falling children may exit with an error first */
  signal(SIGCHLD, SIG_DFL);
  /* entered twice, upstream's shutdown counts the last record twice */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  /* whoever outlives its plugin is the core's child from then on */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  atexit(wait_for_plugins);
  end_dtls_sessions();
  PM_sigint_handler(last_signal);
}

/* Whether a listener still has datagrams queued, in whatever thread */
static int queued()
{
  int id, queues = 0;
  struct pollfd queue[REUSEPORT_LISTENERS];

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (lives[id].sock >= 0 && listeners[id].protocol == IPPROTO_UDP)
      queue[queues++] = (struct pollfd){.fd = lives[id].sock, .events = POLLIN};

  return poll(queue, queues, 0) > 0;
}

/* ---- the main thread's turn ---- */

static enum reuseport_listener main_listener()
{
  switch (config.acct_type) {
  case ACCT_SF:
    return REUSEPORT_SFACCTD;
  case ACCT_PMBGP:
    return REUSEPORT_BGP;
  case ACCT_PMBMP:
    return REUSEPORT_BMP;
  case ACCT_PMTELE:
    return REUSEPORT_TELEMETRY;
  default:
    return REUSEPORT_NFACCTD;
  }
}

static void look_after_listeners(long long now)
{
  struct rp_bucket slot;
  char who[64] = "another process";
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS && !self.stops; id++) {
    if (lives[id].phase == WAITING && self.reads) join(id);
    if (lives[id].phase != JOINED || rp_owns_bucket(&lives[id].member, &slot)) continue;

    if (slot.pid) snprintf(who, sizeof(who), "%s pid %u", slot.comm, slot.pid);
    if (slot.cookie)
      Log(LOG_INFO, "INFO ( %s/core ): reuseport: index %u of listener %s was taken over by %s. Draining, then "
                    "exiting.\n",
          config.name, reuseport_config.index, listeners[id].name, who);
    else
      Log(LOG_WARNING, "WARN ( %s/core ): reuseport: somebody emptied index %u of listener %s in %s. Draining, then "
                       "exiting.\n",
          config.name, reuseport_config.index, listeners[id].name, reuseport_config.pin_path);
    stop(now, 1);
  }
}

/* A unit of Type=notify is started when it reads: a restart of the next instance may wait for that */
static void tell_service_manager()
{
  const char *path = getenv("NOTIFY_SOCKET"), message[] = "READY=1";
  struct sockaddr_un manager;
  size_t len;
  int sock;

  if (!path || !*path) return;

  len = strlen(path);
  memset(&manager, 0, sizeof(manager));
  manager.sun_family = AF_UNIX;
  if (len < sizeof(manager.sun_path)) memcpy(manager.sun_path, path, len);
  /* an abstract name */
  if (path[0] == '@') manager.sun_path[0] = '\0';

  sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (len >= sizeof(manager.sun_path)) errno = ENAMETOOLONG;
  if (len >= sizeof(manager.sun_path) || sock < 0 ||
      sendto(sock, message, strlen(message), 0, (struct sockaddr *) &manager, offsetof(struct sockaddr_un, sun_path) + len) < 0)
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot tell the service manager at %s that it reads (%s): it may stop what it takes for a failed start.\n",
        config.name, path, strerror(errno));
  if (sock >= 0) close(sock);
}

static void turn()
{
  long long now = reuseport_now_ms();
  int id, begins = FALSE;

  if (now < self.next && (!stop_signals || self.stops)) return;

  if (!self.loops) {
    self.loops = TRUE;
    self.began = now;
    take_signals();
  }
  let_signals_in();

  pthread_mutex_lock(&listeners_mutex);
  if (stop_signals && !self.stops) {
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: leaving %s on a signal. Draining, then exiting.\n", config.name, reuseport_config.pin_path);
    stop(now, 0);
  }
  if (!self.reads && !self.stops && (plugins_poll() || now - self.began > PLUGINS_MAX)) {
    self.reads = begins = TRUE;
    for (id = 0; id < REUSEPORT_LISTENERS; id++)
      if (lives[id].phase == JOINED) rp_set_ready(&lives[id].member);
  }
  look_after_listeners(now);
  self.next = now + (self.reads ? TURN_MS : PLUGINS_MS);
  pthread_mutex_unlock(&listeners_mutex);
  if (begins) tell_service_manager();
}

/* Before the main thread reads: not as long as what it reads would be lost, nor longer than it may */
static void take_turn()
{
  for (turn(); !self.reads && !self.stops; turn()) nap(PLUGINS_MS);

  if (self.stops && stop_signals > self.signals_then) finish(LOG_WARNING, "not drained, on another signal: what is queued is lost");
  if (self.stops && reuseport_now_ms() - self.began > RP_LEAVE_SECONDS * 1000)
    finish(LOG_WARNING, "not drained, there was too much: what is queued is lost");
}

ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  struct pollfd queue = {.fd = sock, .events = POLLIN};
  ssize_t ret;

  if (!reuseport_enabled()) return recvfrom(sock, buf, len, flags, from, from_len);

  for (;;) {
    take_turn();

    /* one call for a datagram, as upstream: it waits no longer than SO_RCVTIMEO */
    ret = recvfrom(sock, buf, len, flags | (self.stops ? MSG_DONTWAIT : 0), from, from_len);
    if (ret >= 0) self.handled++;
    if (ret >= 0 || (errno != EAGAIN && errno != EINTR)) return ret;
    if (self.stops && !poll(&queue, 1, QUIET_MS) && !queued()) finish(LOG_INFO, "drained");
  }
}

/* ---- a thread with sessions ---- */

/* As the selector sees it: the sender of the packets, not what a proxy says about it */
static int exporter_of(int fd, union rp_addr *exporter)
{
  struct sockaddr_storage peer;
  socklen_t len = sizeof(peer);

  if (getpeername(fd, (struct sockaddr *) &peer, &len)) return FALSE;
  if (peer.ss_family == AF_INET)
    rp_addr_v4(exporter, ((struct sockaddr_in *) &peer)->sin_addr.s_addr);
  else
    memcpy(exporter, &((struct sockaddr_in6 *) &peer)->sin6_addr, sizeof(*exporter));

  return TRUE;
}

/* Of a listener's sessions, those of all peers that it could have */
static struct bgp_peer *peer_at(enum reuseport_listener id, int idx)
{
  switch (id) {
  case REUSEPORT_BGP:
    return idx < config.bgp_daemon_max_peers ? &peers[idx] : NULL;
  case REUSEPORT_BMP:
    return idx < config.bmp_daemon_max_peers ? &bmp_peers[idx].self : NULL;
  case REUSEPORT_TELEMETRY_TCP:
    return idx < config.telemetry_max_peers ? &telemetry_peers[idx] : NULL;
  default:
    return NULL;
  }
}

static void close_session(enum reuseport_listener id, int idx, fd_set *fds)
{
  struct bgp_peer *peer = peer_at(id, idx);
  char message[] = "another collector serves this router again";

  FD_CLR(peer->fd, fds);
  switch (id) {
  case REUSEPORT_BGP:
    if (peer->xconnect_fd > 0) FD_CLR(peer->xconnect_fd, fds);
    bgp_peer_close(peer, FUNC_TYPE_BGP, FALSE, TRUE, BGP_NOTIFY_CEASE, BGP_NOTIFY_CEASE_ADMIN_RESET, message);
    break;
  case REUSEPORT_BMP:
    bmp_peer_close(&bmp_peers[idx], FUNC_TYPE_BMP);
    break;
  default:
    telemetry_peer_close(peer, FUNC_TYPE_TELEMETRY);
  }
}

/*
 * Flows are back with an instance the moment it joins, sessions stay where they failed over to: this closes those whose
 * owner is live again, and the router's next connect finds it there. Returns whether it closed any.
 */
static int return_sessions(enum reuseport_listener id, fd_set *fds)
{
  static struct {
    struct {
      time_t since;   /* its owner is live and somebody else; 0: not so */
      u_int16_t port; /* of the session that it is about */
    } * away;
    time_t next;
  } homes[REUSEPORT_LISTENERS];
  struct rp_member *member = &lives[id].member;
  time_t now = reuseport_now_ms() / 1000;
  char router[INET6_ADDRSTRLEN];
  union rp_addr exporter;
  struct bgp_peer *peer;
  struct rp_bucket owner;
  int idx, closed = FALSE;
  __u32 bucket;

  if (now < homes[id].next) return FALSE;
  homes[id].next = now + HOME_EVERY;
  if (!homes[id].away) {
    for (idx = 0; peer_at(id, idx);) idx++;
    homes[id].away = calloc(idx + 1, sizeof(*homes[id].away));
  }
  if (!homes[id].away || !rp_fails_over(member)) return FALSE;

  for (idx = 0; (peer = peer_at(id, idx)); idx++) {
    if (peer->fd <= 0 || !exporter_of(peer->fd, &exporter)) continue;
    bucket = rp_find_bucket(member, &exporter);
    if (bucket == reuseport_config.index || rp_read_bucket(member, bucket, &owner) || !owner.cookie || owner.state != RP_READY) {
      homes[id].away[idx].since = 0;
      continue;
    }
    if (!homes[id].away[idx].since || homes[id].away[idx].port != peer->tcp_port) {
      homes[id].away[idx].since = now;
      homes[id].away[idx].port = peer->tcp_port;
    }
    if (now - homes[id].away[idx].since < HOME_GRACE + (time_t) (rp_hash(&exporter, 0) % HOME_SPREAD)) continue;

    addr_to_str(router, &peer->addr);
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: [%s] closing its session with listener %s: index %u, which it belongs to, is live again.\n",
        config.name, router, listeners[id].name, bucket);
    close_session(id, idx, fds);
    homes[id].away[idx].since = 0;
    closed = TRUE;
  }

  return closed;
}

/* Returns whether it closed any socket */
static int look_after_sessions(enum reuseport_listener id, fd_set *fds)
{
  enum phase phase;
  int closes;

  pthread_mutex_lock(&listeners_mutex);
  phase = lives[id].phase;
  closes = phase == LEFT && lives[id].sock >= 0;
  /* the kernel hands the connections that wait to somebody else, if it can */
  if (closes) {
    FD_CLR(lives[id].sock, fds);
    close(lives[id].sock);
    lives[id].sock = -1;
  }
  pthread_mutex_unlock(&listeners_mutex);

  return closes || (phase == JOINED && return_sessions(id, fds));
}

int reuseport_select(enum reuseport_listener id, int nfds, fd_set *ready, struct timeval *timeout, fd_set *fds, int *recalc_fds)
{
  int mains = id == main_listener(), tcp = listeners[id].protocol == IPPROTO_TCP, ret;
  struct timeval shorter;

  if (!reuseport_enabled()) return select(nfds, ready, NULL, NULL, timeout);

  if (mains) take_turn();
  if (tcp && look_after_sessions(id, fds)) {
    *recalc_fds = TRUE;
    errno = EINTR;
    return -1;
  }
  /* sessions end with it: there is nothing to wait for */
  if (mains && tcp && self.stops) finish(LOG_INFO, "left");

  shorter.tv_sec = 0;
  shorter.tv_usec = (self.stops ? QUIET_MS : TURN_MS) * 1000;
  if (timeout && !timeout->tv_sec && timeout->tv_usec < shorter.tv_usec) shorter = *timeout;
  ret = select(nfds, ready, NULL, NULL, &shorter);
  /* in its shutdown upstream closes what other threads still wait for */
  if (ret < 0 && errno == EBADF) nap(TURN_MS);
  if (mains && ret > 0) self.handled += ret;
  if (mains && !ret && self.stops && !queued()) finish(LOG_INFO, "drained");

  return ret;
}

/* ---- what a successor may have made anew ---- */

static struct stat made;

void reuseport_made(const char *path)
{
  stat(path, &made);
}

int reuseport_may_remove(const char *path)
{
  FILE *file;
  struct stat st;
  long pid = 0;

  if (!reuseport_enabled()) return TRUE;

  if (stat(path, &st)) return FALSE;
  /* numbers of inodes are used again */
  if (!S_ISREG(st.st_mode))
    return st.st_ino == made.st_ino && st.st_ctim.tv_sec == made.st_ctim.tv_sec && st.st_ctim.tv_nsec == made.st_ctim.tv_nsec;

  file = fopen(path, "r");
  if (!file) return FALSE;
  if (fscanf(file, "%ld", &pid) != 1) pid = 0;
  fclose(file);

  return pid == getpid();
}
