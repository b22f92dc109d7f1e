// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A snapshot of a group: see snapshot.h. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "overrides.h"
#include "snapshot.h"
#include "text.h"

/* ---- from the maps ---- */

static void read_counters(int map, __u32 bucket, struct rp_counters *sum)
{
	int cpus = libbpf_num_possible_cpus();
	struct rp_counters *each = cpus > 0 ? calloc(cpus, sizeof(*each)) : NULL;

	memset(sum, 0, sizeof(*sum));
	if (!each)
		exit(report_error(FAILED,
				  "cannot tell how many CPUs there are, or has no memory for "
				  "as many: is /sys/devices/system/cpu there?"));
	if (map >= 0 && !bpf_map_lookup_elem(map, &bucket, each))
		for (int cpu = 0; cpu < cpus; cpu++)
			for (int i = 0; i < RP_OUTCOMES; i++)
				sum->n[i] += each[cpu].n[i];
	free(each);
}

const char *listener_name(const struct rp_member *m)
{
	const char *slash = strrchr(m->config->pin_path, '/');

	/* upstream's *_rp_ebpf_prog: the directory is named by the listener */
	if (!strcmp(m->listener, "."))
		return slash ? slash + 1 : m->config->pin_path;

	return m->listener;
}

int is_asked_for(const struct options *o, const struct rp_member *m)
{
	return !o->listener || !strcmp(o->listener, listener_name(m));
}

int is_by_agent(const struct rp_member *m)
{
	return rp_get_setting(m, RP_POLICY) & RP_BY_AGENT && !strcmp(listener_name(m), "sfacctd");
}

int fail_no_listener(struct rp_member *m, const struct options *o)
{
	if (o->listener)
		return rp_fail(m, -ENOENT, "no listener %s in %s", o->listener, o->config.pin_path);

	return rp_fail(m, -ENOENT, "no listener in %s: give the group's reuseport_pin_path",
		       o->config.pin_path);
}

__u64 received_by(const struct bucket *b)
{
	return b->counters.n[RP_OWN] + b->counters.n[RP_FAILOVER];
}

static void read_state_changes(struct snapshot *s, const struct rp_member *m)
{
	const __u32 zero = 0;

	s->keeps_exporters = m->fds[RP_STATE] >= 0 && m->fds[RP_CHANGES] >= 0 &&
			     !bpf_map_lookup_elem(m->fds[RP_CHANGES], &zero, &s->state);
}

static void add_convict(const union rp_addr *exporter, const struct rp_conviction *conviction,
			void *arg)
{
	struct snapshot *s = arg;

	s->convicts = grow(s->convicts, s->n_convicts, sizeof(*s->convicts));
	s->convicts[s->n_convicts++] = (struct convict){*exporter, *conviction};
}

static void read_settings(struct snapshot *s, const struct rp_member *m)
{
	s->size = rp_get_setting(m, RP_SIZE);
	s->nonce = rp_get_setting(m, RP_NONCE);
	rp_read_weights(m, &s->weights);
	rp_count_slots(m, s->slots);
	s->is_placed = rp_is_placed(m);
	s->failover = rp_fails_over(m);
	s->by_agent = !!(rp_get_setting(m, RP_POLICY) & RP_BY_AGENT);
	s->watched = !!(rp_get_setting(m, RP_POLICY) & RP_WATCHED);
	read_state_changes(s, m);
	s->has_quarantine = m->fds[RP_QUARANTINE] >= 0;
	s->n_convicts = 0;
	rp_each_conviction(m, add_convict, s);
	s->n_overrides = s->n_overrides_beyond = 0;
	if (rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN)
		s->n_overrides = count_overrides(m->fds[RP_OVERRIDES], rp_get_size(m),
						 &s->n_overrides_beyond);
}

/* The tag of the selector that the instances have attached: it is the same for the same program */
static void read_tag(const struct rp_member *m, char tag[2 * BPF_TAG_SIZE + 1])
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", m->config->pin_path, m->listener, RP_PROG);
	fd = bpf_obj_get(path);
	tag[0] = '\0';
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len))
		for (int i = 0; i < BPF_TAG_SIZE; i++)
			sprintf(&tag[2 * i], "%02x", info.tag[i]);
	close(fd);
}

