/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The group that tests/tools/selector.c sends to: its sockets, what arrives at them, and what user
 * space predicts. */
#ifndef SELECTOR_GROUP_H
#define SELECTOR_GROUP_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "group.h"
#include "placed.h"
#include "senders.h"

#define BATCH	  50 /* fits any receive buffer */
#define NO_BUCKET -1
#define REFUSED	  -2

static const char *object, *bpffs;

/* One group of `size` buckets with one UDP and one TCP listener */
static struct {
	char pin_path[128];
	struct rp_config config;
	int family, port;
	__u32 nonce;
	int udp[RP_MAX_BUCKETS], tcp[RP_MAX_BUCKETS];
} g;

static int new_socket(int type)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(g.port)};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(g.port)};
	int sock = socket(g.family, type | SOCK_NONBLOCK, 0), yes = 1;

	must(sock >= 0);
	must(!setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)));
	must(!bind(sock, g.family == AF_INET ? (void *)&any4 : (void *)&any6,
		   g.family == AF_INET ? sizeof(any4) : sizeof(any6)));
	must(type == SOCK_DGRAM || !listen(sock, 128));

	return sock;
}

static int join(__u32 index, int type)
{
	struct rp_member m;
	int sock;

	g.config.index = index;
	rp_init(&m);
	if (rp_open(&m, &g.config, type == SOCK_DGRAM ? "udp" : "tcp",
		    type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP)) {
		printf("Bail out! %s\n", m.error);
		exit(1);
	}
	sock = new_socket(type);
	if (rp_join(&m, sock, RP_READY)) {
		printf("Bail out! %s\n", m.error);
		exit(1);
	}
	g.nonce = m.nonce;
	rp_close(&m);

	return sock;
}

static void leave(__u32 index)
{
	if (g.udp[index] >= 0)
		close(g.udp[index]);
	if (g.tcp[index] >= 0)
		close(g.tcp[index]);
	g.udp[index] = g.tcp[index] = -1;
}

/* A new group with instances in the buckets first..last */
static void start_group(int family, __u32 size, __u32 first, __u32 last, enum rp_tristate failover)
{
	static int groups;

	for (__u32 i = 0; groups && i < RP_MAX_BUCKETS; i++)
		leave(i);
	snprintf(g.pin_path, sizeof(g.pin_path), "%s/selector%d", bpffs, groups);
	g.config = (struct rp_config){
		.prog = object, .pin_path = g.pin_path, .count = size, .failover = failover};
	g.family = family;
	g.port = 3000 + groups++;
	memset(g.udp, 0xff, sizeof(g.udp));
	memset(g.tcp, 0xff, sizeof(g.tcp));
	for (__u32 i = first; i <= last; i++) {
		g.udp[i] = join(i, SOCK_DGRAM);
		g.tcp[i] = join(i, SOCK_STREAM);
	}
}

/* Sends exporter i's datagram from its own address to the group, on loopback */
static int send_from(int sender, const union rp_addr *from, int i, int payload)
{
	struct datagram d;
	struct msghdr m = address_datagram(&d, from, g.port, &i, payload);

	return sendmsg(sender, &m, 0) < 0 ? -errno : 0;
}

/* Reads all sockets empty; payloads are start..end-1. Returns how many datagrams were odd: seen
 * before, or never sent.
 */
static int drain(int start, int end, int *got)
{
	int payload, odd = 0;

	for (int bucket = 0; bucket < RP_MAX_BUCKETS; bucket++) {
		while (g.udp[bucket] >= 0 &&
		       recv(g.udp[bucket], &payload, sizeof(payload), 0) == sizeof(payload)) {
			if (payload < start || payload >= end || got[payload] != NO_BUCKET)
				odd++;
			else
				got[payload] = bucket;
		}
	}

	return odd;
}

/* Sends one datagram from each of n exporters. got[i]: the bucket that received it, or NO_BUCKET.
 * Returns how many arrived more than once, or with another content than was sent.
 */
