/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* In place of select(), for threads with several sockets: see reuseport.h. */
#include "pmacct.h"
#include <pthread.h>
#include "reuseport/clock.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/receive.h"
#include "reuseport/sessions.h"

#define CLOSED_MS 100 /* a pause, if sockets are closed that a thread still waits for */

/* Closes a listener that has left: the kernel hands the connections that wait to another instance, if it can. Returns: whether it
   has. */
static int close_left_listener(enum reuseport_listener id, enum listener_phase phase, fd_set *fds)
{
  if (phase != LISTENER_LEFT || listeners[id].sock < 0) return FALSE;

  FD_CLR(listeners[id].sock, fds);
  close(listeners[id].sock);
  listeners[id].sock = -1;

  return TRUE;
}

/* Returns: whether it has closed the listener, or any session. */
static int close_sockets(enum reuseport_listener id, fd_set *fds)
{
  enum listener_phase phase;
  int closed;

  pthread_mutex_lock(&listeners_mutex);
  phase = listeners[id].phase;
  closed = close_left_listener(id, phase, fds);
  pthread_mutex_unlock(&listeners_mutex);

  if (closed) reuseport_end_sessions(id, fds);

  return closed || (phase == LISTENER_JOINED && reuseport_return_sessions(id, fds));
}

static struct timeval shorten(const struct timeval *timeout)
{
  struct timeval shorter = {0, (reuseport_has_left_buckets() ? REUSEPORT_QUIET_MS : REUSEPORT_WAIT_MS) * 1000};

  return timeout && !timeout->tv_sec && timeout->tv_usec < shorter.tv_usec ? *timeout : shorter;
}

/* Marks the listener alone as ready, so that the main loop calls reuseport_recvfrom(), and does then what signals have asked for.
   Returns: how many are ready. */
static int mark_only(enum reuseport_listener id, fd_set *ready)
{
  FD_ZERO(ready);
  FD_SET(listeners[id].sock, ready);

  return 1;
}

int reuseport_select(enum reuseport_listener id, int nfds, fd_set *ready, struct timeval *timeout, fd_set *fds, int *recalc_fds)
{
  int is_main = id == reuseport_main_listener(), has_sessions = !reuseport_is_udp(id), ret;
  struct timeval shorter;

  if (!reuseport_enabled()) return select(nfds, ready, NULL, NULL, timeout);

  if (is_main) {
    reuseport_end_datagram();
    reuseport_prepare_to_read();
  }
  else {
    reuseport_wait_for_forks(id);
    reuseport_come_round(id);
  }
  ret = reuseport_select_batches(nfds, ready);
  if (ret) return ret;

  if (id == REUSEPORT_NFACCTD && reuseport_reload_is_due()) return mark_only(id, ready);
  if (has_sessions && close_sockets(id, fds)) {
    *recalc_fds = TRUE;
    errno = EINTR;
    return -1;
  }
  /* the sessions end with the daemon: there is no queue to wait for */
  if (is_main && has_sessions) reuseport_end_without_queue();

  shorter = shorten(timeout);
  ret = select(nfds, ready, NULL, NULL, &shorter);
  /* PM_sigint_handler() closes sockets that other threads still wait for: do not spin */
  if (ret < 0 && errno == EBADF) reuseport_sleep_ms(CLOSED_MS);
  /* datagrams of a batch are counted when they are handed out */
  if (is_main && ret > 0) reuseport_count_handled(ret - reuseport_count_batches(ready));
  if (is_main && !ret) reuseport_end_if_drained();

  return ret;
}
