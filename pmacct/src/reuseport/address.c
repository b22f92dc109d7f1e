/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Where a listener is bound. All instances of a listener must be at one address, port and device: the kernel selects among the sockets of
 * one of its reuseport groups only, and a selector that is attached to another one would take the traffic of that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "faults.h"
#include "group_internal.h"

#define DYING_NAPS 10 /* of 20 ms: how long an address may be in use by a dying instance */

/* ---- addresses ---- */

int rp_addr_from_sockaddr(union rp_addr *addr, const struct sockaddr *from)
{
  memset(addr, 0, sizeof(*addr));
  switch (from->sa_family) {
  case AF_INET:
    rp_addr_v4(addr, ((const struct sockaddr_in *) from)->sin_addr.s_addr);
    return 0;
  case AF_INET6:
    memcpy(addr, &((const struct sockaddr_in6 *) from)->sin6_addr, sizeof(*addr));
    return 0;
  }

  return -EAFNOSUPPORT;
}

void rp_format_addr(const union rp_addr *addr, char *text, size_t len)
{
  int is_v4 = rp_addr_is_v4(addr);

  if (!inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? &addr->w[3] : &addr->w[0], text, len)) snprintf(text, len, "?");
}

__u64 rp_read_own_netns(void)
{
  struct stat ns;

  return stat("/proc/thread-self/ns/net", &ns) ? 0 : ns.st_ino;
}

/* ---- endpoints ---- */

/* What else makes a reuseport group of the kernel: the device, and whether IPv4 comes, too. */
static void read_options(int sock, struct rp_endpoint *endpoint)
{
  socklen_t len = sizeof(endpoint->device_name);
  int v6only = 0;

  if (getsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, endpoint->device_name, &len)) endpoint->device_name[0] = '\0';
  if (endpoint->device_name[0]) endpoint->device = if_nametoindex(endpoint->device_name);
  len = sizeof(v6only);
  if (!getsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len)) endpoint->v6only = v6only;
}

static void read_endpoint(int sock, const struct sockaddr *addr, struct rp_endpoint *endpoint)
{
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) addr;
  union rp_addr ip;

  memset(endpoint, 0, sizeof(*endpoint));
  endpoint->netns = rp_read_own_netns();
  read_options(sock, endpoint);
  if (rp_addr_from_sockaddr(&ip, addr)) return;
  memcpy(endpoint->addr, ip.b, sizeof(endpoint->addr));
  endpoint->port = ntohs(addr->sa_family == AF_INET ? ((const struct sockaddr_in *) addr)->sin_port : v6->sin6_port);
  if (addr->sa_family == AF_INET6) endpoint->scope = v6->sin6_scope_id;
}

/* "192.0.2.1 port 2100" */
static void describe_endpoint(const struct rp_endpoint *endpoint, char *text, size_t len)
{
  char ip[INET6_ADDRSTRLEN];
  union rp_addr addr;

  memcpy(addr.b, endpoint->addr, sizeof(addr.b));
  rp_format_addr(&addr, ip, sizeof(ip));
  snprintf(text, len, "%s port %u", ip, endpoint->port);
}

/* "device vrf-blue (7)" */
static void describe_device(const struct rp_endpoint *endpoint, char *text, size_t len)
{
  if (endpoint->device)
    snprintf(text, len, "device %.15s (%u)", endpoint->device_name, endpoint->device);
  else
    snprintf(text, len, "no device");
}

static int compare_options(struct rp_member *m, const struct rp_endpoint *theirs, const char *who)
{
  const struct rp_endpoint *ours = &m->endpoint;
  int is_same_name = !strncmp(ours->device_name, theirs->device_name, sizeof(ours->device_name));
  char here[64], there[64];

  describe_device(ours, here, sizeof(here));
  describe_device(theirs, there, sizeof(there));
  if (ours->device != theirs->device)
    return rp_fail(m, -EADDRNOTAVAIL, "listener %s is to be bound to %s here, but is bound to %s in the group %s (%s): %s", m->listener, here, there, m->config->pin_path, who,
                   is_same_name ? "that one was removed and made again, so stop all instances, and start them" : "use the same *_interface in all instances, or another reuseport_pin_path");
  if (ours->v6only != theirs->v6only)
    return rp_fail(m, -EADDRNOTAVAIL, "listener %s is to receive %s here, but receives %s in the group %s (%s): use the same *_ipv6_only in all instances", m->listener,
                   ours->v6only ? "IPv6 alone" : "IPv4 and IPv6", theirs->v6only ? "IPv6 alone" : "IPv4 and IPv6", m->config->pin_path, who);

  return 0;
}

/* who: the live instance that is at theirs */
static int compare_endpoint(struct rp_member *m, const struct rp_endpoint *theirs, const char *who)
{
  const struct rp_endpoint *ours = &m->endpoint;
  char here[64], there[64];

  if (!theirs->port || !ours->port) return 0;
  if (theirs->port == ours->port && theirs->scope == ours->scope && !memcmp(theirs->addr, ours->addr, sizeof(theirs->addr)))
    return compare_options(m, theirs, who);

  describe_endpoint(ours, here, sizeof(here));
  describe_endpoint(theirs, there, sizeof(there));

  return rp_fail(m, -EADDRNOTAVAIL, "listener %s is to be at %s here, but is live at %s in the group %s (%s): use the same address and port in all instances, or another reuseport_pin_path", m->listener, here, there, m->config->pin_path, who);
}

