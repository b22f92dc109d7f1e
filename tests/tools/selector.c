// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * The selector in the kernel, loaded and joined by the group library: does each datagram, and each
 * connection, arrive where user space says it must? Runs in a sandbox, where any address is local.
 *
 * usage: selector OBJECT BPFFS
 */
#define _GNU_SOURCE
#include "selector_group.h"

#define EXPORTERS 10000

static union rp_addr v4[EXPORTERS], v6[EXPORTERS];

static void same_in_kernel_and_user_space(void)
{
	static int on_v4[EXPORTERS], on_dual[EXPORTERS], got[EXPORTERS];
	__u32 nonce;
	int odd, moved = 0;

	start_group(AF_INET, 7, 0, 6, RP_UNSET);
	nonce = g.nonce;
	odd = arrivals(v4, EXPORTERS, on_v4);
	ok(!odd && !unlike_predicted(v4, EXPORTERS, on_v4, 7),
	   "%d IPv4 exporters, 0.0.0.0: kernel and user space agree on the bucket", EXPORTERS);

	start_group(AF_INET6, 7, 0, 6, RP_UNSET);
	odd = arrivals(v6, EXPORTERS, got);
	ok(!odd && !unlike_predicted(v6, EXPORTERS, got, 7),
	   "%d IPv6 exporters, [::]: kernel and user space agree on the bucket", EXPORTERS);
	ok(g.nonce != nonce, "each group has a nonce of its own");

	start_group(AF_INET6, 7, 0, 0, RP_UNSET);
	leave(0);
	g.config.nonce = nonce;
	for (int i = 0; i < 7; i++)
		g.udp[i] = join(i, SOCK_DGRAM);
	odd = arrivals(v4, EXPORTERS, on_dual);
	for (int i = 0; i < EXPORTERS; i++)
		moved += on_dual[i] != on_v4[i];
	ok(!odd && !moved, "the same %d IPv4 exporters, [::], same nonce: the same buckets",
	   EXPORTERS);
}

static void failover(void)
{
	static int before[EXPORTERS], after[EXPORTERS], back[EXPORTERS];
	int strays = 0, lost = 0, not_back = 0, apart = 0;

	start_group(AF_INET6, 4, 0, 3, RP_UNSET);
	must(!arrivals(v6, EXPORTERS, before));
	leave(2);
	must(!arrivals(v6, EXPORTERS, after));
	for (int i = 0; i < EXPORTERS; i++) {
		strays += before[i] != 2 && after[i] != before[i];
		lost += after[i] == NO_BUCKET;
	}
	ok(!strays && !lost, "bucket 2 of 4 dies: only its exporters move, and all arrive");
	ok(!unlike_predicted(v6, EXPORTERS, after, 4),
	   "failover: to the buckets that user space predicts");
	for (int i = 0; i < 200; i++)
		apart += connects_to(&v6[i]) != after[i] || connects_to(&v6[i]) != after[i];
	ok(!apart, "TCP of 200 of them fails over to the same buckets, twice from other ports");

	g.udp[2] = join(2, SOCK_DGRAM);
	g.tcp[2] = join(2, SOCK_STREAM);
	must(!arrivals(v6, EXPORTERS, back));
	for (int i = 0; i < EXPORTERS; i++)
		not_back += back[i] != before[i];
	ok(!not_back, "bucket 2 is back: all exporters are with their owners");
	for (int i = 0; i < 200; i++)
		apart += connects_to(&v6[i]) != before[i];
	ok(!apart, "TCP too");
	ok(counted(RP_OWN) + counted(RP_FAILOVER) == 3 * EXPORTERS && counted(RP_FAILOVER) > 0 &&
		   !counted(RP_REFUSED) && !counted(RP_UNREADABLE),
	   "counters: %llu own + %llu failover = all that was sent", counted(RP_OWN),
	   counted(RP_FAILOVER));

	start_group(AF_INET6, RP_MAX_BUCKETS, 127, 127, RP_UNSET);
	must(!arrivals(v4, 1000, after));
	ok(!unlike_predicted(v4, 1000, after, RP_MAX_BUCKETS) && after[0] == 127,
	   "127 of 128 buckets empty: the live one gets all");
}

