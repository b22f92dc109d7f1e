/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Datagrams from the sockets to pmacct: see receive.h. */
#define _GNU_SOURCE /* recvmmsg() */
#include "pmacct.h"
#include <linux/sock_diag.h>
#include <poll.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/exporter_state.h"
#include "reuseport/faults.h"
#include "reuseport/fd_store.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/pace.h"
#include "reuseport/receive.h"

#define DATAGRAM_MAX 65536 /* no UDP datagram is longer; memory is taken as far as datagrams fill it */
/* Not a power of two: at the same offset of 64 pages, datagrams would displace each other from the processor's cache. */
#define SLOT_SIZE  (DATAGRAM_MAX + 64)
#define LAG_NS     100000 /* how often to look whether a plugin that lags has read its ring */
#define POLL_EVERY 8      /* of datagrams from batches: how often other sockets are polled */

struct batch {
  struct mmsghdr messages[REUSEPORT_BATCH];
  struct iovec places[REUSEPORT_BATCH];
  struct sockaddr_storage senders[REUSEPORT_BATCH];
  char *buffer;        /* REUSEPORT_BATCH slots; NULL: not read yet */
  unsigned int next;   /* the next one to hand out */
  unsigned int filled; /* how many there were */
  int peeked;          /* whether the last call has peeked at the next one */
  int noted;           /* whether the next one is noted in the exporter state */
  int measures;        /* whether to find out how much of the socket's buffer the next batch takes */
  struct reuseport_pace pace;
};

static struct batch batches[REUSEPORT_LISTENERS];
static struct batch *replaying; /* before the next datagram of that one something is to be replayed; NULL: nothing */

/* ---- one batch ---- */

/* Returns: the batch of a listener that this thread reads, or NULL, for a session. */
static struct batch *find_batch(int sock)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].sock == sock && reuseport_is_udp(id) && id != REUSEPORT_DTLS) return &batches[id];

  return NULL;
}

static int holds_any(const struct batch *batch)
{
  return batch->next < batch->filled;
}

static void set_up(struct batch *batch, int sock)
{
  int slot, buffer = 0;
  socklen_t len = sizeof(buffer);

  batch->buffer = malloc(REUSEPORT_BATCH * SLOT_SIZE);
  if (!batch->buffer) {
    Log(LOG_ERR, "ERROR ( %s/core ): reuseport: no memory for a batch of datagrams (%d bytes). Exiting.\n", config.name,
        REUSEPORT_BATCH * SLOT_SIZE);
    exit_gracefully(1);
  }
  for (slot = 0; slot < REUSEPORT_BATCH; slot++) {
    batch->places[slot] = (struct iovec){batch->buffer + slot * SLOT_SIZE, DATAGRAM_MAX};
    batch->messages[slot].msg_hdr = (struct msghdr){
        .msg_name = &batch->senders[slot],
        .msg_iov = &batch->places[slot],
        .msg_iovlen = 1,
    };
  }
  getsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, &len);
  batch->pace.buffer = buffer;
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

/* Lets datagrams gather, if they come fast. Not if the last batch left some in the socket; nor if another listener is fast, whose
   buffer fills meanwhile. */
static void let_gather(const struct batch *batch)
{
  long long wait_ns = batch->filled < REUSEPORT_BATCH ? reuseport_pace_wait_ns(&batch->pace) : 0;
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (&batches[id] != batch && reuseport_pace_is_fast(&batches[id].pace)) wait_ns = 0;
  if (wait_ns) sleep_ns(wait_ns);
}

/* Reads what is in a socket of the listener, up to a batch. Returns: as fill(). */
static int receive(struct batch *batch, int sock, int flags)
{
  int slot, filled;

  if (!batch->buffer) set_up(batch, sock);
  batch->next = batch->filled = 0;
  for (slot = 0; slot < REUSEPORT_BATCH; slot++) batch->messages[slot].msg_hdr.msg_namelen = sizeof(batch->senders[slot]);

  listeners[batch - batches].in_hand = TRUE;
  filled = recvmmsg(sock, batch->messages, REUSEPORT_BATCH, flags | MSG_WAITFORONE, NULL);
  if (filled > 0)
    batch->filled = filled;
  else
    listeners[batch - batches].in_hand = FALSE;

  return filled;
}

