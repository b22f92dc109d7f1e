// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <bpf/bpf.h>
#include "interpreter.h"
#include "tap.h"

#define MAX_STEPS 100000
#define STACK	  512
#define FRAMES	  8

static const struct world *world;
static struct run result;

/* ---- helpers of the kernel ---- */

static int map_index(__u64 fd)
{
	int i = 0;

	while (i < world->n_maps && world->maps[i].fd != (int)fd)
		i++;
	must(i < world->n_maps);

	return i;
}

/* Values are copies: what the program writes to them is lost, as it is no part of what is counted
 */
static __u64 look_up(const __u64 *r)
{
	static char values[16][1 << 16];
	static int next;
	int i = map_index(r[1]);

	result.lookups++;
	result.lookups_of[i]++;
	next = (next + 1) % 16;
	if (bpf_map_lookup_elem(world->maps[i].fd, (void *)r[2], values[next]))
		return 0;

	return (__u64)(uintptr_t)values[next];
}

/* From either array of sockets, which may come from a look-up in the map of both */
static __u64 select_socket(const __u64 *r)
{
	__u32 bucket = *(__u32 *)(uintptr_t)r[3];

	result.selects++;
	if (!world->live[bucket])
		return -ENOENT;
	result.bucket = bucket;

	return 0;
}

/* From the network header: the selector asks for nothing else */
static __u64 load_bytes(const __u64 *r)
{
	must(r[5] == BPF_HDR_START_NET);
	result.loads++;
	if (r[2] + r[4] > world->packet_size)
		return -EFAULT;
	memcpy((void *)(uintptr_t)r[3], world->packet + r[2], r[4]);

	return 0;
}

static __u64 update(const __u64 *r)
{
	result.updates++;

	return bpf_map_update_elem(world->maps[map_index(r[1])].fd, (void *)r[2], (void *)r[3],
				   r[4])
		       ? -errno
		       : 0;
}

static __u64 call_helper(int helper, const __u64 *r)
{
	switch (helper) {
	case BPF_FUNC_map_lookup_elem:
		return look_up(r);
	case BPF_FUNC_sk_select_reuseport:
		return select_socket(r);
	case BPF_FUNC_skb_load_bytes_relative:
		return load_bytes(r);
	case BPF_FUNC_map_update_elem:
		return update(r);
	case BPF_FUNC_ktime_get_ns:
		result.times++;
		return 1;
	}
	printf("Bail out! the selector calls helper %d, which is unknown here\n", helper);
	exit(1);
}

/* ---- instructions ---- */

static __u64 swap(__u64 value, int bits, int to_big)
{
	switch (bits) {
	case 16:
		return to_big ? htobe16(value) : htole16(value);
	case 32:
		return to_big ? htobe32(value) : htole32(value);
	}

	return to_big ? htobe64(value) : htole64(value);
}

/* Both widths: the 32-bit one has operands that are zero above bit 31 */
static __u64 calculate(int op, __u64 a, __u64 b, int bits)
{
	switch (op) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_MOD:
		return b ? a % b : a;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return a << (b & (bits - 1));
	case BPF_RSH:
		return a >> (b & (bits - 1));
	case BPF_ARSH:
		return bits == 64 ? (__u64)((__s64)a >> (b & 63)) : (__u64)((__s32)a >> (b & 31));
	case BPF_NEG:
		return -a;
	case BPF_MOV:
		return b;
	}
	printf("Bail out! unknown operation %#x\n", op);
	exit(1);
}

static int holds(int op, __u64 a, __u64 b, int bits)
{
	__s64 sa = bits == 64 ? (__s64)a : (__s32)a, sb = bits == 64 ? (__s64)b : (__s32)b;

	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return (a & b) != 0;
	case BPF_JSGT:
		return sa > sb;
	case BPF_JSGE:
		return sa >= sb;
	case BPF_JSLT:
		return sa < sb;
	case BPF_JSLE:
		return sa <= sb;
	}
	printf("Bail out! unknown comparison %#x\n", op);
	exit(1);
}

