/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * 'make debug': a selector that prints each decision to the kernel's trace, in select.bt's words:
 *
 *   reuseport: udp 10.0.0.1: wants 2, gets 1, failover
 *   reuseport: tcp 2001:0db8:0000:0000:0000:0000:0000:0001: wants 2, gets 2, own
 *   reuseport: waiting 10.0.0.1: wants 2, gets -1, refused
 *
 * Without RP_DEBUG, the object has nothing of this. Up to Linux 5.12, bpf_printk() takes at most
 * three values, one of them a string, and no widths: so addresses are made text here.
 */
#ifndef REUSEPORT_TRACE_H
#define REUSEPORT_TRACE_H

#ifdef RP_DEBUG

#define TEXT_LEN		      64
#define DEBUG_WAITING		      0 /* a connection that waits to be accepted */
#define DEBUG_CASE(protocol, outcome) ((protocol) << 8 | (outcome))
#define DEBUG_LINE(protocol, name, outcome, words)                                                 \
	case DEBUG_CASE(protocol, outcome):                                                        \
		bpf_printk("reuseport: " name " %s: wants %d, gets %d, " words, text, wanted,      \
			   got);                                                                   \
		break
#define DEBUG_LINES(protocol, name)                                                                \
	DEBUG_LINE(protocol, name, RP_OWN, "own");                                                 \
	DEBUG_LINE(protocol, name, RP_FAILOVER, "failover");                                       \
	DEBUG_LINE(protocol, name, RP_REFUSED, "refused");                                         \
	DEBUG_LINE(protocol, name, RP_UNREADABLE, "unreadable");                                   \
	DEBUG_LINE(protocol, name, RP_QUARANTINED, "in quarantine")

#define LOOP _Pragma("clang loop unroll(disable)")

/* RP_MAP_DEBUG, text under construction. Not on the stack, where the verifier before Linux 5.12
 * refuses a write at an index that varies. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, char[TEXT_LEN]);
	__uint(max_entries, 1);
} debug_text SEC(".maps");

static __always_inline void put(char *text, __u32 *len, char c)
{
	text[*len % TEXT_LEN] = c;
	*len += 1;
}

static __always_inline void put_decimal(char *text, __u32 *len, __u8 n)
{
	if (n >= 100)
		put(text, len, '0' + n / 100);
	if (n >= 10)
		put(text, len, '0' + n / 10 % 10);
	put(text, len, '0' + n % 10);
}

/* Shifts, in loops that are not unrolled: unrolled, they would need more stack than there is. */
static __always_inline void put_v4(char *text, __u32 *len, __u32 addr)
{
	LOOP for (__u32 i = 0; i < 4; i++)
	{
		if (i)
			put(text, len, '.');
		put_decimal(text, len, addr >> 24);
		addr <<= 8;
	}
}

static __always_inline void put_half_v6(char *text, __u32 *len, __u64 half)
{
	LOOP for (__u32 i = 0; i < 16; i++)
	{
		__u8 digit = half >> 60;

		if (i && i % 4 == 0)
			put(text, len, ':');
		put(text, len, digit < 10 ? '0' + digit : 'a' + digit - 10);
		half <<= 4;
	}
}

/*
 * A global function, as draw_bucket(). Such functions take five arguments, and before Linux 5.12 no
 * pointers. protocol_outcome: a DEBUG_CASE() of IPPROTO_*, or DEBUG_WAITING, and enum rp_outcome.
 */
__attribute__((noinline)) int debug_print(__u64 address0, __u64 address1, int wanted, int got,
					  __u32 protocol_outcome)
{
	const union rp_addr addr = {.q = {address0, address1}};
	__u32 zero OWN_8_BYTES = 0, len = 0;
	char *text = bpf_map_lookup_elem(&debug_text, &zero);

	if (!text)
		return 0;

	if (rp_addr_is_v4(&addr)) {
		put_v4(text, &len, rp_be64(addr.q[1]));
	} else {
		put_half_v6(text, &len, rp_be64(addr.q[0]));
		put(text, &len, ':');
		put_half_v6(text, &len, rp_be64(addr.q[1]));
	}
	put(text, &len, '\0');

	switch (protocol_outcome) {
		DEBUG_LINES(IPPROTO_UDP, "udp");
		DEBUG_LINES(IPPROTO_TCP, "tcp");
		DEBUG_LINES(DEBUG_WAITING, "waiting");
	}

	return 0;
}

#define debug_decision(ctx, migrating, source, wanted, got, outcome)                               \
	debug_print((outcome) == RP_UNREADABLE ? 0 : (source)->q[0],                               \
		    (outcome) == RP_UNREADABLE ? 0 : (source)->q[1], wanted, got,                  \
		    DEBUG_CASE((migrating) ? DEBUG_WAITING : (ctx)->ip_protocol, outcome))

#else
#define debug_decision(ctx, migrating, source, wanted, got, outcome)                               \
	((void)(ctx), (void)(migrating), (void)(source), (void)(wanted), (void)(got))
#endif
#endif
