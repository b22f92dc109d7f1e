// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* How evenly exporters spread over buckets, and fail over, and how many move when a bucket is
 * added. */
#include <arpa/inet.h>
#include <endian.h>
#include <string.h>
#include "placed.h"
#include "tap.h"

#define EXPORTERS 20000
#define NONCES	  3  /* for the worst of them */
#define MANY	  50 /* for their mean, where one alone is mostly noise */

static union rp_addr exporters[EXPORTERS];
static __u64 digest; /* of all buckets asked for, to compare machines */

static void random_v4(int i, __u64 *state)
{
	rp_addr_v4(&exporters[i], htonl(next_random(state)));
}

static void random_v6(int i, __u64 *state)
{
	exporters[i].q[0] = htobe64(next_random(state));
	exporters[i].q[1] = htobe64(next_random(state));
}

static void sequential_v4(int i, __u64 *state)
{
	(void)state;
	rp_addr_v4(&exporters[i], htonl(0x0a000001 + i));
}

static void sequential_v6(int i, __u64 *state)
{
	(void)state;
	memset(&exporters[i], 0, sizeof(exporters[i]));
	exporters[i].w[0] = htonl(0x20010db8);
	exporters[i].w[3] = htonl(i + 1);
}

/* The same 16 bits in all eight places, in every order that a counter makes of them */
static void permuted_v6(int i, __u64 *state)
{
	__u8 words[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
	int left = i * 2 + 1;

	(void)state;
	for (int n = 8; n > 1; n--) {
		int other = left % n;
		__u8 swap = words[n - 1];

		left /= n;
		words[n - 1] = words[other];
		words[other] = swap;
	}
	for (int w = 0; w < 8; w++)
		exporters[i].b[2 * w] = exporters[i].b[2 * w + 1] = words[w];
}

static __u32 nonce_of(int k)
{
	return 20191107 + k;
}

static __u32 bucket_of(int i, int k, __u32 n)
{
	__u32 bucket = bucket_in(placement_of(nonce_of(k), n), rp_hash(&exporters[i], nonce_of(k)));

	digest = rp_mix(digest + bucket);

	return bucket;
}

/* The fullest bucket over the mean, the worst of NONCES */
static double fullest(__u32 n)
{
	double worst = 0;

	for (int k = 0; k < NONCES; k++) {
		int load[RP_MAX_BUCKETS] = {0};

		for (int i = 0; i < EXPORTERS; i++) {
			double share = ++load[bucket_of(i, k, n)] * (double)n / EXPORTERS;

			worst = share > worst ? share : worst;
		}
	}

	return worst;
}

/* How many exporters growing from n to n + 1 moves, over the optimum, which is one in n + 1;
 * far more than everything if any of them moves elsewhere than to the new bucket.
 */
static double moved(__u32 n, int k)
{
	int movers = 0;

	for (int i = 0; i < EXPORTERS; i++) {
		__u32 before = bucket_of(i, k, n), after = bucket_of(i, k, n + 1);

		movers += before == after ? 0 : after == n ? 1 : EXPORTERS;
	}

	return movers * (n + 1.0) / EXPORTERS;
}

static void spread(const char *name, void (*make)(int, __u64 *))
{
	double worst = 0, worst_move = 0, mean_move = 0;
	__u64 state = 1;

	for (int i = 0; i < EXPORTERS; i++)
		make(i, &state);

	for (__u32 n = 2; n <= 16; n++) {
		worst = fullest(n) > worst ? fullest(n) : worst;
		for (int k = 0; k < NONCES; k++)
			worst_move = moved(n, k) > worst_move ? moved(n, k) : worst_move;
	}
	for (int k = 0; k < MANY; k++)
		mean_move += moved(127, k) / MANY;

	ok(worst <= 1.1,
	   "%s: N = 2..16: the fullest bucket holds at most 1.1 times the mean (%.3f)", name,
	   worst);
	ok(worst_move <= 1.1,
	   "%s: N to N + 1 moves at most 1.1/(N+1) of them, to the new bucket alone (%.3f/(N+1))",
	   name, worst_move);
	ok(mean_move <= 1.1, "%s: 127 to 128: likewise, mean of %d nonces (%.3f/128)", name, MANY,
	   mean_move);
	ok(fullest(128) <= 1.5, "%s: N = 128: at most 1.5 times the mean of 156 (%.3f)", name,
	   fullest(128));
}

/* ---- failover ---- */

/* Which buckets get the exporters of those that are empty; live[]: which are not. Returns the chi
 * square of the numbers, or -1 if one gets none. */
static double failover_chi(__u32 n, const unsigned char *live, int *sent)
{
	const __u32 *entries = placement_of(nonce_of(0), n);
	int got[RP_MAX_BUCKETS] = {0}, m = 0;
	double chi = 0;

	*sent = 0;
	for (int i = 0; i < EXPORTERS; i++) {
		__u64 hash = rp_hash(&exporters[i], nonce_of(0));

		if (live[bucket_in(entries, hash)])
			continue;
		got[fails_over_to(entries, hash, live)]++;
		++*sent;
	}
	for (__u32 b = 0; b < n; b++)
		m += live[b];
	for (__u32 b = 0; b < n; b++) {
		double off = got[b] - (double)*sent / m;

		if (live[b])
			chi += off * off * m / *sent;
	}

	return chi;
}

static void failover(void)
{
	static const struct {
		__u32 n, live, step;
	} cases[] = {{4, 3, 1},	   {128, 2, 1},	  {128, 2, 64}, {128, 3, 31}, {128, 16, 1},
		     {128, 16, 8}, {128, 127, 1}, {100, 5, 20}, {65, 64, 1}};

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		unsigned char live[RP_MAX_BUCKETS] = {0};
		double chi;
		int sent;

		for (__u32 i = 0; i < cases[c].live; i++)
			live[i * cases[c].step] = 1;
		chi = failover_chi(cases[c].n, live, &sent);
		ok(sent && is_chance(chi, cases[c].live - 1),
		   "%u of %u buckets live: %d exporters of the others spread evenly over them (chi "
		   "square %.1f)",
		   cases[c].live, cases[c].n, sent, chi);
	}
}

