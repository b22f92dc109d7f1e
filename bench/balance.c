// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * Computes how evenly exporters are spread over buckets, and how many of them move when a bucket is
 * added or becomes empty: by hash and placement table ("ours"), by the same hash modulo the number
 * of buckets, and in the best case ("optimum"). Then what weights and 'reuseportctl rebalance' make
 * of it. Uses what kernel, daemons and tool share, and needs no daemon.
 *
 * usage: balance ROUNDS
 *
 * Each round has a nonce of its own. Prints samples in the format of bench/lib.sh.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include "placed.h"
#include "plan.h"
#include "tap.h"

#define MOST  100000
#define HEAVY 200 /* exporters, the loads of which differ */
#define MOVES 10  /* as 'reuseportctl rebalance' without --limit */

static const int exporters[] = {50, 1000, 10000, MOST};
static const __u32 buckets[] = {2, 4, 8, 16, 32, 64, 128};
static __u64 hashes[MOST];
static __u32 nonce;

/* Returns the bucket, of n, that receives an exporter; empty: the bucket that is empty, or n if
 * none is */
typedef __u32 select_bucket(__u64 hash, __u32 n, __u32 empty);

static __u32 by_selector(__u64 hash, __u32 n, __u32 empty)
{
	const __u32 *entries = placement_of(nonce, n);
	__u32 bucket = bucket_in(entries, hash);
	unsigned char live[RP_MAX_BUCKETS];

	if (bucket != empty)
		return bucket;
	memset(live, 1, sizeof(live));
	live[empty] = 0;

	return fails_over_to(entries, hash, live);
}

/* An empty bucket is removed from the list of buckets, as a load balancer does it. */
static __u32 by_modulo(__u64 hash, __u32 n, __u32 empty)
{
	__u32 bucket;

	if (empty >= n)
		return hash % n;
	bucket = hash % (n - 1);

	return bucket < empty ? bucket : bucket + 1;
}

/* The exporters in the fullest bucket, divided by the mean */
static double fullest(select_bucket *select, int count, __u32 n)
{
	int in_bucket[RP_MAX_BUCKETS] = {0}, most = 0;

	for (int i = 0; i < count; i++) {
		int now = ++in_bucket[select(hashes[i], n, n)];

		most = now > most ? now : most;
	}

	return most * (double)n / count;
}

/* The share of exporters, in percent, whose bucket in a group of n buckets, one of which may be
 * empty, is not their bucket in a complete group of n2 buckets */
static double moved(select_bucket *select, int count, __u32 n, __u32 empty, __u32 n2)
{
	int movers = 0;

	for (int i = 0; i < count; i++)
		movers += select(hashes[i], n, empty) != select(hashes[i], n2, n2);

	return movers * 100.0 / count;
}

#define SAMPLE(table, metric, value)                                                               \
	printf(table "\t%d exporters, %u buckets\t" metric "\t%d\t%.3f\n", count, n, round, value)

static void measure(int count, __u32 n, int round)
{
	const __u32 empty = round % n;
	int best = (count + n - 1) / n, in_empty = 0;

	for (int i = 0; i < count; i++)
		in_empty += by_selector(hashes[i], n, n) == empty;
	SAMPLE("balance", "ours", fullest(by_selector, count, n));
	SAMPLE("balance", "modulo", fullest(by_modulo, count, n));
	SAMPLE("balance", "optimum", best * (double)n / count);
	SAMPLE("growth", "ours", moved(by_selector, count, n, n, n - 1));
	SAMPLE("growth", "modulo", moved(by_modulo, count, n, n, n - 1));
	SAMPLE("growth", "optimum", 100.0 / n);
	SAMPLE("loss", "ours", moved(by_selector, count, n, empty, n));
	SAMPLE("loss", "modulo", moved(by_modulo, count, n, empty, n));
	SAMPLE("loss", "optimum", in_empty * 100.0 / count);
}

/* ---- weights ---- */

/* The exporters in bucket 0, divided by the mean of the other ones */
static double first_to_others(const __u32 *entries, int count, __u32 n)
{
	int first = 0;

	for (int i = 0; i < count; i++)
		first += bucket_in(entries, hashes[i]) == 0;

	return first * (n - 1.0) / (count - first);
}

/* Bucket 0 gets half the weight of the others. */
static void measure_weights(int count, __u32 n, int round)
{
	static __u32 weighted[RP_SLOT_ENTRIES];
	const __u32 *equal = placement_of(nonce, n);
	struct rp_weights weights = {};
	int movers = 0;

	rp_set_weight(&weights, 0, rp_get_weight(&weights, 0) / 2);
	rp_make_placement(nonce, n, &weights, weighted);
	for (int i = 0; i < count; i++)
		movers += bucket_in(equal, hashes[i]) != bucket_in(weighted, hashes[i]);
	SAMPLE("weights", "equal weights", first_to_others(equal, count, n));
	SAMPLE("weights", "half the weight", first_to_others(weighted, count, n));
	SAMPLE("weights", "exporters that move, %%", movers * 100.0 / count);
	SAMPLE("weights", "optimum, %%", (1.0 / n - 1.0 / (2 * n - 1)) * 100);
}

/* ---- rebalance ---- */

/* Zipf: the first exporter sends N times as much as the N-th one. */
static void measure_rebalance(int count, __u32 n, int round)
{
	static struct plan_exporter list[HEAVY];
	struct plan plan = {.list = list, .n = count};
	double all = 0;

	for (int i = 0; i < count; i++) {
		list[i] = (struct plan_exporter){.load = 1.0 / (i + 1)};
		list[i].from = bucket_in(placement_of(nonce, n), hashes[i]);
		all += list[i].load;
	}
	for (__u32 b = 0; b < n; b++)
		plan.weight[b] = 1;
	make_plan(&plan, MOVES);
	SAMPLE("rebalance", "by hash", fullest_of(&plan, plan.before));
	SAMPLE("rebalance", "after rebalance", fullest_of(&plan, plan.after));
	SAMPLE("rebalance", "moves", (double)plan.moves);
	SAMPLE("rebalance", "load moved, %%", plan.moved * 100 / all);
	SAMPLE("rebalance", "the heaviest exporter alone", n * list[0].load / all);
}

int main(int argc, char **argv)
{
	__u64 state = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: balance ROUNDS\n");
		return 2;
	}
	for (int round = 1; round <= atoi(argv[1]); round++) {
		nonce = next_random(&state);
		/* consecutive addresses, as operators number the loopbacks of routers */
		for (int i = 0; i < MOST; i++) {
			union rp_addr a;

			rp_addr_v4(&a, htonl(0x0a000001 + i));
			hashes[i] = rp_hash(&a, nonce);
		}
		for (size_t e = 0; e < sizeof(exporters) / sizeof(exporters[0]); e++)
			for (size_t b = 0; b < sizeof(buckets) / sizeof(buckets[0]); b++)
				measure(exporters[e], buckets[b], round);
		for (size_t b = 0; b < sizeof(buckets) / sizeof(buckets[0]); b++) {
			measure_weights(10000, buckets[b], round);
			measure_rebalance(HEAVY, buckets[b], round);
		}
	}

	return 0;
}
