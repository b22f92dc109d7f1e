// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * Who sends what, as the selector samples it: is it what was sent? Runs in a sandbox, where any
 * address is local.
 *
 * usage: samples OBJECT BPFFS
 */
#define _GNU_SOURCE
#include "selector_group.h"

#define IN_TURN 4

static union rp_addr exporters[IN_TURN + 1];

/* Sends n datagrams from each of the first exporters, in turn. No process reads them: samples are
 * taken before. */
static void send_in_turn(int n, size_t size)
{
	static const char payload[1400];
	struct datagram datagrams[64];
	struct mmsghdr messages[64] = {};
	int sender = new_sender(1, SOCK_DGRAM);

	for (int i = 0; i < 64; i++)
		messages[i].msg_hdr = address_datagram(&datagrams[i], &exporters[i % IN_TURN],
						       g.port, payload, size);
	for (int sent = 0; sent < n; sent += 64 / IN_TURN)
		must(sendmmsg(sender, messages, 64, 0) == 64);
	close(sender);
}

static struct rp_talker read_talker(int map, int exporter)
{
	struct rp_talker t;

	must(!bpf_map_lookup_elem(map, &exporters[exporter], &t));

	return t;
}

/*
 * While a tool looks. 160,000 datagrams of each: 5 % of them are 5.2 standard deviations, which
 * chance exceeds once in some million runs. One who took each 16th datagram would find one of the
 * exporters, and no others.
 */
static void estimate(int map)
{
	int n = 160000, least = 2 * n, most = 0, wrong = 0;

	set_u32(RP_MAP_POLICY, RP_WATCHED);
	send_in_turn(n, 100);
	for (int i = 0; i < IN_TURN; i++) {
		struct rp_talker t = read_talker(map, i);
		int found = t.datagrams;

		least = found < least ? found : least;
		most = found > most ? found : most;
		wrong += t.samples * RP_SAMPLED_WATCHED != t.datagrams ||
			 t.bytes != t.datagrams * 108 || !t.first || t.last <= t.first;
	}
	ok(counted(RP_OWN) == IN_TURN * (__u64)n, "%d exporters in turn send %d datagrams each",
	   IN_TURN, n);
	ok(least >= n - n / 20 && most <= n + n / 20,
	   "each of them is found to send %d to %d, to 5 %% what it sent", least, most);
	ok(!wrong, "in samples of 108 bytes, the last one later than the first");
}

/* 5 standard deviations */
static void take_fewer(int map)
{
	int n = 160000, samples = read_talker(map, 0).samples;

	set_u32(RP_MAP_POLICY, 0);
	send_in_turn(n, 100);
	samples = read_talker(map, 0).samples - samples;
	ok(samples >= 220 && samples <= 405,
	   "unless a tool looks, one datagram in %d is a sample: %d of %d", RP_SAMPLED, samples, n);
}

static void leave_connections_out(int map)
{
	struct rp_talker t;

	set_u32(RP_MAP_POLICY, RP_WATCHED);
	for (int i = 0; i < 200; i++)
		must(connects_to(&exporters[IN_TURN]) == 0);
	ok(bpf_map_lookup_elem(map, &exporters[IN_TURN], &t), "no connection is a sample, of 200");
}

int main(int argc, char **argv)
{
	int map;

	must(argc == 3);
	object = argv[1];
	bpffs = argv[2];
	for (int i = 0; i <= IN_TURN; i++)
		rp_addr_v4(&exporters[i], htonl(0x0a000001 + i));
	start_group(AF_INET, 1, 0, 0, RP_UNSET);
	map = open_map("udp/" RP_MAP_TALKERS);
	estimate(map);
	take_fewer(map);
	leave_connections_out(map);
	close(map);

	return tap_done();
}