static void refusal(void)
{
	static int before[EXPORTERS], after[EXPORTERS];
	int wrong = 0, refused = 0, tcp_wrong = 0, sender = new_sender(1, SOCK_DGRAM);

	start_group(AF_INET, 4, 0, 3, RP_FALSE);
	must(!arrivals(v4, 1000, before));
	leave(1);
	must(!arrivals(v4, 1000, after));
	for (int i = 0; i < 1000; i++) {
		refused += before[i] == 1;
		wrong += after[i] != (before[i] == 1 ? NO_BUCKET : before[i]);
	}
	for (int i = 0; i < 200; i++)
		tcp_wrong += connects_to(&v4[i]) != (before[i] == 1 ? REFUSED : before[i]);
	ok(refused && !wrong,
	   "failover off: the %d exporters of the empty bucket are refused, no others", refused);
	ok(!tcp_wrong, "their TCP connections too, at once (RST)");
	ok(counted(RP_REFUSED) == (__u64)refused, "counters: %d refused", refused);

	start_group(AF_INET, 4, 0, 0, RP_UNSET);
	leave(0);
	must(!arrivals(v4, 100, after));
	for (int i = 0; i < 100; i++)
		wrong += after[i] != NO_BUCKET;
	ok(!wrong, "no bucket live: all are refused");
	close(sender);
}

/* A socket at another port, as one of another device, VRF or IP version: its bucket is not empty */
static void other_group(void)
{
	static int before[EXPORTERS], after[EXPORTERS];
	int moved = 0, wrong = 0;

	start_group(AF_INET6, 4, 0, 3, RP_UNSET);
	must(!arrivals(v6, EXPORTERS, before));
	leave(2);
	g.port += 1000;
	must(join(2, SOCK_DGRAM) >= 0);
	g.port -= 1000;
	must(!arrivals(v6, EXPORTERS, after));
	for (int i = 0; i < EXPORTERS; i++) {
		moved += before[i] == 2;
		wrong += before[i] == 2 ? after[i] == NO_BUCKET : after[i] != before[i];
	}
	ok(moved && !wrong && counted(RP_OTHER_GROUP) == (__u64)moved &&
		   counted(RP_FAILOVER) == (__u64)moved,
	   "a socket of another group in bucket 2: its %d exporters fail over, counted apart",
	   moved);
}

static void override(const union rp_addr *a, __u32 bits, __u32 bucket)
{
	struct rp_prefix key = {.bits = bits};
	int fd = open_map(RP_MAP_OVERRIDES);

	memcpy(key.addr, a->b, sizeof(key.addr));
	must(!bpf_map_update_elem(fd, &key, &bucket, BPF_ANY));
	close(fd);
}

static void overrides(void)
{
	static int before[300], after[300];
	static union rp_addr net[300];
	int wrong = 0, beyond = 0;

	/* 192.0.2.0/24 and, beyond it, 198.51.100.0 ... */
	for (int i = 0; i < 300; i++)
		rp_addr_v4(&net[i], htonl(i < 250 ? 0xc0000200 + i : 0xc6336400 + i - 250));
	start_group(AF_INET, 4, 0, 3, RP_UNSET);
	must(!arrivals(net, 300, before));
	override(&net[0], 96 + 24, 3);
	override(&net[7], 128, 1);
	override(&net[8], 128, 1);
	override(&net[260], 128, 4);
	set_u32(RP_MAP_POLICY, RP_OVERRIDDEN);
	must(!arrivals(net, 300, after));
	for (int i = 0; i < 300; i++) {
		if (i < 250)
			wrong += after[i] != (i == 7 || i == 8 ? 1 : 3);
		else
			beyond += after[i] != before[i];
	}
	ok(!wrong,
	   "overrides: a /24 goes to bucket 3, the two addresses in it with longer prefixes to 1");
	ok(!beyond, "others stay, also one whose override names a bucket that does not exist");

	leave(1);
	must(!arrivals(net, 300, after));
	ok(after[7] == predict_failover(rp_hash_overridden(1, g.nonce), 4) && after[8] == after[7],
	   "their bucket dies: both addresses, which may be one router's, fail over together");
}

