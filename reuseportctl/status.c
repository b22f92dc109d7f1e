// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The companion's eyes: what a group does, and where an exporter goes. Reads maps and sockets;
 * takes no lock, writes nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <jansson.h>
#include "reuseportctl.h"
#include "sockets.h"

#define ENOUGH 1000 /* datagrams or connections, from which on a share means anything */

/* ---- what there is ---- */

struct bucket {
	struct rp_bucket slot;
	struct rp_counters counters; /* of all CPUs */
	/* since the last look; at the first, since the group began */
	__u64 recent, recent_standin, recent_drops;
	const struct sock *sock; /* NULL: not to be seen from here */
};

struct outsider {
	const struct sock *sock;
	int pid, takes;
	char comm[32];
};

struct listener {
	char name[64];
	int protocol, counted;	     /* whether its object counts */
	struct rp_endpoint endpoint; /* of one that is live */
	__u32 slots;		     /* buckets of interest: the group's, and live ones beyond */
	__u32 live;
	__u64 received, refused, unreadable, recent, recent_live;
	struct bucket bucket[RP_MAX_BUCKETS];
	struct outsider *outsiders;
	size_t n_outsiders;
};

struct group {
	const struct options *o;
	double at; /* seconds since the epoch */
	__u32 size, nonce, overrides, live;
	int failover;
	struct listener **listeners;
	size_t n;
	struct socks udp, tcp;
	int elsewhere; /* it is in another network namespace */
	char **warnings;
	size_t n_warnings;
};

static void *grow(void *list, size_t n, size_t size)
{
	list = reallocarray(list, n + 1, size);
	if (!list)
		exit(report_error(FAILED, "no memory"));

	return list;
}

static void warn(struct group *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct group *g, const char *format, ...)
{
	va_list args;

	g->warnings = grow(g->warnings, g->n_warnings, sizeof(*g->warnings));
	va_start(args, format);
	if (vasprintf(&g->warnings[g->n_warnings], format, args) < 0)
		exit(report_error(FAILED, "no memory"));
	va_end(args);
	g->n_warnings++;
}

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

static __u32 count_overrides(int map)
{
	struct rp_prefix key, *before = NULL;
	__u32 n = 0;

	while (map >= 0 && n < RP_MAX_OVERRIDES && !bpf_map_get_next_key(map, before, &key)) {
		before = &key;
		n++;
	}

	return n;
}

static const char *name_of(const struct rp_member *m)
{
	const char *slash = strrchr(m->config->pin_path, '/');

	return strcmp(m->listener, ".") ? m->listener : slash ? slash + 1 : m->config->pin_path;
}

static int is_asked_for(const struct options *o, const struct rp_member *m)
{
	return !o->listener || !strcmp(o->listener, name_of(m));
}

static int no_listener(struct rp_member *m, const struct options *o)
{
	if (o->listener)
		return rp_fail(m, -ENOENT, "no listener %s in %s", o->listener, o->config.pin_path);

	return rp_fail(m, -ENOENT, "no listener in %s: give the group's reuseport_pin_path",
		       o->config.pin_path);
}

static __u64 received_by(const struct bucket *b)
{
	return b->counters.n[RP_OWN] + b->counters.n[RP_FAILOVER];
}

