/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Runs the selector's BPF instructions in user space and counts them: figures that no machine and
 * no kernel changes, as times would be. The maps are the real ones; the five helpers that the
 * selector calls are played here, and any other stops the test.
 */
#ifndef INTERPRETER_H
#define INTERPRETER_H

#include <stddef.h>
#include <linux/bpf.h>

/* What one run took, and what became of it */
struct run {
	unsigned instructions;
	unsigned selects, loads, lookups, updates, times; /* times: the clock was read */
	unsigned lookups_of[16];			  /* by the index in maps */
	long long verdict;				  /* what the program returned */
	int bucket;					  /* whose socket was selected; -1: none */
};

/* A map that the program may look into; its order is the caller's */
struct map {
	const char *name;
	int fd;
};

/* A packet, whose first byte is that of the network header, and who is there to have it */
struct world {
	const struct map *maps;
	int n_maps;
	struct sk_reuseport_md *ctx;
	const unsigned char *packet;
	size_t packet_size;
	const unsigned char *live; /* by bucket: whether it has a socket */
};

struct run interpret(const struct bpf_insn *program, const struct world *world);

#endif
