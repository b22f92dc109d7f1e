// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * The selector: hands each exporter's traffic to one fixed instance of a reuseport group.
 *
 * 1. The exporter is its source address; ports and transport do not matter.
 * 2. An override of the address names the bucket, or several, over which its datagrams are spread;
 *    without one, the placement table does, by the hash of the address. An exporter that has
 *    brought instances down is dropped for a while. With RP_BY_AGENT, the agent that sFlow names is
 *    the exporter, whoever sends for it.
 * 3. The socket in that bucket gets the datagram or SYN.
 * 4. If the bucket is empty, a live one gets it by failover, the same for UDP and TCP. With
 *    RP_NO_FAILOVER it is refused.
 * 5. What no bucket gets is dropped: SK_DROP, which senders notice (port unreachable, RST).
 * 6. A listener that closes leaves connections that it has not accepted. The kernel asks _migrator
 *    for a new socket for each of them, in Linux 5.14 and newer.
 *
 * SK_PASS without a selected socket would have the kernel hash over all sockets of the group, also
 * those that are still starting or already draining: it must never be returned so.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
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
#include "reuseport_spread.h"
#include "reuseport_version.h"

#define AF_INET	  2
#define NO_BUCKET -1

char _license[] SEC("license") = "GPL";
/* For readelf -p license. Loaders read the first string alone; of a section of its own, libbpf
 * would say that it does not know it. */
char _version[] SEC("license") = "pmacct-reuseport " REUSEPORT_VERSION;

/*
 * LIBBPF_PIN_BY_NAME is for loaders that leave pinning to libbpf, such as pmacct's own
 * nfacctd_rp_ebpf_prog (1.7.8): without it, each instance would have maps of its own. Our group
 * library ignores it, and pins in a directory for each group.
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

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, RP_SLOT_ENTRIES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct rp_weights);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} weights SEC(".maps");

SOCKET_PER_BUCKET(udp_balancing_targets);
SOCKET_PER_BUCKET(tcp_balancing_targets);

/* Both, for what would otherwise be walked by the verifier once for each transport. libbpf fills it
 * in when it loads the object; it is not pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 2);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
			__type(key, __u32);
			__type(value, __u64);
			__uint(max_entries, RP_MAX_BUCKETS);
		});
} balancing_targets SEC(".maps") = {
	.values = {(void *)&udp_balancing_targets, (void *)&tcp_balancing_targets},
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rp_prefix);
	__type(value, __u32);
	__uint(max_entries, RP_MAX_OVERRIDES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} overrides SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, union rp_addr);
	__type(value, struct rp_conviction);
	__uint(max_entries, RP_MAX_CONVICTED);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} quarantine SEC(".maps");

/* The daemons alone use the next five; declared here, they are made and pinned with the others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct rp_group);
	__uint(max_entries, RP_ABI);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} group SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rp_state_key);
	__type(value, struct rp_state_page);
	__uint(max_entries, RP_STATE_PAGES);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} exporter_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct rp_state_changes);
	__uint(max_entries, 1);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} state_changes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct rp_instance);
	__uint(max_entries, RP_MAX_BUCKETS);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} instances SEC(".maps");

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
 * One variable is the key of all look-ups, in 8 bytes of stack of its own. If the loader has no
 * CAP_PERFMON, the kernel makes the CPU wait after the first write to each part of the stack, which
 * adds up to tens of nanoseconds. Kernels up to 6.1 at least also refuse two small stores into one
 * aligned 8 bytes, as an attack on a spilled register. Wider variables are stored 8 bytes at a
 * time.
 */
#define OWN_8_BYTES __attribute__((aligned(8)))
/* Else clang stores it on each of two paths that meet, the second time where it has been stored
 * already */
#define ONE_STORE(variable) asm volatile("" : "+r"(variable))

/* Returns: an entry of a map, 0 if it is not set. */
static __always_inline __u32 look_up(void *map, const __u32 *key)
{
	__u32 *value = bpf_map_lookup_elem(map, key);

	return value ? *value : 0;
}

/* Returns: the number of buckets. *zero is 0. */
static __always_inline __u32 group_size(const __u32 *zero)
{
	__u32 n = look_up(&size, zero);

	/* 0, which wraps: a loader does not know the map. Then all buckets count, and failover
	 * finds the live ones. */
	return n - 1 >= RP_MAX_BUCKETS ? RP_MAX_BUCKETS : n;
}

/* Selects the socket in that bucket. Returns: 0; -ENOENT: the bucket is empty; -EBADFD and the
 * like: its socket is in another reuseport group. */
static __always_inline int try_bucket(struct sk_reuseport_md *ctx, __u32 *bucket)
{
	void *targets = ctx->ip_protocol == IPPROTO_TCP ? (void *)&tcp_balancing_targets
							: (void *)&udp_balancing_targets;

	return bpf_sk_select_reuseport(ctx, targets, bucket, 0);
}

#include "reuseport_datagram.h"
#include "reuseport_trace.h"

