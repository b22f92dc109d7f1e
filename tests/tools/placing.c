// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * What the selector reads in datagrams: the agent of sFlow, if the group's policy asks for it, and
 * the domain or the port by which an override spreads an exporter over several buckets. Runs in a
 * sandbox, where any address is local.
 *
 * usage: placing OBJECT BPFFS
 */
#define _GNU_SOURCE
#include "selector_group.h"

#define EXPORTERS 100

static union rp_addr senders[2], agents4[EXPORTERS], agents6[EXPORTERS];

/* ---- the datagrams ---- */

/* One of a protocol, with one number in it, and for sFlow an agent */
struct message {
	__u32 words[40];
	size_t size;
};

static struct message netflow9(__u32 source_id)
{
	return (struct message){{htonl(9 << 16), 1, 2, 3, htonl(source_id)}, 24};
}

static struct message ipfix(__u32 domain)
{
	return (struct message){{htonl(10 << 16 | 20), 1, 2, htonl(domain)}, 20};
}

static struct message netflow5(__u32 engine)
{
	return (struct message){{htonl(5 << 16 | 1), 1, 2, 3, 4, htonl(engine << 16 | 7)}, 72};
}

/* As sFlow has it: version, type and address of the agent, and from version 5 on the sub-agent */
static struct message sflow(__u32 version, const union rp_addr *agent, __u32 sub)
{
	int four = rp_addr_is_v4(agent), n = 2;
	struct message m = {{htonl(version), htonl(four ? 1 : 2)}, 44};

	for (int i = four ? 3 : 0; i < 4; i++)
		m.words[n++] = agent->w[i];
	if (version == 5)
		m.words[n] = htonl(sub);

	return m;
}

/* ---- where they arrive ---- */

static int take(const struct message *sent)
{
	char buffer[256];

	for (int bucket = 0; bucket < RP_MAX_BUCKETS; bucket++) {
		ssize_t got = g.udp[bucket] < 0 ? -1 : recv(g.udp[bucket], buffer, 256, 0);

		if (got < 0)
			continue;
		must((size_t)got == sent->size && !memcmp(buffer, sent->words, got));
		return bucket;
	}

	return NO_BUCKET;
}

/* Where it arrives from that address, and port; 0: any. */
static int arrives(const union rp_addr *from, int port, struct message sent)
{
	int four = rp_addr_is_v4(from), sender = new_sender(four, SOCK_DGRAM), got, bucket;
	struct sockaddr_in6 addr;
	socklen_t len = fill_sockaddr(&addr, from, four, port);

	must(!bind(sender, (void *)&addr, len));
	len = fill_sockaddr(&addr, NULL, four, g.port);
	must(sendto(sender, sent.words, sent.size, 0, (void *)&addr, len) == (ssize_t)sent.size);
	bucket = take(&sent);
	/* ksoftirqd may have to run first; what is dropped is told by ICMP */
	for (int tries = 0; bucket == NO_BUCKET && tries < 50; tries++) {
		got = recv(sender, &addr, 1, MSG_DONTWAIT);
		if (got < 0 && errno == ECONNREFUSED)
			break;
		usleep(2000);
		bucket = take(&sent);
	}
	close(sender);

	return bucket;
}

static void write_map(const char *name, const void *key, const void *value)
{
	int fd = open_map(name);

	must(!bpf_map_update_elem(fd, key, value, BPF_ANY));
	close(fd);
}

static void override(const union rp_addr *a, __u32 value)
{
	struct rp_prefix key = {.bits = 128};

	memcpy(key.addr, a->b, sizeof(key.addr));
	write_map(RP_MAP_OVERRIDES, &key, &value);
}

/* ---- by the agent ---- */

/* How many of the agents' datagrams, in all versions, arrive elsewhere than at these */
static int elsewhere(const union rp_addr *sender, const union rp_addr *agents, int by_agent)
{
	static const __u32 versions[] = {2, 4, 5};
	int wrong = 0;

	for (int i = 0; i < EXPORTERS; i++)
		wrong += arrives(sender, 0, sflow(versions[i % 3], &agents[i], i)) !=
			 predict(by_agent ? &agents[i] : sender, 8);

	return wrong;
}