static int take_listener(struct rp_member *m, void *arg)
{
	struct group *g = arg;
	struct rp_counters none;
	struct listener *l;

	g->size = rp_get_setting(m, RP_SIZE);
	g->nonce = rp_get_setting(m, RP_NONCE);
	g->failover = rp_fails_over(m);
	g->overrides = rp_get_setting(m, RP_POLICY) & RP_OVERRIDDEN
			       ? count_overrides(m->fds[RP_OVERRIDES])
			       : 0;

	l = calloc(1, sizeof(*l));
	if (!l)
		exit(report_error(FAILED, "no memory"));
	snprintf(l->name, sizeof(l->name), "%s", name_of(m));
	l->protocol = m->protocol;
	l->counted = m->fds[RP_COUNTERS] >= 0;
	l->slots = g->size;
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		struct bucket *b = &l->bucket[i];

		rp_read_bucket(m, i, &b->slot);
		read_counters(m->fds[RP_COUNTERS], i, &b->counters);
		l->received += received_by(b);
		l->refused += b->counters.n[RP_REFUSED];
		if (!b->slot.cookie)
			continue;
		l->live++;
		l->endpoint = b->slot.endpoint;
		if (i >= l->slots)
			l->slots = i + 1;
	}
	read_counters(m->fds[RP_COUNTERS], RP_NO_BUCKET, &none);
	l->unreadable = none.n[RP_UNREADABLE];
	g->live += l->live;
	if (!is_asked_for(g->o, m)) {
		free(l);
		return 0;
	}
	g->listeners = grow(g->listeners, g->n, sizeof(*g->listeners));
	g->listeners[g->n++] = l;

	return 0;
}

/* ---- its sockets, and others at their port ---- */

static int is_any(const __u8 addr[16])
{
	static const union rp_addr any6;
	union rp_addr any4;

	rp_addr_v4(&any4, 0);

	return !memcmp(addr, any6.b, 16) || !memcmp(addr, any4.b, 16);
}

/*
 * Whether the kernel prefers it to the group's sockets for some of their traffic: the more specific
 * one wins, by address, device, or family (an IPv4 socket is served before a dual-stack one), and
 * so does one that is connected to an exporter.
 */
static int takes(const struct sock *other, const struct sock *ours)
{
	int apart = ours->family == AF_INET6 && other->family == AF_INET &&
		    (ours->v6only || !is_any(ours->addr));

	if (apart || (ours->family == AF_INET && other->family == AF_INET6))
		return 0;
	if (other->connected || (other->device && !ours->device))
		return 1;

	return (is_any(ours->addr) && !is_any(other->addr)) ||
	       (other->family == AF_INET && ours->family == AF_INET6);
}

static void add_outsider(struct listener *l, const struct sock *sock, int takes_some)
{
	struct outsider *new;

	l->outsiders = grow(l->outsiders, l->n_outsiders, sizeof(*l->outsiders));
	new = &l->outsiders[l->n_outsiders++];
	new->sock = sock;
	new->takes = takes_some;
	new->pid = pid_of_sock(sock, new->comm, sizeof(new->comm));
}

static int is_member(const struct listener *l, __u64 cookie)
{
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++)
		if (l->bucket[i].slot.cookie == cookie)
			return 1;

	return 0;
}

static __u64 own_netns(void)
{
	struct stat ns;

	return stat("/proc/self/ns/net", &ns) ? 0 : ns.st_ino;
}

static void match_sockets(struct group *g, struct listener *l)
{
	const struct socks *socks = l->protocol == IPPROTO_TCP ? &g->tcp : &g->udp;
	const struct sock *ours = NULL;

	if (l->endpoint.netns && l->endpoint.netns != own_netns()) {
		g->elsewhere = 1;
		return;
	}
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		struct bucket *b = &l->bucket[i];

		b->sock = b->slot.cookie ? sock_by_cookie(socks, b->slot.cookie) : NULL;
		if (b->sock)
			ours = b->sock;
	}
	for (size_t i = 0; ours && i < socks->n; i++) {
		const struct sock *s = &socks->list[i];

		if (s->port == ours->port && !is_member(l, s->cookie))
			add_outsider(l, s, takes(s, ours));
	}
	if (!ours)
		return;
	memcpy(l->endpoint.addr, ours->addr, sizeof(l->endpoint.addr));
	l->endpoint.port = ours->port;
}

/* ---- what is not as it should be ---- */

static const char *unit(const struct listener *l)
{
	return l->protocol == IPPROTO_TCP ? "connections" : "datagrams";
}

