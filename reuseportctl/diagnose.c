// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* What is wrong with a group, one sentence each: what, where, why, and what to do. */
#define _GNU_SOURCE
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "snapshot.h"
#include "text.h"

#define SHOW_FAULT_S 3600
#define ENOUGH	     1000 /* datagrams or connections: with fewer, the share of a bucket is chance */

static void warn(struct snapshot *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct snapshot *s, const char *format, ...)
{
	va_list args;

	s->warnings = grow(s->warnings, s->n_warnings, sizeof(*s->warnings));
	va_start(args, format);
	if (vasprintf(&s->warnings[s->n_warnings], format, args) < 0)
		exit(report_error(FAILED, "no memory"));
	va_end(args);
	s->n_warnings++;
}

/* A bucket that is empty in some listeners, but not in those that were stopped as a whole: their
 * pins are still there */
static void diagnose_empty(struct snapshot *s, __u32 i)
{
	char where[256] = "";

	for (size_t n = 0; n < s->n_listeners; n++) {
		const struct listener *l = s->listeners[n];
		size_t used = strlen(where);

		if (l->n_live && i < l->n_buckets && !l->bucket[i].owner.cookie)
			snprintf(where + used, sizeof(where) - used, "%s%.100s", used ? ", " : "",
				 l->name);
	}
	if (where[0])
		warn(s, "bucket %u is empty (%s): %s; start the instance with that index", i, where,
		     s->failover ? "its exporters fail over to live instances"
				 : "failover is off, its exporters are refused");
}

#define WHOSE_SIZE (sizeof(((struct listener *)0)->name) + 64)

/* "bucket 1 of bmp (pid 4711)"; text: WHOSE_SIZE bytes */
static const char *whose_text(const struct listener *l, __u32 i, char *text)
{
	__u32 pid = l->bucket[i].owner.pid;

	if (pid)
		snprintf(text, WHOSE_SIZE, "bucket %u of %s (pid %u)", i, l->name, pid);
	else
		snprintf(text, WHOSE_SIZE, "bucket %u of %s", i, l->name);

	return text;
}

/* What a live bucket is to receive of what all live ones received lately: in proportion to its
 * slots. Nothing if it is drained: then overrides alone count. */
static double expected_by(const struct snapshot *s, const struct listener *l, __u32 bucket)
{
	__u32 slots = 0;

	for (__u32 i = 0; i < l->n_buckets; i++)
		slots += l->bucket[i].owner.cookie ? s->slots[i] : 0;
	if (!slots)
		return (double)l->recent_live / l->n_live;

	return (double)l->recent_live * s->slots[bucket] / slots;
}

static void diagnose_load(struct snapshot *s, const struct listener *l, __u32 i, const char *whose)
{
	double expected = expected_by(s, l, i), times = l->bucket[i].recent / expected;

	if (l->n_live < 2 || l->recent_live < ENOUGH || expected <= 0 || times < 2)
		return;
	warn(s,
	     "%s gets %.1f times its share: 'reuseportctl exporters' shows its heaviest exporters, "
	     "'reuseportctl rebalance' what to move",
	     whose, times);
}

static void diagnose_bucket(struct snapshot *s, const struct listener *l, __u32 i)
{
	const struct bucket *b = &l->bucket[i];
	char whose[WHOSE_SIZE];

	if (!b->owner.cookie)
		return;
	whose_text(l, i, whose);
	if (s->size && i >= s->size)
		warn(s,
		     "%s is beyond the group's %u buckets and gets nothing: stop that instance, or "
		     "resize",
		     whose, s->size);
	diagnose_load(s, l, i, whose);
	if (b->recent_drops)
		warn(s, "%s has dropped %llu %s at its socket: %s", whose,
		     (unsigned long long)b->recent_drops, unit_of(l),
		     l->protocol == IPPROTO_TCP ? "it accepts too slowly"
						: "raise nfacctd_pipe_size and net.core.rmem_max, "
						  "or the number of instances");
	if (l->instances[i].refused)
		warn(s,
		     "%s has refused %u sessions for want of room: raise its *_max_peers, or the "
		     "number of instances; its log has more",
		     whose, l->instances[i].refused);
}

