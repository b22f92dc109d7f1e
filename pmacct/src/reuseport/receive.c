/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams from the sockets to pmacct: see receive.h. */
#define _GNU_SOURCE /* recvmmsg() */
#include "pmacct.h"
#include <linux/sock_diag.h>
#include <poll.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/pace.h"
#include "reuseport/receive.h"

#define DATAGRAM_MAX 65536 /* no UDP datagram is longer; memory is taken as far as datagrams fill it */
/* Not a power of two: at the same offset of 64 pages, datagrams would displace each other from the processor's cache. */
#define SLOT_SIZE  (DATAGRAM_MAX + 64)
#define LAG_NS     100000 /* how often to look whether a plugin that lags has read its ring */
#define POLL_EVERY 8      /* of datagrams from rings: how often other sockets are polled */

struct ring {
  struct mmsghdr messages[REUSEPORT_BATCH];
  struct iovec places[REUSEPORT_BATCH];
  struct sockaddr_storage senders[REUSEPORT_BATCH];
  char *buffer;         /* REUSEPORT_BATCH slots; NULL: not read yet */
  unsigned int next;    /* the next one to hand out */
  unsigned int filled;  /* how many the last batch had */
  int measures;         /* whether to find out how much of the socket's buffer the next batch takes */
  volatile int in_hand; /* from before a batch is read until the thread comes back after its last datagram; read by the main thread */
  struct reuseport_pace pace;
};

static struct ring rings[REUSEPORT_LISTENERS];

/* ---- one ring ---- */

/* Returns: the ring of a listener that this thread reads, or NULL, for a session. */
static struct ring *find_ring(int sock)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].sock == sock && reuseport_is_udp(id) && id != REUSEPORT_DTLS) return &rings[id];

  return NULL;
}

static int holds_any(const struct ring *ring)
{
  return ring->next < ring->filled;
}

static void set_up(struct ring *ring, int sock)
{
  int slot, buffer = 0;
  socklen_t len = sizeof(buffer);

  ring->buffer = malloc(REUSEPORT_BATCH * SLOT_SIZE);
  if (!ring->buffer) {
    Log(LOG_ERR, "ERROR ( %s/core ): reuseport: no memory for a batch of datagrams (%d bytes). Exiting.\n", config.name,
        REUSEPORT_BATCH * SLOT_SIZE);
    exit_gracefully(1);
  }
  for (slot = 0; slot < REUSEPORT_BATCH; slot++) {
    ring->places[slot] = (struct iovec){ring->buffer + slot * SLOT_SIZE, DATAGRAM_MAX};
    ring->messages[slot].msg_hdr = (struct msghdr){
        .msg_name = &ring->senders[slot],
        .msg_iov = &ring->places[slot],
        .msg_iovlen = 1,
    };
  }
  getsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, &len);
  ring->pace.buffer = buffer;
}

/* Returns: how many bytes of the socket's buffer are in use; 0: unknown, before Linux 4.12. */
static long long used_buffer(int sock)
{
  __u32 info[SK_MEMINFO_VARS] = {0};
  socklen_t len = sizeof(info);

  return getsockopt(sock, SOL_SOCKET, SO_MEMINFO, info, &len) ? 0 : info[SK_MEMINFO_RMEM_ALLOC];
}

static void sleep_ns(long long ns)
{
  const struct timespec t = {0, ns};

  nanosleep(&t, NULL);
}

/* Lets datagrams gather, if they come fast; not if the last batch left some in the socket. */
static void let_gather(struct ring *ring)
{
  long long wait_ns = ring->filled < REUSEPORT_BATCH ? reuseport_pace_wait_ns(&ring->pace) : 0;

  if (wait_ns) sleep_ns(wait_ns);
}

/*
 * Reads what is in the socket, up to a batch. Waits for the first datagram, as long as SO_RCVTIMEO says, unless flags have MSG_DONTWAIT.
 * Returns: how many it has read, or -1 and errno, as recvmmsg() does.
 */
