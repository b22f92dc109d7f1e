/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The placement table: which bucket has each of the slots that exporters hash to.
 *
 * 1. It is a function of the nonce, the number of buckets and their weights alone: hosts that have the same numbers place exporters
 *    alike, and no history changes it.
 * 2. Each bucket has its share of the slots to within one slot: all the same share, or shares in proportion to their weights. A
 *    drained bucket has none.
 * 3. One bucket more, all weights being the same: it takes its share evenly from the others, and no slot moves between those.
 *    Shrinking is the reverse.
 * 4. A change of one weight moves slots to or from that bucket alone, if the others are the same.
 * 5. One bucket more that is drained moves nothing.
 */
#ifndef REUSEPORT_PLACEMENT_H
#define REUSEPORT_PLACEMENT_H

#include "group.h"

/* Returns: the weight of a bucket, 0 if it is drained. */
__u32 rp_get_weight(const struct rp_weights *weights, __u32 bucket);

/* Sets the weight of a bucket, 1..RP_MAX_WEIGHT, and that it is not drained; 0 drains it, and it keeps the weight that it had. */
void rp_set_weight(struct rp_weights *weights, __u32 bucket, __u32 weight);

/* Has a drained bucket take exporters again, with the weight that it had. */
void rp_undrain(struct rp_weights *weights, __u32 bucket);

/* Forgets the weights of all buckets from `count` on. */
void rp_cut_weights(struct rp_weights *weights, __u32 count);

/* Whether all of the first `count` buckets are drained. */
int rp_all_drained(const struct rp_weights *weights, __u32 count);

/*
 * Makes the entries of RP_MAP_SLOTS for `count` buckets, 1..RP_MAX_BUCKETS. If all of them are drained, none counts as drained.
 * Needs no group.
 */
void rp_make_placement(__u32 nonce, __u32 count, const struct rp_weights *weights, __u32 entries[RP_SLOT_ENTRIES]);

/* Reads the weights of the group: all of them the default ones if the object has no map for them. */
void rp_read_weights(const struct rp_member *m, struct rp_weights *weights);

/*
 * Sets the number of buckets and the weights, and writes the placement table that they make. The selector uses each slot as it is
 * written. Without the maps of weights or slots, does what is left. The caller holds the group's lock.
 * Returns: 0, or a negative errno.
 */
int rp_place(struct rp_member *m, __u32 count, const struct rp_weights *weights);

/* Whether the table is the one that nonce, size and weights of the group make; also if none was written. Takes no lock. */
int rp_is_placed(const struct rp_member *m);

/* Counts the slots of each bucket in the table as it is. Returns: how many slots are set: RP_SLOT_COUNT, or 0 if no table was written. Takes no lock. */
__u32 rp_count_slots(const struct rp_member *m, __u32 slots[RP_MAX_BUCKETS]);

#endif
