// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * rebalance: measures what each exporter of a listener sends, and gives those that are too heavy
 * for their bucket another one, by overrides that are marked as such. Nothing is changed without
 * --apply.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"
#include "live_group.h"
#include "overrides.h"
#include "placement.h"
#include "plan.h"
#include "snapshot.h"
#include "talkers.h"

#define SECONDS_TO_LOOK 10
#define ENOUGH		1000 /* samples: with fewer, the share of a bucket is chance */

struct rebalancing {
	const struct options *options;
	const char *listener;
	struct talkers before, talkers;
	struct plan plan;
	double seconds;
	__u64 samples;
	/* who has sessions with the group's TCP listeners, sorted */
	union rp_addr *peers;
	size_t n_peers;
	int knows_sessions;
};

/* ---- what is sent, and who has sessions ---- */

/* Reads what was sampled of the listener's exporters; called twice */
static int look(struct rp_member *m, void *arg)
{
	struct rebalancing *r = arg;

	if (strcmp(listener_name(m), r->listener) || m->protocol != IPPROTO_UDP)
		return 0;
	if (m->fds[RP_TALKERS] < 0) {
		/* the caller reports it */
		return fail_no_map(m, RP_MAP_TALKERS, r->listener);
	}
	free(r->before.list);
	r->before = r->talkers;
	read_talkers(m->fds[RP_TALKERS], &r->before, &r->talkers);

	return 1;
}

static int measure(struct rebalancing *r, struct rp_member *m)
{
	const struct options *o = r->options;
	unsigned int seconds = o->seconds ? o->seconds : SECONDS_TO_LOOK;

	for (int looks = 0; looks < 2; looks++) {
		if (looks)
			watch_talkers(o, seconds);
		rp_init(m);
		if (rp_each_listener(m, &o->config, look, r) < 0)
			return report_error(FAILED, "%s", m->error);
	}
	r->seconds = (r->talkers.time - r->before.time) / 1e9;
	for (size_t i = 0; i < r->talkers.n; i++)
		r->samples += r->talkers.list[i].samples;
	if (r->samples < ENOUGH)
		return report_error(FAILED,
				    "%llu samples of what comes to listener %s in %.0f s are too "
				    "few, %d are needed: give more --seconds",
				    (unsigned long long)r->samples, r->listener, r->seconds,
				    ENOUGH);

	return DONE;
}

/* Adds the peers of one TCP listener */
static int add_peers(struct rp_member *m, void *arg)
{
	struct rebalancing *r = arg;
	struct rp_bucket owner = {};
	struct socks sessions = {};

	for (__u32 b = 0; m->protocol == IPPROTO_TCP && b < RP_MAX_BUCKETS; b++)
		if (!rp_read_bucket(m, b, &owner) && owner.endpoint.port)
			break;
	if (m->protocol != IPPROTO_TCP || !owner.endpoint.port)
		return 0;
	if ((owner.endpoint.netns && owner.endpoint.netns != rp_read_own_netns()) ||
	    read_sessions(&sessions)) {
		r->knows_sessions = 0;
		return 0;
	}
	for (size_t i = 0; i < sessions.n; i++) {
		if (sessions.list[i].port != owner.endpoint.port)
			continue;
		r->peers = grow(r->peers, r->n_peers, sizeof(*r->peers));
		memcpy(&r->peers[r->n_peers++], sessions.list[i].peer, sizeof(*r->peers));
	}
	free(sessions.list);

	return 0;
}

static int find_peers(struct rebalancing *r, struct rp_member *m)
{
	r->knows_sessions = 1;
	if (rp_each_listener(m, &r->options->config, add_peers, r) < 0)
		return report_error(FAILED, "%s", m->error);
	if (r->n_peers)
		qsort(r->peers, r->n_peers, sizeof(*r->peers), compare_addresses);

	return DONE;
}

/* ---- the plan ---- */