static void endpoint_text(const __u8 addr[16], __u32 port, char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN];
	union rp_addr a;

	memcpy(a.b, addr, sizeof(a.b));
	addr_text(&a, ip, sizeof(ip));
	snprintf(text, len, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
}

/* Of all listeners that somebody is live in; a full stop of one leaves its pins */
static void diagnose_empty(struct group *g, __u32 i)
{
	char where[256] = "";

	for (size_t n = 0; n < g->n; n++) {
		const struct listener *l = g->listeners[n];
		size_t used = strlen(where);

		if (l->live && i < l->slots && !l->bucket[i].slot.cookie)
			snprintf(where + used, sizeof(where) - used, "%s%s", used ? ", " : "",
				 l->name);
	}
	if (where[0])
		warn(g, "bucket %u is empty (%s): %s; start the instance with that index", i, where,
		     g->failover ? "live ones stand in"
				 : "failover is off, its exporters are refused");
}

static void diagnose_bucket(struct group *g, const struct listener *l, __u32 i, __u64 mean)
{
	const struct bucket *b = &l->bucket[i];
	char whose[192];

	if (!b->slot.cookie)
		return;
	snprintf(whose, sizeof(whose), "bucket %u of %s (pid %u)", i, l->name, b->slot.pid);
	if (b->slot.pid == 0)
		snprintf(whose, sizeof(whose), "bucket %u of %s", i, l->name);
	if (g->size && i >= g->size)
		warn(g,
		     "%s is beyond the group's %u buckets and gets nothing: stop that instance, or "
		     "resize",
		     whose, g->size);
	if (l->live > 1 && l->recent_live >= ENOUGH && b->recent >= 2 * mean)
		warn(g,
		     "%s gets %.1f times the mean: 'reuseportctl pin' puts its heaviest exporters "
		     "elsewhere",
		     whose, (double)b->recent / mean);
	if (b->recent_drops)
		warn(g, "%s has dropped %llu %s at its socket: %s", whose,
		     (unsigned long long)b->recent_drops, unit(l),
		     l->protocol == IPPROTO_TCP ? "it accepts too slowly"
						: "raise nfacctd_pipe_size and net.core.rmem_max, "
						  "or the number of instances");
}

/* Whether exporters are refused now; the count is of all time, and stays when that is mended */
static int refuses(const struct group *g, const struct listener *l)
{
	return !l->live || (!g->failover && l->live < g->size);
}

static void diagnose(struct group *g)
{
	char where[80];

	if (!g->size)
		warn(g, "nobody has set how many buckets there are, so that all 128 count: "
			"'reuseportctl resize N', with the number of instances");
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++)
		diagnose_empty(g, i);
	for (size_t n = 0; n < g->n; n++) {
		const struct listener *l = g->listeners[n];
		__u64 mean = l->live ? l->recent_live / l->live : 0;

		for (__u32 i = 0; i < l->slots; i++)
			diagnose_bucket(g, l, i, mean);
		if (l->refused && refuses(g, l))
			warn(g,
			     "%llu %s for %s were refused: their bucket was empty, and failover "
			     "off or nobody live",
			     (unsigned long long)l->refused, unit(l), l->name);
		if (l->unreadable)
			warn(g, "%llu %s for %s were dropped: no source address could be read",
			     (unsigned long long)l->unreadable, unit(l), l->name);
		for (size_t i = 0; i < l->n_outsiders; i++) {
			const struct outsider *other = &l->outsiders[i];

			if (!other->takes)
				continue;
			endpoint_text(other->sock->addr, other->sock->port, where, sizeof(where));
			warn(g,
			     "a socket outside the group takes traffic of %s: %s pid %d, user id "
			     "%u, at %s%s: stop it",
			     l->name, other->comm, other->pid, other->sock->uid, where,
			     other->sock->connected ? ", connected" : "");
		}
	}
	if (!g->live)
		warn(g, "nobody is live in this group: start its instances, or remove what is left "
			"of it by 'reuseportctl reset'");
	if (g->elsewhere)
		warn(g, "queues and drops are unknown here: the group is in another network "
			"namespace, enter it by 'nsenter -t PID -n'");
}

