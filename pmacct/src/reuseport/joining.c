/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How a listener is opened and joins the group: see lifecycle.h and reuseport.h. */
#include "pmacct.h"
#include <fcntl.h>
#include <pthread.h>
#include "reuseport/accept.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/faults.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define WAITING_MS 20 /* how often the helper thread of a waiting listener looks for other instances */

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

/* Returns: whether upstream gives the socket the receive buffer that the config names: not that of the templates port, nor of DTLS
   (nfacctd.c:main(), 1.7.6 to 1.7.9). */
static int has_buffer_of_config(enum reuseport_listener id)
{
  if (id == REUSEPORT_TELEMETRY_UDP) return config.telemetry_pipe_size > 0;

  return (id == REUSEPORT_NFACCTD || id == REUSEPORT_SFACCTD) && config.nfacctd_pipe_size > 0;
}

static void set_socket_options(enum reuseport_listener id, int sock)
{
  struct timeval patience = {0, REUSEPORT_WAIT_MS * 1000};
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
    if (!has_buffer_of_config(id)) reuseport_enlarge_buffer(sock);
  }
  else
    /* accept() holds a lock */
    fcntl(sock, F_SETFL, fcntl(sock, F_GETFL) | O_NONBLOCK);
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

/* The instance runs with the group's count. */
static void warn_of_count(const struct rp_member *member)
{
  static int warned;

  if (reuseport_config.count == rp_get_size(member) || warned) return;

  warned = TRUE;
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: reuseport_hashbucket_count is %u here, but the group %s was resized to %u buckets: this "
                   "instance goes by %u. Change its config: a day after the resize, it will not start any more with this one.\n",
      config.name, reuseport_config.count, reuseport_config.pin_path, rp_get_size(member), rp_get_size(member));
}

/* Of 1.7.8 and later */
#ifdef HAVE_SO_BINDTODEVICE
/* Returns: the device or VRF that the config has for the listener, or NULL. */
static const char *device_of(enum reuseport_listener id)
{
  switch (id) {
  case REUSEPORT_BGP:
    return config.bgp_daemon_interface;
  case REUSEPORT_BMP:
    return config.bmp_daemon_interface;
  case REUSEPORT_TELEMETRY_TCP:
  case REUSEPORT_TELEMETRY_UDP:
    return config.telemetry_interface;
  default:
    return config.nfacctd_interface;
  }
}

/* Refuses a socket that is not bound to its device: upstream goes on without, and receives from all devices, or shares the port with no other instance. */
static void check_device(enum reuseport_listener id, int sock)
{
  const char *device = device_of(id);
  char bound[IFNAMSIZ] = "";
  socklen_t len = sizeof(bound);

  if (!device || (!getsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, bound, &len) && !strcmp(bound, device))) return;
  if (!setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device))) return;

  rp_fail(&listeners[id].member, -errno, "listener %s cannot be bound to device %s (%s): *_interface has to name one that is there when the daemon starts",
          reuseport_listener_names[id].name, device, strerror(errno));
  refuse(&listeners[id].member);
}
#else
static void check_device(enum reuseport_listener id, int sock)
{
  (void) id;
  (void) sock;
}
#endif

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
  check_device(id, sock);
  if (rp_check_address(member, sock, addr, len)) refuse(member);
  warn_of_count(member);
  warn_of_missing_maps(member);
  reuseport_start_watch(id);
}

/* ---- joining ---- */

void reuseport_join(enum reuseport_listener id)
{
  struct rp_member *member = &listeners[id].member;
  struct rp_bucket bucket;
  __u32 number, live = 0;

  reuseport_tell_alive();
  if (rp_join(member, listeners[id].sock, reuseport_is_reading() ? RP_READY : RP_STARTING)) refuse(member);
  listeners[id].phase = LISTENER_JOINED;
  listeners[id].joined_ms = reuseport_now_ms();
  reuseport_forget_sessions(id);
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
    if (listeners[id].phase == LISTENER_WAITING && !rp_has_ready_peer(&listeners[id].member)) reuseport_join(id);
    waits = listeners[id].phase == LISTENER_WAITING;
    pthread_mutex_unlock(&listeners_mutex);
  } while (waits);

  return NULL;
}

static void start_watching_peers(enum reuseport_listener id)
{
  if (reuseport_start_thread(watch_peers, (void *) (intptr_t) id)) reuseport_join(id);
}

void reuseport_step_back_if_stuck(int ms)
{
  const struct listener *main = &listeners[reuseport_main_listener()];
  int id;

  /* whoever holds it may be what is stuck */
  if (pthread_mutex_trylock(&listeners_mutex)) return;

  for (id = 0; id < REUSEPORT_LISTENERS && !reuseport_is_reading() && main->joined_ms && reuseport_now_ms() - main->joined_ms >= ms; id++) {
    struct listener *listener = &listeners[id];

    if (listener->phase != LISTENER_JOINED || !rp_has_ready_peer(&listener->member)) continue;

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
    reuseport_join(id);
  pthread_mutex_unlock(&listeners_mutex);
}

int reuseport_bind(enum reuseport_listener id, int sock, const struct sockaddr *addr, socklen_t len)
{
  if (!reuseport_enabled()) return bind(sock, addr, len);

  if (id == reuseport_main_listener()) reuseport_start_telling();
  if (id == REUSEPORT_NFACCTD) reuseport_make_templates_file();
  if (id == REUSEPORT_NFACCTD || id == REUSEPORT_SFACCTD) reuseport_wait_for_threads();
  open_listener(id, sock, addr, len);
  /* the caller, upstream's code, logs why and exits */
  if (bind(sock, addr, len)) return -1;
  if (reuseport_is_udp(id)) join_or_wait(id);

  return 0;
}

int reuseport_listen(enum reuseport_listener id, int sock, int backlog)
{
  if (listen(sock, backlog)) return -1;
  if (reuseport_enabled()) join_or_wait(id);

  return 0;
}
