/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Sessions go back to their owner: see sessions.h. */
#include "pmacct.h"
#include "addr.h"
#include "bgp/bgp.h"
#include "bmp/bmp.h"
#include "telemetry/telemetry.h"
#include "reuseport/accept.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/listeners.h"
#include "reuseport/returns.h"
#include "reuseport/room.h"
#include "reuseport/sessions.h"

#define RETURN_INTERVAL 1 /* seconds between two looks at the sessions */

/* What is known of the session that a peer has */
struct session {
  time_t owner_since; /* seconds; since when its owner is another instance, and live; 0: not so */
  u_int16_t port;     /* the session's source port: another one means another session */
};

/* Each listener's, of its own thread: no lock */
static struct returning {
  struct session *sessions; /* by the index of the peer; NULL: none yet, or no memory */
  struct reuseport_owner owners[RP_MAX_BUCKETS];
  int live;    /* instances that read, this one included */
  time_t next; /* seconds; when to look again */
} returning[REUSEPORT_LISTENERS];

/*
 * Returns: the peer with that index, connected or not, or NULL beyond the last one. The tables are upstream's: peers in
 * bgp/bgp.c, bmp_peers in bmp/bmp.c, telemetry_peers in telemetry/telemetry.c.
 */
static struct bgp_peer *peer_at(enum reuseport_listener id, int idx)
{
  if (idx >= reuseport_max_peers(id)) return NULL;

  switch (id) {
  case REUSEPORT_BGP:
    return &peers[idx];
  case REUSEPORT_BMP:
    return &bmp_peers[idx].self;
  default:
    return &telemetry_peers[idx];
  }
}

/* Reads the address that the selector sees: that of the packets, not the one that a proxy reports. Returns: whether there is one. */
static int read_exporter(int sock, union rp_addr *exporter)
{
  struct sockaddr_storage peer;
  socklen_t len = sizeof(peer);

  return !getpeername(sock, (struct sockaddr *) &peer, &len) && !rp_addr_from_sockaddr(exporter, (struct sockaddr *) &peer);
}

/* ---- owners ---- */

static void begin_owner(enum reuseport_listener id, __u32 bucket, __u64 cookie, time_t now)
{
  struct reuseport_owner *owner = &returning[id].owners[bucket];

  reuseport_owner_begins(owner, cookie, now);
  if (owner->failures)
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: index %u is live again (ends within minutes of a start: %d): its sessions with listener %s return "
                  "after %ld s.\n",
        config.name, bucket, owner->failures, reuseport_listener_names[id].name, (long) reuseport_return_delay(owner));
}

static void look_at_owners(enum reuseport_listener id, time_t now)
{
  const struct rp_member *member = &listeners[id].member;
  struct rp_bucket bucket;
  __u32 number, size = rp_get_size(member);

  returning[id].live = 0;
  for (number = 0; number < RP_MAX_BUCKETS; number++) {
    struct reuseport_owner *owner = &returning[id].owners[number];

    memset(&bucket, 0, sizeof(bucket));
    if (number < size) rp_read_bucket(member, number, &bucket);
    if (owner->cookie && bucket.cookie != owner->cookie) reuseport_owner_ends(owner, now);
    if (bucket.cookie && bucket.state == RP_READY) {
      if (!owner->cookie) begin_owner(id, number, bucket.cookie, now);
      returning[id].live++;
    }
  }
}

/* ---- sessions ---- */

/*
 * Returns: whether the session is to be closed now. Each router's has a moment of its own, and the more there are, the longer all of them
 * take: an owner that comes back has to read the whole table of each.
 */
static int is_due(const struct returning *r, struct session *session, const struct reuseport_owner *owner, const struct bgp_peer *peer,
                  const union rp_addr *exporter, time_t now)
{
  if (!session->owner_since || session->port != peer->tcp_port) {
    session->owner_since = now;
    session->port = peer->tcp_port;
  }

  return now - MAX(session->owner_since, owner->since) >= reuseport_return_after(owner, r->live, exporter);
}

