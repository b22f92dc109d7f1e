/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Where exporters belong and fail over to, by a placement table that is made here, without a group.
 */
#ifndef PLACED_H
#define PLACED_H

#include <string.h>
#include "placement.h"

/* The table of that nonce and number of buckets, made once; all weights are the same. */
static inline const __u32 *placement_of(__u32 nonce, __u32 n)
{
	static struct {
		__u32 nonce, entries[RP_SLOT_ENTRIES];
		int is_made;
	} made[RP_MAX_BUCKETS + 1];
	static const struct rp_weights all_the_same;

	if (!made[n].is_made || made[n].nonce != nonce)
		rp_make_placement(nonce, n, &all_the_same, made[n].entries);
	made[n].nonce = nonce;
	made[n].is_made = 1;

	return made[n].entries;
}

static inline __u32 bucket_in(const __u32 *entries, __u64 hash)
{
	return entries[rp_slot(hash)] - 1;
}

/* The bucket that an exporter of that hash fails over to, RP_NO_BUCKET if none is live; live: a
 * flag for each bucket */
static inline __u32 fails_over_to(const __u32 *entries, __u64 hash, const unsigned char *live)
{
	__u32 takers = entries[RP_SLOT_TAKERS], bucket;

	for (__u32 draw = 1; draw <= RP_FAILOVER_DRAWS; draw++) {
		bucket = bucket_in(entries, rp_redraw(hash, draw));
		if (live[bucket])
			return bucket;
	}
	for (__u32 i = 0; i < RP_MAX_BUCKETS && entries[RP_SLOT_ORDER + i]; i++) {
		__u32 place = i < takers ? rp_shuffle(hash, i, takers) : i;

		bucket = entries[RP_SLOT_ORDER + place] - 1;
		if (live[bucket])
			return bucket;
	}

	return RP_NO_BUCKET;
}

#endif