static void agents(void)
{
	int wrong = 0;

	start_group(AF_INET6, 8, 0, 7, RP_UNSET);
	ok(!elsewhere(&senders[0], agents4, 0) && !elsewhere(&senders[1], agents6, 0),
	   "sFlow is placed by its sender, if the group does not say otherwise");

	set_u32(RP_MAP_POLICY, RP_BY_AGENT);
	ok(!elsewhere(&senders[0], agents4, 1) && !elsewhere(&senders[1], agents4, 1),
	   "by agent: sFlow 2, 4 and 5 of %d IPv4 agents, sent over IPv4 or IPv6", EXPORTERS);
	ok(!elsewhere(&senders[0], agents6, 1) && !elsewhere(&senders[1], agents6, 1),
	   "by agent: the same of %d IPv6 agents", EXPORTERS);
	for (int i = 0; i < EXPORTERS; i++)
		wrong += connects_to(&agents4[i]) != predict(&agents4[i], 8) ||
			 connects_to(&agents6[i]) != predict(&agents6[i], 8);
	ok(!wrong, "by agent: where the TCP sessions are that come from these addresses");
}

/* What does not name an agent */
static void no_agents(void)
{
	union rp_addr none4, none6 = {};
	struct message m[9];
	int n = 0, wrong = 0;

	rp_addr_v4(&none4, 0);
	m[n++] = sflow(5, &none4, 1);
	m[n++] = sflow(5, &none6, 1);
	m[n++] = sflow(3, agents4, 1);
	m[n++] = sflow(6, agents4, 1);
	m[n] = sflow(5, agents4, 1);
	m[n++].size = 11;
	m[n] = sflow(5, agents6, 1);
	m[n++].size = 23;
	m[n] = sflow(5, agents4, 1);
	m[n++].words[1] = htonl(3);
	m[n++] = netflow5(1);
	m[n++] = netflow9(1);
	for (int i = 0; i < n; i++)
		wrong += arrives(&senders[0], 0, m[i]) != predict(&senders[0], 8);
	ok(!wrong, "by agent: 0.0.0.0, ::, other versions and types, what is cut short, NetFlow: "
		   "placed by the sender");
}

static void agents_and_settings(void)
{
	struct rp_conviction active = {.active = 1};
	int bucket = (predict(&agents4[0], 8) + 1) % 8;

	override(&agents4[0], bucket);
	write_map(RP_MAP_QUARANTINE, &senders[1], &active);
	write_map(RP_MAP_QUARANTINE, &agents4[1], &active);
	set_u32(RP_MAP_POLICY, RP_BY_AGENT | RP_OVERRIDDEN | RP_QUARANTINES);
	ok(arrives(&senders[0], 0, sflow(5, &agents4[0], 1)) == bucket,
	   "by agent: an override of the agent's address counts");
	ok(arrives(&senders[1], 0, sflow(5, &agents4[0], 1)) == NO_BUCKET &&
		   arrives(&senders[0], 0, sflow(5, &agents4[1], 1)) == predict(&agents4[1], 8),
	   "by agent: quarantine is the sender's");
}

/* ---- spread ---- */

static struct message sflow_v4(__u32 sub)
{
	return sflow(5, &agents4[0], sub);
}

static struct message sflow_v6(__u32 sub)
{
	return sflow(5, &agents6[0], sub);
}

/* Sends messages with the numbers 0, step, 2 * step ... 15 * step. Returns how many are not at the
 * bucket that follows that of the one before, from 2 to 5. */
static int out_of_turn(struct message (*make)(__u32), __u32 step)
{
	int wrong = 0;

	for (__u32 i = 0; i < 16; i++)
		wrong += arrives(&senders[0], 0, make(i * step)) != (int)(2 + i % 4);

	return wrong;
}