static void quarantine(void)
{
	static int before[100], after[100];
	struct rp_conviction active = {.active = 1}, over = {.times = 1};
	int map, sender = new_sender(1, SOCK_DGRAM), wrong = 0;

	start_group(AF_INET, 4, 0, 3, RP_UNSET);
	must(!arrivals(v4, 100, before));
	map = open_map(RP_MAP_QUARANTINE);
	must(!bpf_map_update_elem(map, &v4[7], &active, BPF_ANY));
	must(!bpf_map_update_elem(map, &v4[8], &over, BPF_ANY));
	set_u32(RP_MAP_POLICY, RP_QUARANTINES);
	must(!arrivals(v4, 100, after));
	for (int i = 0; i < 100; i++)
		wrong += after[i] != (i == 7 ? NO_BUCKET : before[i]);
	ok(!wrong, "quarantine: that exporter alone is dropped, not one whose quarantine is over");
	ok(connects_to(&v4[7]) == REFUSED && connects_to(&v4[8]) == before[8],
	   "its TCP connections, too");
	ok(counted(RP_QUARANTINED) > 0, "counters: %llu in quarantine", counted(RP_QUARANTINED));
	close(map);
	close(sender);
}

/* As a loader leaves the map that does not know it */
static void clear_slots(void)
{
	int map = open_map(RP_MAP_SLOTS);
	__u32 none = 0;

	for (__u32 i = 0; i < RP_SLOT_ENTRIES; i++)
		must(!bpf_map_update_elem(map, &i, &none, BPF_ANY));
	close(map);
}

static void no_table(void)
{
	static int got[1000];
	int wrong = 0, strays = 0, lost = 0;

	start_group(AF_INET6, 4, 0, 3, RP_UNSET);
	clear_slots();
	must(!arrivals(v6, 1000, got));
	for (int i = 0; i < 1000; i++)
		wrong += got[i] != (int)(rp_hash(&v6[i], g.nonce) % 4);
	ok(!wrong, "no placement table, as of a loader that knows size alone: hash modulo size");

	leave(1);
	must(!arrivals(v6, 1000, got));
	for (int i = 0; i < 1000; i++) {
		__u32 bucket = rp_hash(&v6[i], g.nonce) % 4;

		strays += bucket != 1 && got[i] != (int)bucket;
		lost += got[i] == NO_BUCKET;
	}
	ok(!strays && !lost, "its bucket dies: only its exporters move, and all arrive");

	set_u32(RP_MAP_SIZE, 0);
	must(!arrivals(v6, 1000, got));
	for (int i = 0; i < 1000; i++)
		lost += got[i] == NO_BUCKET;
	ok(!lost, "size not set either: all arrive");
}

/* What the drained bucket 2 of 4 gets while others die */
static void drained(void)
{
	static int got[1000];
	struct rp_member m;
	struct rp_weights weights = {};
	int n = 0, lost = 0;

	start_group(AF_INET6, 4, 0, 3, RP_UNSET);
	rp_init(&m);
	must(!rp_open_settings(&m, &g.config));
	rp_set_weight(&weights, 2, 0);
	must(!rp_place(&m, 4, &weights));
	rp_close(&m);
	leave(1);
	leave(3);
	must(!arrivals(v6, 1000, got));
	for (int i = 0; i < 1000; i++)
		n += got[i] == 0;
	ok(n == 1000, "bucket 2 is drained, 1 and 3 are dead: all arrive at bucket 0 (%d)", n);
	leave(0);
	must(!arrivals(v6, 1000, got));
	for (int i = 0; i < 1000; i++)
		lost += got[i] != 2;
	ok(!lost, "no other is live: they arrive at the drained one");
}