static int fill(struct ring *ring, int sock, int flags)
{
  int slot, drained = ring->filled < REUSEPORT_BATCH, batch;
  long long used;

  if (!ring->buffer) set_up(ring, sock);
  ring->next = ring->filled = 0;
  for (slot = 0; slot < REUSEPORT_BATCH; slot++) ring->messages[slot].msg_hdr.msg_namelen = sizeof(ring->senders[slot]);

  used = ring->measures && drained ? used_buffer(sock) : 0;
  ring->in_hand = TRUE;
  batch = recvmmsg(sock, ring->messages, REUSEPORT_BATCH, flags | MSG_WAITFORONE, NULL);
  if (batch > 0)
    ring->filled = batch;
  else
    ring->in_hand = FALSE;
  if (used && batch > 0 && batch < REUSEPORT_BATCH) reuseport_pace_measure(&ring->pace, batch, used);
  ring->measures = reuseport_pace_count(&ring->pace, reuseport_now_ns(), ring->filled);

  return batch;
}

/* Hands out the next datagram of the ring, which holds any. Arguments and return value are those of recvfrom(). */
static ssize_t hand_out(struct ring *ring, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  const struct mmsghdr *message = &ring->messages[ring->next];
  size_t length = MIN(message->msg_len, len);

  memcpy(buf, message->msg_hdr.msg_iov->iov_base, length);
  if (from) {
    memcpy(from, message->msg_hdr.msg_name, MIN(message->msg_hdr.msg_namelen, *from_len));
    *from_len = message->msg_hdr.msg_namelen;
  }
  if (!(flags & MSG_PEEK)) ring->next++;

  return length;
}

/* ---- in place of recvfrom() ---- */

ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  struct ring *ring;

  if (!reuseport_enabled() || !(ring = find_ring(sock))) return recvfrom(sock, buf, len, flags, from, from_len);

  while (!holds_any(ring)) {
    reuseport_prepare_to_read();
    if (reuseport_reload_is_due()) {
      errno = EINTR;
      return -1;
    }
    if (reuseport_plugins_lag()) {
      sleep_ns(LAG_NS);
      continue;
    }
    if (!reuseport_is_draining()) let_gather(ring);
    if (fill(ring, sock, reuseport_is_draining() ? MSG_DONTWAIT : 0) >= 0) continue;
    if (errno != EAGAIN && errno != EINTR) return -1;
    if (reuseport_is_draining()) reuseport_end_if_quiet(sock);
  }
  reuseport_count_handled(1);

  return hand_out(ring, buf, len, flags, from, from_len);
}

ssize_t reuseport_receive(int sock, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  struct ring *ring;

  if (!reuseport_enabled() || !(ring = find_ring(sock))) return recvfrom(sock, buf, len, flags, from, from_len);

  if (!holds_any(ring)) {
    let_gather(ring);
    if (fill(ring, sock, 0) < 0) return -1;
  }

  return hand_out(ring, buf, len, flags, from, from_len);
}

/* ---- in place of select() ---- */

int reuseport_select_rings(int nfds, fd_set *ready)
{
  static __thread unsigned int calls;
  struct timeval at_once = {0, 0};
  fd_set queued, others = *ready;
  int id, count = 0;

  FD_ZERO(&queued);
  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    int sock = listeners[id].sock;

    if (sock < 0 || !FD_ISSET(sock, ready) || !rings[id].buffer) continue;
    if (!holds_any(&rings[id])) {
      rings[id].in_hand = FALSE;
      continue;
    }
    FD_SET(sock, &queued);
    FD_CLR(sock, &others);
    count++;
  }
  if (!count) return 0;

  *ready = queued;
  if (++calls % POLL_EVERY || select(nfds, &others, NULL, NULL, &at_once) <= 0) return count;

  for (id = 0; id < nfds; id++) {
    if (!FD_ISSET(id, &others)) continue;
    FD_SET(id, ready);
    count++;
  }

  return count;
}

int reuseport_count_rings(const fd_set *fds)
{
  int id, count = 0;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].sock >= 0 && find_ring(listeners[id].sock) && FD_ISSET(listeners[id].sock, fds)) count++;

  return count;
}

int reuseport_any_in_ring()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (rings[id].in_hand) return TRUE;

  return FALSE;
}
