// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* Which exporters to move: see plan.h. */
#include "plan.h"

/* A smaller gain is no reason to move an exporter. */
#define LEAST_GAIN 0.01

struct move {
	struct plan_exporter *exporter; /* NULL: none */
	__u32 to;
	double fullest; /* the fuller one of the two buckets, when it is done */
};

static int takes_part(const struct plan *plan, __u32 bucket)
{
	return bucket < RP_MAX_BUCKETS && plan->weight[bucket] > 0;
}

static double fullness(const struct plan *plan, __u32 bucket, double load)
{
	return plan->share[bucket] > 0 ? load / plan->share[bucket] : 0;
}

/* done: buckets that do not count, or NULL */
static double find_fullest(const struct plan *plan, const double *loads, const char *done,
			   __u32 *bucket)
{
	double most = 0;

	*bucket = RP_NO_BUCKET;
	for (__u32 b = 0; b < RP_MAX_BUCKETS; b++) {
		if (!takes_part(plan, b) || (done && done[b]) ||
		    fullness(plan, b, loads[b]) <= most)
			continue;
		most = fullness(plan, b, loads[b]);
		*bucket = b;
	}

	return most;
}

double fullest_of(const struct plan *plan, const double *loads)
{
	__u32 bucket;

	return find_fullest(plan, loads, NULL, &bucket);
}

/* The bucket that is least full with that load added; RP_NO_BUCKET: there is no other one */
static __u32 find_room(const struct plan *plan, __u32 from, double load, double *fullness_then)
{
	__u32 best = RP_NO_BUCKET;

	for (__u32 b = 0; b < RP_MAX_BUCKETS; b++) {
		double then = takes_part(plan, b) && b != from
				      ? fullness(plan, b, plan->after[b] + load)
				      : -1;

		if (then < 0 || (best != RP_NO_BUCKET && then >= *fullness_then))
			continue;
		best = b;
		*fullness_then = then;
	}

	return best;
}

/* Whether the first move is the better one: both good enough, the lighter exporter; else by what it
 * leads to */
static int is_better(const struct move *one, const struct move *other)
{
	if (!other->exporter)
		return 1;
	if (one->fullest <= PLAN_ENOUGH && other->fullest <= PLAN_ENOUGH)
		return one->exporter->load < other->exporter->load;

	return one->fullest < other->fullest;
}

/* The best move of an exporter out of that bucket */
static struct move find_move(const struct plan *plan, __u32 from, int with_sessions)
{
	double now = fullness(plan, from, plan->after[from]), then;
	struct move best = {}, move;

	for (size_t i = 0; i < plan->n; i++) {
		struct plan_exporter *e = &plan->list[i];

		if (e->to != from || e->is_fixed || e->load <= 0 ||
		    (e->has_sessions && !with_sessions))
			continue;
		then = fullness(plan, from, plan->after[from] - e->load);
		move = (struct move){.exporter = e};
		move.to = find_room(plan, from, e->load, &move.fullest);
		if (move.to == RP_NO_BUCKET)
			break;
		if (then > move.fullest)
			move.fullest = then;
		if (move.fullest < now - LEAST_GAIN && is_better(&move, &best))
			best = move;
	}

	return best;
}

static void count_moves(struct plan *plan)
{
	plan->moves = 0;
	plan->moved = 0;
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->list[i].from == plan->list[i].to)
			continue;
		plan->moves++;
		plan->moved += plan->list[i].load;
	}
}

/* Adds its load to the bucket that it is in, or in equal parts to those that it is spread over.
 * Returns: how much of it is in buckets that take part. */
static double add_load(struct plan *plan, const struct plan_exporter *e)
{
	__u32 range = e->range ? e->range : 1;
	double load = 0;

	for (__u32 b = e->from; b < e->from + range; b++) {
		if (!takes_part(plan, b))
			continue;
		plan->before[b] += e->load / range;
		load += e->load / range;
	}

	return load;
}

/* Loads as they are, and as they should be */
static void weigh(struct plan *plan)
{
	double load = 0, weight = 0;

	for (__u32 b = 0; b < RP_MAX_BUCKETS; b++) {
		plan->before[b] = 0;
		weight += plan->weight[b];
	}
	for (size_t i = 0; i < plan->n; i++) {
		struct plan_exporter *e = &plan->list[i];

		e->to = e->from;
		load += add_load(plan, e);
	}
	for (__u32 b = 0; b < RP_MAX_BUCKETS; b++) {
		plan->after[b] = plan->before[b];
		plan->share[b] = weight > 0 ? load * plan->weight[b] / weight : 0;
	}
}

/* Plans with at most so many moves of exporters with sessions. Returns: how many of these there
 * are. */
static size_t try_plan(struct plan *plan, size_t limit, size_t sessions)
{
	char done[RP_MAX_BUCKETS] = {}; /* no move makes these less full */
	size_t steps = 0, disturbed = 0;
	struct move move;
	__u32 fullest;

	weigh(plan);
	while (steps < limit && find_fullest(plan, plan->after, done, &fullest) > PLAN_ENOUGH) {
		move = find_move(plan, fullest, disturbed < sessions);
		if (!move.exporter) {
			done[fullest] = 1;
			continue;
		}
		plan->after[fullest] -= move.exporter->load;
		plan->after[move.to] += move.exporter->load;
		move.exporter->to = move.to;
		disturbed += move.exporter->has_sessions;
		steps++;
	}

	return disturbed;
}

void make_plan(struct plan *plan, size_t limit)
{
	size_t sessions, best = 0;
	double fullest = 0, least = 0;

	for (sessions = 0; sessions <= limit; sessions++) {
		size_t disturbed = try_plan(plan, limit, sessions);

		fullest = fullest_of(plan, plan->after);
		if (!sessions || fullest < least - LEAST_GAIN) {
			best = sessions;
			least = fullest;
		}
		if (fullest <= PLAN_ENOUGH || disturbed < sessions)
			break;
	}
	try_plan(plan, limit, best);
	count_moves(plan);
}
