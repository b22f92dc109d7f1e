/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Which exporters to move so that no bucket has much more than its share of the load.
 *
 * 1. Few exporters are moved, and of several that would do, the lightest one.
 * 2. As few exporters with sessions as possible are moved: one only if the plan without it does not
 * do.
 * 3. Each move makes the fullest bucket less full. One that no move makes less full, such as that
 * of a single heavy exporter, stays as it is, and the next fullest one has its turn.
 */
#ifndef PLAN_H
#define PLAN_H

#include <stddef.h>
#include "reuseport_abi.h"
#include "reuseport_hash.h"

#define PLAN_ENOUGH 1.03 /* a bucket this full, or less, is full enough: measures are estimates */

struct plan_exporter {
	union rp_addr address;
	double load;
	__u32 from, to;	  /* buckets; the same: it stays */
	__u32 range;	  /* how many buckets from there on it is spread over, and stays; 0 is 1 */
	int is_fixed;	  /* stays where it is */
	int has_sessions; /* should stay */
};

struct plan {
	struct plan_exporter *list;
	size_t n;
	double weight[RP_MAX_BUCKETS]; /* 0: the bucket takes no part */
	/* by make_plan() */
	double before[RP_MAX_BUCKETS], after[RP_MAX_BUCKETS]; /* loads */
	double share[RP_MAX_BUCKETS];			      /* the load that each should have */
	double moved;					      /* load */
	size_t moves;
};

/* Plans at most so many moves. */
void make_plan(struct plan *plan, size_t limit);

/* How full the fullest bucket is: its load divided by its share. loads: before or after */
double fullest_of(const struct plan *plan, const double *loads);

#endif