static void add_to_plan(struct rebalancing *r, const struct rp_member *m, const struct talker *t)
{
	struct plan_exporter e = {.address = t->address, .load = t->datagrams / r->seconds};
	struct rp_route route;

	rp_find_route(m, &t->address, &route);
	e.from = e.to = route.bucket;
	e.range = route.range;
	/* what an operator has chosen stays */
	e.is_fixed = route.quarantined || (route.overridden && !route.rebalanced);
	e.has_sessions = r->n_peers && bsearch(&t->address, r->peers, r->n_peers, sizeof(*r->peers),
					       compare_addresses);
	r->plan.list = grow(r->plan.list, r->plan.n, sizeof(*r->plan.list));
	r->plan.list[r->plan.n++] = e;
}

/* Which buckets of the listener take part: not drained ones. Another one that is empty is not meant
 * to be: its exporters are elsewhere for now. Returns: 1, or a negative errno; 0: this is another
 * listener. */
static int choose_buckets(struct rp_member *m, void *arg)
{
	struct rebalancing *r = arg;
	__u32 size = rp_get_size(m);
	struct rp_weights weights;
	struct rp_bucket owner;

	if (strcmp(listener_name(m), r->listener) || m->protocol != IPPROTO_UDP)
		return 0;
	if (is_by_agent(m))
		return rp_fail(m, -EOPNOTSUPP,
			       "sFlow agents have their buckets here, but samples tell senders "
			       "apart, so that nothing can be planned for listener %s: place "
			       "agents by 'reuseportctl override add', or 'reuseportctl sflow "
			       "sender'",
			       r->listener);
	rp_read_weights(m, &weights);
	/* the group may have shrunk since the first call */
	memset(r->plan.weight, 0, sizeof(r->plan.weight));
	for (__u32 b = 0; b < size; b++) {
		r->plan.weight[b] = rp_get_weight(&weights, b);
		if (r->plan.weight[b] == 0)
			continue;
		if (rp_read_bucket(m, b, &owner) || !owner.cookie)
			return rp_fail(m, -ENOENT,
				       "bucket %u of listener %s is empty: start its instance "
				       "first, or shrink the group",
				       b, r->listener);
	}

	return 1;
}

static int plan_listener(struct rp_member *m, void *arg)
{
	struct rebalancing *r = arg;
	int chosen = choose_buckets(m, r);

	if (chosen <= 0)
		return chosen;
	for (size_t i = 0; i < r->talkers.n; i++)
		if (r->talkers.list[i].datagrams)
			add_to_plan(r, m, &r->talkers.list[i]);
	make_plan(&r->plan, r->options->limit);

	return 1;
}

static int make_it(struct rebalancing *r, struct rp_member *m)
{
	if (find_peers(r, m))
		return FAILED;
	if (rp_each_listener(m, &r->options->config, plan_listener, r) < 0)
		return report_error(FAILED, "%s", m->error);

	return DONE;
}

/* ---- shown ---- */

static void print_buckets(const struct plan *plan)
{
	printf("%6s %12s %10s %12s %10s\n", "bucket", "datagrams/s", "of share", "afterwards",
	       "of share");
	for (__u32 b = 0; b < RP_MAX_BUCKETS; b++)
		if (plan->weight[b] > 0)
			printf("%6u %12.0f %9.0f%% %12.0f %9.0f%%\n", b, plan->before[b],
			       100 * plan->before[b] / plan->share[b], plan->after[b],
			       100 * plan->after[b] / plan->share[b]);
}

static void print_moves(const struct rebalancing *r)
{
	char address[64];

	printf("\n%-25s %12s %6s %6s  %s\n", "exporter", "datagrams/s", "from", "to",
	       r->knows_sessions ? "sessions" : "sessions (unknown here)");
	for (size_t i = 0; i < r->plan.n; i++) {
		const struct plan_exporter *e = &r->plan.list[i];

		if (e->from == e->to)
			continue;
		rp_format_addr(&e->address, address, sizeof(address));
		printf("%-25s %12.0f %6u %6u  %s\n", address, e->load, e->from, e->to,
		       e->has_sessions ? "yes, they follow" : "none");
	}
}

