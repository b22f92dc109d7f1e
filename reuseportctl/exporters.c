// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* exporters: who sends how much, which instance has each exporter, and what the group keeps of
 * those of NetFlow v9 and IPFIX. With --seconds and --watch it locks the group for a moment and has
 * the selector take more samples meanwhile; otherwise it takes no lock and writes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "commands.h"
#include "exporters.h"
#include "live_group.h"
#include "snapshot.h"
#include "state_pages.h"
#include "talkers.h"
#include "text.h"

#define DAY	    86400
#define METRICS_TOP 20 /* exporters with metrics of their own, unless --top says how many */

/* ---- what it sends ---- */

/*
 * Whether it has been silent ten times as long as it takes to the next sign of it: the next sample,
 * or, if the group keeps something of it, the next datagram, noted once a minute. Two minutes at
 * least; an hour, if there is too little of it to tell.
 */
static int is_silent(const struct exporter *e, const struct talker *t)
{
	double longest = 3600;

	if (t && t->total.samples > 1)
		longest = 1e-8 * (t->total.last - t->total.first) /
			  (e->is_kept ? t->total.datagrams : t->total.samples - 1);

	return time(NULL) - e->last_seen > (longest < 120 ? 120 : longest);
}

/* seconds: since the look before; 0: there was none */
static void estimate(struct exporter *e, const struct talker *t, double seconds)
{
	double lasted = (t->total.last - t->total.first) / 1e9;
	time_t first = wall_time(CLOCK_MONOTONIC, t->total.first / 1000000000),
	       last = wall_time(CLOCK_MONOTONIC, t->total.last / 1000000000);

	e->datagrams = t->datagrams;
	e->bytes = t->bytes;
	if (seconds > 0) {
		e->rate = e->datagrams / seconds;
		e->byte_rate = e->bytes / seconds;
	} else if (t->samples > 1 && lasted > 0) {
		/* from the first sample to the last one: there is one interval less */
		e->rate = (double)e->datagrams * (t->samples - 1) / t->samples / lasted;
		e->byte_rate = e->rate * e->bytes / e->datagrams;
	}
	if (!e->is_kept || first < e->first_seen)
		e->first_seen = first;
	if (last > e->last_seen)
		e->last_seen = last;
}

/* ---- all ---- */

/* As the instances do with what they keep: one that was there for minutes only is forgotten sooner
 */
static int is_forgotten(const struct exporter *e)
{
	time_t silent = time(NULL) - e->last_seen;

	return !e->is_kept && silent > (e->last_seen - e->first_seen < 600 ? DAY : 7 * DAY);
}

static void add_exporter(struct listing *l, const struct rp_member *m,
			 const struct talkers *talkers, const union rp_addr *address)
{
	const struct talker *talker = find_talker(talkers, address);
	struct exporter e = {.address = *address, .rate = -1, .byte_rate = -1};

	read_records(m, &e);
	if (talker)
		estimate(&e, talker, l->seconds);
	e.is_silent = is_silent(&e, talker);
	/* deleted meanwhile, or long ago */
	if ((!talker && !e.is_kept) || is_forgotten(&e))
		return;
	rp_find_route(m, address, &e.route);
	if (e.route.receiver != RP_NO_BUCKET)
		rp_read_bucket(m, e.route.receiver, &e.instance);
	l->n_kept += e.is_kept;
	l->n_silent += e.is_silent;
	l->list = grow(l->list, l->n, sizeof(*l->list));
	l->list[l->n++] = e;
}

/* Appends the addresses of whom the group keeps something to a list of n. Returns: how many there
 * are then. */
static size_t add_kept(const struct rp_member *m, union rp_addr **addresses, size_t n)
{
	struct rp_state_key key, *before = NULL;
	size_t keys = 0;

	while (m->fds[RP_STATE] >= 0 && keys++ < 2 * RP_STATE_PAGES &&
	       rp_pages_next_key(m->fds[RP_STATE], before, &key)) {
		before = &key;
		if (key.page)
			continue;
		*addresses = grow(*addresses, n, sizeof(**addresses));
		memcpy(&(*addresses)[n++], key.exporter, sizeof(**addresses));
	}

	return n;
}