static void close_session(enum reuseport_listener id, int idx, fd_set *fds)
{
  struct bgp_peer *peer = peer_at(id, idx);
  char message[] = "another collector serves this router again";

  FD_CLR(peer->fd, fds);
  switch (id) {
  case REUSEPORT_BGP:
    if (peer->xconnect_fd > 0) FD_CLR(peer->xconnect_fd, fds);
    bgp_peer_close(peer, FUNC_TYPE_BGP, FALSE, TRUE, BGP_NOTIFY_CEASE, BGP_NOTIFY_CEASE_ADMIN_RESET, message);
    break;
  case REUSEPORT_BMP:
    bmp_peer_close(&bmp_peers[idx], FUNC_TYPE_BMP);
    break;
  default:
    telemetry_peer_close(peer, FUNC_TYPE_TELEMETRY);
  }
}

static void log_return(enum reuseport_listener id, struct bgp_peer *peer, __u32 bucket)
{
  char router[INET6_ADDRSTRLEN];

  addr_to_str(router, &peer->addr);
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: [%s] closing its session with listener %s: index %u serves this router now.\n",
      config.name, router, reuseport_listener_names[id].name, bucket);
}

int reuseport_return_sessions(enum reuseport_listener id, fd_set *fds)
{
  const struct rp_member *member = &listeners[id].member;
  struct returning *r = &returning[id];
  time_t now = reuseport_now_ms() / 1000;
  int away[RP_MAX_BUCKETS] = {0}, idx, n = 0, closed = 0, fails_over = rp_fails_over(member);
  union rp_addr exporter;
  struct rp_route route;
  struct bgp_peer *peer;
  __u32 bucket;

  if (now < r->next) return FALSE;
  r->next = now + RETURN_INTERVAL;
  if (!r->sessions) r->sessions = calloc(reuseport_max_peers(id), sizeof(struct session));
  if (!r->sessions) return FALSE;

  look_at_owners(id, now);
  for (idx = 0; (peer = peer_at(id, idx)); idx++) {
    struct session *session = &r->sessions[idx];
    struct reuseport_owner *owner;

    if (peer->fd <= 0 || !read_exporter(peer->fd, &exporter)) continue;
    n++;
    if (!fails_over) continue;
    /* where its flows go: while its own bucket is empty, another one may have become live that comes before this one */
    rp_find_route(member, &exporter, &route);
    bucket = route.receiver;
    if (bucket == reuseport_config.index || bucket >= RP_MAX_BUCKETS || !r->owners[bucket].cookie) {
      session->owner_since = 0;
      continue;
    }
    owner = &r->owners[bucket];
    away[bucket]++;
    owner->away = MAX(owner->away, away[bucket]);
    if (!is_due(r, session, owner, peer, &exporter, now)) continue;

    log_return(id, peer, bucket);
    close_session(id, idx, fds);
    session->owner_since = 0;
    closed++;
  }
  if (listeners[id].phase == LISTENER_JOINED) reuseport_count_sessions(id, n - closed, closed);
  if (fails_over) reuseport_check_share(id, n, r->live);

  return closed > 0;
}

/* ---- the end ---- */

/* As PM_sigint_handler() does (signals.c), which comes to it when all is drained. */
static void say_goodbye(const struct bgp_peer *peer)
{
  char message[BGP_MIN_NOTIFICATION_MSG_SIZE + BGP_NOTIFY_CEASE_SM_LEN + 1], why[] = "this collector stops, another one serves this router";
  int len = bgp_write_notification_msg(message, sizeof(message), BGP_NOTIFY_CEASE, BGP_NOTIFY_CEASE_ADMIN_SHUTDOWN, why);

  if (len > 0) send(peer->fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Returns: whether there was a session. fd: read once, because the main thread may be about to close it (PM_sigint_handler() in signals.c). */
static int end_session(int fd, fd_set *fds)
{
  if (fd <= 0) return FALSE;
  shutdown(fd, SHUT_RDWR);
  FD_CLR(fd, fds);

  return TRUE;
}

void reuseport_end_sessions(enum reuseport_listener id, fd_set *fds)
{
  struct bgp_peer *peer;
  int idx, n = 0;

  for (idx = 0; (peer = peer_at(id, idx)); idx++) {
    if (id == REUSEPORT_BGP && !config.bgp_xconnect_map && peer->fd > 0) say_goodbye(peer);
    n += end_session(peer->fd, fds);
    if (id == REUSEPORT_BGP) end_session(peer->xconnect_fd, fds);
  }
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s has left, and ends its %d sessions.\n", config.name, reuseport_listener_names[id].name, n);
}