/* Drops what exporters in quarantine have sent before they were. */
static void drop_quarantined(struct batch *batch, const struct rp_member *member)
{
  unsigned int slot, kept = 0;
  union rp_addr exporter;

  for (slot = 0; slot < batch->filled; slot++) {
    struct mmsghdr message = batch->messages[slot];

    if (!rp_addr_from_sockaddr(&exporter, message.msg_hdr.msg_name) && rp_is_quarantined(member, &exporter)) continue;
    /* exchanged, because each has a place of its own in the buffer */
    batch->messages[slot] = batch->messages[kept];
    batch->messages[kept++] = message;
  }
  batch->filled = kept;
}

/* Reads what the sockets of instances before this one have queued, if it has inherited any. Returns: whether there was any. */
static int fill_from_inherited(struct batch *batch)
{
  enum reuseport_listener id = batch - batches;
  int sock;

  for (sock = reuseport_inherited_socket(id); sock >= 0; sock = reuseport_inherited_socket(id)) {
    if (receive(batch, sock, MSG_DONTWAIT) > 0) {
      reuseport_count_inherited(id, batch->filled);
      drop_quarantined(batch, &listeners[id].member);
      if (holds_any(batch)) return TRUE;
    }
    else if (!reuseport_close_inherited(id))
      return FALSE;
  }

  return FALSE;
}

/*
 * Reads a batch. Waits for the first datagram, as long as SO_RCVTIMEO says, unless flags have MSG_DONTWAIT.
 * Returns: how many it has read, or -1 and errno, as recvmmsg() does.
 */
static int fill(struct batch *batch, int sock, int flags)
{
  int drained = batch->filled < REUSEPORT_BATCH, filled;
  long long used;

  if (fill_from_inherited(batch)) return batch->filled;

  used = batch->measures && drained ? used_buffer(sock) : 0;
  filled = receive(batch, sock, flags);
  if (used && filled > 0 && filled < REUSEPORT_BATCH) reuseport_pace_measure(&batch->pace, filled, used);
  batch->measures = reuseport_pace_count(&batch->pace, reuseport_now_ns(), batch->filled);

  return filled;
}

static void copy_sender(const struct msghdr *header, struct sockaddr *from, socklen_t *from_len)
{
  memcpy(from, header->msg_name, MIN(header->msg_namelen, *from_len));
  *from_len = header->msg_namelen;
}

/* Hands out the next datagram of the batch, which holds any. Arguments and return value are those of recvfrom(). */
static ssize_t hand_out(struct batch *batch, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  const struct mmsghdr *message = &batch->messages[batch->next];
  size_t length = MIN(message->msg_len, len);

  reuseport_take_in_hand(message->msg_hdr.msg_name);
  memcpy(buf, message->msg_hdr.msg_iov->iov_base, length);
  if (from) copy_sender(&message->msg_hdr, from, from_len);
  if (!(flags & MSG_PEEK)) batch->next++;

  return length;
}

/* Hands out what is to be replayed before the next datagram, if anything. Returns: its length, or 0. */
static ssize_t hand_out_replay(struct batch *batch, void *buf, size_t len, struct sockaddr *from, socklen_t *from_len)
{
  const struct mmsghdr *message;
  ssize_t length;

  /* what another listener's exporter has told comes first: it has begun */
  while (replaying || !batch->noted) {
    if (!replaying) {
      message = &batch->messages[batch->next];
      reuseport_take_in_hand(message->msg_hdr.msg_name);
      /* of what the decoder does not get, it knows nothing */
      reuseport_note_datagram(message->msg_hdr.msg_name, message->msg_hdr.msg_iov->iov_base, MIN(message->msg_len, len));
      batch->noted = TRUE;
      replaying = batch;
    }
    length = reuseport_take_replay(buf, len);
    if (length) {
      reuseport_take_in_hand(replaying->messages[replaying->next].msg_hdr.msg_name);
      copy_sender(&replaying->messages[replaying->next].msg_hdr, from, from_len);
      return length;
    }
    replaying = NULL;
  }
  batch->noted = FALSE;

  return 0;
}

/* ---- in place of recvfrom() ---- */

void reuseport_end_datagram()
{
  reuseport_end_replay();
  /* not between what is replayed and the datagram that tells more */
  if (!replaying) reuseport_save_recorded();
}

/* For the main thread: reads a batch, unless a plugin has to catch up first. Returns: as fill() does. */
static int read_batch(struct batch *batch, int sock)
{
  int at_once = reuseport_is_draining() || reuseport_reload_is_due();

  if (reuseport_plugins_lag()) {
    sleep_ns(LAG_NS);
    errno = EAGAIN;
    return -1;
  }
  if (!at_once) let_gather(batch);

  return fill(batch, sock, at_once ? MSG_DONTWAIT : 0);
}