static void by_domain(void)
{
	struct message other = {{htonl(77)}, 30}, shorter = netflow9(1);
	int first, again, moved = 0;

	start_group(AF_INET6, 8, 0, 7, RP_UNSET);
	override(&senders[0], rp_range(2, 5, RP_SPREAD_DOMAIN));
	set_u32(RP_MAP_POLICY, RP_OVERRIDDEN);
	ok(!out_of_turn(netflow9, 1) && !out_of_turn(netflow9, 256),
	   "by domain: source ids of NetFlow v9, by 1 and by 256, are placed in turn");
	ok(!out_of_turn(ipfix, 1) && !out_of_turn(ipfix, 16),
	   "by domain: observation domains of IPFIX, by 1 and by 16, too");
	ok(!out_of_turn(netflow5, 1) && !out_of_turn(sflow_v4, 1) && !out_of_turn(sflow_v6, 1),
	   "by domain: engines of NetFlow v5 and sub-agents of sFlow, too");

	shorter.size = 18;
	ok(arrives(&senders[0], 0, other) == 2 && arrives(&senders[0], 0, shorter) == 2 &&
		   connects_to(&senders[0]) == 2,
	   "by domain: what has none, and TCP, goes to the first bucket");
	for (int i = 0; i < 10; i++)
		moved += arrives(&agents4[i], 0, netflow9(i)) != predict(&agents4[i], 8);
	ok(!moved, "other exporters are where they were");

	leave(3);
	first = arrives(&senders[0], 0, netflow9(1));
	again = arrives(&senders[0], 0, netflow9(5));
	ok(first == predict_failover(rp_hash_overridden(3, g.nonce), 8) && first == again,
	   "a bucket of the range dies: its domains fail over together");
	override(&senders[0], rp_range(6, 8, RP_SPREAD_DOMAIN));
	ok(arrives(&senders[0], 0, netflow9(1)) == predict(&senders[0], 8),
	   "a range that ends beyond the group counts as none");
}

static void by_port(void)
{
	int seen[8] = {}, moved = 0, outside = 0;

	start_group(AF_INET6, 8, 0, 7, RP_UNSET);
	override(&senders[0], rp_range(4, 6, RP_SPREAD_PORT));
	override(&senders[1], rp_range(4, 6, RP_SPREAD_PORT));
	set_u32(RP_MAP_POLICY, RP_OVERRIDDEN);
	for (int port = 20000; port < 20060; port++) {
		int bucket = arrives(&senders[0], port, netflow5(port));

		must(bucket >= 0);
		seen[bucket]++;
		outside += bucket < 4 || bucket > 6;
		moved += arrives(&senders[0], port, netflow9(1)) != bucket ||
			 arrives(&senders[1], port, ipfix(1)) != bucket;
	}
	ok(!outside && !moved && seen[4] >= 15 && seen[5] >= 15 && seen[6] >= 15,
	   "by port: 60 ports of an exporter are placed as %d, %d and %d, whatever they send",
	   seen[4], seen[5], seen[6]);
	ok(connects_to(&senders[0]) == 4, "by port: TCP goes to the first bucket");
}

int main(int argc, char **argv)
{
	__u64 state = 18;

	must(argc == 3);
	object = argv[1];
	bpffs = argv[2];
	rp_addr_v4(&senders[0], htonl(0xc0000201));
	senders[1] = (union rp_addr){.w = {htonl(0x20010db8), 0, 0, htonl(1)}};
	for (int i = 0; i < EXPORTERS; i++) {
		__u64 r = next_random(&state);

		rp_addr_v4(&agents4[i], htonl(((r >> 32) % 223 + 1) << 24 | (r & 0xffffff)));
		agents6[i].q[0] = next_random(&state);
		agents6[i].q[1] = i ? next_random(&state) : 0;
		agents6[i].b[0] = 0x20 | (agents6[i].b[0] & 0x1f);
	}

	agents();
	no_agents();
	agents_and_settings();
	by_domain();
	by_port();

	return tap_done();
}
