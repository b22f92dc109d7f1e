/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 'make debug': the selector says each decision in the kernel's trace, in the words of select.bt:
 *
 *   reuseport: udp 10.0.0.1: wants 2, gets 1, failover
 *   reuseport: tcp 2001:0db8:0000:0000:0000:0000:0000:0001: wants 2, gets 2, own
 *   reuseport: waiting 10.0.0.1: wants 2, gets -1, refused
 *
 * Without RP_DEBUG, nothing of this is in the object. Up to Linux 5.12, bpf_printk() takes three
 * values, one string among them, and no widths: so addresses are spelt here.
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
	DEBUG_LINE(protocol, name, RP_UNREADABLE, "unreadable")

#define LOOP _Pragma("clang loop unroll(disable)")

/* RP_MAP_DEBUG. Not on the stack, where the verifier before Linux 5.12 wants to know where each
 * byte goes */
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

/* By shifting, in loops that stay loops: unrolled, this needs more than the stack has */
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
 * A global function, as draw_bucket(); those take five arguments, and before Linux 5.12 no
 * pointers. protocol: IPPROTO_*, or DEBUG_WAITING.
 */
__attribute__((noinline)) int debug_print(__u64 address0, __u64 address1, int wanted, int got,
					  __u32 protocol_outcome)
{
	__u64 high = rp_be64(address0), low = rp_be64(address1);
	__u32 zero OWN_SLOT = 0, len = 0;
	char *text = bpf_map_lookup_elem(&debug_text, &zero);

	if (!text)
		return 0;

	if (!high && low >> 32 == 0xffff) {
		put_v4(text, &len, low);
	} else {
		put_half_v6(text, &len, high);
		put(text, &len, ':');
		put_half_v6(text, &len, low);
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
#define debug_decision(ctx, migrating, source, wanted, got, outcome) ((void)(wanted))
#endif
#endif
