/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a listener: bound, waiting, in its bucket, left, drained.
 *
 * 1. nfacctd's main thread moves all listeners of the process, from inside reuseport_recvfrom(): that way they join
 *    and leave together. The BMP thread opens its own, and closes it once it has left. In pmbmpd both are one thread.
 * 2. As long as a listener waits for its turn, a thread sees to it that it is not needed earlier.
 * 3. Signals only set a flag. What they ask for is done by the main thread, between two datagrams.
 * 4. The end is upstream's: PM_sigint_handler(), after the socket has been read empty.
 */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include "bgp/bgp.h"
#include "bmp/bmp.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include "reuseport/life.h"

#define TURN_MS       100   /* how often the main thread looks after its listeners, and how long it sleeps at most */
#define PLUGINS_MS    20    /* the same, while plugins start */
#define PLUGINS_MAX   10000 /* a plugin that does not listen after that, such as one that waits for its database, never may */
#define WAITING_MS    20    /* how often a listener that waits looks whether it is needed */
#define QUIET_MS      100   /* a queue that has been empty for so long is drained */
#define HOME_EVERY    1     /* seconds between two looks at whose sessions we have */
#define HOME_GRACE    5     /* seconds that a session stays after its owner is back */
#define HOME_SPREAD   10    /* seconds over which sessions go home, each router at its own moment */
#define BMP_SELECT_MS 200   /* how long the BMP thread sleeps at most */

static const struct {
  const char *name;
  int protocol;
} listeners[REUSEPORT_LISTENERS] = {
    [REUSEPORT_NFACCTD] = {"nfacctd", IPPROTO_UDP},
    [REUSEPORT_BMP] = {"bmp", IPPROTO_TCP},
};

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
    [REUSEPORT_NFACCTD] = {.sock = -1},
    [REUSEPORT_BMP] = {.sock = -1},
};
/* Always before the group's lock, which one thread would not get from another either: from reuseport_open() to
   reuseport_bound(), and wherever listeners are moved */
static pthread_mutex_t lives_mutex = PTHREAD_MUTEX_INITIALIZER;

/* The main thread's */
static struct {
  int reads;                  /* it is in its loop, and its plugins are in theirs */
  int stops;                  /* it drains, and then goes */
  int signals_then;           /* how many there had been when that began: one more ends it */
  long long next, began;      /* ms: its next turn; when it started to wait for its plugins, or to drain */
  unsigned long long handled; /* datagrams since then */
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

void reuseport_rehearse(const char *filename, enum reuseport_listener id)
{
  struct rp_member member;

  rp_init(&member);
  if (rp_open(&member, &rp, listeners[id].name, listeners[id].protocol)) {
    Log(LOG_ERR, "ERROR: [%s] reuseport: %s. Exiting.\n", filename, member.error);
    exit(1);
  }
  rp_close(&member);
}

static void log_libbpf(const char *line)
{
  Log(LOG_DEBUG, "DEBUG ( %s/core ): reuseport: %s\n", config.name, line);
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

static void refuse(struct rp_member *member)
{
  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: %s. Exiting.\n", config.name, member->error);
  rp_unlock(member);
  exit_gracefully(1);
}

void reuseport_open(enum reuseport_listener id, int sock, const struct sockaddr *addr, socklen_t len)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  struct rp_member *member = &lives[id].member;
  int yes = 1, no = 0;

  if (!reuseport_enabled()) return;

  pthread_mutex_lock(&lives_mutex);
  setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
  /* With SO_REUSEADDR on every UDP socket of the port the kernel lets other users' sockets in, and serves them first */
  if (listeners[id].protocol == IPPROTO_UDP) setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(no));
  pthread_once(&once, watch_forks);
  fcntl(sock, F_SETFD, FD_CLOEXEC);
  rp_init(member);
  lives[id].sock = sock;
  rp_set_log(config.debug || debug ? log_libbpf : NULL);

  if (rp_open(member, &rp, listeners[id].name, listeners[id].protocol)) refuse(member);
  if (rp_check_address(member, sock, addr, len)) refuse(member);
  if (member->missing[0])
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: %s lacks the maps %s%s: use reuseport.o to have what they are for.\n",
        config.name, rp.prog, member->missing, rp_fails_over(member) ? "" : ", and does no failover");
}

/* ---- joining ---- */

