// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What one decision of the selector costs, by the kernel's own statistics of BPF programs, beside
 * the programs in decision.bpf.c: all in one kernel, in turn. Runs in a sandbox, where any address
 * is local.
 *
 * usage: decision OBJECT OTHERS ROUNDS TURNS
 *   OBJECT  the selector; OTHERS: decision.o
 *   TURNS   of each program in a round, of a few batches of datagrams or connections
 *
 * Prints samples, as bench/lib.sh has them. "ns": the best batch of a round, as what else the
 * machine does only ever adds, with the floor in it; "over irreducible": what is above the floor,
 * over what the irreducible program takes above it, of the same family and in the same round. Stops
 * if a datagram does not arrive.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "reuseport_abi.h"
#include "senders.h"

#define EXPORTERS	    4096
#define BATCH		    64	  /* datagrams a call */
#define CONNECTED	    128	  /* the same, of connections */
#define QUEUED		    1024  /* before all sockets are read */
#define BATCHES		    8	  /* a turn: of so many, the later ones find caches warm */
#define OVERRIDES	    10000 /* of other addresses than those that send */
#define NONCE		    20191107
#define VERIFIER_STATISTICS 4 /* log level: these alone */
#ifdef __x86_64__
#define MACHINE "i386:x86-64"
#elif __aarch64__
#define MACHINE "aarch64"
#elif __s390x__
#define MACHINE "s390:64-bit"
#else
#error "objdump has another name for this machine"
#endif

enum family {
	V4,
	V6,
	SYN, /* IPv4 */
	FAMILIES
};

/* One program, with sockets and maps of its own */
static struct lane {
	const char *name, *program;
	enum family family;
	__u32 n; /* buckets */
	int overrides;
	int empty;	  /* bucket 1 is empty, and its exporters are those that send */
	int unprivileged; /* loaded with CAP_BPF alone: hardened against speculation */
	int described;	  /* its size is a sample, too */
	int prog, socks[RP_MAX_BUCKETS], port;
	__u64 random;	/* of who sends next */
	__u64 ns, runs; /* as the kernel counted them so far */
	double mean;	/* of the best batch of the round; 0 before the first */
} lanes[] = {
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
	{"ours, 4 buckets, the wanted one empty, IPv4", RP_PROG, V4, .n = 4, .empty = 1},
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
#define LANES ((int)(sizeof(lanes) / sizeof(lanes[0])))

static union rp_addr exporters[FAMILIES][EXPORTERS];

/* ---- programs and sockets ---- */

static void sample(const char *table, const char *row, const char *metric, int round, double value)
{
	printf("%s\t%s\t%s\t%d\t%.3f\n", table, row, metric, round, value);
}

/* Or gives it back */
static int hide_perfmon(int hide)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct caps[2];

	must(!syscall(SYS_capget, &header, caps));
	for (int i = 0; i < 2; i++)
		caps[i].effective = caps[i].permitted;
	if (hide) {
		caps[CAP_SYS_ADMIN / 32].effective &= ~(1U << CAP_SYS_ADMIN % 32);
		caps[CAP_PERFMON / 32].effective &= ~(1U << CAP_PERFMON % 32);
	}

	return syscall(SYS_capset, &header, caps);
}

static int map_fd(struct bpf_object *object, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? bpf_map__fd(map) : -1;
}

static void set_u32(struct bpf_object *object, const char *name, __u32 value)
{
	int fd = map_fd(object, name);
	__u32 zero = 0;

	must(fd < 0 || !bpf_map_update_elem(fd, &zero, &value, BPF_ANY));
}

static void override_others(struct bpf_object *object)
{
	struct rp_prefix prefix = {.bits = 128};
	__u32 bucket = 0;

	for (int i = 0; i < OVERRIDES; i++) {
		union rp_addr a;

		rp_addr_v4(&a, htonl(0xc6120000 + i));
		memcpy(prefix.addr, a.b, sizeof(prefix.addr));
		must(!bpf_map_update_elem(map_fd(object, RP_MAP_OVERRIDES), &prefix, &bucket,
					  BPF_ANY));
	}
	set_u32(object, RP_MAP_POLICY, RP_OVERRIDDEN);
}

static int new_listener(const struct lane *lane)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(lane->port)};
	int type = lane->family == SYN ? SOCK_STREAM : SOCK_DGRAM, yes = 1, room = 8 << 20;
	int sock = socket(AF_INET6, type | SOCK_NONBLOCK, 0);

	must(sock >= 0);
	must(!setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)));
	must(!setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	must(!bind(sock, (void *)&any, sizeof(any)));
	must(type == SOCK_DGRAM || !listen(sock, SOMAXCONN));

	return sock;
}

