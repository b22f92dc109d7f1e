/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What each thread of the daemon that reads exporters or sessions has in hand, so that it is known whose data bring it down. */
#ifndef REUSEPORT_IN_HAND_H
#define REUSEPORT_IN_HAND_H

#include <sys/socket.h>
#include <time.h>
#include "reuseport/group.h"
#include "reuseport/listener_names.h"

#define REUSEPORT_SIGNAL_STACK 32768

/* A thread that reads. Written by it alone, read by its signal handler and the watch (watch.c). */
struct reader {
  volatile int works;
  volatile unsigned long rounds;                    /* grows with each datagram and message, and with each wait for them */
  const struct sockaddr_storage *volatile datagram; /* in hand; NULL: none */
  volatile int session;                             /* socket of the session in hand; -1: none */
  volatile int handshakes;                          /* it may wait for the sender to go on */
  clockid_t cpu;                                    /* its clock of CPU time */
  /* the watch's own */
  unsigned long seen;
  int reloads; /* an operator has asked for it, before this round */
  long long since_ms, cpu_ms;
  char stack[REUSEPORT_SIGNAL_STACK]; /* for its signal handler: its own may be exhausted */
};

/* By the listener that the thread came round for first */
extern struct reader readers[REUSEPORT_LISTENERS];

/* For a thread that reads a listener: it has nothing in hand, and is about to read. */
extern void reuseport_come_round(enum reuseport_listener id);

/* It has a datagram in hand. sender: stays valid until it comes round, or takes the next one in hand. */
extern void reuseport_take_in_hand(const struct sockaddr_storage *sender);

/* It has a datagram of DTLS in hand: gnutls waits for the rest of a handshake. */
extern void reuseport_take_dtls_in_hand(const struct sockaddr_storage *sender);

/* Returns: the calling thread's own, or NULL: it does not read. For signal handlers, too. */
extern const struct reader *reuseport_own_reader();

/* Finds the exporter that a thread has in hand. Returns: whether there is one. For signal handlers, too. */
extern int reuseport_read_in_hand(const struct reader *, union rp_addr *exporter);

#endif