static struct listener *read_listener(const struct rp_member *m, __u32 size)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct rp_counters no_bucket;
	struct timespec now;

	if (!l)
		exit(report_error(FAILED, "no memory"));
	printable(listener_name(m), l->name, sizeof(l->name));
	l->protocol = m->protocol;
	read_tag(m, l->tag);
	l->has_counters = m->fds[RP_COUNTERS] >= 0;
	l->counts_sessions = m->protocol == IPPROTO_TCP && m->fds[RP_INSTANCES] >= 0;
	l->n_buckets = size;
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		struct bucket *b = &l->bucket[i];

		rp_read_bucket(m, i, &b->owner);
		if (m->fds[RP_INSTANCES] >= 0)
			bpf_map_lookup_elem(m->fds[RP_INSTANCES], &i, &l->instances[i]);
		read_counters(m->fds[RP_COUNTERS], i, &b->counters);
		l->received += received_by(b);
		l->refused += b->counters.n[RP_REFUSED];
		l->disallowed += l->instances[i].disallowed;
		if (!b->owner.cookie)
			continue;
		l->n_live++;
		l->endpoint = b->owner.endpoint;
		if (i >= l->n_buckets)
			l->n_buckets = i + 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	l->instances_read = now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
	read_counters(m->fds[RP_COUNTERS], RP_NO_BUCKET, &no_bucket);
	l->unreadable = no_bucket.n[RP_UNREADABLE];
	l->quarantined = no_bucket.n[RP_QUARANTINED];

	return l;
}

static int add_listener(struct rp_member *m, void *arg)
{
	struct snapshot *s = arg;
	struct listener *l;

	read_settings(s, m);
	l = read_listener(m, s->size);
	s->n_live += l->n_live;
	if (!is_asked_for(s->options, m)) {
		free(l);
		return 0;
	}
	s->listeners = grow(s->listeners, s->n_listeners, sizeof(*s->listeners));
	s->listeners[s->n_listeners++] = l;

	return 0;
}

/* ---- from the sockets ---- */

static int is_any(const __u8 addr[16])
{
	static const union rp_addr any6;
	union rp_addr any4;

	rp_addr_v4(&any4, 0);

	return !memcmp(addr, any6.b, 16) || !memcmp(addr, any4.b, 16);
}

/*
 * Whether the kernel prefers a foreign socket to the group's for some of their traffic. The more
 * specific socket wins, by address, device, or family (an IPv4 socket is served before a dual-stack
 * one), and so does one that is connected to an exporter: compute_score() in the kernel's
 * net/ipv4/udp.c and net/ipv4/inet_hashtables.c.
 */
static int takes_traffic(const struct sock *foreign, const struct sock *ours)
{
	int apart = ours->family == AF_INET6 && foreign->family == AF_INET &&
		    (ours->v6only || !is_any(ours->addr));

	if (apart || (ours->family == AF_INET && foreign->family == AF_INET6))
		return 0;
	/* hidden: it drains, see reuseport_hide() in listeners.h */
	if (foreign->device == INT_MAX)
		return 0;
	if (foreign->connected || (foreign->device && !ours->device))
		return 1;

	return (is_any(ours->addr) && !is_any(foreign->addr)) ||
	       (foreign->family == AF_INET && ours->family == AF_INET6);
}

int is_apart(const struct sock *one, const struct sock *other)
{
	return one->family != other->family || one->device != other->device ||
	       one->v6only != other->v6only || one->port != other->port ||
	       memcmp(one->addr, other->addr, sizeof(one->addr));
}

static void add_foreign(struct listener *l, const struct sock *sock, int takes)
{
	struct foreign_socket *new;

	l->foreign = grow(l->foreign, l->n_foreign, sizeof(*l->foreign));
	new = &l->foreign[l->n_foreign++];
	new->sock = sock;
	new->takes_traffic = takes;
	new->pid = pid_of_sock(sock, new->comm, sizeof(new->comm));
}

static int has_socket(const struct listener *l, __u64 cookie)
{
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++)
		if (l->bucket[i].owner.cookie == cookie)
			return 1;

	return 0;
}