static void join(int id)
{
  struct rp_member *member = &lives[id].member;
  struct rp_slot slot;
  __u32 bucket, live = 0;

  if (rp_join(member, lives[id].sock, self.reads ? RP_READS : RP_STARTS)) refuse(member);
  lives[id].phase = JOINED;

  for (bucket = 0; bucket < RP_MAX_BUCKETS; bucket++)
    if (!rp_slot(member, bucket, &slot) && slot.cookie) live++;
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s joined %s as index %u of %u (%u live, nonce %u, failover %s).\n",
      config.name, member->listener, rp.pin_path, rp.index, rp_size(member), live, member->nonce,
      rp_fails_over(member) ? "on" : "off");
}

/* The main thread may load and sleep for many seconds. If those who serve its exporters are gone meanwhile, the listener
   joins. */
static void *wait_in_reserve(void *arg)
{
  int id = (int) (intptr_t) arg, waits;

  do {
    nap(WAITING_MS);
    pthread_mutex_lock(&lives_mutex);
    if (lives[id].phase == WAITING && !rp_served(&lives[id].member)) join(id);
    waits = lives[id].phase == WAITING;
    pthread_mutex_unlock(&lives_mutex);
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

void reuseport_bound(enum reuseport_listener id)
{
  struct rp_member *member = &lives[id].member;

  if (!reuseport_enabled()) return;

  /* the mutex is locked since reuseport_open() */
  if (self.stops) {
    rp_unlock(member);
    lives[id].phase = LEFT;
  }
  else if (rp_served(member)) {
    rp_unlock(member);
    lives[id].phase = WAITING;
    start_reserve(id);
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s is bound and joins %s when it reads; live instances serve its "
                  "exporters until then.\n",
        config.name, member->listener, rp.pin_path);
  }
  else
    join(id);
  pthread_mutex_unlock(&lives_mutex);
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

void reuseport_take_signals(sigset_t *blocked)
{
  struct sigaction action;

  if (!reuseport_enabled()) return;

  memset(&action, 0, sizeof(action));
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigdelset(blocked, SIGINT);
  sigdelset(blocked, SIGTERM);
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

/* Upstream waits for one of its plugins only; the service manager may kill what is left when the core is gone */
static void wait_for_plugins()
{
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  while (wait(NULL) > 0) continue;
}

static void finish(const char *how)
{
  long long deadline;

  if (lives[REUSEPORT_NFACCTD].phase == LEFT)
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: %s: handled %llu more datagrams in %lld ms since it left.\n",
        config.name, how, self.handled, reuseport_now_ms() - self.began);
  /* what is in the rings is lost if a plugin gets its signal before it is done */
  for (deadline = reuseport_now_ms() + RP_LEAVE_SECONDS * 1000; !plugins_poll() && reuseport_now_ms() < deadline;) nap(PLUGINS_MS);

  /* or upstream's handler of falling children may exit with an error first */
  signal(SIGCHLD, SIG_DFL);
  /* entered twice, upstream's shutdown counts the last record twice */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  atexit(wait_for_plugins);
  PM_sigint_handler(last_signal);
}

/* ---- the main thread's turn ---- */

static void look_after_listeners(long long now)
{
  struct rp_slot slot;
  char who[64] = "another process";
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS && !self.stops; id++) {
    if (lives[id].phase == WAITING && self.reads) join(id);
    if (lives[id].phase != JOINED || rp_holds(&lives[id].member, &slot)) continue;

    if (slot.pid) snprintf(who, sizeof(who), "%s pid %u", slot.comm, slot.pid);
    if (slot.cookie)
      Log(LOG_INFO, "INFO ( %s/core ): reuseport: index %u of listener %s was taken over by %s. Draining, then "
                    "exiting.\n",
          config.name, rp.index, listeners[id].name, who);
    else
      Log(LOG_WARNING, "WARN ( %s/core ): reuseport: somebody emptied index %u of listener %s in %s. Draining, then "
                       "exiting.\n",
          config.name, rp.index, listeners[id].name, rp.pin_path);
    stop(now, 1);
  }
}

static void turn()
{
  long long now = reuseport_now_ms();
  int id;

  if (now < self.next && (!stop_signals || self.stops)) return;

  pthread_mutex_lock(&lives_mutex);
  if (!self.began) self.began = now;
  if (stop_signals && !self.stops) {
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: leaving %s on a signal. Draining, then exiting.\n", config.name, rp.pin_path);
    stop(now, 0);
  }
  if (!self.reads && !self.stops && (plugins_poll() || now - self.began > PLUGINS_MAX)) {
    self.reads = TRUE;
    for (id = 0; id < REUSEPORT_LISTENERS; id++)
      if (lives[id].phase == JOINED) rp_reads(&lives[id].member);
  }
  look_after_listeners(now);
  self.next = now + (self.reads ? TURN_MS : PLUGINS_MS);
  pthread_mutex_unlock(&lives_mutex);
}

ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  struct pollfd queue = {.fd = sock, .events = POLLIN};
  ssize_t ret;

  if (!reuseport_enabled()) return recvfrom(sock, buf, len, flags, from, from_len);

  for (;;) {
    turn();
    if (!self.reads && !self.stops) {
      nap(PLUGINS_MS);
      continue;
    }
    if (self.stops && stop_signals > self.signals_then) finish("not drained, on another signal: what is queued is lost");
    if (self.stops && reuseport_now_ms() - self.began > RP_LEAVE_SECONDS * 1000)
      finish("not drained, there was too much: what is queued is lost");

    ret = recvfrom(sock, buf, len, flags | MSG_DONTWAIT, from, from_len);
    if (ret >= 0) self.handled++;
    if (ret >= 0 || (errno != EAGAIN && errno != EINTR)) return ret;
    if (!poll(&queue, 1, self.stops ? QUIET_MS : TURN_MS) && self.stops) finish("drained");
  }
}

