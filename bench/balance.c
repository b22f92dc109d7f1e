// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How evenly exporters are spread over buckets, and how many move when a bucket is added or one is
 * empty: the selector's hash, beside the same hash modulo the number of buckets, and the best that
 * could be. From the header that kernel and daemons share; no daemon is needed.
 *
 * usage: balance ROUNDS, each of which has a seed of its own. Prints samples.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include "reuseport_abi.h"
#include "tap.h"

#define MOST 100000

static const int exporters[] = {50, 1000, 10000, MOST};
static const __u32 buckets[] = {2, 4, 8, 16, 32, 64, 128};
static __u64 hashes[MOST];

typedef __u32 place(__u64 hash, __u32 n, __u32 dead);

/* dead: a bucket that is empty, or n: none is */
static __u32 by_selector(__u64 hash, __u32 n, __u32 dead)
{
	__u32 bucket = rp_draw(hash, 0, n);

	for (int draw = 1; bucket == dead && draw <= RP_FAILOVER_DRAWS; draw++)
		bucket = rp_draw(hash, draw, n);

	return bucket == dead ? (bucket + 1) % n : bucket;
}

/* Over those that are left, as a list of destinations is that one is taken from */
static __u32 by_modulo(__u64 hash, __u32 n, __u32 dead)
{
	__u32 bucket;

	if (dead >= n)
		return hash % n;
	bucket = hash % (n - 1);

	return bucket < dead ? bucket : bucket + 1;
}

static double fullest(place *where, int count, __u32 n)
{
	int load[RP_MAX_BUCKETS] = {0}, most = 0;

	for (int i = 0; i < count; i++) {
		int in_bucket = ++load[where(hashes[i], n, n)];

		most = in_bucket > most ? in_bucket : most;
	}

	return most * (double)n / count;
}

/* The share, in percent, that is elsewhere in a group of n buckets, one of which may be dead, than
 * in one of n2 */
static double moved(place *where, int count, __u32 n, __u32 dead, __u32 n2)
{
	int movers = 0;

	for (int i = 0; i < count; i++)
		movers += where(hashes[i], n, dead) != where(hashes[i], n2, n2);

	return movers * 100.0 / count;
}

static void measure(int count, __u32 n, int round)
{
	const __u32 dead = round % n;
	int best = (count + n - 1) / n, in_dead = 0;

	for (int i = 0; i < count; i++)
		in_dead += by_selector(hashes[i], n, n) == dead;
#define SAMPLE(table, metric, value)                                                               \
	printf(table "\t%d exporters, %u buckets\t" metric "\t%d\t%.3f\n", count, n, round, value)
	SAMPLE("balance", "ours", fullest(by_selector, count, n));
	SAMPLE("balance", "modulo", fullest(by_modulo, count, n));
	SAMPLE("balance", "optimum", best * (double)n / count);
	SAMPLE("growth", "ours", moved(by_selector, count, n, n, n - 1));
	SAMPLE("growth", "modulo", moved(by_modulo, count, n, n, n - 1));
	SAMPLE("growth", "optimum", 100.0 / n);
	SAMPLE("loss", "ours", moved(by_selector, count, n, dead, n));
	SAMPLE("loss", "modulo", moved(by_modulo, count, n, dead, n));
	SAMPLE("loss", "optimum", in_dead * 100.0 / count);
}

int main(int argc, char **argv)
{
	__u64 state = 1;

	if (argc != 2) {
		fprintf(stderr, "usage: balance ROUNDS\n");
		return 2;
	}
	for (int round = 1; round <= atoi(argv[1]); round++) {
		__u32 nonce = next_random(&state);

		/* routers in sequence, as loopbacks are numbered */
		for (int i = 0; i < MOST; i++) {
			union rp_addr a;

			rp_addr_v4(&a, htonl(0x0a000001 + i));
			hashes[i] = rp_hash(&a, nonce);
		}
		for (size_t e = 0; e < sizeof(exporters) / sizeof(exporters[0]); e++)
			for (size_t b = 0; b < sizeof(buckets) / sizeof(buckets[0]); b++)
				measure(exporters[e], buckets[b], round);
	}

	return 0;
}