/* An override counts only if the group still has the bucket that it names. *bucket is 0. */
static __always_inline bool overridden(struct sk_reuseport_md *ctx, const union rp_addr *a,
				       __u32 *bucket)
{
	union {
		struct rp_prefix prefix;
		__u64 q[3];
	} key;
	__u64 value; /* if clang spills 4 bytes of it, 5.10 refuses that: see OWN_8_BYTES */
	__u32 *b;

	key.q[0] = rp_pair(128, a->w[0]);
	key.q[1] = rp_pair(a->w[1], a->w[2]);
	key.q[2] = rp_pair(a->w[3], 0);
	b = bpf_map_lookup_elem(&overrides, &key.prefix);
	if (!b)
		return false;
	value = *b;
	ONE_STORE(value);
	value &= ~(__u64)RP_REBALANCED;
	if (value >= group_size(bucket)) {
		value = spread(ctx, value);
		if (value >= RP_MAX_BUCKETS)
			return false;
	}
	*bucket = value;

	return true;
}

/* Whether the exporter, whose address has these two halves, is in quarantine. Out of line: inlined,
 * it leaves clang too few registers, and it spills 4 bytes of one twice, which 6.1 refuses: see
 * OWN_8_BYTES. */
static __attribute__((noinline)) bool quarantined(__u64 first, __u64 second)
{
	union rp_addr key = {.q = {first, second}};
	struct rp_conviction *c = bpf_map_lookup_elem(&quarantine, &key);

	return c && c->active;
}

#include "reuseport_failover.h"

#include "reuseport_talkers.h"

/* Counts an outcome, and takes samples of datagrams that were delivered; flags: of enum rp_policy.
 * If the loader has no CAP_PERFMON, a second look at whether c is NULL would make the CPU wait. */
static __always_inline void count(struct sk_reuseport_md *ctx, const __u32 *bucket,
				  enum rp_outcome outcome, __u32 flags)
{
	__u32 every = flags & RP_WATCHED ? RP_SAMPLED_WATCHED : RP_SAMPLED;
	bool delivered = outcome == RP_OWN || outcome == RP_FAILOVER;
	struct rp_counters *c = bpf_map_lookup_elem(&counters, bucket);

	if (!c)
		return;
	c->n[outcome]++;
	if (delivered && ctx->ip_protocol == IPPROTO_UDP && draws_sample(c, every))
		note_talker(ctx, every);
}

/*
 * The one exit: counts the outcome at *key, prints it in a debug build, and returns the verdict.
 * wanted: the exporter's own bucket, or NO_BUCKET; flags: as count(). Inlined where outcome is a
 * constant: if the loader has no CAP_PERFMON, the verifier refuses an offset into the counters that
 * differs by path.
 */
static __always_inline int decide(struct sk_reuseport_md *ctx, const struct bpf_sock *migrating,
				  const union rp_addr *source, int wanted, const __u32 *key,
				  __u32 flags, enum rp_outcome outcome)
{
	bool selected = outcome == RP_OWN || outcome == RP_FAILOVER;

	count(ctx, key, outcome, flags);
	debug_decision(ctx, migrating, source, wanted, selected ? (int)*key : NO_BUCKET, outcome);

	return selected ? SK_PASS : SK_DROP;
}

/* Selects a socket for the source address, by the numbered rules above. migrating: a connection
 * that waits to be accepted, or NULL. */
static __always_inline int choose(struct sk_reuseport_md *ctx, const struct bpf_sock *migrating)
{
	__u32 key OWN_8_BYTES = 0, flags = look_up(&policy, &key),
		  group_nonce = look_up(&nonce, &key), placed, got;
	union rp_addr source;
	int wanted, err;
	__u64 hash;

	if (!read_source(ctx, &source)) {
		if (!migrating) {
			key = RP_NO_BUCKET;
			return decide(ctx, migrating, &source, NO_BUCKET, &key, flags,
				      RP_UNREADABLE);
		}
		read_peer(migrating, &source);
	}

	if (flags & RP_QUARANTINES && quarantined(source.q[0], source.q[1])) {
		key = RP_NO_BUCKET;
		return decide(ctx, migrating, &source, NO_BUCKET, &key, flags, RP_QUARANTINED);
	}

	if (flags & RP_BY_AGENT && !migrating)
		take_agent(ctx, &source);

	if (flags & RP_OVERRIDDEN && overridden(ctx, &source, &key)) {
		hash = rp_hash_overridden(key, group_nonce);
	} else {
		hash = rp_hash(&source, group_nonce);
		key = rp_slot(hash);
		placed = look_up(&slots, &key);
		placed = placed ? placed - 1 : bucket_by_size(hash);
		ONE_STORE(placed);
		key = placed;
	}

	wanted = key;
	err = try_bucket(ctx, &key);
	if (!err)
		return decide(ctx, migrating, &source, wanted, &key, flags, RP_OWN);
	if (err != -ENOENT)
		count(ctx, &key, RP_OTHER_GROUP, flags);

	got = flags & RP_NO_FAILOVER ? RP_NO_BUCKET : fail_over(ctx, hash);
	if (got == RP_NO_BUCKET)
		return decide(ctx, migrating, &source, wanted, &key, flags, RP_REFUSED);

	key = got;
	return decide(ctx, migrating, &source, wanted, &key, flags, RP_FAILOVER);
}

SEC("sk_reuseport")
int _selector(struct sk_reuseport_md *ctx)
{
	return choose(ctx, NULL);
}

/* The "?" keeps loaders from loading it unasked: kernels before 5.14 refuse it. */
SEC("?sk_reuseport/migrate")
int _migrator(struct sk_reuseport_md *ctx)
{
	return choose(ctx, *(struct bpf_sock **)((void *)ctx + RP_MIGRATING_SK));
}