static void look_back(struct listener *l, const struct listener *then)
{
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		struct bucket *b = &l->bucket[i];
		const struct bucket *was = then ? &then->bucket[i] : NULL;

		b->recent_drops = b->sock ? b->sock->drops : 0;
		if (was && was->sock && was->slot.cookie == b->slot.cookie)
			b->recent_drops -= was->sock->drops;
		b->recent = received_by(b) - (was ? received_by(was) : 0);
		b->recent_standin =
			b->counters.n[RP_FAILOVER] - (was ? was->counters.n[RP_FAILOVER] : 0);
		l->recent += b->recent;
		l->recent_live += b->slot.cookie ? b->recent : 0;
	}
}

/* before: the last look, or NULL. 0, or a negative errno and an error in m. */
static int read_group(struct group *g, const struct options *o, const struct group *before,
		      struct rp_member *m)
{
	struct timespec now;
	int err;

	memset(g, 0, sizeof(*g));
	g->o = o;
	clock_gettime(CLOCK_REALTIME, &now);
	g->at = now.tv_sec + now.tv_nsec / 1e9;

	rp_init(m);
	err = rp_each_listener(m, &o->config, take_listener, g);
	if (err < 0)
		return err;
	if (!g->n)
		return no_listener(m, o);
	err = read_socks(IPPROTO_UDP, &g->udp);
	if (!err)
		err = read_socks(IPPROTO_TCP, &g->tcp);
	if (err)
		warn(g,
		     "queues, drops and sockets outside the group are unknown: sock_diag does not "
		     "answer (%s): 'modprobe -a udp_diag tcp_diag'",
		     strerror(-err));
	for (size_t i = 0; i < g->n; i++) {
		struct listener *l = g->listeners[i],
				*then = before && i < before->n ? before->listeners[i] : NULL;

		/* another one, or counted from zero again */
		if (then && (strcmp(then->name, l->name) || then->received > l->received))
			then = NULL;
		match_sockets(g, l);
		look_back(l, then);
	}
	diagnose(g);

	return 0;
}

static void free_group(struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->listeners[i]->outsiders);
		free(g->listeners[i]);
	}
	for (size_t i = 0; i < g->n_warnings; i++)
		free(g->warnings[i]);
	free(g->listeners);
	free(g->warnings);
	free(g->udp.list);
	free(g->tcp.list);
}

/* ---- as a table ---- */

/* At most 7 characters */
static const char *scaled(__u64 number, char text[16])
{
	static const char units[] = "kMGTPE";
	double value = number;
	int unit = -1;

	snprintf(text, 16, "%llu", (unsigned long long)number);
	if (number < 100000)
		return text;
	while (value >= 1000) {
		value /= 1000;
		unit++;
	}
	snprintf(text, 16, "%.1f%c", value, units[unit]);

	return text;
}

static double share(const struct listener *l, const struct bucket *b)
{
	return l->recent ? (double)b->recent / l->recent : 0;
}

static double fill(const struct sock *s)
{
	return s->queue_max ? (double)s->queue / s->queue_max : 0;
}

static void since_text(__u64 since, double now, char text[16])
{
	time_t t = since;
	struct tm tm;

	snprintf(text, 16, "-");
	if (since && localtime_r(&t, &tm))
		strftime(text, 16, now - since < 20 * 3600 ? "%H:%M:%S" : "%m-%d %H:%M", &tm);
}

