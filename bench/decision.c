// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * Measures what one decision of the selector costs, and what the programs in decision.bpf.c cost,
 * by the kernel's own statistics of BPF programs: all in one kernel, in turn. Runs in a sandbox,
 * where every address is local.
 *
 * usage: decision OBJECT UNSAMPLED OTHERS ROUNDS TURNS
 *   OBJECT     the selector's object file
 *   UNSAMPLED  that of a selector that takes no samples of who sends what
 *   OTHERS     decision.o
 *   ROUNDS     how many samples of each setup
 *   TURNS      of each setup in a round; in a turn it gets 8 batches of datagrams or connections
 *
 * Prints samples in the format of bench/lib.sh:
 *   ns                the mean of the best batch in a round, since other load on the machine can
 *                     only add time. This includes the floor: what an empty program takes.
 *   over irreducible  the ns above the floor, divided by those of the irreducible program; both of
 *                     the same family and round
 *
 * Exits with 1 if a datagram or a connection does not arrive.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "reuseport_abi.h"
#include "senders.h"
#include "setup.h"

#define EXPORTERS   4096
#define AT_ONCE	    64	  /* datagrams in a system call, or connections that are open */
#define QUEUED	    1024  /* datagrams in one batch, before the sockets are read */
#define CONNECTED   128	  /* connections in one batch */
#define BATCHES	    8	  /* in one turn: after the first one the caches are warm */
#define FIRST_PORT  3000  /* of the first setup */
#define LATE_CHECKS 50	  /* for what has not arrived yet */
#define LATE_WAIT   20000 /* microseconds between two of them */

static struct setup setups[] = {
	{"empty program, IPv4", "nothing", V4, .n = 1},
	{"irreducible, IPv4", "irreducible", V4, .n = 1, .described = 1},
	{"modulo, 4 buckets, IPv4", "modulo", V4, .n = 4, .described = 1},
	{"modulo, 128 buckets, IPv4", "modulo", V4, .n = 128},
	{"ours, 1 bucket, IPv4", RP_PROG, V4, .n = 1},
	{"ours, 4 buckets, IPv4", RP_PROG, V4, .n = 4, .described = 1},
	{"ours, 16 buckets, IPv4", RP_PROG, V4, .n = 16},
	{"ours, 65 buckets, IPv4", RP_PROG, V4, .n = 65},
	{"ours, 128 buckets, IPv4", RP_PROG, V4, .n = 128},
	{"ours, 4 buckets, 10,000 overrides, IPv4", RP_PROG, V4, .n = 4, .overrides = 1},
	{"ours, 4 buckets, failover, IPv4", RP_PROG, V4, .n = 4, .empty = 1},
	{"ours, 4 buckets, no samples of who sends, IPv4", RP_PROG, V4, .n = 4, .unsampled = 1},
	{"ours, 4 buckets, while a tool looks, IPv4", RP_PROG, V4, .n = 4, .watched = 1},
	{"irreducible, CAP_BPF alone, IPv4", "irreducible", V4, .n = 1, .unprivileged = 1},
	{"ours, 4 buckets, CAP_BPF alone, IPv4", RP_PROG, V4, .n = 4, .unprivileged = 1},
	{"empty program, IPv6", "nothing", V6, .n = 1},
	{"irreducible, IPv6", "irreducible", V6, .n = 1},
	{"ours, 4 buckets, IPv6", RP_PROG, V6, .n = 4},
	{"ours, 128 buckets, IPv6", RP_PROG, V6, .n = 128},
	{"empty program, TCP SYN", "nothing", SYN, .n = 1},
	{"irreducible, TCP SYN", "irreducible", SYN, .n = 1},
	{"modulo, 128 buckets, TCP SYN", "modulo", SYN, .n = 128},
	{"ours, 4 buckets, TCP SYN", RP_PROG, SYN, .n = 4},
	{"ours, 128 buckets, TCP SYN", RP_PROG, SYN, .n = 128},
};
#define SETUPS ((int)(sizeof(setups) / sizeof(setups[0])))

static union rp_addr exporters[FAMILIES][EXPORTERS];

/* Exporters in random order. Setups of one family have the same sequence. */
static const union rp_addr *next_exporter(struct setup *setup)
{
	const union rp_addr *a;

	do
		a = &exporters[setup->family][next_random(&setup->random) % EXPORTERS];
	while (setup->empty && bucket_in(placement_of(NONCE, setup->n), rp_hash(a, NONCE)) != 1);

	return a;
}

/* Returns how many datagrams were queued */
static int read_all(const struct setup *setup)
{
	struct mmsghdr messages[AT_ONCE] = {};
	int got = 0, n;

	for (__u32 i = 0; i < setup->n; i++)
		while ((n = recvmmsg(setup->socks[i], messages, AT_ONCE, MSG_DONTWAIT, NULL)) > 0)
			got += n;

	return got;
}

/* Returns how many connections were queued */
static int accept_all(const struct setup *setup)
{
	int got = 0, sock;

	for (__u32 b = 0; b < setup->n; b++)
		while ((sock = accept(setup->socks[b], NULL, NULL)) >= 0) {
			close(sock);
			got++;
		}

	return got;
}

