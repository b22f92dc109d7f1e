/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The table of this process's listeners: see listeners.h. */
#include "pmacct.h"
#include <poll.h>
#include "reuseport/accept.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/receive.h"

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.1 */
#endif

struct listener listeners[REUSEPORT_LISTENERS] = {
    [0 ... REUSEPORT_LISTENERS - 1] = {.sock = -1},
};

pthread_mutex_t listeners_mutex = PTHREAD_MUTEX_INITIALIZER;

enum reuseport_listener reuseport_main_listener()
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

int reuseport_is_udp(enum reuseport_listener id)
{
  return reuseport_listener_names[id].protocol == IPPROTO_UDP;
}

/* Returns: the receive buffer that the kernel has for a socket, in bytes; -1: it is none. */
static int receive_buffer(int sock)
{
  socklen_t len = sizeof(int);
  int bytes;

  return getsockopt(sock, SOL_SOCKET, SO_RCVBUF, &bytes, &len) ? -1 : bytes;
}

void reuseport_enlarge_buffer(int sock)
{
  const int wanted = 16777216;
  /* tried on another one, because net.core.rmem_max may be below the default, and that cannot be set again */
  int trial = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (trial < 0) return;
  if (!setsockopt(trial, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted)) && receive_buffer(trial) > receive_buffer(sock))
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
  close(trial);
}

/*
 * Runs in each forked child: plugins, and the processes that write their output. A child that kept a listener would keep the
 * bucket occupied after the daemon has died, and what arrives there would be lost; one that kept the group's directory open
 * would keep the lock. Marks each fd as closed, because the child uses its number again.
 */
static void close_listeners()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    struct listener *listener = &listeners[id];

    if (listener->sock < 0) continue;
    close(listener->sock);
    listener->sock = -1;
    if (listener->member.lock >= 0) close(listener->member.lock);
    listener->member.lock = -1;
  }
  reuseport_close_inherited_in_child();
  reuseport_close_claim();
}

/*
 * A plugin may get SIGINT while it forks a writer. Its handler, P_exit_now() (plugin_common.c) or sql_exit_gracefully()
 * (sql_common.c, 1.7.6 to 1.7.9), writes and exits; within fork(), which holds the locks of stdio and malloc, it would hang for
 * ever, and the core with it. So the signal waits until fork() is over.
 */
static __thread sigset_t mask_before_fork;

static void block_stop_signals()
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &mask_before_fork);
}

/* Waits, too, for a thread that opens the group, joins or leaves: what it has locked would stay locked in the child. The signals come
   first: a handler that forks would wait for itself. */
static void before_fork()
{
  block_stop_signals();
  pthread_mutex_lock(&listeners_mutex);
}

static void after_fork()
{
  pthread_mutex_unlock(&listeners_mutex);
  pthread_sigmask(SIG_SETMASK, &mask_before_fork, NULL);
}

static void after_fork_in_child()
{
  reuseport_drop_sessions_in_child();
  close_listeners();
  reuseport_outlive_core();
  reuseport_release_signals();
  after_fork();
}

static void register_fork_handlers()
{
  reuseport_note_core();
  pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

void reuseport_close_listeners_in_children()
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once(&once, register_fork_handlers);
}

/*
 * close() takes a UDP socket first out of its reuseport group, and then out of the table in which a datagram's socket is looked up: a
 * datagram that comes in between is queued in it, whichever bucket is the exporter's, and lost (Linux 6.18: 3 to 8 of 100 times, at full
 * rate). No datagram comes from a device that does not exist.
 */
void reuseport_hide(enum reuseport_listener id, int sock)
{
  const int no_device = INT_MAX;

  if (!setsockopt(sock, SOL_SOCKET, SO_BINDTOIFINDEX, &no_device, sizeof(no_device))) return;

  Log(LOG_INFO, "INFO ( %s/core ): reuseport: the kernel still finds the socket of listener %s (%s): a datagram that comes while it is closed "
                "may be lost. With a key that binds it to a device, give the daemon CAP_NET_RAW.\n",
      config.name, reuseport_listener_names[id].name, strerror(errno));
}

void reuseport_leave_all()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    struct listener *listener = &listeners[id];

    if (listener->phase == LISTENER_JOINED && rp_leave(&listener->member))
      Log(LOG_WARNING, "WARN ( %s/core ): reuseport: %s. What arrives until its socket is closed may be lost.\n",
          config.name, listener->member.error);
    /* not DTLS: its sessions are yet to be told that they end */
    if (listener->sock >= 0 && reuseport_is_udp(id) && id != REUSEPORT_DTLS) reuseport_hide(id, listener->sock);
    if (listener->phase != LISTENER_UNBOUND) listener->phase = LISTENER_LEFT;
  }
  reuseport_release_index();
}

int reuseport_any_queued()
{
  int id, queues = 0;
  struct pollfd queue[REUSEPORT_LISTENERS];

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].sock >= 0 && reuseport_is_udp(id))
      queue[queues++] = (struct pollfd){.fd = listeners[id].sock, .events = POLLIN};

  return poll(queue, queues, 0) > 0 || reuseport_any_inherited_queued() || reuseport_any_in_hand();
}