/* "[::]:2100, device vrf-blue (7), IPv6 alone"; text: 160 bytes */
static const char *place_text(const struct sock *s, char *text)
{
	char where[80], device[IF_NAMESIZE], bound[64] = "";

	endpoint_text(s->addr, s->port, where, sizeof(where));
	if (s->device)
		snprintf(bound, sizeof(bound), ", device %s (%u)",
			 if_indextoname(s->device, device) ? device : "that is gone", s->device);
	snprintf(text, 160, "%s%s%s", where, bound, s->v6only ? ", IPv6 alone" : "");

	return text;
}

/* The sockets of the buckets, compared with the first one. Returns whether all are in one group of
 * the kernel, as far as can be seen from here */
static int diagnose_places(struct snapshot *s, const struct listener *l)
{
	char whose[WHOSE_SIZE], text[160], other[160], device[IF_NAMESIZE];
	__u32 first = RP_MAX_BUCKETS;
	int same = 0;

	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
		const struct sock *sock = l->bucket[i].sock;

		/* it has just left: see takes_traffic() in snapshot.c */
		if (!sock || sock->device == INT_MAX)
			continue;
		if (first == RP_MAX_BUCKETS) {
			first = i;
			same = 1;
		}
		if (sock->device && !if_indextoname(sock->device, device))
			warn(s,
			     "%s is at %s, and gets nothing: stop all instances of the group, and "
			     "start them",
			     whose_text(l, i, whose), place_text(sock, text));
		if (!is_apart(sock, l->bucket[first].sock))
			continue;
		same = 0;
		warn(s,
		     "%s is at %s, but bucket %u at %s, and no exporter reaches both: give both "
		     "instances the same *_interface and *_ipv6_only, and restart them",
		     whose_text(l, i, whose), place_text(sock, text), first,
		     place_text(l->bucket[first].sock, other));
	}

	return same;
}

/* same: as far as can be seen, that is over */
static void diagnose_other_group(struct snapshot *s, const struct listener *l, int same)
{
	char whose[WHOSE_SIZE];

	for (__u32 i = 0; i < RP_MAX_BUCKETS && !same; i++) {
		const struct bucket *b = &l->bucket[i];

		if (b->owner.cookie && b->counters.n[RP_OTHER_GROUP])
			warn(s,
			     "%s did not get %llu %s, since the kernel has its socket in another "
			     "reuseport group: its address, device, IP version or user is another; "
			     "give that instance the config of the others, and restart it",
			     whose_text(l, i, whose),
			     (unsigned long long)b->counters.n[RP_OTHER_GROUP], unit_of(l));
	}
}

int refuses_now(const struct snapshot *s, const struct listener *l)
{
	return !l->n_live || (!s->failover && l->n_live < s->size);
}

static void diagnose_foreign(struct snapshot *s, const struct listener *l)
{
	char where[80];

	for (size_t i = 0; i < l->n_foreign; i++) {
		const struct foreign_socket *f = &l->foreign[i];

		if (!f->takes_traffic)
			continue;
		endpoint_text(f->sock->addr, f->sock->port, where, sizeof(where));
		warn(s,
		     "a socket outside the group takes traffic of %s: %s pid %d, user id %u, at "
		     "%s%s: stop it",
		     l->name, f->comm, f->pid, f->sock->uid, where,
		     f->sock->connected ? ", connected" : "");
	}
}

/* What the last fault of an instance was; text: 160 bytes */
static const char *fault_text(const struct rp_instance *r, char *text)
{
	char who[INET6_ADDRSTRLEN] = "";
	union rp_addr accused;

	memcpy(accused.b, r->accused, sizeof(accused.b));
	if (accused.q[0] || accused.q[1])
		rp_format_addr(&accused, who, sizeof(who));
	switch (r->fault) {
	case RP_CRASHED:
		snprintf(text, 160, "crashed by signal %u (%s)%s%s", r->signal,
			 strsignal(r->signal), who[0] ? " while it decoded what came from " : "",
			 who);
		break;
	case RP_LOOPED:
		snprintf(text, 160,
			 "decoded a datagram or message of %s for ever, and ended itself", who);
		break;
	case RP_STUCK:
		snprintf(text, 160, "did not read for seconds, and gave up its buckets");
		break;
	default:
		snprintf(text, 160,
			 "did not run at all for seconds, and was taken out of its buckets");
	}

	return text;
}

