// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* What the placement table promises: shares, growth, weights. See placement.h. */
#include <string.h>
#include "placed.h"
#include "tap.h"

#define NONCES 3

static __u32 before[RP_SLOT_ENTRIES], after[RP_SLOT_ENTRIES];

/* How many slots the two tables have in different buckets; others: of these, how many neither come
 * from nor go to that bucket */
static int differ(__u32 bucket, int *others)
{
	int n = 0;

	*others = 0;
	for (int slot = 0; slot < RP_SLOT_COUNT; slot++) {
		if (before[slot] == after[slot])
			continue;
		n++;
		*others += before[slot] != bucket + 1 && after[slot] != bucket + 1;
	}

	return n;
}

/* How far the bucket that is farthest from its share is from it, in slots */
static double farthest(__u32 n, const struct rp_weights *weights)
{
	int has[RP_MAX_BUCKETS] = {0};
	double total = 0, most = 0;

	for (__u32 b = 0; b < n; b++)
		total += rp_get_weight(weights, b);
	for (int slot = 0; slot < RP_SLOT_COUNT; slot++) {
		must(after[slot] >= 1 && after[slot] <= n);
		has[after[slot] - 1]++;
	}
	for (__u32 b = 0; b < n; b++) {
		double off = has[b] - RP_SLOT_COUNT * rp_get_weight(weights, b) / total;

		off = off < 0 ? -off : off;
		most = off > most ? off : most;
	}

	return most;
}

/* By how many slots a new bucket takes more from one of the others than from another */
static int unevenness(__u32 n)
{
	int taken[RP_MAX_BUCKETS] = {0}, least = RP_SLOT_COUNT, most = 0;

	for (int slot = 0; slot < RP_SLOT_COUNT; slot++)
		if (before[slot] != after[slot])
			taken[before[slot] - 1]++;
	for (__u32 b = 0; b < n; b++) {
		least = taken[b] < least ? taken[b] : least;
		most = taken[b] > most ? taken[b] : most;
	}

	return most - least;
}

static void growth(void)
{
	struct rp_weights same = {};
	int wrong_moves = 0, uneven = 0, others;
	double off = 0;

	for (int k = 0; k < NONCES; k++) {
		rp_make_placement(k + 1, 1, &same, after);
		for (__u32 n = 1; n < RP_MAX_BUCKETS; n++) {
			memcpy(before, after, sizeof(before));
			rp_make_placement(k + 1, n + 1, &same, after);
			wrong_moves +=
				differ(n, &others) != (int)(RP_SLOT_COUNT / (n + 1)) || others;
			uneven += unevenness(n) > 1;
			off = farthest(n + 1, &same) > off ? farthest(n + 1, &same) : off;
		}
	}
	ok(off < 1, "1 to 128 buckets: each within one slot of its share (%.2f)", off);
	ok(!wrong_moves, "each growth moves 4096/n slots, to the new bucket alone");
	ok(!uneven, "which takes as many from each of the others, to within one slot");
}

/* Random weights of all buckets from the first on; some are drained, one is not */
static void choose_weights(struct rp_weights *weights, __u32 n, __u64 *state)
{
	memset(weights, 0, sizeof(*weights));
	for (__u32 b = 0; b < n; b++) {
		__u64 r = next_random(state);

		if (r % 3)
			rp_set_weight(weights, b, 1 + (r >> 8) % RP_MAX_WEIGHT);
		if (b && r % 5 == 0)
			rp_set_weight(weights, b, 0);
	}
}

