// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * The programs that bench/decision.c compares the selector with: one that does nothing, one that
 * does the least that a selector by source address must do, and one that selects by modulo.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stddef.h>
#include "reuseport_abi.h"

char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} size SEC(".maps");

#define SOCKET_PER_BUCKET(map_name)                                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);                                    \
		__type(key, __u32);                                                                \
		__type(value, __u64);                                                              \
		__uint(max_entries, RP_MAX_BUCKETS);                                               \
	} map_name SEC(".maps")

SOCKET_PER_BUCKET(udp_balancing_targets);
SOCKET_PER_BUCKET(tcp_balancing_targets);

static __always_inline int load_source(struct sk_reuseport_md *ctx, __u32 words[4])
{
	if (ctx->eth_protocol == bpf_htons(ETH_P_IPV6))
		return bpf_skb_load_bytes_relative(ctx, offsetof(struct ipv6hdr, saddr), words, 16,
						   BPF_HDR_START_NET);

	return bpf_skb_load_bytes_relative(ctx, offsetof(struct iphdr, saddr), &words[3], 4,
					   BPF_HDR_START_NET);
}

static __always_inline int select(struct sk_reuseport_md *ctx, __u32 bucket)
{
	void *targets = ctx->ip_protocol == IPPROTO_TCP ? (void *)&tcp_balancing_targets
							: (void *)&udp_balancing_targets;

	return bpf_sk_select_reuseport(ctx, targets, &bucket, 0) ? SK_DROP : SK_PASS;
}

/* What every run costs. Its group has one socket, which receives everything. */
SEC("sk_reuseport")
int nothing(struct sk_reuseport_md *ctx)
{
	(void)ctx;
	return SK_PASS;
}

/* A selector by source address needs both of these calls. */
SEC("sk_reuseport")
int irreducible(struct sk_reuseport_md *ctx)
{
	__u32 source[4];

	return load_source(ctx, source) ? SK_DROP : select(ctx, 0);
}

SEC("sk_reuseport")
int modulo(struct sk_reuseport_md *ctx)
{
	__u32 source[4] = {}, zero = 0, *n = bpf_map_lookup_elem(&size, &zero);

	if (!n || !*n || load_source(ctx, source))
		return SK_DROP;

	return select(ctx, bpf_ntohl(source[0] ^ source[1] ^ source[2] ^ source[3]) % *n);
}