/* Finds the sockets of the buckets, and foreign ones at their port */
static void match_sockets(struct snapshot *s, struct listener *l)
{
	const struct socks *socks = l->protocol == IPPROTO_TCP ? &s->tcp : &s->udp;
	const struct sock *ours = NULL;

	if (l->endpoint.netns && l->endpoint.netns != rp_read_own_netns()) {
		s->in_other_netns = 1;
		return;
	}
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		struct bucket *b = &l->bucket[i];

		b->sock = b->owner.cookie ? sock_by_cookie(socks, b->owner.cookie) : NULL;
		if (b->sock)
			ours = b->sock;
	}
	if (!ours)
		return;
	memcpy(l->endpoint.addr, ours->addr, sizeof(l->endpoint.addr));
	l->endpoint.port = ours->port;
	for (size_t i = 0; i < socks->n; i++) {
		const struct sock *other = &socks->list[i];

		if (other->port == ours->port && !has_socket(l, other->cookie))
			add_foreign(l, other, takes_traffic(other, ours));
	}
}

/* ---- compared ---- */

/* before: the same listener in the snapshot before, or NULL */
static void compare(struct listener *l, const struct listener *before)
{
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		struct bucket *b = &l->bucket[i];
		const struct bucket *was = before ? &before->bucket[i] : NULL;

		b->recent_drops = b->sock ? b->sock->drops : 0;
		if (was && was->sock && was->owner.cookie == b->owner.cookie)
			b->recent_drops -= was->sock->drops;
		b->recent = received_by(b) - (was ? received_by(was) : 0);
		b->recent_failover =
			b->counters.n[RP_FAILOVER] - (was ? was->counters.n[RP_FAILOVER] : 0);
		l->recent += b->recent;
		l->recent_live += b->owner.cookie ? b->recent : 0;
	}
}

static const struct listener *find_before(const struct snapshot *before, size_t i,
					  const struct listener *l)
{
	const struct listener *was =
		before && i < before->n_listeners ? before->listeners[i] : NULL;

	/* another listener, or one that counts from zero again */
	if (was && (strcmp(was->name, l->name) || was->received > l->received))
		return NULL;

	return was;
}

double share_of(const struct listener *l, const struct bucket *b)
{
	return l->recent ? (double)b->recent / l->recent : 0;
}

double slots_share(const struct snapshot *s, __u32 bucket)
{
	return s->slots[bucket] / (double)RP_SLOT_COUNT;
}

double queue_fill(const struct sock *s)
{
	return s->queue_max ? (double)s->queue / s->queue_max : 0;
}

const char *unit_of(const struct listener *l)
{
	return l->protocol == IPPROTO_TCP ? "connections" : "datagrams";
}

const char *fault_name(__u32 fault)
{
	static const char *const names[] = {"", "crashed", "looped", "stuck", "stopped"};

	return fault <= RP_STOPPED ? names[fault] : "";
}

int take_snapshot(struct snapshot *s, const struct options *o, const struct snapshot *before,
		  struct rp_member *m)
{
	struct timespec now, boot;
	int err;

	memset(s, 0, sizeof(*s));
	s->options = o;
	clock_gettime(CLOCK_REALTIME, &now);
	s->time = now.tv_sec + now.tv_nsec / 1e9;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	s->taken = boot.tv_sec + boot.tv_nsec / 1e9;
	s->boot_time = boot.tv_sec;

	rp_init(m);
	err = rp_each_listener(m, &o->config, add_listener, s);
	if (err < 0)
		return err;
	if (!s->n_listeners)
		return fail_no_listener(m, o);
	err = read_socks(IPPROTO_UDP, &s->udp);
	if (!err)
		err = read_socks(IPPROTO_TCP, &s->tcp);
	s->sock_diag_error = -err;
	for (size_t i = 0; i < s->n_listeners; i++) {
		match_sockets(s, s->listeners[i]);
		compare(s->listeners[i], find_before(before, i, s->listeners[i]));
	}

	return 0;
}

void free_snapshot(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		free(s->listeners[i]->foreign);
		free(s->listeners[i]);
	}
	for (size_t i = 0; i < s->n_warnings; i++)
		free(s->warnings[i]);
	free(s->listeners);
	free(s->warnings);
	free(s->convicts);
	free(s->udp.list);
	free(s->tcp.list);
}
