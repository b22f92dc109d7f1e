/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How a listener is opened: see reuseport.h. */
#include "pmacct.h"
#include <fcntl.h>
#include <pthread.h>
#include "reuseport/config.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

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
  else {
    /* Upstream's 1.7.6 does not set it (bgp.c, bmp.c), and then a session in TIME_WAIT looks like a stranger's to the next start. */
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    /* accept() holds a lock */
    fcntl(sock, F_SETFL, fcntl(sock, F_GETFL) | O_NONBLOCK);
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
  reuseport_exit_refused(&listeners[id].member);
}
#else
static void check_device(enum reuseport_listener id, int sock)
{
  (void) id;
  (void) sock;
}
#endif

/* Opens the group. Returns with listeners_mutex and the group's lock held: reuseport_join_or_wait() gives both back. */
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
  if (rp_open(member, &reuseport_config, name->name, name->protocol)) reuseport_exit_refused(member);
  check_device(id, sock);
  if (rp_check_address(member, sock, addr, len)) reuseport_exit_refused(member);
  warn_of_count(member);
  warn_of_missing_maps(member);
  reuseport_start_watch(id);
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
  if (reuseport_is_udp(id)) reuseport_join_or_wait(id);

  return 0;
}

int reuseport_listen(enum reuseport_listener id, int sock, int backlog)
{
  if (listen(sock, backlog)) return -1;
  if (reuseport_enabled()) reuseport_join_or_wait(id);

  return 0;
}
