// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* Who sends how much to a listener: see talkers.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "faults.h"
#include "live_group.h"
#include "snapshot.h"
#include "talkers.h"

/* Seconds: for how long more samples are asked for at once, and how much longer than is slept */
#define AT_ONCE	 60
#define TO_SPARE 2

int compare_addresses(const void *one, const void *other)
{
	return memcmp(one, other, sizeof(union rp_addr));
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* Sorts them. An address that is there twice, since the walk began anew, counts as it was read
 * last. */
static void sort(struct talkers *all)
{
	size_t kept = 0;

	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), compare_addresses);
	for (size_t i = 0; i < all->n; i++) {
		if (kept && !compare_addresses(&all->list[kept - 1], &all->list[i]))
			kept--;
		all->list[kept++] = all->list[i];
	}
	all->n = kept;
}

const struct talker *find_talker(const struct talkers *all, const union rp_addr *address)
{
	return all->n ? bsearch(address, all->list, all->n, sizeof(*all->list), compare_addresses)
		      : NULL;
}

/* One that was forgotten meanwhile, as others needed its place, has begun anew: all of it is new */
static void subtract(struct talker *t, const struct talker *was)
{
	t->datagrams = t->total.datagrams;
	t->bytes = t->total.bytes;
	t->samples = t->total.samples;
	if (!was || was->total.first != t->total.first)
		return;
	t->datagrams -= was->total.datagrams;
	t->bytes -= was->total.bytes;
	t->samples -= was->total.samples;
}

/* If the key before was deleted meanwhile, the kernel begins anew: hence the bound */
void read_talkers(int map, const struct talkers *before, struct talkers *now)
{
	struct talkers all = {.time = now_ns()};
	union rp_addr last;
	struct talker one;

	for (int keys = 0; keys < 2 * RP_MAX_TALKERS; keys++) {
		if (bpf_map_get_next_key(map, keys ? &last : NULL, &one.address))
			break;
		last = one.address;
		if (bpf_map_lookup_elem(map, &one.address, &one.total))
			continue;
		subtract(&one, find_talker(before, &one.address));
		all.list = grow(all.list, all.n, sizeof(*all.list));
		all.list[all.n++] = one;
	}
	sort(&all);
	*now = all;
}

/* ---- more samples ---- */

static volatile sig_atomic_t end_signal;

static void on_end(int signum)
{
	end_signal = signum;
}

/* Signals that end the command only note that they came, or end it again */
static void catch_ends(void (*handler)(int))
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
	struct sigaction action = {.sa_handler = handler};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

/* Until then there are more samples, also if this command is killed */
static __u64 until;

/* seconds: from now on; 0: that is enough, if no other command wants more */
static void set_watched(const struct options *o, unsigned int seconds)
{
	struct rp_member m;

	rp_init(&m);
	if (rp_open_settings(&m, &o->config))
		return;
	if (seconds) {
		until = rp_boot_seconds() + seconds;
		rp_watch(&m, until);
	} else {
		rp_end_watch(&m, until);
	}
	rp_close(&m);
}

void watch_talkers(const struct options *o, unsigned int seconds)
{
	unsigned int step;

	catch_ends(on_end);
	for (; seconds && !end_signal; seconds -= step) {
		step = seconds < AT_ONCE ? seconds : AT_ONCE;
		set_watched(o, step + TO_SPARE);
		if (!end_signal)
			sleep(step);
	}
	set_watched(o, 0);
	catch_ends(SIG_DFL);
	if (end_signal)
		raise(end_signal);
}

/* ---- which listener ---- */

struct choice {
	const struct options *options;
	char name[64];
	int rank;	      /* of the best one so far; 0: none */
	char connections[64]; /* the name of one that has connections; "": none */
};

/* nfacctd; one that has something to tell; any other one, whose error says what it lacks */
static int rank_of(const struct rp_member *m)
{
	if (!strcmp(listener_name(m), "nfacctd"))
		return 3;

	return m->fds[RP_TALKERS] >= 0 || m->fds[RP_STATE] >= 0 ? 2 : 1;
}

static int consider_listener(struct rp_member *m, void *arg)
{
	struct choice *c = arg;

	if (!is_asked_for(c->options, m))
		return 0;
	if (m->protocol != IPPROTO_UDP) {
		snprintf(c->connections, sizeof(c->connections), "%s", listener_name(m));
		return 0;
	}
	if (rank_of(m) <= c->rank)
		return 0;
	c->rank = rank_of(m);
	snprintf(c->name, sizeof(c->name), "%s", listener_name(m));

	return 0;
}

const char *choose_listener(const struct options *o)
{
	static struct choice c;
	struct rp_member m;

	c = (struct choice){.options = o};
	rp_init(&m);
	if (rp_each_listener(&m, &o->config, consider_listener, &c) < 0) {
		report_error(FAILED, "%s", m.error);
		return NULL;
	}
	if (c.name[0])
		return c.name;
	if (c.connections[0])
		rp_fail(&m, -EPROTO,
			"listener %s in %s has connections, of which no samples are taken: give a "
			"listener of UDP",
			c.connections, o->config.pin_path);
	else
		fail_no_listener(&m, o);
	report_error(FAILED, "%s", m.error);

	return NULL;
}
