/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions go back to their owner: see sessions.h. */
#include "pmacct.h"
#include "addr.h"
#include "bgp/bgp.h"
#include "bmp/bmp.h"
#include "telemetry/telemetry.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/listeners.h"
#include "reuseport/sessions.h"

#define RETURN_INTERVAL 1  /* seconds between two looks at the sessions */
#define RETURN_DELAY    5  /* seconds that a session stays after its owner is live again */
#define RETURN_SPREAD   10 /* seconds over which sessions are closed, each router's at a moment of its own */

/* What is known of the session that a peer has */
struct session {
  time_t owner_since; /* seconds; since when its owner is another instance, and live; 0: not so */
  u_int16_t port;     /* the session's source port: another one means another session */
};

/* Each listener's, of its own thread: no lock */
static struct {
  struct session *sessions; /* by the index of the peer; NULL: none yet, or no memory */
  time_t next;              /* seconds; when to look again */
} returning[REUSEPORT_LISTENERS];

/*
 * Returns: the peer with that index, connected or not, or NULL beyond the last one. The tables are upstream's: peers in
 * bgp/bgp.c, bmp_peers in bmp/bmp.c, telemetry_peers in telemetry/telemetry.c.
 */
static struct bgp_peer *peer_at(enum reuseport_listener id, int idx)
{
  switch (id) {
  case REUSEPORT_BGP:
    return idx < config.bgp_daemon_max_peers ? &peers[idx] : NULL;
  case REUSEPORT_BMP:
    return idx < config.bmp_daemon_max_peers ? &bmp_peers[idx].self : NULL;
  case REUSEPORT_TELEMETRY_TCP:
    return idx < config.telemetry_max_peers ? &telemetry_peers[idx] : NULL;
  default:
    return NULL;
  }
}

static struct session *allocate_sessions(enum reuseport_listener id)
{
  int n = 0;

  while (peer_at(id, n)) n++;

  return calloc(n + 1, sizeof(struct session));
}

/* Reads the address that the selector sees: that of the packets, not the one that a proxy reports. Returns: whether there is one. */
static int read_exporter(int sock, union rp_addr *exporter)
{
  struct sockaddr_storage peer;
  socklen_t len = sizeof(peer);

  return !getpeername(sock, (struct sockaddr *) &peer, &len) && !rp_addr_from_sockaddr(exporter, (struct sockaddr *) &peer);
}

/* Returns: whether the exporter belongs to the bucket of another instance that is live and reads. */
static int has_other_owner(const struct rp_member *member, const union rp_addr *exporter, __u32 *bucket)
{
  struct rp_bucket owner;

  *bucket = rp_find_bucket(member, exporter);

  return *bucket != reuseport_config.index && !rp_read_bucket(member, *bucket, &owner) && owner.cookie && owner.state == RP_READY;
}

/*
 * Returns: whether the session is to be closed now. The delay differs from router to router, so that an instance which comes
 * back does not get all its sessions at once.
 */
static int is_due(struct session *session, const struct bgp_peer *peer, const union rp_addr *exporter, time_t now)
{
  time_t delay = RETURN_DELAY + (time_t) (rp_hash(exporter, 0) % RETURN_SPREAD);

  if (!session->owner_since || session->port != peer->tcp_port) {
    session->owner_since = now;
    session->port = peer->tcp_port;
  }

  return now - session->owner_since >= delay;
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
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: [%s] closing its session with listener %s: index %u, which it belongs to, is live again.\n",
      config.name, router, reuseport_listener_names[id].name, bucket);
}

int reuseport_return_sessions(enum reuseport_listener id, fd_set *fds)
{
  const struct rp_member *member = &listeners[id].member;
  time_t now = reuseport_now_ms() / 1000;
  union rp_addr exporter;
  struct bgp_peer *peer;
  int idx, closed = FALSE;
  __u32 bucket;

  if (now < returning[id].next) return FALSE;
  returning[id].next = now + RETURN_INTERVAL;
  if (!returning[id].sessions) returning[id].sessions = allocate_sessions(id);
  if (!returning[id].sessions || !rp_fails_over(member)) return FALSE;

  for (idx = 0; (peer = peer_at(id, idx)); idx++) {
    struct session *session = &returning[id].sessions[idx];

    if (peer->fd <= 0 || !read_exporter(peer->fd, &exporter)) continue;
    if (!has_other_owner(member, &exporter, &bucket)) {
      session->owner_since = 0;
      continue;
    }
    if (!is_due(session, peer, &exporter, now)) continue;

    log_return(id, peer, bucket);
    close_session(id, idx, fds);
    session->owner_since = 0;
    closed = TRUE;
  }

  return closed;
}