/* Keys first, then exporters: what instances write meanwhile must not lead the walk astray */
static void add_all(struct listing *l, const struct rp_member *m, const struct talkers *talkers)
{
	union rp_addr *addresses = NULL;
	__u64 datagrams = 0;
	size_t n = add_kept(m, &addresses, 0);

	for (size_t i = 0; i < talkers->n; i++) {
		addresses = grow(addresses, n, sizeof(*addresses));
		addresses[n++] = talkers->list[i].address;
	}
	if (n)
		qsort(addresses, n, sizeof(*addresses), compare_addresses);
	for (size_t i = 0; i < n; i++)
		if (!i || compare_addresses(&addresses[i - 1], &addresses[i]))
			add_exporter(l, m, talkers, &addresses[i]);
	free(addresses);
	l->n_all = l->n;
	for (size_t i = 0; i < l->n; i++)
		datagrams += l->list[i].datagrams;
	for (size_t i = 0; datagrams && i < l->n; i++)
		l->list[i].share = (double)l->list[i].datagrams / datagrams;
}

/* ---- which of them, in which order ---- */

static int by_number(double one, double other)
{
	return one < other ? 1 : one > other ? -1 : 0;
}

/* Equal ones stay in the order of their addresses */
static int by_datagrams(const void *one, const void *other)
{
	const struct exporter *e = one, *f = other;
	int order = by_number(e->datagrams, f->datagrams);

	return order ? order : compare_addresses(one, other);
}

static int by_bytes(const void *one, const void *other)
{
	const struct exporter *e = one, *f = other;
	int order = by_number(e->bytes, f->bytes);

	return order ? order : compare_addresses(one, other);
}

/* Who has been silent for longest comes first */
static int by_silence(const void *one, const void *other)
{
	const struct exporter *e = one, *f = other;
	int order = by_number(-(double)e->last_seen, -(double)f->last_seen);

	return order ? order : compare_addresses(one, other);
}

static const struct order {
	const char *name;
	int (*compare)(const void *one, const void *other);
} orders[] = {{"datagrams", by_datagrams}, {"bytes", by_bytes}, {"quiet", by_silence}, {}};

static const struct order *find_order(const char *name)
{
	const struct order *order = orders;

	while (name && order->name && strcmp(order->name, name))
		order++;

	return order;
}

/* Keeps those that the command line names */
static int choose(struct listing *all, char **arguments)
{
	struct listing chosen = *all;

	if (!*arguments)
		return DONE;
	chosen.list = NULL;
	chosen.n = 0;
	for (; *arguments; arguments++) {
		const struct exporter *found;
		union rp_addr wanted;

		if (!parse_address(*arguments, &wanted))
			return report_error(NOT_UNDERSTOOD, "'%s' is not an IP address",
					    *arguments);
		found = all->n ? bsearch(&wanted, all->list, all->n, sizeof(*all->list),
					 compare_addresses)
			       : NULL;
		if (!found)
			return report_error(
				FAILED,
				"the group %s knows nothing of %s: too little of what it "
				"sends has come to listener %s",
				all->options->config.pin_path, *arguments, all->listener);
		chosen.list = grow(chosen.list, chosen.n, sizeof(*chosen.list));
		chosen.list[chosen.n++] = *found;
	}
	free(all->list);
	*all = chosen;

	return DONE;
}

/* ---- the command ---- */

static int check_words(const struct options *o)
{
	if (!find_order(o->sort)->name)
		return report_error(NOT_UNDERSTOOD,
				    "--sort takes datagrams, bytes or quiet, not '%s'", o->sort);
	if (o->metrics && o->json)
		return report_error(NOT_UNDERSTOOD, "--json or metrics, not both");
	if (!!o->metrics + !!o->watch + !!o->seconds > 1)
		return report_error(NOT_UNDERSTOOD, "only one of --watch, --seconds and metrics");

	return DONE;
}

/* Whether the options ask for what only samples can tell */
static int wants_rates(const struct options *o)
{
	return o->seconds || o->watch || o->metrics || o->top;
}

/* One listing after the other, as often as the options say */
struct series {
	struct listing listing;
	struct talkers before;
	char **arguments;
	int status;
};