static void print_bucket(const struct group *g, const struct listener *l, __u32 i, const char *red,
			 const char *plain)
{
	const struct bucket *b = &l->bucket[i];
	char who[32] = "-", since[16] = "-", received[16] = "-", percent[16] = "-",
	     standin[16] = "-", queue[16] = "-", drops[16] = "-";
	int bad = !b->slot.cookie || b->recent_drops;

	if (b->slot.pid)
		snprintf(who, sizeof(who), "%.13s %u%s", b->slot.comm, b->slot.pid,
			 b->slot.state == RP_STARTING ? " starts" : "");
	else
		snprintf(who, sizeof(who), b->slot.cookie ? "live" : "empty");
	since_text(b->slot.since, g->at, since);
	if (l->counted) {
		scaled(b->recent, received);
		scaled(b->recent_standin, standin);
		snprintf(percent, sizeof(percent), "%.0f%%", 100 * share(l, b));
	}
	if (b->sock) {
		snprintf(queue, sizeof(queue), "%.0f%%", 100 * fill(b->sock));
		scaled(b->recent_drops, drops);
	}
	printf("%s%6u  %-20s %-11s %11s %5s %8s %5s %6s%s\n", bad ? red : "", i, who, since,
	       received, percent, standin, queue, drops, bad ? plain : "");
}

/* seconds: that the figures are about; 0: all since the group began */
static void print_table(const struct group *g, double seconds)
{
	int colours = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	const char *bold = colours ? "\033[1m" : "", *red = colours ? "\033[31m" : "",
		   *plain = colours ? "\033[0m" : "";
	char text[80];

	if (seconds > 0)
		printf("%sthe last %.1f s of ", isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n",
		       seconds);
	printf("%s: %u bucket%s, seed %u, failover %s, %u override%s\n", g->o->config.pin_path,
	       g->size, g->size == 1 ? "" : "s", g->nonce, g->failover ? "on" : "off", g->overrides,
	       g->overrides == 1 ? "" : "s");
	for (size_t n = 0; n < g->n; n++) {
		const struct listener *l = g->listeners[n];

		strcpy(text, "nobody is live");
		if (l->endpoint.port)
			endpoint_text(l->endpoint.addr, l->endpoint.port, text, sizeof(text));
		printf("\n%s%s, %s, %s%s\n", bold, l->name,
		       l->protocol == IPPROTO_TCP ? "TCP" : "UDP", text, plain);
		printf("%6s  %-20s %-11s %11s %5s %8s %5s %6s\n", "bucket", "instance", "since",
		       unit(l), "share", "stand-in", "queue", "drops");
		for (__u32 i = 0; i < l->slots; i++)
			print_bucket(g, l, i, red, plain);
		for (size_t i = 0; i < l->n_outsiders; i++)
			if (!l->outsiders[i].takes)
				printf("        %s %d: at this port, in no bucket, gets nothing "
				       "(starts, drains, or has no keys)\n",
				       l->outsiders[i].comm, l->outsiders[i].pid);
		if (l->refused && !refuses(g, l))
			printf("        refused so far: %s\n", scaled(l->refused, text));
	}
	if (g->n_warnings)
		printf("\n");
	for (size_t i = 0; i < g->n_warnings; i++)
		printf("%s! %s%s\n", red, g->warnings[i], plain);
}

/* ---- for programs ---- */

static json_t *bucket_json(const struct listener *l, __u32 i)
{
	const struct bucket *b = &l->bucket[i];
	json_t *object = json_pack("{s:i, s:b}", "bucket", (int)i, "live", b->slot.cookie != 0);

	if (b->slot.pid)
		json_object_update_new(object, json_pack("{s:i, s:s, s:I, s:b}", "pid",
							 (int)b->slot.pid, "process", b->slot.comm,
							 "since", (json_int_t)b->slot.since,
							 "reads", b->slot.state == RP_READY));
	if (l->counted)
		json_object_update_new(
			object,
			json_pack("{s:I, s:I, s:I, s:f}", "received", (json_int_t)received_by(b),
				  "standin", (json_int_t)b->counters.n[RP_FAILOVER], "refused",
				  (json_int_t)b->counters.n[RP_REFUSED], "share", share(l, b)));
	if (b->sock)
		json_object_update_new(object, json_pack("{s:I, s:I, s:I}", "queue",
							 (json_int_t)b->sock->queue, "queue_max",
							 (json_int_t)b->sock->queue_max, "drops",
							 (json_int_t)b->sock->drops));

	return object;
}