static void weights(void)
{
	struct rp_weights weights;
	__u64 state = 11;
	double off = 0;

	for (int round = 0; round < 200; round++) {
		__u32 n = 1 + next_random(&state) % RP_MAX_BUCKETS;

		choose_weights(&weights, n, &state);
		rp_make_placement(round, n, &weights, after);
		off = farthest(n, &weights) > off ? farthest(n, &weights) : off;
	}
	ok(off < 1, "200 sets of weights, some drained: each within one slot of its share (%.2f)",
	   off);

	memset(&weights, 0, sizeof(weights));
	rp_make_placement(5, 7, &weights, before);
	for (__u32 b = 0; b < 7; b++)
		rp_set_weight(&weights, b, 37);
	rp_make_placement(5, 7, &weights, after);
	ok(!memcmp(before, after, sizeof(before)), "the same weight for all: as with none");
	for (__u32 b = 0; b < 7; b++)
		rp_set_weight(&weights, b, 0);
	rp_make_placement(5, 7, &weights, after);
	ok(!memcmp(before, after, RP_SLOT_COUNT * sizeof(*before)), "all drained: as with none");
}

static void one_weight(void)
{
	static const __u32 values[] = {0, 50, 80, 150, RP_MAX_WEIGHT};
	struct rp_weights weights = {};
	int moved = 0, others = 0, strays, kept = 0;

	for (__u32 n = 2; n <= RP_MAX_BUCKETS; n *= 2)
		for (__u32 b = 0; b < n; b += (n + 7) / 8)
			for (int v = 0; v < 5; v++) {
				memset(&weights, 0, sizeof(weights));
				rp_make_placement(n, n, &weights, before);
				rp_set_weight(&weights, b, values[v]);
				rp_make_placement(n, n, &weights, after);
				moved += differ(b, &strays);
				others += strays;
			}
	ok(moved && !others,
	   "another weight for one bucket moves %d slots, from or to that one alone", moved);

	memset(&weights, 0, sizeof(weights));
	rp_set_weight(&weights, 3, 50);
	rp_set_weight(&weights, 3, 0);
	kept = rp_get_weight(&weights, 3) == 0;
	rp_undrain(&weights, 3);
	ok(kept && rp_get_weight(&weights, 3) == 50, "undrained, it has the weight that it had");

	memset(&weights, 0, sizeof(weights));
	rp_make_placement(9, 4, &weights, before);
	rp_set_weight(&weights, 4, 0);
	rp_make_placement(9, 5, &weights, after);
	ok(!memcmp(before, after, RP_SLOT_COUNT * sizeof(*before)),
	   "a fifth bucket that is reserved before it comes: no slot moves");

	memset(&weights, 0, sizeof(weights));
	rp_set_weight(&weights, 1, 0);
	rp_set_weight(&weights, 2, 50);
	rp_make_placement(9, 4, &weights, before);
	rp_set_weight(&weights, 4, 0);
	rp_make_placement(9, 5, &weights, after);
	ok(!memcmp(before, after, RP_SLOT_COUNT * sizeof(*before)),
	   "nor beside one that is drained, and one with half the weight");
}

static void shuffled(void)
{
	int wrong = 0;
	__u64 state = 3;

	for (__u32 n = 1; n <= RP_MAX_BUCKETS; n++)
		for (int round = 0; round < 50; round++) {
			unsigned char seen[RP_MAX_BUCKETS] = {0};
			__u64 hash = next_random(&state);

			for (__u32 i = 0; i < n; i++)
				wrong += seen[rp_shuffle(hash, i, n)]++;
		}
	ok(!wrong, "1 to 128 buckets: each exporter's own order has each of them once");
}

/* Tables that never change: hosts of different byte order and version must agree */
static void same_everywhere(void)
{
	struct rp_weights some = {};
	__u64 sum = 0;

	rp_set_weight(&some, 0, 50);
	rp_set_weight(&some, 2, 0);
	rp_make_placement(1, 5, &some, after);
	for (int i = 0; i < RP_SLOT_ENTRIES; i++)
		sum = rp_mix(sum + after[i]);
	ok(sum == 0xd582972fa5d863edULL, "a table with weights is what it was (%#llx)", sum);
}

int main(void)
{
	growth();
	weights();
	one_weight();
	shuffled();
	same_everywhere();

	return tap_done();
}
