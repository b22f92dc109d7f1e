// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * What the way of a datagram through the selector takes: map look-ups, calls of helpers, and BPF
 * instructions, counted, for 4,096 exporters in each case.
 *
 * usage: cost OBJECT
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "interpreter.h"
#include "placed.h"
#include "tap.h"

#define EXPORTERS 4096
#define NONCE	  20191107
#define BEFORE_0  11066951453180645397ULL /* of the generator that draws samples */

enum { SIZE, NONCES, POLICY, SLOTS, OVERRIDES, QUARANTINE, COUNTERS, TALKERS, BOTH, MAPS };
static struct map maps[MAPS] = {
	{RP_MAP_SIZE, -1},     {RP_MAP_NONCE, -1},     {RP_MAP_POLICY, -1},
	{RP_MAP_SLOTS, -1},    {RP_MAP_OVERRIDES, -1}, {RP_MAP_QUARANTINE, -1},
	{RP_MAP_COUNTERS, -1}, {RP_MAP_TALKERS, -1},   {"balancing_targets", -1}};

/*
 * The ceilings on instructions are what the selector takes with clang 14 and a quarter of it, for
 * other compilers. Raise them with a change that is worth it, and say so in its message.
 */
static const struct scenario {
	const char *name;
	__u32 n;
	int six, tcp, empty, unreadable; /* empty: the wanted bucket is */
	int sampled;
	__u32 policy;
	int unplaced;			      /* there is no placement table */
	unsigned size, overrides, quarantine; /* look-ups of these maps */
	unsigned most_slots;		      /* look-ups of the placement table */
	unsigned most_selects;		      /* calls that select a socket */
	unsigned ceiling;
	int verdict;
} scenarios[] = {
	{"IPv4, 1 bucket", .n = 1, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_PASS},
	{"IPv4, 4 buckets", .n = 4, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_PASS},
	{"IPv4, 65 buckets", .n = 65, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_PASS},
	{"IPv4, 128 buckets", .n = 128, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_PASS},
	{"IPv6, 4 buckets", .n = 4, .six = 1, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_PASS},
	{"IPv6, 128 buckets", .n = 128, .six = 1, .most_slots = 1, .most_selects = 1,
	 .ceiling = 140, .verdict = SK_PASS},
	{"TCP, 4 buckets", .n = 4, .tcp = 1, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_PASS},
	{"IPv4, 4 buckets, no placement table", .n = 4, .unplaced = 1, .size = 1, .most_slots = 1,
	 .most_selects = 1, .ceiling = 160, .verdict = SK_PASS},
	{"IPv4, 4 buckets, overrides of others", .n = 4, .policy = RP_OVERRIDDEN, .overrides = 1,
	 .most_slots = 1, .most_selects = 1, .ceiling = 160, .verdict = SK_PASS},
	{"IPv4, 4 buckets, others in quarantine", .n = 4, .policy = RP_QUARANTINES, .quarantine = 1,
	 .most_slots = 1, .most_selects = 1, .ceiling = 160, .verdict = SK_PASS},
	{"IPv4, 4 buckets, the wanted one empty", .n = 4, .empty = 1, .most_slots = 11,
	 .most_selects = 9, .ceiling = 950, .verdict = SK_PASS},
	{"IPv4, 4 buckets, the wanted one empty, no failover", .n = 4, .empty = 1,
	 .policy = RP_NO_FAILOVER, .most_slots = 1, .most_selects = 1, .ceiling = 140,
	 .verdict = SK_DROP},
	{"IPv4, 4 buckets, a sample", .n = 4, .sampled = 1, .most_slots = 1, .most_selects = 1,
	 .ceiling = 200, .verdict = SK_PASS},
	{"TCP, 4 buckets, where a datagram would be a sample", .n = 4, .tcp = 1, .sampled = 1,
	 .most_slots = 1, .most_selects = 1, .ceiling = 140, .verdict = SK_PASS},
	{"no source address", .n = 4, .unreadable = 1, .most_selects = 0, .ceiling = 40,
	 .verdict = SK_DROP},
};

static const struct bpf_insn *load(const char *file)
{
	struct bpf_object *object = bpf_object__open(file);
	struct bpf_program *p;
	struct bpf_map *map;

	must(!libbpf_get_error(object));
	bpf_object__for_each_program (p, object)
		must(!bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), RP_PROG)));
	bpf_object__for_each_map (map, object)
		must(!bpf_map__set_pin_path(map, NULL));
	must(!bpf_object__load(object));
	for (int i = 0; i < MAPS; i++) {
		map = bpf_object__find_map_by_name(object, maps[i].name);
		must(map);
		maps[i].fd = bpf_map__fd(map);
	}
	p = bpf_object__find_program_by_name(object, RP_PROG);
	must(p && bpf_program__insns(p));

	return bpf_program__insns(p);
}

static void set_u32(int map, __u32 value)
{
	__u32 zero = 0;

	must(!bpf_map_update_elem(maps[map].fd, &zero, &value, BPF_ANY));
}

static void set_table(const struct scenario *s)
{
	const __u32 *entries = placement_of(NONCE, s->n);
	__u32 none = 0;

	for (__u32 i = 0; i < RP_SLOT_ENTRIES; i++)
		must(!bpf_map_update_elem(maps[SLOTS].fd, &i, s->unplaced ? &none : &entries[i],
					  BPF_ANY));
}

/* One that no exporter here matches */
static void override_others(void)
{
	struct rp_prefix prefix = {.bits = 128, .addr = {0x20, 0x01, [15] = 1}};
	__u32 bucket = 0;

	must(!bpf_map_update_elem(maps[OVERRIDES].fd, &prefix, &bucket, BPF_ANY));
}