/* Those that no move can help, unless an operator has placed them already */
static void print_too_heavy(const struct plan *plan)
{
	char address[64];

	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_exporter *e = &plan->list[i];

		if (e->is_fixed || plan->weight[e->to] <= 0 ||
		    e->load <= PLAN_ENOUGH * plan->share[e->to])
			continue;
		rp_format_addr(&e->address, address, sizeof(address));
		printf("%s alone sends %.2f times the share of bucket %u: 'reuseportctl override "
		       "add %s %u' and 'reuseportctl drain %u' leave it there alone\n",
		       address, e->load / plan->share[e->to], e->to, address, e->to, e->to);
	}
}

static void print_plan(const struct rebalancing *r)
{
	const struct plan *plan = &r->plan;
	double load = 0, fullest = fullest_of(plan, plan->before);

	for (size_t i = 0; i < plan->n; i++)
		load += plan->list[i].load;
	printf("%s, %s: %.0f datagrams/s of %zu exporters in %.0f s\n\n",
	       r->options->config.pin_path, r->listener, load, plan->n, r->seconds);
	print_buckets(plan);
	if (!plan->moves) {
		printf("\nfullest bucket: %.2f times its share; no move would help\n", fullest);
		print_too_heavy(plan);
		return;
	}
	print_moves(r);
	printf("\nfullest bucket: %.2f times its share, %.2f afterwards; %zu move%s, of %.1f%% of "
	       "the load%s\n",
	       fullest, fullest_of(plan, plan->after), plan->moves, plan->moves == 1 ? "" : "s",
	       100 * plan->moved / load,
	       r->options->apply ? "" : "; 'reuseportctl rebalance --apply' does it");
	print_too_heavy(plan);
}

/* ---- done ---- */

/* All moves of the plan as overrides; an exporter that returns to where it would be without one has
 * none */
static int apply(const struct rebalancing *r, struct rp_member *m)
{
	struct overrides before, all, after = {};
	int err;

	read_overrides(m->fds[RP_OVERRIDES], &before);
	read_overrides(m->fds[RP_OVERRIDES], &all);
	for (size_t i = 0; i < r->plan.n; i++) {
		const struct plan_exporter *e = &r->plan.list[i];
		struct override one = {.prefix.bits = 128, .bucket = e->to, .rebalanced = 1};

		if (e->from == e->to)
			continue;
		memcpy(one.prefix.addr, e->address.b, sizeof(one.prefix.addr));
		after = (struct overrides){};
		append_others(&after, &all, &one);
		if (e->to != rp_find_place(m, &e->address))
			append_override(&after, &one);
		free(all.list);
		all = after;
	}
	sort_overrides(&all);
	err = replace_overrides(m, &before, &all);
	free(before.list);
	free(all.list);

	return err;
}

/* With the group locked from before the plan is made until it is done */
static int plan_and_apply(struct rebalancing *r)
{
	struct rp_member group, m;
	char who[160];
	int err = 0;

	if (open_live_group(&group, &r->options->config, who, sizeof(who)))
		return FAILED;
	if (group.fds[RP_OVERRIDES] < 0 || group.fds[RP_POLICY] < 0)
		return close_live_group(&group, fail_no_map(&group, RP_MAP_OVERRIDES, who));
	rp_init(&m);
	if (make_it(r, &m)) {
		rp_close(&group);
		return FAILED;
	}
	if (r->plan.moves)
		err = apply(r, &group);
	if (!err)
		print_plan(r);

	return close_live_group(&group, err);
}

int command_rebalance(struct options *o, char **arguments)
{
	struct rebalancing r = {.options = o};
	struct rp_member m;
	int status;

	(void)arguments;
	r.listener = choose_listener(o);
	if (!r.listener)
		return FAILED;
	rp_init(&m);
	if (rp_each_listener(&m, &o->config, choose_buckets, &r) < 0)
		return report_error(FAILED, "%s", m.error);
	status = measure(&r, &m);
	if (!status && o->apply)
		status = plan_and_apply(&r);
	else if (!status)
		status = make_it(&r, &m);
	if (!status && !o->apply)
		print_plan(&r);
	free(r.before.list);
	free(r.talkers.list);
	free(r.plan.list);
	free(r.peers);

	return status;
}