static inline int arrivals(const union rp_addr *from, int n, int *got)
{
	int sender = new_sender(rp_addr_is_v4(from), SOCK_DGRAM), odd = 0;

	for (int start = 0; start < n; start += BATCH) {
		int end = start + BATCH < n ? start + BATCH : n, missing = 0;

		for (int i = start; i < end; i++) {
			got[i] = NO_BUCKET;
			must(!send_from(sender, &from[i], i, sizeof(i)));
		}
		odd += drain(start, end, got);
		/* On loopback a datagram is mostly queued before sendmsg() returns; now and then
		 * ksoftirqd has to run first
		 */
		for (int i = start; i < end; i++)
			missing += got[i] == NO_BUCKET;
		if (missing) {
			usleep(20000);
			odd += drain(start, end, got);
		}
	}
	close(sender);

	return odd;
}

/* Where user space says that an exporter of that hash fails over to, given which buckets are live
 */
static int predict_failover(__u64 hash, __u32 size)
{
	unsigned char live[RP_MAX_BUCKETS];
	__u32 bucket;

	for (int i = 0; i < RP_MAX_BUCKETS; i++)
		live[i] = g.udp[i] >= 0;
	bucket = fails_over_to(placement_of(g.nonce, size), hash, live);

	return bucket == RP_NO_BUCKET ? NO_BUCKET : (int)bucket;
}

/* Where it says that an exporter arrives */
static int predict(const union rp_addr *a, __u32 size)
{
	__u64 hash = rp_hash(a, g.nonce);
	__u32 bucket = bucket_in(placement_of(g.nonce, size), hash);

	return g.udp[bucket] >= 0 ? (int)bucket : predict_failover(hash, size);
}

static inline int unlike_predicted(const union rp_addr *from, int n, const int *got, __u32 size)
{
	int differ = 0;

	for (int i = 0; i < n; i++)
		differ += got[i] != predict(&from[i], size);

	return differ;
}

static inline __u64 counted(enum rp_outcome outcome)
{
	static struct rp_counters per_cpu[1024];
	char path[256];
	__u64 sum = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/udp/%s", g.pin_path, RP_MAP_COUNTERS);
	fd = bpf_obj_get(path);
	must(fd >= 0 && libbpf_num_possible_cpus() <= 1024);
	for (__u32 bucket = 0; bucket <= RP_NO_BUCKET; bucket++) {
		must(!bpf_map_lookup_elem(fd, &bucket, per_cpu));
		for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
			sum += per_cpu[cpu].n[outcome];
	}
	close(fd);

	return sum;
}

/* Opens a pinned map of the group */
static int open_map(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", g.pin_path, name);
	fd = bpf_obj_get(path);
	must(fd >= 0);

	return fd;
}

static inline void set_u32(const char *name, __u32 value)
{
	__u32 zero = 0;
	int fd = open_map(name);

	must(!bpf_map_update_elem(fd, &zero, &value, BPF_ANY));
	close(fd);
}

/* Which bucket's listener has a connection, and accepts it */
static int accepted_by(void)
{
	for (int bucket = 0; bucket < RP_MAX_BUCKETS; bucket++) {
		struct pollfd p = {.fd = g.tcp[bucket], .events = POLLIN};

		if (p.fd >= 0 && poll(&p, 1, 0) == 1) {
			int accepted = accept(p.fd, NULL, NULL);

			must(accepted >= 0);
			close(accepted);
			return bucket;
		}
	}

	return NO_BUCKET;
}

/* Which bucket's listener gets a connection from this address: REFUSED if it is */
static inline int connects_to(const union rp_addr *from)
{
	int sock = connect_from(from, g.port), got = NO_BUCKET;

	if (sock < 0) {
		must(errno == ECONNREFUSED);
		return REFUSED;
	}
	/* As with datagrams, the listener may have to wait for ksoftirqd */
	for (int tries = 0; got == NO_BUCKET && tries < 50; tries++) {
		got = accepted_by();
		if (got == NO_BUCKET)
			usleep(20000);
	}
	close(sock);

	return got;
}

#endif
