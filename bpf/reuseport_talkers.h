/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Who sends what, by samples: the part of the selector that takes them. It uses read_source(). */
#ifndef REUSEPORT_TALKERS_H
#define REUSEPORT_TALKERS_H

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, union rp_addr);
	__type(value, struct rp_talker);
	__uint(max_entries, RP_MAX_TALKERS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} talkers SEC(".maps");

/* Whether this datagram is a sample: one in `every`, by a generator for each CPU and bucket, so
 * that no period of a sender can be in step with it. Source: Knuth's MMIX. */
static __always_inline bool draws_sample(struct rp_counters *c, __u32 every)
{
	c->random = c->random * 6364136223846793005ULL + 1442695040888963407ULL;

	return c->random >> 32 < (1ULL << 32) / every;
}

/* Notes a sample that stands for so many datagrams. Out of line, and it reads the address again, so
 * that the common path keeps no registers for it. */
static __attribute__((noinline)) void note_talker(struct sk_reuseport_md *ctx, __u32 datagrams)
{
	struct rp_talker *known, new = {.datagrams = datagrams, .samples = 1};
	union rp_addr source;

	if (!read_source(ctx, &source))
		return;
	new.bytes = (__u64)ctx->len *datagrams;
	new.first = new.last = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&talkers, &source);
	if (!known) {
		bpf_map_update_elem(&talkers, &source, &new, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&known->datagrams, datagrams);
	__sync_fetch_and_add(&known->bytes, new.bytes);
	__sync_fetch_and_add(&known->samples, 1);
	known->last = new.last;
}

#endif
