/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * One setup of bench/decision.c: a program, loaded with maps and listeners of its own. Loads it,
 * and prints the size of the program as samples.
 */
#ifndef SETUP_H
#define SETUP_H

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "placed.h"
#include "tap.h"

#define OVERRIDES	    10000 /* of addresses that do not send */
#define NONCE		    20191107
#define RECEIVE_BUFFER	    (8 << 20)
#define VERIFIER_STATISTICS 4 /* libbpf's log level: only the verifier's statistics */
#ifdef __x86_64__
#define MACHINE "i386:x86-64"
#elif __aarch64__
#define MACHINE "aarch64"
#elif __s390x__
#define MACHINE "s390:64-bit"
#else
#error "add objdump's name for this machine"
#endif

enum family {
	V4,
	V6,
	SYN, /* TCP connections over IPv4 */
	FAMILIES
};

struct setup {
	const char *name, *program;
	enum family family;
	__u32 n; /* buckets */
	int overrides;
	int empty;	  /* bucket 1 is empty, and all that send belong to it */
	int unsampled;	  /* of the object that takes no samples of who sends what */
	int watched;	  /* takes as many samples as while a tool looks */
	int unprivileged; /* loaded with CAP_BPF alone: hardened against speculation */
	int described;	  /* the size of the program is a sample as well */
	int prog, socks[RP_MAX_BUCKETS], port;
	__u64 random;	/* state of the sequence of exporters */
	__u64 ns, runs; /* the kernel's statistics after the last batch */
	double mean;	/* ns per run in the best batch of the round; 0 before the first one */
};

static void sample(const char *table, const char *row, const char *metric, int round, double value)
{
	printf("%s\t%s\t%s\t%d\t%.3f\n", table, row, metric, round, value);
}

/* Removes CAP_SYS_ADMIN and CAP_PERFMON from the effective set, or restores them. Returns what
 * capset(2) returns. */
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

/* The programs of decision.bpf.c do not have all maps of the selector. */
static void set_u32_if_present(struct bpf_object *object, const char *name, __u32 value)
{
	int fd = map_fd(object, name);
	__u32 zero = 0;

	must(fd < 0 || !bpf_map_update_elem(fd, &zero, &value, BPF_ANY));
}

static void set_table(struct bpf_object *object, __u32 n)
{
	int fd = map_fd(object, RP_MAP_SLOTS);

	for (__u32 i = 0; fd >= 0 && i < RP_SLOT_ENTRIES; i++)
		must(!bpf_map_update_elem(fd, &i, &placement_of(NONCE, n)[i], BPF_ANY));
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
	set_u32_if_present(object, RP_MAP_POLICY, RP_OVERRIDDEN);
}

static int new_listener(const struct setup *setup)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(setup->port)};
	int type = setup->family == SYN ? SOCK_STREAM : SOCK_DGRAM, yes = 1, room = RECEIVE_BUFFER;
	int sock = socket(AF_INET6, type | SOCK_NONBLOCK, 0);

	must(sock >= 0);
	must(!setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)));
	must(!setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	must(!bind(sock, (void *)&any, sizeof(any)));
	must(type == SOCK_DGRAM || !listen(sock, SOMAXCONN));

	return sock;
}

/* Counts by objdump, since bpftool is often built without a disassembler. */
static int count_machine_instructions(const void *code, __u32 len)
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

static void describe_program(const struct setup *setup, const char *verifier_log)
{
	static char code[1 << 20];
	const char *states = strstr(verifier_log, "total_states ");
	struct bpf_prog_info info = {.jited_prog_insns = (__u64)(uintptr_t)code,
				     .jited_prog_len = sizeof(code)};
	__u32 len = sizeof(info);

	must(!bpf_obj_get_info_by_fd(setup->prog, &info, &len));
	must(states && info.jited_prog_len && info.jited_prog_len <= sizeof(code));
	sample("program", setup->name, "BPF instructions", 1, info.xlated_prog_len / 8.0);
	sample("program", setup->name, "machine instructions", 1,
	       count_machine_instructions(code, info.jited_prog_len));
	sample("program", setup->name, "verified instructions", 1, info.verified_insns);
	sample("program", setup->name, "verifier states", 1,
	       atoi(states + strlen("total_states ")));
}

/* Loads the setup's program from the file, and no other one */
static struct bpf_object *load_program(struct setup *setup, const char *file)
{
	static char verifier_log[1 << 16]; /* it names each call of a global function */
	struct bpf_object *object = bpf_object__open(file);
	struct bpf_program *p;
	struct bpf_map *map;

	must(!libbpf_get_error(object));
	bpf_object__for_each_program (p, object) {
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), setup->program));
		must(!bpf_program__set_log_buf(p, verifier_log, sizeof(verifier_log)));
		must(!bpf_program__set_log_level(p, VERIFIER_STATISTICS));
	}
	bpf_object__for_each_map (map, object)
		must(!bpf_map__set_pin_path(map, NULL));
	must(!setup->unprivileged || !hide_perfmon(1));
	must(!bpf_object__load(object));
	must(!hide_perfmon(0));
	setup->prog = bpf_program__fd(bpf_object__find_program_by_name(object, setup->program));
	if (setup->described)
		describe_program(setup, verifier_log);

	return object;
}

/* Loads the program from the file, and opens its listeners at the port as a group does */
static void open_setup(struct setup *setup, const char *file, int port)
{
	struct bpf_object *object = load_program(setup, file);
	int targets = map_fd(object, setup->family == SYN ? RP_MAP_TCP : RP_MAP_UDP);

	set_u32_if_present(object, RP_MAP_SIZE, setup->n);
	set_u32_if_present(object, RP_MAP_NONCE, NONCE);
	set_table(object, setup->n);
	if (setup->overrides)
		override_others(object);
	if (setup->watched)
		set_u32_if_present(object, RP_MAP_POLICY, RP_WATCHED);

	setup->port = port;
	for (__u32 i = 0; i < setup->n; i++) {
		__u64 sock = setup->socks[i] = new_listener(setup);

		if (setup->empty && i == 1)
			continue;
		must(!bpf_map_update_elem(targets, &i, &sock, BPF_ANY));
	}
	must(!setsockopt(setup->socks[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &setup->prog,
			 sizeof(setup->prog)));
}

#endif