static json_t *outsider_json(const struct outsider *other)
{
	char text[80];

	endpoint_text(other->sock->addr, other->sock->port, text, sizeof(text));

	return json_pack("{s:s, s:i, s:s, s:I, s:b}", "address", text, "pid", other->pid, "process",
			 other->comm, "uid", (json_int_t)other->sock->uid, "takes_traffic",
			 other->takes);
}

static json_t *listener_json(const struct listener *l)
{
	json_t *buckets = json_array(), *outsiders = json_array(), *object;
	char text[80];

	for (__u32 i = 0; i < l->slots; i++)
		json_array_append_new(buckets, bucket_json(l, i));
	for (size_t i = 0; i < l->n_outsiders; i++)
		json_array_append_new(outsiders, outsider_json(&l->outsiders[i]));
	object = json_pack("{s:s, s:s, s:o, s:o}", "name", l->name, "protocol",
			   l->protocol == IPPROTO_TCP ? "tcp" : "udp", "buckets", buckets,
			   "outsiders", outsiders);
	if (l->endpoint.port) {
		endpoint_text(l->endpoint.addr, l->endpoint.port, text, sizeof(text));
		json_object_set_new(object, "address", json_string(text));
	}
	if (l->counted)
		json_object_update_new(object, json_pack("{s:I, s:I, s:I}", "received",
							 (json_int_t)l->received, "refused",
							 (json_int_t)l->refused, "unreadable",
							 (json_int_t)l->unreadable));

	return object;
}

static void print_json(json_t *root, const struct options *o)
{
	char *text = json_dumps(root, o->watch ? JSON_COMPACT | JSON_REAL_PRECISION(6)
					       : JSON_INDENT(2) | JSON_REAL_PRECISION(6));

	if (!text)
		exit(report_error(FAILED, "no memory for JSON"));
	puts(text);
	free(text);
	json_decref(root);
}

static void print_group_json(const struct group *g)
{
	json_t *listeners = json_array(), *warnings = json_array();

	for (size_t i = 0; i < g->n; i++)
		json_array_append_new(listeners, listener_json(g->listeners[i]));
	for (size_t i = 0; i < g->n_warnings; i++)
		json_array_append_new(warnings, json_string(g->warnings[i]));
	print_json(json_pack("{s:f, s:s, s:I, s:I, s:b, s:I, s:o, s:o}", "time", g->at, "pin_path",
			     g->o->config.pin_path, "size", (json_int_t)g->size, "nonce",
			     (json_int_t)g->nonce, "failover", g->failover, "overrides",
			     (json_int_t)g->overrides, "listeners", listeners, "warnings",
			     warnings),
		   g->o);
}

/* A value for each bucket of each listener; NULL: there is none to tell of */
struct metric {
	const char *name, *type, *help;
	int (*value)(const struct listener *l, const struct bucket *b, double *value);
};

static int is_live(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->slot.cookie != 0;

	return 1;
}

static int is_reading(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->slot.cookie && b->slot.state == RP_READY;

	return 1;
}

static int start_time(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->slot.since;

	return b->slot.since != 0;
}

static int own(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_OWN];

	return l->counted;
}

static int stood_in(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_FAILOVER];

	return l->counted;
}

static int refused(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_REFUSED];

	return l->counted;
}

static int queue(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->sock ? fill(b->sock) : 0;

	return b->sock != NULL;
}

static int drops(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->sock ? b->sock->drops : 0;

	return b->sock != NULL;
}

