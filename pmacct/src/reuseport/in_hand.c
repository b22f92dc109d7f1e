/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What each thread has in hand: see in_hand.h. */
#include "pmacct.h"
#include <pthread.h>
#include "reuseport/in_hand.h"

struct reader readers[REUSEPORT_LISTENERS];
static __thread struct reader *own;

static void begin_work(enum reuseport_listener id)
{
  const stack_t signals = {.ss_sp = readers[id].stack, .ss_size = REUSEPORT_SIGNAL_STACK};

  own = &readers[id];
  own->session = -1;
  if (pthread_getcpuclockid(pthread_self(), &own->cpu)) own->cpu = CLOCK_THREAD_CPUTIME_ID;
  sigaltstack(&signals, NULL);
  own->works = TRUE;
}

void reuseport_come_round(enum reuseport_listener id)
{
  if (!own) begin_work(id);
  own->datagram = NULL;
  own->session = -1;
  own->handshakes = FALSE;
  own->rounds++;
}

void reuseport_take_in_hand(const struct sockaddr_storage *sender)
{
  if (!own) return;
  own->datagram = sender;
  own->handshakes = FALSE;
  own->rounds++;
}

void reuseport_take_dtls_in_hand(const struct sockaddr_storage *sender)
{
  reuseport_take_in_hand(sender);
  if (own) own->handshakes = TRUE;
}

void reuseport_take_session_in_hand(int sock)
{
  if (!own) return;
  own->session = sock;
  own->rounds++;
}

const struct reader *reuseport_own_reader()
{
  return own;
}

int reuseport_read_in_hand(const struct reader *reader, union rp_addr *exporter)
{
  struct sockaddr_storage peer;
  socklen_t len = sizeof(peer);
  const struct sockaddr_storage *datagram;

  if (!reader) return FALSE;
  datagram = reader->datagram; /* once: the thread may let go of it meanwhile */
  if (datagram) return !rp_addr_from_sockaddr(exporter, (const struct sockaddr *) datagram);

  return reader->session >= 0 && !getpeername(reader->session, (struct sockaddr *) &peer, &len) &&
         !rp_addr_from_sockaddr(exporter, (struct sockaddr *) &peer);
}
