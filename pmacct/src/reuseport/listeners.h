/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The table of this process's listeners.
 *
 * A listener goes through its phases in this order, and may skip WAITING:
 *
 *   UNBOUND -> WAITING -> JOINED -> LEFT
 */
#ifndef REUSEPORT_LISTENERS_H
#define REUSEPORT_LISTENERS_H

#include <pthread.h>
#include "reuseport/group.h"
#include "reuseport/listener_names.h"

enum listener_phase {
  LISTENER_UNBOUND, /* not bound yet, or the config has no such listener */
  LISTENER_WAITING, /* bound; other instances receive its exporters */
  LISTENER_JOINED,  /* its socket is in the bucket */
  LISTENER_LEFT,    /* the bucket is given up, or another process has taken it */
};

struct listener {
  struct rp_member member; /* valid once the listener is opened */
  enum listener_phase phase;
  int sock;             /* -1: none, or closed */
  volatile int in_hand; /* its thread has datagrams that are no longer in the socket; set before they are read, see receive.c */
  long long joined_ms;  /* when it joined */
};

/* By enum reuseport_listener; names and transports are in reuseport_listener_names[]. */
extern struct listener listeners[REUSEPORT_LISTENERS];

/*
 * Guards the table. A thread that opens a listener holds it from before bind() until the socket is bound, or listens. fork() takes it,
 * too: a thread that holds it does not fork.
 *
 * Lock order: listeners_mutex before the group's directory lock. A thread does not get the directory lock while another thread
 * of the process holds it, either.
 */
extern pthread_mutex_t listeners_mutex;

/*
 * Whether the main thread reads: then its plugins are forked. Whether it is ready: then they have begun to read, too, and others may count on it.
 * Whether the daemon drains: then it gives up its buckets, if it has not yet, and ends. None is undone. The main thread sets them, with
 * listeners_mutex held.
 */
extern void reuseport_set_reading();
extern int reuseport_is_reading();
extern void reuseport_set_ready();
extern int reuseport_is_ready();
extern void reuseport_set_draining();
extern int reuseport_is_draining();

/* Returns: the listener that the main thread reads. */
extern enum reuseport_listener reuseport_main_listener();

/* Returns: whether the listener's transport is UDP. */
extern int reuseport_is_udp(enum reuseport_listener id);

/* Gives a UDP socket the largest receive buffer that net.core.rmem_max allows, up to 16 MiB. The kernel's default is full after some
   hundred datagrams: a millisecond at 100,000 a second. */
extern void reuseport_enlarge_buffer(int sock);

/* Has the kernel find the other sockets of the port alone, but for who selects this one from a bucket, so that it may be closed. What is queued
   can still be read. */
extern void reuseport_hide(enum reuseport_listener, int sock);

/* Gives up the buckets of all listeners. The caller holds listeners_mutex. */
extern void reuseport_leave_all();

/* Returns: whether any UDP listener, of whatever thread, has datagrams queued, in its socket or in its batch. Those in inherited sockets are apart, see
   fd_store.h. */
extern int reuseport_any_queued();

#endif
