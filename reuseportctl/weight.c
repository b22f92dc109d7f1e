// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* weight, drain, undrain, reserve: what share of the exporters a bucket has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "commands.h"
#include "live_group.h"
#include "overrides.h"
#include "placement.h"
#include "text.h"

/* Opens a live group to change its weights; before: takes them as they are */
static int open_weights(struct rp_member *m, struct options *o, struct rp_weights *before)
{
	char who[160];

	if (open_live_group(m, &o->config, who, sizeof(who)))
		return FAILED;
	if (m->fds[RP_SLOTS] < 0 || m->fds[RP_WEIGHTS] < 0)
		return close_live_group(m, fail_no_map(m, RP_MAP_SLOTS, who));
	rp_read_weights(m, before);

	return DONE;
}

int check_weights(struct rp_member *m, const struct rp_weights *weights)
{
	if (!rp_all_drained(weights, rp_get_size(m)))
		return 0;

	return rp_fail(m, -EBUSY,
		       "that would drain all buckets of the group %s, and leave none for its "
		       "exporters: nothing was changed",
		       m->config->pin_path);
}

static void weight_text(__u32 weight, char text[32])
{
	snprintf(text, 32, weight ? "weight %u" : "drained", weight);
}

/* slots: before and after; of all buckets */
static void print_change(const struct rp_member *m, __u32 bucket, const struct rp_weights *before,
			 const struct rp_weights *after, __u32 slots[2][RP_MAX_BUCKETS])
{
	char was[32], is[32];

	weight_text(rp_get_weight(before, bucket), was);
	weight_text(rp_get_weight(after, bucket), is);
	if (bucket >= rp_get_size(m)) {
		printf("%s: bucket %u: %s, when the group is resized to have it\n",
		       m->config->pin_path, bucket, is);
		return;
	}
	printf("%s: bucket %u: %s, %.1f%% of the slots; before: %s, %.1f%%\n", m->config->pin_path,
	       bucket, is, slots[1][bucket] * 100.0 / RP_SLOT_COUNT, was,
	       slots[0][bucket] * 100.0 / RP_SLOT_COUNT);
}

/* Says which exporters a drained bucket keeps */
static void print_overrides_of(const struct rp_member *m, __u32 bucket)
{
	struct overrides all = {};
	size_t n = 0;

	if (m->fds[RP_OVERRIDES] >= 0)
		read_overrides(m->fds[RP_OVERRIDES], &all);
	for (size_t i = 0; i < all.n; i++)
		n += bucket >= rp_range_first(all.list[i].bucket) &&
		     bucket <= rp_range_last(all.list[i].bucket);
	if (n)
		printf("%s: bucket %u keeps the exporters of %zu override%s\n", m->config->pin_path,
		       bucket, n, n == 1 ? "" : "s");
	free(all.list);
}

enum change { SET, UNDRAIN };

/* weight: the new one, for SET */
static int change_weight(struct options *o, const char *index, enum change change, __u32 weight)
{
	__u32 slots[2][RP_MAX_BUCKETS];
	struct rp_weights before, after;
	unsigned long bucket;
	struct rp_member m;
	int err;

	if (!parse_number(index, 0, RP_MAX_BUCKETS - 1, &bucket))
		return report_error(NOT_UNDERSTOOD, "'%s' is not a bucket, 0 to %d", index,
				    RP_MAX_BUCKETS - 1);
	if (open_weights(&m, o, &before))
		return FAILED;

	after = before;
	if (change == SET)
		rp_set_weight(&after, bucket, weight);
	else
		rp_undrain(&after, bucket);
	err = check_weights(&m, &after);
	rp_count_slots(&m, slots[0]);
	if (!err)
		err = rp_place(&m, rp_get_size(&m), &after);
	if (!err)
		err = drop_stale_overrides(&m);
	rp_count_slots(&m, slots[1]);
	if (!err) {
		print_change(&m, bucket, &before, &after, slots);
		if (!rp_get_weight(&after, bucket))
			print_overrides_of(&m, bucket);
	}

	return close_live_group(&m, err);
}

int command_weight(struct options *o, char **arguments)
{
	unsigned long weight;

	if (!parse_number(arguments[1], 0, RP_MAX_WEIGHT, &weight))
		return report_error(NOT_UNDERSTOOD, "'%s' is not a weight, 0 to %d", arguments[1],
				    RP_MAX_WEIGHT);

	return change_weight(o, arguments[0], SET, weight);
}

int command_drain(struct options *o, char **arguments)
{
	return change_weight(o, arguments[0], SET, 0);
}

int command_undrain(struct options *o, char **arguments)
{
	return change_weight(o, arguments[0], UNDRAIN, 0);
}
