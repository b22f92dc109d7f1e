// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The selector: hands each exporter's traffic to one fixed instance of a reuseport group.
 *
 * 1. The exporter is its source address; ports and transport do not matter.
 * 2. An override, if there is one for the address, else the hash names the bucket.
 * 3. The socket in that bucket gets the datagram or SYN.
 * 4. If the bucket is empty, a live one stands in, the same for UDP and TCP; with RP_NO_FAILOVER
 *    nobody does.
 * 5. Whatever reaches nobody is refused: SK_DROP, which senders hear (port unreachable, RST).
 * 6. A listener that closes leaves connections that nobody has accepted: the kernel asks for each,
 *    too, if the program is the one that can migrate (Linux 5.14).
 *
 * SK_PASS without a selected socket would fall back to the kernel's hash over every socket of the
 * group, those that are still starting or already draining too: it must never happen here.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include <stddef.h>
#include "reuseport_abi.h"
#include "reuseport_hash.h"

#define AF_INET 2
#define NOBODY	-1

char _license[] SEC("license") = "GPL";

/*
 * The pinning is for who loads the object by libbpf alone, as pmacct's own nfacctd_rp_ebpf_prog
 * does: without it, every instance would have maps of its own. group.c pins by rules of its own.
 */
#define ARRAY_OF_ONE_U32(map_name)                                                                 \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__type(key, __u32);                                                                \
		__type(value, __u32);                                                              \
		__uint(max_entries, 1);                                                            \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                                               \
	} map_name SEC(".maps")

#define SOCKET_PER_BUCKET(map_name)                                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);                                    \
		__type(key, __u32);                                                                \
		__type(value, __u64);                                                              \
		__uint(max_entries, RP_MAX_BUCKETS);                                               \
		__uint(pinning, LIBBPF_PIN_BY_NAME);                                               \
	} map_name SEC(".maps")

ARRAY_OF_ONE_U32(size);
ARRAY_OF_ONE_U32(nonce);
ARRAY_OF_ONE_U32(policy);
SOCKET_PER_BUCKET(udp_balancing_targets);
SOCKET_PER_BUCKET(tcp_balancing_targets);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rp_prefix);
	__type(value, __u32);
	__uint(max_entries, RP_MAX_OVERRIDES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} overrides SEC(".maps");

/* Written by the daemons alone; declared here so that it is made and pinned with the rest. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct rp_owner);
	__uint(max_entries, RP_MAX_BUCKETS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct rp_counters);
	__uint(max_entries, RP_MAX_BUCKETS + 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} counters SEC(".maps");

/*
 * The key of every look-up is one variable. Without CAP_PERFMON, the kernel has the CPU wait after
 * each first write to a part of the stack, for tens of nanoseconds in all if there are some; and
 * kernels up to 6.1 at least take two small stores into one 8-byte slot of it for an attack on what
 * is spilled there. So nothing shares that slot, and what is wider is stored by 8 bytes.
 */
#define OWN_SLOT __attribute__((aligned(8)))

/* *key is 0 */
static __always_inline __u32 setting(void *map, const __u32 *key)
{
	__u32 *value = bpf_map_lookup_elem(map, key);

	return value ? *value : 0;
}

static __always_inline void count(const __u32 *bucket, enum rp_outcome outcome)
{
	struct rp_counters *c = bpf_map_lookup_elem(&counters, bucket);

	if (c)
		c->n[outcome]++;
}

/* The bucket's socket, if it is not empty */
static __always_inline bool select(struct sk_reuseport_md *ctx, __u32 *bucket)
{
	void *targets = ctx->ip_protocol == IPPROTO_TCP ? (void *)&tcp_balancing_targets
							: (void *)&udp_balancing_targets;

	return !bpf_sk_select_reuseport(ctx, targets, bucket, 0);
}

#include "reuseport_trace.h"

/* Relative to the network header: ctx->data starts at the transport header */
static __always_inline bool read_source(struct sk_reuseport_md *ctx, union rp_addr *a)
{
	union rp_addr buffer; /* *a itself can stay in registers */

	switch (ctx->eth_protocol) {
	case bpf_htons(ETH_P_IP):
		if (bpf_skb_load_bytes_relative(ctx, offsetof(struct iphdr, saddr), buffer.w,
						sizeof(buffer.w[0]), BPF_HDR_START_NET))
			return false;
		rp_addr_v4(a, buffer.w[0]);
		return true;
	case bpf_htons(ETH_P_IPV6):
		if (bpf_skb_load_bytes_relative(ctx, offsetof(struct ipv6hdr, saddr), buffer.q,
						sizeof(buffer.q), BPF_HDR_START_NET))
			return false;
		*a = buffer;
		return true;
	}

	return false;
}