static void alu(const struct bpf_insn *i, __u64 *r)
{
	int bits = BPF_CLASS(i->code) == BPF_ALU64 ? 64 : 32, op = BPF_OP(i->code);
	__u64 a = r[i->dst_reg],
	      b = BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (__u64)(__s64)i->imm;

	if (op == BPF_END) {
		r[i->dst_reg] = swap(a, i->imm, BPF_SRC(i->code) == BPF_TO_BE);
		return;
	}
	if (bits == 32) {
		a = (__u32)a;
		b = (__u32)b;
	}
	a = calculate(op, a, b, bits);
	r[i->dst_reg] = bits == 32 ? (__u32)a : a;
}

static __u64 load_memory(int code, const void *at)
{
	switch (BPF_SIZE(code)) {
	case BPF_B:
		return *(const __u8 *)at;
	case BPF_H:
		return *(const __u16 *)at;
	case BPF_W:
		return *(const __u32 *)at;
	}

	return *(const __u64 *)at;
}

static void store_memory(int code, void *at, __u64 value)
{
	switch (BPF_SIZE(code)) {
	case BPF_B:
		*(__u8 *)at = value;
		break;
	case BPF_H:
		*(__u16 *)at = value;
		break;
	case BPF_W:
		*(__u32 *)at = value;
		break;
	default:
		*(__u64 *)at = value;
	}
}

static void load_or_store(const struct bpf_insn *i, __u64 *r)
{
	if (BPF_MODE(i->code) == BPF_XADD) {
		must(BPF_CLASS(i->code) == BPF_STX && BPF_SIZE(i->code) == BPF_DW &&
		     i->imm == BPF_ADD);
		*(__u64 *)(uintptr_t)(r[i->dst_reg] + i->off) += r[i->src_reg];
		return;
	}
	must(BPF_MODE(i->code) == BPF_MEM);
	if (BPF_CLASS(i->code) == BPF_LDX)
		r[i->dst_reg] = load_memory(i->code, (void *)(uintptr_t)(r[i->src_reg] + i->off));
	else
		store_memory(i->code, (void *)(uintptr_t)(r[i->dst_reg] + i->off),
			     BPF_CLASS(i->code) == BPF_ST ? (__u64)(__s64)i->imm : r[i->src_reg]);
}

static int jumps(const struct bpf_insn *i, const __u64 *r)
{
	int bits = BPF_CLASS(i->code) == BPF_JMP ? 64 : 32;
	__u64 a = r[i->dst_reg],
	      b = BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (__u64)(__s64)i->imm;

	if (BPF_OP(i->code) == BPF_JA)
		return 1;
	if (bits == 32) {
		a = (__u32)a;
		b = (__u32)b;
	}

	return holds(BPF_OP(i->code), a, b, bits);
}

static __u64 run_function(const struct bpf_insn *i, const __u64 *arguments, int depth)
{
	_Alignas(8) char stack[STACK];
	__u64 r[11] = {};

	must(depth < FRAMES);
	memcpy(r + 1, arguments, 5 * sizeof(*r));
	r[10] = (__u64)(uintptr_t)(stack + sizeof(stack));

	for (;; i++) {
		int class = BPF_CLASS(i->code);

		must(++result.instructions < MAX_STEPS);
		if (i->code == (BPF_LD | BPF_IMM | BPF_DW)) {
			r[i->dst_reg] = (__u32)i->imm | (__u64)(__u32)i[1].imm << 32;
			i++;
		} else if (class == BPF_ALU || class == BPF_ALU64) {
			alu(i, r);
		} else if (class == BPF_LDX || class == BPF_STX || class == BPF_ST) {
			load_or_store(i, r);
		} else if (i->code == (BPF_JMP | BPF_EXIT)) {
			return r[0];
		} else if (i->code == (BPF_JMP | BPF_CALL)) {
			r[0] = i->src_reg == BPF_PSEUDO_CALL
				       ? run_function(i + 1 + i->imm, r + 1, depth + 1)
				       : call_helper(i->imm, r);
		} else {
			must(class == BPF_JMP || class == BPF_JMP32);
			if (jumps(i, r))
				i += i->off;
		}
	}
}

struct run interpret(const struct bpf_insn *program, const struct world *in)
{
	__u64 arguments[5] = {(__u64)(uintptr_t)in->ctx};

	world = in;
	result = (struct run){.bucket = -1};
	result.verdict = (__u32)run_function(program, arguments, 0);

	return result;
}