static const struct metric metrics[] = {
	{"reuseport_bucket_live", "gauge", "Whether an instance holds the bucket.", is_live},
	{"reuseport_bucket_reading", "gauge", "Whether that instance has begun to read.",
	 is_reading},
	{"reuseport_bucket_since_timestamp_seconds", "gauge", "When it joined.", start_time},
	{"reuseport_received_own_total", "counter",
	 "Datagrams or connections of the bucket's own exporters.", own},
	{"reuseport_received_standin_total", "counter",
	 "Datagrams or connections received in the place of an empty bucket.", stood_in},
	{"reuseport_refused_total", "counter",
	 "Datagrams or connections refused because the bucket was empty.", refused},
	{"reuseport_queue_ratio", "gauge",
	 "Fill of the socket's receive buffer, or of its accept queue.", queue},
	{"reuseport_socket_drops_total", "counter", "What the kernel dropped at the socket.",
	 drops},
};

/* Pin paths and directory names may have quotes and backslashes */
static const char *quoted(const char *text, char *to, size_t len)
{
	size_t n = 0;

	for (; *text && n + 3 < len; text++) {
		if (*text == '"' || *text == '\\')
			to[n++] = '\\';
		to[n++] = *text;
	}
	to[n] = '\0';

	return to;
}

static void print_gauge(const char *name, const char *help, const char *group, double value)
{
	printf("# HELP %s %s\n# TYPE %s gauge\n%s{group=\"%s\"} %.17g\n", name, help, name, name,
	       group, value);
}

/*
 * In the text format that Prometheus, its node_exporter and OpenMetrics readers have in common:
 * counters are declared by the name of their samples, which end in _total.
 */
static void print_openmetrics(const struct group *g)
{
	char group[512], name[256];
	double value;
	size_t takers = 0;

	quoted(g->o->config.pin_path, group, sizeof(group));
	print_gauge("reuseport_group_buckets", "Buckets of the group.", group, g->size);
	print_gauge("reuseport_group_failover",
		    "Whether live instances stand in for an empty bucket.", group, g->failover);
	print_gauge("reuseport_group_overrides", "Prefixes that have a bucket by override.", group,
		    g->overrides);
	for (size_t n = 0; n < g->n; n++)
		for (size_t i = 0; i < g->listeners[n]->n_outsiders; i++)
			takers += g->listeners[n]->outsiders[i].takes;
	print_gauge("reuseport_group_outsiders", "Sockets outside the group that take its traffic.",
		    group, takers);

	for (size_t k = 0; k < sizeof(metrics) / sizeof(metrics[0]); k++) {
		printf("# HELP %s %s\n# TYPE %s %s\n", metrics[k].name, metrics[k].help,
		       metrics[k].name, metrics[k].type);
		for (size_t n = 0; n < g->n; n++)
			for (__u32 i = 0; i < g->listeners[n]->slots; i++)
				if (metrics[k].value(g->listeners[n], &g->listeners[n]->bucket[i],
						     &value))
					printf("%s{group=\"%s\",listener=\"%s\",bucket=\"%u\"} "
					       "%.17g\n",
					       metrics[k].name, group,
					       quoted(g->listeners[n]->name, name, sizeof(name)), i,
					       value);
	}
	printf("# EOF\n");
}

int show_status(struct options *o)
{
	struct group look, before = {};
	struct rp_member m;

	for (int looks = 0;; looks++) {
		if (read_group(&look, o, looks ? &before : NULL, &m))
			return report_error(FAILED, "%s", m.error);
		free_group(&before);
		if (o->openmetrics)
			print_openmetrics(&look);
		else if (o->json)
			print_group_json(&look);
		else
			print_table(&look, looks ? look.at - before.at : 0);
		fflush(stdout);
		if (!o->watch)
			break;
		before = look;
		sleep(o->watch);
	}
	free_group(&look);

	return look.n_warnings ? MARKED : DONE;
}

