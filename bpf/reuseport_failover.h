/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The other places that an exporter may have: where no placement table was written, and where its
 * bucket is empty. A part of reuseport.bpf.c, whose maps it reads. */

/*
 * The next four are global functions: the verifier walks each once, and not once for each path
 * that leads to a call. Numbers are all that they take and return: for the context, the kernel
 * would need type information of its own (CONFIG_DEBUG_INFO_BTF).
 */

/* Returns: the bucket of an exporter where no placement table was written. */
__attribute__((noinline)) __u32 bucket_by_size(__u64 hash)
{
	__u32 zero OWN_8_BYTES = 0;

	return hash % group_size(&zero);
}

/* Returns: the bucket of that draw of failover. */
__attribute__((noinline)) __u32 draw_bucket(__u64 hash, __u32 draw)
{
	__u64 redrawn = rp_redraw(hash, draw);
	__u32 key OWN_8_BYTES = rp_slot(redrawn), placed = look_up(&slots, &key);

	return placed ? placed - 1 : bucket_by_size(redrawn);
}

/* By itself, as the verifier walks scan_bucket() more than once. */
__attribute__((noinline)) __u32 shuffle(__u64 hash, __u32 i, __u32 n)
{
	return rp_shuffle(hash, i, n);
}

/*
 * Returns: the bucket that comes i-th in the exporter's own order of all buckets: first those that
 * take exporters, then the drained ones; RP_NO_BUCKET, which is always empty, after the last one.
 */
__attribute__((noinline)) __u32 scan_bucket(__u64 hash, __u32 i)
{
	__u32 key OWN_8_BYTES = RP_SLOT_TAKERS, takers = look_up(&slots, &key), placed;

	if (!takers)
		return shuffle(hash, i, RP_MAX_BUCKETS);
	if (i < takers)
		i = shuffle(hash, i, takers);
	key = RP_SLOT_ORDER + i;
	placed = look_up(&slots, &key);

	return placed ? placed - 1 : RP_NO_BUCKET;
}

/* Selects a live bucket in place of an empty one. Returns: that bucket, or RP_NO_BUCKET. Out of
 * line, so that the common path does not pay for its stack. */
static __attribute__((noinline)) __u32 fail_over(struct sk_reuseport_md *ctx, __u64 hash)
{
	__u32 bucket OWN_8_BYTES = ctx->ip_protocol == IPPROTO_TCP, *key = &bucket, i;
	void *targets;

	asm volatile("" : "+r"(key)); /* Else clang computes it anew for each call. */
	targets = bpf_map_lookup_elem(&balancing_targets, key);
	if (!targets)
		return RP_NO_BUCKET;
	RP_UNROLL
	for (i = 1; i <= RP_FAILOVER_DRAWS; i++) {
		*key = draw_bucket(hash, i);
		if (!bpf_sk_select_reuseport(ctx, targets, key, 0))
			return *key;
	}
	RP_UNROLL
	for (i = 0; i < RP_MAX_BUCKETS; i++) {
		*key = scan_bucket(hash, i);
		if (i % 16 == 0 && *key == RP_NO_BUCKET)
			return *key;
		if (!bpf_sk_select_reuseport(ctx, targets, key, 0))
			return *key;
	}
	/* Of a constant beside *key, clang would spill 4 bytes: see OWN_8_BYTES. */
	*key = RP_NO_BUCKET;

	return *key;
}