static void diagnose_fault(struct snapshot *s, const struct listener *l, __u32 i)
{
	const struct rp_instance *r = &l->instances[i];
	__u64 ago = s->boot_time - r->fault_at;
	char text[160];

	if (r->fault != RP_NO_FAULT && ago < SHOW_FAULT_S)
		warn(s, "pid %u at bucket %u of %s %s, %llu s ago: see its log", r->fault_pid, i,
		     l->name, fault_text(r, text), (unsigned long long)ago);
}

static void diagnose_listener(struct snapshot *s, const struct listener *l)
{
	for (__u32 i = 0; i < l->n_buckets; i++)
		diagnose_bucket(s, l, i);
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++)
		diagnose_fault(s, l, i);
	diagnose_other_group(s, l, diagnose_places(s, l));
	if (l->refused && refuses_now(s, l))
		warn(s,
		     "%llu %s for %s were refused: their bucket was empty, and failover was off or "
		     "no instance live",
		     (unsigned long long)l->refused, unit_of(l), l->name);
	if (l->unreadable)
		warn(s, "%llu %s for %s were dropped: no source address could be read",
		     (unsigned long long)l->unreadable, unit_of(l), l->name);
	diagnose_foreign(s, l);
}

static void diagnose_quarantine(struct snapshot *s, const struct convict *convict)
{
	const struct rp_conviction *c = &convict->conviction;
	char who[INET6_ADDRSTRLEN];

	if (!c->active)
		return;
	rp_format_addr(&convict->exporter, who, sizeof(who));
	warn(s,
	     "%s is in quarantine for another %llu s, for it has brought down %u instance%s (the "
	     "last: index %u, by signal %u): look at what it sends, and release it by "
	     "'reuseportctl override delete %s'",
	     who, (unsigned long long)(c->until > s->boot_time ? c->until - s->boot_time : 0),
	     c->times, c->times == 1 ? "" : "s", c->instance, c->signal, who);
}

void diagnose(struct snapshot *s)
{
	if (s->sock_diag_error)
		warn(s,
		     "queues, drops and sockets outside the group are unknown: sock_diag does not "
		     "answer (%s): 'modprobe -a udp_diag tcp_diag'",
		     strerror(s->sock_diag_error));
	if (!s->size)
		warn(s,
		     "the number of buckets is not set, so that all %d count: 'reuseportctl resize "
		     "N', with the number of instances",
		     RP_MAX_BUCKETS);
	if (s->n_overrides_beyond)
		warn(s,
		     "%u overrides have buckets that the group does not have, and their exporters "
		     "go by the hash: give them other buckets, or resize",
		     s->n_overrides_beyond);
	if (!s->is_placed)
		warn(s,
		     "the placement table is not the one that size, nonce and weights make: write "
		     "it anew by 'reuseportctl resize %u'",
		     s->size);
	for (__u32 i = 0; i < RP_MAX_BUCKETS; i++)
		diagnose_empty(s, i);
	for (size_t n = 0; n < s->n_convicts; n++)
		diagnose_quarantine(s, &s->convicts[n]);
	for (size_t n = 0; n < s->n_listeners; n++)
		diagnose_listener(s, s->listeners[n]);
	if ((long long)s->state.pages >= RP_STATE_CROWDED)
		warn(s,
		     "%llu of %d pages of exporter state are in use: exporters that are new, or "
		     "seldom "
		     "seen, are not kept: 'reuseportctl exporters' shows who fills it",
		     (unsigned long long)s->state.pages, RP_STATE_PAGES);
	if (!s->n_live)
		warn(s, "no instance is live in this group: start its instances, or remove what is "
			"left of it by 'reuseportctl reset'");
	if (s->in_other_netns)
		warn(s, "queues and drops are unknown here: the group is in another network "
			"namespace, enter it by 'nsenter -t PID -n'");
}