/* ---- where an exporter goes ---- */

struct question {
	const struct options *o;
	union rp_addr exporter;
	json_t *answers; /* NULL: as a table */
	int answered, refused;
};

static void answer(struct question *q, const struct rp_member *m, const struct rp_route *route,
		   const struct rp_bucket *slot)
{
	const char *by = route->overridden ? "override" : "hash";
	char text[64], who[64] = "refused", how[64];
	int live = route->receiver != RP_NO_BUCKET;
	json_t *object;

	addr_text(&q->exporter, text, sizeof(text));
	if (q->answers) {
		object =
			json_pack("{s:s, s:s, s:i, s:s, s:b}", "exporter", text, "listener",
				  name_of(m), "bucket", (int)route->bucket, "by", by, "live", live);
		if (live)
			json_object_update_new(object,
					       json_pack("{s:i, s:b, s:i, s:s}", "served_by",
							 (int)route->receiver, "standin",
							 route->receiver != route->bucket, "pid",
							 (int)slot->pid, "process", slot->comm));
		json_array_append_new(q->answers, object);
		return;
	}

	if (q->answered == 1)
		printf("%-25s %6s  %-13s %-18s %s\n", "exporter", "bucket", "listener", "instance",
		       "by");
	if (live)
		snprintf(who, sizeof(who), slot->pid ? "%s %u" : "live", slot->comm, slot->pid);
	if (!live)
		snprintf(how, sizeof(how), "%s; it is empty", by);
	else if (route->receiver != route->bucket)
		snprintf(how, sizeof(how), "stand-in for %u", route->bucket);
	else
		snprintf(how, sizeof(how), "%s", by);
	printf("%-25s %6u  %-13s %-18s %s\n", text, live ? route->receiver : route->bucket,
	       name_of(m), who, how);
}

static int ask_listener(struct rp_member *m, void *arg)
{
	struct question *q = arg;
	struct rp_route route;
	struct rp_bucket slot = {};

	if (!is_asked_for(q->o, m))
		return 0;
	q->answered++;
	rp_find_route(m, &q->exporter, &route);
	if (route.receiver == RP_NO_BUCKET)
		q->refused = 1;
	else
		rp_read_bucket(m, route.receiver, &slot);
	answer(q, m, &route, &slot);

	return 0;
}

static int ask(struct question *q, const char *word)
{
	struct rp_prefix prefix;
	struct rp_member m;

	if (!parse_prefix(word, &prefix) || prefix.bits != 128)
		return report_error(NOT_UNDERSTOOD, "'%s' is not an IP address", word);
	memcpy(q->exporter.b, prefix.addr, sizeof(prefix.addr));
	rp_init(&m);
	if (rp_each_listener(&m, &q->o->config, ask_listener, q) < 0)
		return report_error(FAILED, "%s", m.error);

	return DONE;
}

/* One a line; path: - is stdin */
static int ask_all(struct question *q, const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char line[256], word[128];
	int status = DONE;

	if (!file)
		return report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	while (!status && fgets(line, sizeof(line), file))
		if (sscanf(line, "%127s", word) == 1)
			status = ask(q, word);
	if (!status && ferror(file))
		status = report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	if (file != stdin)
		fclose(file);

	return status;
}

int where(struct options *o, char **addresses)
{
	struct question q = {.o = o, .answers = o->json ? json_array() : NULL};
	int status = o->load ? ask_all(&q, o->load) : DONE;
	struct rp_member m;

	for (; !status && *addresses; addresses++)
		status = strcmp(*addresses, "-") ? ask(&q, *addresses) : ask_all(&q, "-");
	if (!status && !q.answered) {
		no_listener(&m, o);
		status = report_error(FAILED, "%s", m.error);
	}
	if (q.answers && !status)
		print_json(q.answers, o);

	return status ? status : q.refused ? MARKED : DONE;
}