/* What another bucket's end changes for exporters that have failed over */
static void failover_stays(void)
{
	const __u32 *entries = placement_of(nonce_of(0), RP_MAX_BUCKETS);
	unsigned char live[RP_MAX_BUCKETS] = {0}, fewer[RP_MAX_BUCKETS] = {0};
	int moved = 0, strays = 0;

	for (__u32 b = 0; b < 16; b++)
		live[b * 8] = fewer[b * 8] = 1;
	fewer[40] = 0;
	for (int i = 0; i < EXPORTERS; i++) {
		__u64 hash = rp_hash(&exporters[i], nonce_of(0));
		__u32 to = fails_over_to(entries, hash, live);

		moved += fails_over_to(entries, hash, fewer) != to;
		strays += fails_over_to(entries, hash, fewer) != to && to != 40;
	}
	ok(moved && !strays, "one of these 16 dies: its %d exporters move, no others", moved);
}

static void v4_mapped(void)
{
	union rp_addr v4, bad = {};

	rp_addr_v4(&v4, htonl(0xc0000201));
	bad.w[3] = v4.w[3]; /* ::192.0.2.1 */
	ok(rp_addr_is_v4(&v4) && v4.b[11] == 0xff && v4.b[12] == 192 && !rp_addr_is_v4(&bad),
	   "::ffff:192.0.2.1 is an IPv4 address, ::192.0.2.1 is none");
	memcpy(&bad, &v4, sizeof(bad));
	bad.b[0] = 0x20;
	ok(!rp_addr_is_v4(&bad), "nor is 2000::ffff:192.0.2.1");
}

int main(void)
{
	__u64 hash;
	union rp_addr v4;
	__u32 bucket;

	spread("random IPv4", random_v4);
	spread("sequential IPv4", sequential_v4);
	spread("random IPv6", random_v6);
	spread("sequential IPv6", sequential_v6);
	spread("IPv6 permutations of the same words", permuted_v6);
	failover();
	failover_stays();
	v4_mapped();

	/* These never change: hosts of different byte order and version must agree */
	rp_addr_v4(&v4, htonl(0xc0000201));
	hash = rp_hash(&v4, 1);
	bucket = bucket_in(placement_of(1, 128), hash);
	ok(hash == 0x852e53a66187fe2eULL && bucket == 22,
	   "192.0.2.1 with nonce 1 hashes to %#llx, bucket %u of 128", hash, bucket);
	printf("# digest of all buckets: %016llx\n", digest);

	return tap_done();
}
