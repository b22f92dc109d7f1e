// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* Sets of overrides: see overrides.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "live_group.h"
#include "overrides.h"
#include "placement.h"

void append_override(struct overrides *all, const struct override *one)
{
	all->list = grow(all->list, all->n, sizeof(*all->list));
	all->list[all->n++] = *one;
}

void append_others(struct overrides *to, const struct overrides *all, const struct override *one)
{
	for (size_t i = 0; i < all->n; i++)
		if (compare_prefixes(&all->list[i], one))
			append_override(to, &all->list[i]);
}

int compare_prefixes(const struct override *one, const struct override *other)
{
	const struct rp_prefix *p = &one->prefix, *q = &other->prefix;
	int differ = memcmp(p->addr, q->addr, sizeof(p->addr));

	return differ ? differ : (int)p->bits - (int)q->bits;
}

static int compare(const void *one, const void *other)
{
	return compare_prefixes(one, other);
}

void sort_overrides(struct overrides *all)
{
	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), compare);
}

/* Those with a prefix that is there twice are one, whichever */
static void drop_twins(struct overrides *all)
{
	size_t kept = 0;

	for (size_t i = 0; i < all->n; i++)
		if (!kept || compare_prefixes(&all->list[kept - 1], &all->list[i]))
			all->list[kept++] = all->list[i];
	all->n = kept;
}

/* If the key before was deleted meanwhile, the kernel begins anew: hence the bound, and twins */
void read_overrides(int map, struct overrides *all)
{
	struct rp_prefix last;
	struct override one;
	__u32 value;

	memset(all, 0, sizeof(*all));
	for (int keys = 0; keys < 2 * RP_MAX_OVERRIDES; keys++) {
		if (bpf_map_get_next_key(map, keys ? &last : NULL, &one.prefix))
			break;
		last = one.prefix;
		if (bpf_map_lookup_elem(map, &one.prefix, &value))
			continue;
		one.bucket = value & ~RP_REBALANCED;
		one.rebalanced = !!(value & RP_REBALANCED);
		append_override(all, &one);
	}
	sort_overrides(all);
	drop_twins(all);
}

__u32 count_overrides(int map, __u32 size, __u32 *beyond)
{
	struct overrides all = {};

	if (map >= 0)
		read_overrides(map, &all);
	*beyond = 0;
	for (size_t i = 0; i < all.n; i++)
		*beyond += rp_range_last(all.list[i].bucket) >= size;
	free(all.list);

	return all.n;
}

static const struct override *find_override(const struct overrides *all, const struct override *one)
{
	return all->n ? bsearch(one, all->list, all->n, sizeof(*one), compare) : NULL;
}

/* Writes those that `there` lacks, or has with another bucket. Returns 0 or a negative errno. */
static int write_new(int map, const struct overrides *all, const struct overrides *there)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct override *one = &all->list[i], *other = find_override(there, one);
		__u32 value = one->bucket | (one->rebalanced ? RP_REBALANCED : 0);

		if (other && other->bucket == one->bucket && other->rebalanced == one->rebalanced)
			continue;
		if (bpf_map_update_elem(map, &one->prefix, &value, BPF_ANY))
			return -errno;
	}

	return 0;
}

/* Deletes those that `kept` lacks. Returns 0 or a negative errno. */
static int delete_old(int map, const struct overrides *all, const struct overrides *kept)
{
	for (size_t i = 0; i < all->n; i++)
		if (!find_override(kept, &all->list[i]) &&
		    bpf_map_delete_elem(map, &all->list[i].prefix) && errno != ENOENT)
			return -errno;

	return 0;
}

static int write_all(int map, const struct overrides *before, const struct overrides *after)
{
	int has_room = before->n + after->n <= RP_MAX_OVERRIDES, err = 0;

	if (!has_room)
		err = delete_old(map, before, after);
	if (!err)
		err = write_new(map, after, before);
	if (!err && has_room)
		err = delete_old(map, before, after);

	return err;
}

/* There was room for them. Returns 0 or a negative errno. */
static int restore(struct rp_member *m, const struct overrides *before,
		   const struct overrides *after)
{
	int map = m->fds[RP_OVERRIDES], err = delete_old(map, after, before);

	if (!err)
		err = write_new(map, before, &(struct overrides){});

	return err || before->n ? err : set_policy(m, RP_OVERRIDDEN, 0);
}

int replace_overrides(struct rp_member *m, const struct overrides *before,
		      const struct overrides *after)
{
	const char *path = m->config->pin_path;
	int err = 0;

	if (after->n > RP_MAX_OVERRIDES)
		return rp_fail(m, -E2BIG,
			       "%zu overrides are more than the %d that a group may have: nothing "
			       "was changed",
			       after->n, RP_MAX_OVERRIDES);
	if (after->n)
		err = set_policy(m, RP_OVERRIDDEN, 1);
	if (err)
		return err;

	err = write_all(m->fds[RP_OVERRIDES], before, after);
	if (!err)
		return after->n ? 0 : set_policy(m, RP_OVERRIDDEN, 0);
	if (restore(m, before, after))
		return rp_fail(m, err,
			       "cannot write map '%s' in %s (%s), nor undo what was changed: see "
			       "'reuseportctl override list'",
			       RP_MAP_OVERRIDES, path, strerror(-err));

	return rp_fail(m, err, "cannot write map '%s' in %s (%s): nothing was changed",
		       RP_MAP_OVERRIDES, path, strerror(-err));
}

/* Whether an override of 'rebalance' has lost its sense */
static int is_stale(const struct rp_member *m, const struct rp_weights *weights,
		    const struct override *one)
{
	union rp_addr exporter;

	memcpy(exporter.b, one->prefix.addr, sizeof(exporter.b));

	return one->rebalanced &&
	       (one->bucket >= rp_get_size(m) || !rp_get_weight(weights, one->bucket) ||
		one->bucket == rp_find_place(m, &exporter));
}

int drop_stale_overrides(struct rp_member *m)
{
	struct overrides before = {}, after = {};
	struct rp_weights weights;
	size_t dropped;
	int err = 0;

	if (m->fds[RP_OVERRIDES] >= 0)
		read_overrides(m->fds[RP_OVERRIDES], &before);
	rp_read_weights(m, &weights);
	for (size_t i = 0; i < before.n; i++)
		if (!is_stale(m, &weights, &before.list[i]))
			append_override(&after, &before.list[i]);
	dropped = before.n - after.n;
	if (dropped)
		err = replace_overrides(m, &before, &after);
	if (dropped && !err)
		printf("%zu override%s of 'rebalance' dropped, which had lost %s sense\n", dropped,
		       dropped == 1 ? "" : "s", dropped == 1 ? "its" : "their");
	free(before.list);
	free(after.list);

	return err;
}