/* Takes what was sent and has not been taken yet: loopback queues most of it at once, but
 * sometimes ksoftirqd must run first. Exits with 1 if something does not arrive. */
static void take_rest(const struct setup *setup, int (*take_all)(const struct setup *), int sent,
		      int got)
{
	for (int tries = 0; got < sent && tries < LATE_CHECKS; tries++) {
		usleep(LATE_WAIT);
		got += take_all(setup);
	}
	if (got != sent) {
		printf("Bail out! %s: %d %s sent, %d arrived\n", setup->name, sent,
		       setup->family == SYN ? "connections" : "datagrams", got);
		exit(1);
	}
}

static void send_datagrams(struct setup *setup)
{
	int sender = new_sender(setup->family != V6, SOCK_DGRAM), sent = 0;
	struct datagram datagrams[AT_ONCE];
	struct mmsghdr messages[AT_ONCE];

	while (sent < QUEUED) {
		for (int i = 0; i < AT_ONCE; i++)
			messages[i].msg_hdr = address_datagram(&datagrams[i], next_exporter(setup),
							       setup->port, "", 1);
		must(sendmmsg(sender, messages, AT_ONCE, 0) == AT_ONCE);
		sent += AT_ONCE;
	}
	take_rest(setup, read_all, sent, read_all(setup));
	close(sender);
}

static void open_connections(struct setup *setup)
{
	struct linger reset = {.l_onoff = 1};
	int socks[AT_ONCE], sent = 0, got = 0;

	for (; sent < CONNECTED; sent += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++) {
			socks[i] = connect_from(next_exporter(setup), setup->port);
			must(socks[i] >= 0);
			/* A reset leaves nothing in TIME_WAIT. */
			must(!setsockopt(socks[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
		}
		for (int i = 0; i < AT_ONCE; i++)
			close(socks[i]);
		got += accept_all(setup);
	}
	take_rest(setup, accept_all, sent, got);
}

/* Runs the batches of one turn, and keeps the mean of the best batch of the round */
static void take_turn(struct setup *setup)
{
	for (int i = 0; i < BATCHES; i++) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		double mean;

		if (setup->family == SYN)
			open_connections(setup);
		else
			send_datagrams(setup);
		must(!bpf_obj_get_info_by_fd(setup->prog, &info, &len));
		must(info.run_cnt > setup->runs);
		mean = (double)(info.run_time_ns - setup->ns) / (info.run_cnt - setup->runs);
		setup->ns = info.run_time_ns;
		setup->runs = info.run_cnt;
		if (!setup->mean || mean < setup->mean)
			setup->mean = mean;
	}
}

/* The best mean of the first setup that has this program and family */
static double find_mean(const char *program, enum family family)
{
	for (const struct setup *s = setups; s < setups + SETUPS; s++)
		if (s->family == family && !strcmp(s->program, program))
			return s->mean;
	abort();
}

/* Prints the samples of a round, and resets the means for the next one */
static void end_round(int round)
{
	for (const struct setup *s = setups; s < setups + SETUPS; s++) {
		double floor = find_mean("nothing", s->family);
		double least = find_mean("irreducible", s->family);

		sample("decision", s->name, "ns", round, s->mean);
		sample("decision", s->name, "over irreducible", round,
		       (s->mean - floor) / (least - floor));
	}
	for (struct setup *s = setups; s < setups + SETUPS; s++)
		s->mean = 0;
}

static void choose_exporters(void)
{
	__u64 state = 7;

	for (int i = 0; i < EXPORTERS; i++) {
		rp_addr_v4(&exporters[V4][i], htonl(0x0a000000 | (next_random(&state) & 0xffffff)));
		exporters[SYN][i] = exporters[V4][i];
		exporters[V6][i].q[0] = next_random(&state);
		exporters[V6][i].q[1] = next_random(&state);
		exporters[V6][i].b[0] = 0x20;
	}
}

/* argv: of the command */
static const char *file_of(const struct setup *setup, char **argv)
{
	if (strcmp(setup->program, RP_PROG))
		return argv[3];

	return argv[setup->unsampled ? 2 : 1];
}

int main(int argc, char **argv)
{
	struct rlimit files = {8192, 8192};
	int stats;

	if (argc != 6) {
		fprintf(stderr, "usage: decision OBJECT UNSAMPLED OTHERS ROUNDS TURNS\n");
		return 2;
	}
	must(!setrlimit(RLIMIT_NOFILE, &files));
	choose_exporters();
	for (int i = 0; i < SETUPS; i++)
		open_setup(&setups[i], file_of(&setups[i], argv), FIRST_PORT + i);

	/* The kernel keeps statistics until this is closed. */
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	must(stats >= 0);
	for (int round = 1; round <= atoi(argv[4]); round++) {
		for (int turn = 0; turn < atoi(argv[5]); turn++)
			for (int i = 0; i < SETUPS; i++)
				take_turn(&setups[i]);
		end_round(round);
	}
	close(stats);

	return 0;
}