/* ---- the BMP thread's, or pmbmpd's ---- */

int reuseport_backlog(int upstreams)
{
  return reuseport_enabled() ? SOMAXCONN : upstreams;
}

struct timeval *reuseport_select_timeout(struct timeval *upstreams)
{
  static struct timeval shorter;

  if (!reuseport_enabled() || (upstreams && !upstreams->tv_sec)) return upstreams;

  /* select() may have changed it */
  shorter.tv_sec = 0;
  shorter.tv_usec = BMP_SELECT_MS * 1000;

  return &shorter;
}

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

/*
 * Flows are back with an instance the moment it joins, sessions stay where they failed over to: this closes those whose
 * owner is live again, and the router's next connect finds it there.
 */
static void send_home(fd_set *fds, int *recalc_fds)
{
  static struct {
    time_t since;   /* its owner is live and somebody else; 0: not so */
    u_int16_t port; /* of the session that it is about */
  } * away;
  static time_t next;
  struct rp_member *member = &lives[REUSEPORT_BMP].member;
  time_t now = reuseport_now_ms() / 1000;
  union rp_addr exporter;
  struct rp_slot owner;
  __u32 bucket;
  int idx;

  if (now < next) return;
  next = now + HOME_EVERY;
  if (!away) away = calloc(config.bmp_daemon_max_peers, sizeof(*away));
  if (!away || !rp_fails_over(member)) return;

  for (idx = 0; idx < config.bmp_daemon_max_peers; idx++) {
    int fd = bmp_peers[idx].self.fd;

    if (!fd || !exporter_of(fd, &exporter)) continue;
    bucket = rp_bucket(member, &exporter);
    if (bucket == rp.index || rp_slot(member, bucket, &owner) || !owner.cookie || owner.state != RP_READS) {
      away[idx].since = 0;
      continue;
    }
    if (!away[idx].since || away[idx].port != bmp_peers[idx].self.tcp_port) {
      away[idx].since = now;
      away[idx].port = bmp_peers[idx].self.tcp_port;
    }
    if (now - away[idx].since < HOME_GRACE + (time_t) (rp_hash(&exporter, 0) % HOME_SPREAD)) continue;

    Log(LOG_INFO, "INFO ( %s/%s ): reuseport: [%s] closing its session: index %u, which it belongs to, is live again.\n",
        config.name, bmp_misc_db->log_str, bmp_peers[idx].self.addr_str, bucket);
    FD_CLR(fd, fds);
    bmp_peer_close(&bmp_peers[idx], FUNC_TYPE_BMP);
    away[idx].since = 0;
    *recalc_fds = TRUE;
  }
}

void reuseport_bmp_turn(fd_set *fds, int *recalc_fds)
{
  enum phase phase;

  if (!reuseport_enabled()) return;

  if (!bmp_misc_db->is_thread) turn();

  pthread_mutex_lock(&lives_mutex);
  phase = lives[REUSEPORT_BMP].phase;
  /* the kernel hands the connections that wait to somebody else, if it can */
  if (phase == LEFT && lives[REUSEPORT_BMP].sock >= 0) {
    FD_CLR(config.bmp_sock, fds);
    close(config.bmp_sock);
    lives[REUSEPORT_BMP].sock = -1;
  }
  pthread_mutex_unlock(&lives_mutex);

  if (phase == LEFT && !bmp_misc_db->is_thread) finish("left");
  if (phase == JOINED) send_home(fds, recalc_fds);
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