/* Has the next datagram, of whichever bucket, be a sample or not: the generator's next number is 0,
 * or that which follows 0. */
static void choose_samples(int sampled)
{
	static struct rp_counters per_cpu[1024];

	must(libbpf_num_possible_cpus() <= 1024);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		per_cpu[cpu].random = sampled ? BEFORE_0 : 0;
	for (__u32 bucket = 0; bucket <= RP_NO_BUCKET; bucket++)
		must(!bpf_map_update_elem(maps[COUNTERS].fd, &bucket, per_cpu, BPF_ANY));
}

/* An IPv4 or IPv6 header from that source; what else is in it does not matter */
static size_t make_packet(unsigned char *packet, int six, const union rp_addr *source)
{
	packet[0] = six ? 0x60 : 0x45;
	memcpy(packet + (six ? 8 : 12), six ? source->b : source->b + 12, six ? 16 : 4);

	return six ? 40 : 20;
}

static void next_source(union rp_addr *source, int six, __u64 *random)
{
	source->q[0] = next_random(random);
	source->q[1] = next_random(random);
	if (!six)
		rp_addr_v4(source, source->w[3]);
}

static struct run run_one(const struct bpf_insn *program, const struct scenario *s,
			  const union rp_addr *source, int wanted)
{
	unsigned char packet[40] = {}, live[RP_MAX_BUCKETS] = {};
	struct sk_reuseport_md ctx = {
		.eth_protocol = s->unreadable ? 0 : htons(s->six ? ETH_P_IPV6 : ETH_P_IP),
		.ip_protocol = s->tcp ? IPPROTO_TCP : IPPROTO_UDP};
	struct world world = {maps, MAPS, &ctx, packet, make_packet(packet, s->six, source), live};

	memset(live, 1, s->n);
	if (s->empty)
		live[wanted] = 0;

	return interpret(program, &world);
}

static int ends_right(const struct scenario *s, const struct run *run, int wanted)
{
	if (run->verdict != s->verdict)
		return 0;
	if (s->verdict == SK_DROP)
		return run->bucket == -1;

	return s->empty ? run->bucket >= 0 && run->bucket != wanted : run->bucket == wanted;
}

static void raise_to(unsigned *most, unsigned value)
{
	if (value > *most)
		*most = value;
}

/* The most of 4,096 runs, and how many ended as they should */
static struct run run_all(const struct bpf_insn *program, const struct scenario *s, int *right)
{
	struct run most = {};
	__u64 random = 7;

	*right = 0;
	for (int i = 0; i < EXPORTERS; i++) {
		union rp_addr source;
		struct run run;
		int wanted;

		next_source(&source, s->six, &random);
		wanted = s->unplaced
				 ? rp_hash(&source, NONCE) % s->n
				 : bucket_in(placement_of(NONCE, s->n), rp_hash(&source, NONCE));
		run = run_one(program, s, &source, wanted);
		*right += ends_right(s, &run, wanted);
		raise_to(&most.instructions, run.instructions);
		raise_to(&most.selects, run.selects);
		raise_to(&most.loads, run.loads);
		raise_to(&most.lookups, run.lookups);
		raise_to(&most.updates, run.updates);
		raise_to(&most.times, run.times);
		for (int m = 0; m < MAPS; m++)
			raise_to(&most.lookups_of[m], run.lookups_of[m]);
	}

	return most;
}

static void check(const struct bpf_insn *program, const struct scenario *s)
{
	unsigned noted = s->sampled && !s->tcp, reads = s->unreadable ? 0 : 1 + noted,
		 fails_over = s->empty && s->verdict == SK_PASS;
	struct run most;
	int right;

	set_u32(SIZE, s->n);
	set_table(s);
	set_u32(POLICY, s->policy);
	choose_samples(s->sampled);
	most = run_all(program, s, &right);

	ok(right == EXPORTERS, "%s: %d of %d datagrams end where they should", s->name, right,
	   EXPORTERS);
	ok(most.lookups_of[NONCES] == 1 && most.lookups_of[POLICY] == 1 &&
		   most.lookups_of[SIZE] == s->size && most.lookups_of[OVERRIDES] == s->overrides &&
		   most.lookups_of[QUARANTINE] == s->quarantine && most.lookups_of[COUNTERS] == 1 &&
		   most.lookups_of[SLOTS] <= s->most_slots && most.lookups_of[TALKERS] == noted &&
		   most.lookups_of[BOTH] == fails_over,
	   "%s: looks up nonce, policy and counters once each, size %u, overrides %u, "
	   "quarantine %u, talkers %u times, slots at most %u times (%u)",
	   s->name, s->size, s->overrides, s->quarantine, noted, s->most_slots,
	   most.lookups_of[SLOTS]);
	ok(most.updates == noted && most.times == noted,
	   "%s: reads the clock, and writes a new exporter to a map, %s", s->name,
	   noted ? "once" : "never");
	ok(most.loads == reads, "%s: reads the packet %u times", s->name, reads);
	ok(most.selects <= s->most_selects, "%s: tries to select a socket at most %u times (%u)",
	   s->name, s->most_selects, most.selects);
	ok(most.instructions <= s->ceiling, "%s: takes at most %u BPF instructions (%u)", s->name,
	   s->ceiling, most.instructions);
}

int main(int argc, char **argv)
{
	const struct bpf_insn *program;

	if (argc != 2) {
		fprintf(stderr, "usage: cost OBJECT\n");
		return 2;
	}
	program = load(argv[1]);
	set_u32(NONCES, NONCE);
	override_others();
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		check(program, &scenarios[i]);

	return tap_done();
}