ssize_t reuseport_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  struct batch *batch;
  ssize_t replayed;

  if (!reuseport_enabled()) return recvfrom(sock, buf, len, flags, from, from_len);
  reuseport_end_datagram();
  batch = find_batch(sock);
  /* DTLS */
  if (!batch) {
    reuseport_take_dtls_in_hand((const struct sockaddr_storage *) from);
    return recvfrom(sock, buf, len, flags, from, from_len);
  }

  if (!holds_any(batch)) {
    reuseport_prepare_to_read();
    read_batch(batch, sock);
  }
  if (!holds_any(batch)) {
    if (reuseport_is_draining()) reuseport_end_if_quiet(sock);
    return -1;
  }
  replayed = hand_out_replay(batch, buf, len, from, from_len);
  if (replayed) return replayed;
  reuseport_count_handled(1);

  return hand_out(batch, buf, len, flags, from, from_len);
}

ssize_t reuseport_receive(int sock, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *from_len)
{
  struct batch *batch;

  if (!reuseport_enabled() || !(batch = find_batch(sock))) {
    reuseport_take_session_in_hand(sock);
    return recvfrom(sock, buf, len, flags, from, from_len);
  }

  /* telemetry_daemon() (telemetry.c, 1.7.6 to 1.7.9) does not read a datagram that it refuses, and would peek at it for ever */
  if ((flags & MSG_PEEK) && batch->peeked) batch->next++;
  batch->peeked = FALSE;

  if (!holds_any(batch)) {
    let_gather(batch);
    if (fill(batch, sock, 0) < 0) return -1;
  }
  batch->peeked = flags & MSG_PEEK;

  return hand_out(batch, buf, len, flags, from, from_len);
}

/* pm_recv() (util.c, 1.7.6 to 1.7.9) waits for ever: its alarm() neither ends recv(), since the handler has SA_RESTART, nor meets this thread. */
ssize_t reuseport_receive_whole(int sock, void *buf, size_t len)
{
  long long until_ms = reuseport_now_ms() + DEFAULT_SLOTH_SLEEP_TIME * 1000;
  const struct timeval patience = {0, REUSEPORT_WAIT_MS * 1000};
  size_t got = 0;

  if (!reuseport_enabled()) return pm_recv(sock, buf, len, MSG_WAITALL, DEFAULT_SLOTH_SLEEP_TIME);
  if (find_batch(sock)) return reuseport_receive(sock, buf, len, 0, NULL, NULL);

  reuseport_take_session_in_hand(sock);
  setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  while (got < len && reuseport_now_ms() < until_ms) {
    ssize_t part = recv(sock, (char *) buf + got, len - got, MSG_WAITALL);

    if (part > 0) got += part;
    /* a signal, or nothing came for a while */
    if (!part || (part < 0 && errno != EINTR && errno != EAGAIN)) break;
  }

  return got == len ? (ssize_t) len : 0;
}

ssize_t reuseport_recv(int sock, void *buf, size_t len, int flags)
{
  reuseport_take_session_in_hand(sock);

  return recv(sock, buf, len, flags);
}

/* ---- in place of select() ---- */

int reuseport_select_batches(int nfds, fd_set *ready)
{
  static __thread unsigned int calls;
  struct timeval at_once = {0, 0};
  fd_set queued, others = *ready;
  int id, count = 0, count_others;

  FD_ZERO(&queued);
  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    int sock = listeners[id].sock;

    if (sock < 0 || !FD_ISSET(sock, ready)) continue;
    if (!holds_any(&batches[id]) && !fill_from_inherited(&batches[id])) {
      listeners[id].in_hand = FALSE;
      continue;
    }
    FD_SET(sock, &queued);
    FD_CLR(sock, &others);
    count++;
  }
  if (!count) return 0;

  if (++calls % POLL_EVERY == 0) {
    count_others = select(nfds, &others, NULL, NULL, &at_once);
    if (count_others > 0) {
      /* these alone: main() in nfacctd.c (1.7.6 to 1.7.9) forgets them when it skips a datagram */
      *ready = others;
      return count_others;
    }
  }
  *ready = queued;

  return count;
}

int reuseport_count_batches(const fd_set *fds)
{
  int id, count = 0;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].sock >= 0 && find_batch(listeners[id].sock) && FD_ISSET(listeners[id].sock, fds)) count++;

  return count;
}