/* ---- the check before bind() ---- */

/* Gives the probe the options of sock that decide which addresses conflict. */
static void copy_options(int probe, int sock, int type)
{
  int yes = 1, v6only;
  char device[64] = "";
  socklen_t v6only_len = sizeof(v6only), device_len = sizeof(device);

  /* connections in TIME_WAIT do not count */
  if (type == SOCK_STREAM) setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (!getsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &v6only_len))
    setsockopt(probe, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, v6only_len);
  if (!getsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, device, &device_len) && device_len)
    setsockopt(probe, SOL_SOCKET, SO_BINDTODEVICE, device, device_len);
}

/* Tries to bind a socket that does not share the address. Returns: 1 if another socket has the address, 0 if none has, or the
   negative errno of another failure. */
static int address_in_use(int sock, const struct sockaddr *addr, socklen_t len)
{
  socklen_t type_len = sizeof(int);
  int type, probe, err = 0;

  if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &type_len)) return -errno;
  probe = socket(addr->sa_family, type | SOCK_CLOEXEC, 0);
  if (probe < 0) return -errno;

  copy_options(probe, sock, type);
  if (bind(probe, addr, len)) err = -errno;
  close(probe);

  return err == -EADDRINUSE ? 1 : err;
}

/* Whether the socket of an instance that is out of its bucket may still be bound: it has left so recently, or it has crashed and we have its
   socket from the service manager. */
static int is_still_bound(const struct rp_member *m, const struct rp_owner *owner)
{
  /* it reads what is queued, and then waits for its plugins */
  if (owner->state == RP_DRAINING && owner->since + 2 * RP_LEAVE_SECONDS >= rp_boot_seconds()) return 1;

  return owner->cookie && m->config->is_inherited && m->config->is_inherited(owner->cookie);
}

static int has_former_peer(const struct rp_member *m)
{
  struct rp_owner owner;

  for (__u32 index = 0; m->fds[RP_OWNERS] >= 0 && index < RP_MAX_BUCKETS; index++)
    if (!bpf_map_lookup_elem(m->fds[RP_OWNERS], &index, &owner) && is_still_bound(m, &owner)) return 1;

  return 0;
}

/* Finds the first live instance of the member's listener. Returns: whether there is one. */
static int find_peer(const struct rp_member *m, struct rp_bucket *bucket, char *who, size_t len)
{
  for (__u32 index = 0; index < RP_MAX_BUCKETS; index++) {
    if (rp_read_bucket(m, index, bucket) || !bucket->cookie) continue;
    rp_describe_owner(m->listener, index, bucket, who, len);
    return 1;
  }

  return 0;
}

/* err: of bind() */
static int cannot_bind(struct rp_member *m, int err)
{
  const char *hint = err == -EACCES          ? ": a port below 1024 needs CAP_NET_BIND_SERVICE"
                     : err == -EADDRNOTAVAIL ? ": no interface has that address"
                                             : "";
  char where[64];

  describe_endpoint(&m->endpoint, where, sizeof(where));

  return rp_fail(m, err, "listener %s cannot be at %s (%s)%s", m->listener, where, strerror(-err), hint);
}

/* Whether sockets that are not in the group have the address. An instance that is killed just now leaves the map a moment before its address is
   free. */
static int is_taken(const struct rp_member *m, int sock, const struct sockaddr *addr, socklen_t len)
{
  const struct timespec nap = {0, 20 * 1000 * 1000};

  for (int naps = 0; !has_former_peer(m) && address_in_use(sock, addr, len) == 1; naps++) {
    if (naps == DYING_NAPS) return 1;
    nanosleep(&nap, NULL);
  }

  return 0;
}

int rp_check_address(struct rp_member *m, int sock, const struct sockaddr *addr, socklen_t len)
{
  int in_use = address_in_use(sock, addr, len), is_live, err;
  const char *path = m->config->pin_path;
  struct rp_bucket peer;
  char who[128];

  read_endpoint(sock, addr, &m->endpoint);
  is_live = find_peer(m, &peer, who, sizeof(who));
  err = is_live ? compare_endpoint(m, &peer.endpoint, who) : 0;
  if (err) return err;

  if (in_use == 1 && !is_live && is_taken(m, sock, addr, len))
    return rp_fail(m, -EADDRINUSE, "the address of listener %s is in use by sockets that are not in the group %s, and would get nothing any more: stop them (no reuseport_* keys? another user? pins removed?), or use their reuseport_pin_path", m->listener, path);
  /* The live instance of a foreign object has published no endpoint to compare; but no socket at all is at our address. */
  if (in_use == 0 && is_live)
    return rp_fail(m, -EADDRNOTAVAIL, "listener %s of the group %s is live (%s), but not at this address and port: use the same in all instances, or another reuseport_pin_path", m->listener, path, who);

  return in_use < 0 ? cannot_bind(m, in_use) : 0;
}

__u64 rp_read_cookie(int sock)
{
  __u64 cookie = 0;
  socklen_t len = sizeof(cookie);

  return getsockopt(sock, SOL_SOCKET, SO_COOKIE, &cookie, &len) ? 0 : cookie;
}