/* How many instructions these are, by objdump: bpftool's own disassembler is not in every build */
static int machine_instructions(const void *code, __u32 len)
{
	char path[] = "/tmp/decision.XXXXXX", command[128], line[512];
	int fd = mkstemp(path), n = 0;
	FILE *dump;

	must(fd >= 0 && write(fd, code, len) == (ssize_t)len && !close(fd));
	snprintf(command, sizeof(command), "objdump -D --no-show-raw-insn -b binary -m %s %s",
		 MACHINE, path);
	dump = popen(command, "r");
	must(dump);
	while (fgets(line, sizeof(line), dump))
		n += strstr(line, ":\t") != NULL;
	must(!pclose(dump) && !unlink(path) && n);

	return n;
}

static void describe(const struct lane *lane, const char *verifier_says)
{
	static char code[1 << 20];
	const char *states = strstr(verifier_says, "total_states ");
	struct bpf_prog_info info = {.jited_prog_insns = (__u64)(uintptr_t)code,
				     .jited_prog_len = sizeof(code)};
	__u32 len = sizeof(info);

	must(!bpf_obj_get_info_by_fd(lane->prog, &info, &len));
	must(states && info.jited_prog_len && info.jited_prog_len <= sizeof(code));
	sample("program", lane->name, "BPF instructions", 1, info.xlated_prog_len / 8.0);
	sample("program", lane->name, "machine instructions", 1,
	       machine_instructions(code, info.jited_prog_len));
	sample("program", lane->name, "verified instructions", 1, info.verified_insns);
	sample("program", lane->name, "verifier states", 1, atoi(states + strlen("total_states ")));
}

/* Loads the one program of the file, and joins as a group does */
static void open_lane(struct lane *lane, const char *file)
{
	static char verifier_says[4096];
	struct bpf_object *object = bpf_object__open(file);
	struct bpf_program *p;
	struct bpf_map *map;
	int targets;

	must(!libbpf_get_error(object));
	bpf_object__for_each_program (p, object) {
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), lane->program));
		must(!bpf_program__set_log_buf(p, verifier_says, sizeof(verifier_says)));
		must(!bpf_program__set_log_level(p, VERIFIER_STATISTICS));
	}
	bpf_object__for_each_map (map, object)
		must(!bpf_map__set_pin_path(map, NULL));
	must(!lane->unprivileged || !hide_perfmon(1));
	must(!bpf_object__load(object));
	must(!hide_perfmon(0));
	lane->prog = bpf_program__fd(bpf_object__find_program_by_name(object, lane->program));
	if (lane->described)
		describe(lane, verifier_says);
	set_u32(object, RP_MAP_SIZE, lane->n);
	set_u32(object, RP_MAP_NONCE, NONCE);
	if (lane->overrides)
		override_others(object);

	targets = map_fd(object, lane->family == SYN ? RP_MAP_TCP : RP_MAP_UDP);
	lane->port = 3000 + (int)(lane - lanes);
	for (__u32 i = 0; i < lane->n; i++) {
		__u64 sock = lane->socks[i] = new_listener(lane);

		if (lane->empty && i == 1)
			continue;
		must(!bpf_map_update_elem(targets, &i, &sock, BPF_ANY));
	}
	must(!setsockopt(lane->socks[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &lane->prog,
			 sizeof(lane->prog)));
}

/* ---- one round ---- */

/* Who sends in this lane, as if exporters took turns at random. The order is the same in all. */
static const union rp_addr *next_exporter(struct lane *lane)
{
	const union rp_addr *a;

	do
		a = &exporters[lane->family][next_random(&lane->random) % EXPORTERS];
	while (lane->empty && rp_draw(rp_hash(a, NONCE), 0, lane->n) != 1);

	return a;
}

static int read_all(const struct lane *lane)
{
	struct mmsghdr messages[BATCH] = {};
	int got = 0, n;

	for (__u32 i = 0; i < lane->n; i++)
		while ((n = recvmmsg(lane->socks[i], messages, BATCH, MSG_DONTWAIT, NULL)) > 0)
			got += n;

	return got;
}

