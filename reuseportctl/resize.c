// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* resize: how many buckets a group has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "commands.h"
#include "live_group.h"
#include "overrides.h"
#include "placement.h"
#include "text.h"

/* Refuses a group without a size, and a size that cuts off a live instance */
static int check_instances(struct rp_member *m, __u32 size, const char *someone)
{
	char who[160];
	int live;

	if (m->fds[RP_SIZE] < 0)
		return rp_fail(m, -ENOENT,
			       "no map '%s' is pinned in %s, where instances are live (%s): give "
			       "the directory that has it; pmacct's own *_rp_ebpf_prog has one for "
			       "each listener",
			       RP_MAP_SIZE, m->config->pin_path, someone);
	live = rp_find_live(m, size, who, sizeof(who));
	if (live > 0)
		return rp_fail(
			m, -EBUSY,
			"cannot shrink the group %s to %u buckets: a bucket beyond is in use "
			"by %s; stop that instance first",
			m->config->pin_path, size, who);

	return live;
}

/* Refuses a size that cuts off an operator's override: its exporters would silently go by the hash
 */
static int check_overrides(struct rp_member *m, __u32 size)
{
	struct overrides all = {};
	char text[64];
	int err = 0;

	if (m->fds[RP_OVERRIDES] >= 0)
		read_overrides(m->fds[RP_OVERRIDES], &all);
	for (size_t i = 0; !err && i < all.n; i++) {
		if (rp_range_last(all.list[i].bucket) < size || all.list[i].rebalanced)
			continue;
		prefix_text(&all.list[i].prefix, text, sizeof(text));
		err = rp_fail(
			m, -EBUSY,
			"cannot shrink the group %s to %u buckets: an override has %s in "
			"bucket %u; give it another bucket by 'reuseportctl override add', or "
			"delete it",
			m->config->pin_path, size, text, rp_range_last(all.list[i].bucket));
	}
	free(all.list);

	return err;
}

/* Forgets the weights of the buckets from that size on, and refuses to leave drained ones alone */
static int cut_weights(struct rp_member *m, __u32 size, struct rp_weights *weights)
{
	rp_read_weights(m, weights);
	rp_cut_weights(weights, size);
	if (!rp_all_drained(weights, size))
		return 0;

	return rp_fail(m, -EBUSY,
		       "cannot resize the group %s to %u buckets: all of them are drained; "
		       "'reuseportctl undrain' one of them first",
		       m->config->pin_path, size);
}

int command_resize(struct options *o, char **arguments)
{
	struct rp_weights weights;
	char who[160];
	struct rp_member m;
	unsigned long size;
	__u32 before;
	int err;

	if (!parse_number(arguments[0], 1, RP_MAX_BUCKETS, &size))
		return report_error(NOT_UNDERSTOOD, "'%s' is not a number of buckets, 1 to %d",
				    arguments[0], RP_MAX_BUCKETS);
	if (open_live_group(&m, &o->config, who, sizeof(who)))
		return FAILED;

	before = rp_get_setting(&m, RP_SIZE);
	err = check_instances(&m, size, who);
	if (!err)
		err = check_overrides(&m, size);
	if (!err)
		err = cut_weights(&m, size, &weights);
	if (!err)
		err = rp_note_resize(&m, size);
	if (!err)
		err = rp_place(&m, size, &weights);
	if (!err)
		printf("%s: %lu buckets, %u before\n", o->config.pin_path, size, before);
	if (!err)
		err = drop_stale_overrides(&m);

	return close_live_group(&m, err);
}
