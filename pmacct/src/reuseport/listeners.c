/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The table of this process's listeners: see listeners.h. */
#include "pmacct.h"
#include <poll.h>
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62 /* Linux 5.1 */
#endif

struct listener listeners[REUSEPORT_LISTENERS] = {
    [0 ... REUSEPORT_LISTENERS - 1] = {.sock = -1},
};

pthread_mutex_t listeners_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Written by the main thread, with listeners_mutex held; others read them, some of them without. */
static int reads, is_ready, drains;

void reuseport_set_reading()
{
  reads = TRUE;
}

int reuseport_is_reading()
{
  return reads;
}

void reuseport_set_ready()
{
  is_ready = TRUE;
}

int reuseport_is_ready()
{
  return is_ready;
}

void reuseport_set_draining()
{
  drains = TRUE;
}

int reuseport_is_draining()
{
  return drains;
}

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
  if (poll(queue, queues, 0) > 0) return TRUE;

  /* last, because a datagram goes from the socket into a batch */
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].in_hand) return TRUE;

  return FALSE;
}