static int list_listener(struct rp_member *m, void *arg)
{
	struct series *s = arg;
	struct listing *l = &s->listing;
	const __u32 zero = 0;
	struct talkers now = {};

	if (strcmp(listener_name(m), l->listener) || m->protocol != IPPROTO_UDP)
		return 0;
	l->has_state = m->fds[RP_STATE] >= 0;
	l->has_talkers = m->fds[RP_TALKERS] >= 0;
	l->by_agent = is_by_agent(m);
	if (m->fds[RP_CHANGES] >= 0)
		bpf_map_lookup_elem(m->fds[RP_CHANGES], &zero, &l->changes);
	if (l->has_talkers)
		read_talkers(m->fds[RP_TALKERS], &s->before, &now);
	l->seconds = s->before.time ? (now.time - s->before.time) / 1e9 : 0;
	free(s->before.list);
	s->before = now;
	add_all(l, m, &now);

	return 1;
}

/* Sorts it, and cuts off what is beyond the top */
static void put_in_order(struct listing *l)
{
	if (l->n)
		qsort(l->list, l->n, sizeof(*l->list), find_order(l->options->sort)->compare);
	if (l->options->top && l->n > l->options->top)
		l->n = l->options->top;
}

static int print_listing(struct series *s, int is_next)
{
	struct listing *l = &s->listing;
	const struct options *o = l->options;

	s->status = choose(l, s->arguments);
	if (s->status)
		return s->status;
	put_in_order(l);
	if (o->metrics)
		print_exporters_metrics(l, 1);
	else if (o->json)
		print_exporters_json(l);
	else
		print_exporters_table(l, is_next);

	return flush_output() ? FAILED : DONE;
}

/* Looks at the listener, and prints what there is unless it is the first of two looks */
static int list_once(struct series *s, int prints, int is_next)
{
	struct listing *l = &s->listing;
	const struct options *o = l->options;
	struct rp_member m;
	int status = DONE;

	*l = (struct listing){.options = o, .listener = l->listener};
	rp_init(&m);
	if (rp_each_listener(&m, &o->config, list_listener, s) < 0)
		return report_error(FAILED, "%s", m.error);
	if (!l->has_talkers && (!l->has_state || wants_rates(o))) {
		m.config = &o->config;
		fail_no_map(&m, RP_MAP_TALKERS, l->listener);
		return report_error(FAILED, "%s", m.error);
	}
	if (prints)
		status = print_listing(s, is_next);
	free(l->list);

	return status;
}

/* Of several listeners */
struct listings {
	const struct options *options;
	struct listing *list;
	size_t n;
};

/* If the listener has datagrams, of which samples are taken */
static int add_listing(struct rp_member *m, void *arg)
{
	struct listings *all = arg;
	struct series s = {.listing = {.options = all->options}};
	const char *name = listener_name(m);

	if (m->protocol != IPPROTO_UDP || m->fds[RP_TALKERS] < 0)
		return 0;
	s.listing.listener = strcpy(grow(NULL, strlen(name), 1), name);
	list_listener(m, &s);
	free(s.before.list);
	put_in_order(&s.listing);
	all->list = grow(all->list, all->n, sizeof(*all->list));
	all->list[all->n++] = s.listing;

	return 0;
}

/* Returns 0 if no listener takes samples, or it failed, of which list_once() reports why */
static int print_all_metrics(const struct options *o)
{
	struct listings all = {.options = o};
	struct rp_member m;
	int found;

	rp_init(&m);
	found = rp_each_listener(&m, &o->config, add_listing, &all) >= 0 && all.n;
	if (found)
		print_exporters_metrics(all.list, all.n);
	for (size_t i = 0; i < all.n; i++) {
		free((void *)all.list[i].listener);
		free(all.list[i].list);
	}
	free(all.list);

	return found;
}

int command_exporters(struct options *o, char **arguments)
{
	struct series s = {.listing = {.options = o}, .arguments = arguments};
	int pause = o->seconds ? (int)o->seconds : o->watch;
	int status = check_words(o);

	if (status)
		return status;
	if (o->metrics && !o->top)
		o->top = METRICS_TOP;
	s.listing.listener = choose_listener(o);
	if (!s.listing.listener)
		return FAILED;
	if (o->metrics && !o->listener && !*arguments && print_all_metrics(o))
		return DONE;
	status = list_once(&s, !o->seconds, 0);
	while (!status && pause) {
		watch_talkers(o, pause);
		status = list_once(&s, 1, !o->seconds);
		if (o->seconds)
			break;
	}
	free(s.before.list);

	return status;
}
