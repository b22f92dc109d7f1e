/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How sessions are accepted, refused and closed: see accept.h and reuseport.h. */
#define _GNU_SOURCE /* accept4(), dup3() */
#include "pmacct.h"
#include <fcntl.h>
#include "reuseport/accept.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/faults.h"
#include "reuseport/listeners.h"
#include "reuseport/room.h"

#define LOG_MS     60000 /* how often refused sessions are logged */
#define NO_ROOM_MS 100   /* a pause, if a connection can neither be accepted nor closed: select() would return at once */

/* With listeners_mutex held, by whatever thread. */
static __u64 sessions[FD_SETSIZE]; /* by descriptor: cookie of the session that it was at some time; 0: it was none */
static int reserve = -1;           /* /dev/null: given up for a moment to accept, and close, what does not fit */

/* Each of the listener's own thread */
static struct {
  struct rp_instance *record; /* NULL: not mapped yet, or the object has none */
  unsigned int unlogged;      /* how many were refused since the last line */
  long long next_ms;          /* when the next line about them is due */
  long long next_waiting_ms;  /* the same, about those that wait */
} refused[REUSEPORT_LISTENERS];

/* ---- refused ---- */

/* Maps the record of this instance. Returns: NULL if the object has none. */
static struct rp_instance *find_record(enum reuseport_listener id)
{
  struct rp_instance *records;

  if (!refused[id].record) {
    records = rp_map_instances(&listeners[id].member);
    if (records) refused[id].record = &records[reuseport_config.index];
  }

  return refused[id].record;
}

void reuseport_forget_sessions(enum reuseport_listener id)
{
  struct rp_instance *record = reuseport_is_udp(id) ? NULL : find_record(id);

  if (!record) return;
  __atomic_store_n(&record->refused, 0, __ATOMIC_RELAXED);
  record->held = record->returned = 0;
}

void reuseport_count_sessions(enum reuseport_listener id, int held, int returned)
{
  struct rp_instance *record = find_record(id);

  if (!record) return;
  record->held = held;
  record->returned += returned;
}

static const char *say_why(enum reuseport_listener id, int by_peers, char *text, size_t len)
{
  if (by_peers)
    snprintf(text, len, "%s is %d: set it to the number of all routers, the same in all instances", reuseport_max_peers_key(id),
             reuseport_max_peers(id));
  else
    snprintf(text, len, "it has no descriptor left for them below %d: %s", reuseport_first_unusable(), reuseport_more_room());

  return text;
}

/* Returns: whether the next line is due, which is once a minute. */
static int is_time(long long *next_ms)
{
  long long now = reuseport_now_ms();

  if (now < *next_ms) return FALSE;
  *next_ms = now + LOG_MS;

  return TRUE;
}

/* by_peers: for *_max_peers, not for want of descriptors. */
static void log_refused(enum reuseport_listener id, int by_peers)
{
  char why[160];

  if (!is_time(&refused[id].next_ms)) return;

  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: listener %s refuses sessions, %u more by now, for %s.\n", config.name, reuseport_listener_names[id].name,
      refused[id].unlogged, say_why(id, by_peers, why, sizeof(why)));
  refused[id].unlogged = 0;
}

static void log_waiting(enum reuseport_listener id)
{
  char why[160];

  if (is_time(&refused[id].next_waiting_ms))
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: listener %s can neither accept sessions nor refuse them, so that they wait, for %s.\n", config.name,
        reuseport_listener_names[id].name, say_why(id, FALSE, why, sizeof(why)));
}

static void count_refused(enum reuseport_listener id, int by_peers)
{
  struct rp_instance *record = find_record(id);

  if (record) __atomic_fetch_add(&record->refused, 1, __ATOMIC_RELAXED);
  refused[id].unlogged++;
  log_refused(id, by_peers);
}

void reuseport_refuse_session(enum reuseport_listener id, int session)
{
  reuseport_close_session(session);
  if (reuseport_enabled()) count_refused(id, TRUE);
}

/* ---- accepted ---- */

/* Accepts a connection with the descriptor that is kept in reserve, and closes it. Returns: whether there was one. */
static int accept_and_close(int sock)
{
  int session;

  if (reserve >= 0) close(reserve);
  session = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
  if (session >= 0) reuseport_close_session(session);
  reserve = open("/dev/null", O_RDWR | O_CLOEXEC);

  return session >= 0;
}

enum outcome {
  NO_CONNECTION, /* or accept() failed for another reason */
  ACCEPTED,
  REFUSED, /* it does not fit, and is closed */
  CANNOT,  /* it does not fit, and waits on */
};

/* With listeners_mutex held: fork() waits for it, so that no child has a session that is not noted. session: if it is accepted. */
static enum outcome accept_fitting(int sock, struct sockaddr *addr, socklen_t *len, int *session)
{
  if (reserve < 0) reserve = open("/dev/null", O_RDWR | O_CLOEXEC);

  *session = accept4(sock, addr, len, SOCK_CLOEXEC);
  if (*session < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return NO_CONNECTION;
    return accept_and_close(sock) ? REFUSED : CANNOT;
  }
  if (*session >= reuseport_first_unusable()) {
    reuseport_close_session(*session);
    return REFUSED;
  }
  sessions[*session] = rp_read_cookie(*session);

  return ACCEPTED;
}

int reuseport_accept(enum reuseport_listener id, int sock, struct sockaddr *addr, socklen_t *len)
{
  enum outcome outcome;
  int session;

  if (!reuseport_enabled()) return reuseport_accept_usable(sock, addr, len);

  pthread_mutex_lock(&listeners_mutex);
  outcome = accept_fitting(sock, addr, len, &session);
  pthread_mutex_unlock(&listeners_mutex);

  if (outcome == REFUSED) count_refused(id, FALSE);
  if (outcome == CANNOT) {
    log_waiting(id);
    reuseport_sleep_ms(NO_ROOM_MS);
  }

  return outcome == ACCEPTED ? session : -1;
}

int reuseport_take_xconnect(int sock)
{
  if (sock <= 0 || sock >= FD_SETSIZE) return FALSE;
  if (!reuseport_enabled()) return TRUE;

  pthread_mutex_lock(&listeners_mutex);
  fcntl(sock, F_SETFD, FD_CLOEXEC);
  sessions[sock] = rp_read_cookie(sock);
  pthread_mutex_unlock(&listeners_mutex);

  return TRUE;
}

void reuseport_close_session(int session)
{
  if (reuseport_enabled()) shutdown(session, SHUT_RDWR);
  close(session);
}

/* ---- in children ---- */

void reuseport_drop_sessions_in_child()
{
  int fd;

  for (fd = 0; fd < FD_SETSIZE; fd++) {
    /* upstream closes some that were noted, and their numbers may be those of files by now */
    if (!sessions[fd] || sessions[fd] != rp_read_cookie(fd)) continue;
    if (reserve < 0 || dup3(reserve, fd, O_CLOEXEC) < 0) close(fd);
  }
  memset(sessions, 0, sizeof(sessions));
}