/*
 * A connection that waits to be accepted comes without a packet. An IPv4 one that is only half open
 * may be unreadable here: then it goes anywhere, and the daemon sends it home.
 */
static __always_inline void read_peer(const struct bpf_sock *sk, union rp_addr *a)
{
	if (sk->family == AF_INET) {
		rp_addr_v4(a, sk->dst_ip4);
		return;
	}
	a->q[0] = rp_pair(sk->dst_ip6[0], sk->dst_ip6[1]);
	a->q[1] = rp_pair(sk->dst_ip6[2], sk->dst_ip6[3]);
}

/* An override may name a bucket that a shrunk group no longer has: then it does not count */
static __always_inline bool overridden(const union rp_addr *a, __u32 n, __u32 *bucket)
{
	union {
		struct rp_prefix prefix;
		__u64 q[3];
	} key;
	__u32 *b;

	key.q[0] = rp_pair(128, a->w[0]);
	key.q[1] = rp_pair(a->w[1], a->w[2]);
	key.q[2] = rp_pair(a->w[3], 0);
	b = bpf_map_lookup_elem(&overrides, &key.prefix);
	if (!b || *b >= n)
		return false;
	*bucket = *b;

	return true;
}

/* A global function: the verifier walks it once, not once per way to get there. */
__attribute__((noinline)) __u32 draw_bucket(__u64 hash, __u32 draw, __u32 n)
{
	return rp_draw(hash, draw, n);
}

/* Selects a live bucket in the place of an empty one, and returns it, or NOBODY. A function of its
 * own: what it needs does not weigh on the way of the others. */
static __attribute__((noinline)) int fail_over(struct sk_reuseport_md *ctx, __u64 hash, __u32 n)
{
	__u32 bucket OWN_SLOT = 0, i;

	RP_UNROLL
	for (i = 1; i <= RP_FAILOVER_DRAWS; i++) {
		bucket = draw_bucket(hash, i, n);
		if (select(ctx, &bucket))
			return bucket;
	}
	RP_UNROLL
	for (i = 1; i < RP_MAX_BUCKETS; i++) {
		/* or clang sees one loop that ends at n, and cannot unroll it */
		asm volatile("" : "+r"(n));
		if (i >= n)
			break;
		bucket = (bucket + 1) % n;
		if (select(ctx, &bucket))
			return bucket;
	}

	return NOBODY;
}

static __always_inline int choose(struct sk_reuseport_md *ctx, const struct bpf_sock *migrating)
{
	__u32 key OWN_SLOT = 0, n = setting(&size, &key), flags = setting(&policy, &key),
		  seed = setting(&nonce, &key);
	union rp_addr source;
	int wanted, got;
	__u64 hash;

	/* Not set, by a loader that does not know it: all slots count, failover finds the live */
	if (n == 0 || n > RP_MAX_BUCKETS)
		n = RP_MAX_BUCKETS;

	if (!read_source(ctx, &source)) {
		if (!migrating) {
			key = RP_NO_BUCKET;
			count(&key, RP_UNREADABLE);
			debug_decision(ctx, migrating, &source, NOBODY, NOBODY, RP_UNREADABLE);
			return SK_DROP;
		}
		read_peer(migrating, &source);
	}

	if (flags & RP_OVERRIDDEN && overridden(&source, n, &key)) {
		hash = rp_hash_overridden(key, seed);
	} else {
		hash = rp_hash(&source, seed);
		/* draw 0, mostly spared the call */
		key = rp_pick(hash, rp_fill(n - 1));
		if (key >= n)
			key = draw_bucket(hash, 0, n);
	}

	wanted = key;
	if (select(ctx, &key)) {
		count(&key, RP_OWN);
		debug_decision(ctx, migrating, &source, wanted, wanted, RP_OWN);
		return SK_PASS;
	}

	got = flags & RP_NO_FAILOVER ? NOBODY : fail_over(ctx, hash, n);
	if (got == NOBODY) {
		count(&key, RP_REFUSED);
		debug_decision(ctx, migrating, &source, wanted, NOBODY, RP_REFUSED);
		return SK_DROP;
	}
	key = got;
	count(&key, RP_FAILOVER);
	debug_decision(ctx, migrating, &source, wanted, got, RP_FAILOVER);

	return SK_PASS;
}

SEC("sk_reuseport")
int _selector(struct sk_reuseport_md *ctx)
{
	return choose(ctx, NULL);
}

/* Not loaded unless asked for, because older kernels cannot. */
SEC("?sk_reuseport/migrate")
int _migrator(struct sk_reuseport_md *ctx)
{
	return choose(ctx, *(struct bpf_sock **)((void *)ctx + RP_MIGRATING_SK));
}