/* Joins by the map alone, which is quicker */
static int put_socket(__u32 bucket)
{
	int map = open_map("udp/" RP_MAP_UDP), sock = new_socket(SOCK_DGRAM);
	__u64 value = sock;

	must(!bpf_map_update_elem(map, &bucket, &value, BPF_NOEXIST));
	close(map);

	return sock;
}

/* The exporters of those that are dead, when so many of 128 buckets are live: 0, s, 2s ... */
static void few_live(int live, int step)
{
	static int got[EXPORTERS];
	int in[RP_MAX_BUCKETS] = {}, lost = 0;
	double mean = (double)EXPORTERS / live, chi = 0;

	start_group(AF_INET6, RP_MAX_BUCKETS, 0, 0, RP_UNSET);
	for (int i = 1; i < live; i++)
		g.udp[i * step] = put_socket(i * step);
	must(!arrivals(v6, EXPORTERS, got));
	for (int i = 0; i < EXPORTERS; i++) {
		lost += got[i] == NO_BUCKET;
		in[got[i] == NO_BUCKET ? 0 : got[i]]++;
	}
	for (int i = 0; i < live; i++)
		chi += (in[i * step] - mean) * (in[i * step] - mean) / mean;
	ok(!lost && !unlike_predicted(v6, EXPORTERS, got, RP_MAX_BUCKETS),
	   "%d of 128 buckets live: %d exporters arrive, where user space predicts", live,
	   EXPORTERS);
	ok(is_chance(chi, live - 1), "evenly, to within what chance allows (chi square %.1f)", chi);
}

/* What no exporter sends, but a network may deliver */
static void odd_datagrams(void)
{
	int sender = new_sender(1, SOCK_DGRAM), bucket, sizes[] = {0, 1, 1399, 4000, 60000},
	    wrong = 0, got;
	static char buffer[65536], big[65536];
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	struct pollfd p = {.events = POLLIN};

	start_group(AF_INET, 4, 0, 3, RP_UNSET);
	bucket = predict(&v4[0], 4);
	from.sin_addr.s_addr = v4[0].w[3];
	to.sin_port = htons(g.port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(!bind(sender, (void *)&from, sizeof(from)));
	p.fd = g.udp[bucket];
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		must(sendto(sender, big, sizes[i], 0, (void *)&to, sizeof(to)) == sizes[i]);
		must(poll(&p, 1, 2000) >= 0);
		got = recv(g.udp[bucket], buffer, sizeof(buffer), 0);
		wrong += got != sizes[i];
	}
	ok(!wrong, "empty, one byte, and fragmented datagrams arrive whole at the same bucket");
	ok(counted(RP_OWN) == 5, "counters: each counted once, however many fragments");
	close(sender);
}

int main(int argc, char **argv)
{
	__u64 state = 7;

	must(argc == 3);
	object = argv[1];
	bpffs = argv[2];
	for (int i = 0; i < EXPORTERS; i++) {
		/* unicast, and not 0.0.0.0/8: 1.0.0.0 to 223.255.255.255, and 2000::/3 */
		__u64 r = next_random(&state);

		rp_addr_v4(&v4[i], htonl(((r >> 32) % 223 + 1) << 24 | (r & 0xffffff)));
		v6[i].q[0] = next_random(&state);
		v6[i].q[1] = next_random(&state);
		v6[i].b[0] = 0x20 | (v6[i].b[0] & 0x1f);
	}

	same_in_kernel_and_user_space();
	failover();
	refusal();
	other_group();
	overrides();
	quarantine();
	no_table();
	drained();
	few_live(2, 1);
	few_live(16, 1);
	few_live(16, 8);
	few_live(127, 1);
	odd_datagrams();

	return tap_done();
}
