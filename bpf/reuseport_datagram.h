/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What the selector reads: the exporter's address; sFlow's agent, where the group's policy asks for
 * it; and what an override spreads an exporter by. The last two are out of line, since few groups
 * look at them. Included by reuseport.bpf.c alone.
 */
#ifndef REUSEPORT_DATAGRAM_H
#define REUSEPORT_DATAGRAM_H

/* ---- the address ---- */

/* Reads relative to the network header, since ctx->data starts at the transport header. */
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
 * A connection that waits to be accepted comes without a packet. The address of an IPv4 one that is
 * only half open may be missing here: it goes to any bucket, and the daemon there closes it so that
 * the router connects to its owner.
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

/* ---- what is in a datagram ---- */

#define PAYLOAD	     8 /* behind the header of UDP, at which the data of the context begins */
#define SFLOW_AGENT  8 /* the address in sFlow, versions 2, 4 and 5; before it: version, type */
#define SFLOW_SUB_V6 24
#define V9_SOURCE_ID 16
#define V5_ENGINE    20

/* Returns: 4 or 16, the bytes of the agent's address in an sFlow datagram, or 0: it is none. */
static __always_inline __u32 agent_length(__u32 version, __u32 type)
{
	if (version != bpf_htonl(5) && version != bpf_htonl(4) && version != bpf_htonl(2))
		return 0;

	return type == bpf_htonl(1) ? 4 : type == bpf_htonl(2) ? 16 : 0;
}

/* Returns: half 0 or 1 of the address of sFlow's agent. Both are 0 if the datagram names none. */
static __attribute__((noinline)) __u64 read_agent(struct sk_reuseport_md *ctx, __u32 half)
{
	__u32 head[3];
	__u64 address[2];

	if (ctx->ip_protocol != IPPROTO_UDP || bpf_skb_load_bytes(ctx, PAYLOAD, head, sizeof(head)))
		return 0;

	switch (agent_length(head[0], head[1])) {
	case 4:
		/* as rp_addr_v4() */
		return !half || !head[2] ? 0 : rp_pair(bpf_htonl(0xffff), head[2]);
	case 16:
		if (bpf_skb_load_bytes(ctx, PAYLOAD + SFLOW_AGENT, address, sizeof(address)))
			return 0;
		return half ? address[1] : address[0];
	}

	return 0;
}

/* The agent is the exporter of what its sender, such as a proxy, sends for it. Quarantine is the
 * sender's. */
static __always_inline void take_agent(struct sk_reuseport_md *ctx, union rp_addr *source)
{
	__u64 first = read_agent(ctx, 0), second = read_agent(ctx, 1);

	if (first | second) {
		source->q[0] = first;
		source->q[1] = second;
	}
}

static __always_inline __u32 read_number(struct sk_reuseport_md *ctx, __u32 offset)
{
	__u32 number;

	return bpf_skb_load_bytes(ctx, offset, &number, sizeof(number)) ? 0 : bpf_ntohl(number);
}

/* Returns: the number within its exporter of what has sent a flow datagram, or 0. */
static __attribute__((noinline)) __u32 read_domain(struct sk_reuseport_md *ctx)
{
	__u32 head[4];

	if (bpf_skb_load_bytes(ctx, PAYLOAD, head, sizeof(head)))
		return 0;

	switch (bpf_ntohl(head[0]) >> 16) {
	case 10:
		return bpf_ntohl(head[3]);
	case 9:
		return read_number(ctx, PAYLOAD + V9_SOURCE_ID);
	case 5:
		return read_number(ctx, PAYLOAD + V5_ENGINE) >> 16;
	}
	if (head[0] != bpf_htonl(5)) /* sFlow of earlier versions has no sub-agents */
		return 0;

	return head[1] == bpf_htonl(2) ? read_number(ctx, PAYLOAD + SFLOW_SUB_V6)
				       : bpf_ntohl(head[3]);
}

/* Returns: the bucket of a range for this datagram or SYN, or NO_BUCKET: the group does not have
 * all of its buckets. */
static __attribute__((noinline)) int spread(struct sk_reuseport_md *ctx, __u32 range)
{
	__u32 zero OWN_8_BYTES = 0, number = 0;

	if (rp_range_by(range) == RP_SPREAD_NOT || rp_range_last(range) >= group_size(&zero))
		return NO_BUCKET;
	if (ctx->ip_protocol == IPPROTO_UDP)
		number = rp_range_by(range) == RP_SPREAD_PORT ? read_number(ctx, 0) >> 16
							      : read_domain(ctx);

	return rp_range_place(range, number);
}

#endif
