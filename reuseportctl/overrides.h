/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Sets of overrides: read from the group's map, compared, and written back all or nothing. */
#ifndef OVERRIDES_H
#define OVERRIDES_H

#include <stddef.h>
#include "group.h"

struct override {
	struct rp_prefix prefix;
	__u32 bucket;	/* or several: see reuseport_spread.h */
	int rebalanced; /* by 'rebalance', not by an operator */
};

/* In the order of their prefixes, once sort_overrides() has run */
struct overrides {
	struct override *list;
	size_t n;
};

/* The number of entries of a map; -1: no map, no entries. beyond: how many have a bucket that a
 * group of that size does not have */
__u32 count_overrides(int map, __u32 size, __u32 *beyond);

/* All entries of a map, sorted, each once, also if others are deleted meanwhile; the list is to be
 * freed */
void read_overrides(int map, struct overrides *all);

void append_override(struct overrides *all, const struct override *one);

/* Appends all but that of one's prefix */
void append_others(struct overrides *to, const struct overrides *all, const struct override *one);
void sort_overrides(struct overrides *all);

/* Like strcmp(), by address and length; the bucket does not count */
int compare_prefixes(const struct override *one, const struct override *other);

/*
 * Changes the group's overrides from `before` to `after`, both sorted. First adds what is new or
 * changed and then deletes the rest, so that no exporter is for a moment without an override that
 * it has in both; the other way round if there is no room. If that fails, restores `before`. The
 * caller holds the group's lock. Returns 0 or a negative errno.
 */
int replace_overrides(struct rp_member *m, const struct overrides *before,
		      const struct overrides *after);

/*
 * Drops the overrides of 'rebalance' that have lost their sense, since the group has another size
 * or other weights: their bucket is gone or drained, or their exporter is there anyway. Says how
 * many these were. The caller holds the group's lock. Returns 0 or a negative errno.
 */
int drop_stale_overrides(struct rp_member *m);

#endif