static void send_datagrams(struct lane *lane)
{
	int sender = new_sender(lane->family != V6, SOCK_DGRAM), sent = 0, got = 0;
	struct datagram datagrams[BATCH];
	struct mmsghdr messages[BATCH];

	while (sent < QUEUED) {
		for (int i = 0; i < BATCH; i++)
			messages[i].msg_hdr = address_datagram(&datagrams[i], next_exporter(lane),
							       lane->port, "", 1);
		must(sendmmsg(sender, messages, BATCH, 0) == BATCH);
		sent += BATCH;
	}
	got += read_all(lane);
	/* On loopback it is mostly queued at once; now and then ksoftirqd has to run first */
	for (int tries = 0; got < sent && tries < 50; tries++) {
		usleep(20000);
		got += read_all(lane);
	}
	if (got != sent) {
		printf("Bail out! %s: %d datagrams sent, %d arrived\n", lane->name, sent, got);
		exit(1);
	}
	close(sender);
}

static int accept_all(const struct lane *lane)
{
	int got = 0, sock;

	for (__u32 b = 0; b < lane->n; b++)
		while ((sock = accept(lane->socks[b], NULL, NULL)) >= 0) {
			close(sock);
			got++;
		}

	return got;
}

static void connect_all(struct lane *lane)
{
	struct linger reset = {.l_onoff = 1};
	int socks[BATCH], done = 0, got = 0;

	for (; done < CONNECTED; done += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			socks[i] = connect_from(next_exporter(lane), lane->port);
			must(socks[i] >= 0);
			/* leaves nothing in TIME_WAIT */
			must(!setsockopt(socks[i], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
		}
		for (int i = 0; i < BATCH; i++)
			close(socks[i]);
		got += accept_all(lane);
	}
	for (int tries = 0; got < done && tries < 50; tries++) {
		usleep(20000);
		got += accept_all(lane);
	}
	if (got != done) {
		printf("Bail out! %s: %d connected, %d arrived\n", lane->name, done, got);
		exit(1);
	}
}

/* Of its batches, the best counts if it is the best of the round so far */
static void take_turn(struct lane *lane)
{
	for (int i = 0; i < BATCHES; i++) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		double mean;

		if (lane->family == SYN)
			connect_all(lane);
		else
			send_datagrams(lane);
		must(!bpf_obj_get_info_by_fd(lane->prog, &info, &len));
		must(info.run_cnt > lane->runs);
		mean = (double)(info.run_time_ns - lane->ns) / (info.run_cnt - lane->runs);
		lane->ns = info.run_time_ns;
		lane->runs = info.run_cnt;
		if (!lane->mean || mean < lane->mean)
			lane->mean = mean;
	}
}

/* The lane of that program, in this one's family */
static const struct lane *beside(const struct lane *lane, const char *program)
{
	for (const struct lane *l = lanes; l < lanes + LANES; l++)
		if (l->family == lane->family && !strcmp(l->program, program))
			return l;
	abort();
}

/* And ends the round */
static void report(int round)
{
	for (const struct lane *l = lanes; l < lanes + LANES; l++) {
		double floor = beside(l, "nothing")->mean, least = beside(l, "irreducible")->mean;

		sample("decision", l->name, "ns", round, l->mean);
		sample("decision", l->name, "over irreducible", round,
		       (l->mean - floor) / (least - floor));
	}
	for (struct lane *l = lanes; l < lanes + LANES; l++)
		l->mean = 0;
}

int main(int argc, char **argv)
{
	struct rlimit files = {8192, 8192};
	__u64 state = 7;
	int stats;

	if (argc != 5) {
		fprintf(stderr, "usage: decision OBJECT OTHERS ROUNDS TURNS\n");
		return 2;
	}
	must(!setrlimit(RLIMIT_NOFILE, &files));
	for (int i = 0; i < EXPORTERS; i++) {
		rp_addr_v4(&exporters[V4][i], htonl(0x0a000000 | (next_random(&state) & 0xffffff)));
		exporters[SYN][i] = exporters[V4][i];
		exporters[V6][i].q[0] = next_random(&state);
		exporters[V6][i].q[1] = next_random(&state);
		exporters[V6][i].b[0] = 0x20;
	}
	for (struct lane *lane = lanes; lane < lanes + LANES; lane++)
		open_lane(lane, lane->program[0] == '_' ? argv[1] : argv[2]);

	/* in force as long as this is open */
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	must(stats >= 0);
	for (int round = 1; round <= atoi(argv[3]); round++) {
		for (int turn = 0; turn < atoi(argv[4]); turn++)
			for (struct lane *lane = lanes; lane < lanes + LANES; lane++)
				take_turn(lane);
		report(round);
	}
	close(stats);

	return 0;
}
