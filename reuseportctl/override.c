// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* override add, delete, list, load: which prefixes belong to which bucket, whatever their hash. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "faults.h"
#include "live_group.h"
#include "overrides.h"
#include "placement.h"
#include "snapshot.h"
#include "text.h"

/* Opens a live group's overrides to change them; before: takes them as they are */
static int open_overrides(struct rp_member *m, struct options *o, struct overrides *before)
{
	char who[160];

	if (open_live_group(m, &o->config, who, sizeof(who)))
		return FAILED;
	if (m->fds[RP_OVERRIDES] < 0 || m->fds[RP_POLICY] < 0)
		return close_live_group(m, fail_no_map(m, RP_MAP_OVERRIDES, who));
	read_overrides(m->fds[RP_OVERRIDES], before);

	return DONE;
}

static int check_bucket(struct rp_member *m, const struct override *one)
{
	char text[64];

	if (rp_range_last(one->bucket) < rp_get_size(m))
		return 0;
	prefix_text(&one->prefix, text, sizeof(text));

	return rp_fail(m, -ERANGE,
		       "bucket %u for %s is not one of the group %s, which has 0 to %u: nothing "
		       "was changed",
		       rp_range_last(one->bucket), text, m->config->pin_path, rp_get_size(m) - 1);
}

/* "2-4", and "domain" or "port". Returns 0, or a negative errno; m takes the reason */
static int parse_range(struct rp_member *m, const char *range, const char *by, __u32 *value)
{
	const char *dash = strchr(range, '-');
	unsigned long first = 0, last = 0;
	enum rp_spread spread = RP_SPREAD_DOMAIN;
	char word[8];

	snprintf(word, sizeof(word), "%.*s", dash ? (int)(dash - range) : 0, range);
	if (!dash || !parse_number(word, 0, RP_MAX_BUCKETS - 1, &first) ||
	    !parse_number(dash + 1, 0, RP_MAX_BUCKETS - 1, &last) || first >= last)
		return rp_fail(m, -EINVAL,
			       "'%s' is not a range of buckets like 2-4, between 0 and %d", range,
			       RP_MAX_BUCKETS - 1);
	while (spread_text(spread) && strcmp(by, spread_text(spread)))
		spread++;
	if (!spread_text(spread))
		return rp_fail(m, -EINVAL, "an exporter is spread by 'domain' or 'port', not '%s'",
			       by);
	*value = rp_range(first, last, spread);

	return 0;
}

/* by: "": to one bucket. Returns 0, or a negative errno if the words are not an override; m takes
 * the reason */
static int parse_override(struct rp_member *m, const char *prefix, const char *bucket,
			  const char *by, struct override *one)
{
	unsigned long number = 0;

	memset(one, 0, sizeof(*one));
	if (!parse_prefix(prefix, &one->prefix))
		return rp_fail(m, -EINVAL,
			       "'%s' is not a prefix: give an address or ADDRESS/LENGTH with no "
			       "bits set beyond the length",
			       prefix);
	if (*by)
		return parse_range(m, bucket, by, &one->bucket);
	if (!parse_number(bucket, 0, RP_MAX_BUCKETS - 1, &number))
		return rp_fail(m, -EINVAL, "'%s' is not a bucket, 0 to %d", bucket,
			       RP_MAX_BUCKETS - 1);
	one->bucket = number;

	return 0;
}

int command_override_add(struct options *o, char **arguments)
{
	struct overrides before, after = {};
	struct override one;
	struct rp_member m;
	int err;

	if (!o->spread != !o->by || !o->spread == !arguments[1])
		return report_error(NOT_UNDERSTOOD,
				    "override add takes a bucket, or --spread and --by");
	if (parse_override(&m, arguments[0], o->spread ? o->spread : arguments[1],
			   o->by ? o->by : "", &one))
		return report_error(NOT_UNDERSTOOD, "%s", m.error);
	if (open_overrides(&m, o, &before))
		return FAILED;

	err = check_bucket(&m, &one);
	append_others(&after, &before, &one);
	append_override(&after, &one);
	sort_overrides(&after);
	if (!err)
		err = replace_overrides(&m, &before, &after);
	free(before.list);
	free(after.list);

	return close_live_group(&m, err);
}

/* Releases the exporter with just that address from quarantine. Returns: 0, or a negative errno,
 * -ENOENT: it is not there. */
static int release(struct rp_member *m, const struct rp_prefix *prefix)
{
	union rp_addr exporter;

	if (prefix->bits != 128)
		return -ENOENT;
	memcpy(exporter.b, prefix->addr, sizeof(exporter.b));

	return rp_release(m, &exporter);
}

int command_override_delete(struct options *o, char **arguments)
{
	struct overrides before, after = {};
	struct override one;
	struct rp_member m;
	int err, released;

	if (parse_override(&m, arguments[0], "0", "", &one))
		return report_error(NOT_UNDERSTOOD, "%s", m.error);
	if (open_overrides(&m, o, &before))
		return FAILED;

	released = release(&m, &one.prefix);
	append_others(&after, &before, &one);
	/* one thing at a time: an override of the same address stays */
	if (!released)
		err = 0;
	else if (after.n == before.n)
		err = rp_fail(&m, -ENOENT,
			      "%s is neither among the overrides of the group %s nor in "
			      "quarantine: 'reuseportctl override list' shows both",
			      arguments[0], o->config.pin_path);
	else
		err = replace_overrides(&m, &before, &after);
	free(before.list);
	free(after.list);

	return close_live_group(&m, err);
}

/* As a comment, for 'override load' */
static void print_convict(const union rp_addr *exporter, const struct rp_conviction *c, void *arg)
{
	__u64 now = rp_boot_seconds();
	char who[INET6_ADDRSTRLEN], until[64] = "is not in quarantine any more";

	(void)arg;
	rp_format_addr(exporter, who, sizeof(who));
	if (c->active)
		snprintf(until, sizeof(until), "is in quarantine for another %llu s",
			 (unsigned long long)(c->until > now ? c->until - now : 0));
	printf("# %s %s: %u instance%s brought down, the last at index %u by signal %u\n", who,
	       until, c->times, c->times == 1 ? "" : "s", c->instance, c->signal);
}

static void print_override(const char *prefix, const struct override *one)
{
	__u32 value = one->bucket;

	if (rp_range_by(value) == RP_SPREAD_NOT)
		printf("%s %u%s\n", prefix, value, one->rebalanced ? " rebalanced" : "");
	else
		printf("%s %u-%u %s\n", prefix, rp_range_first(value), rp_range_last(value),
		       spread_text(rp_range_by(value)));
}

static void print_weights(const struct rp_member *m)
{
	struct rp_weights weights;

	rp_read_weights(m, &weights);
	for (__u32 bucket = 0; bucket < RP_MAX_BUCKETS; bucket++) {
		if (weights.weight[bucket])
			printf("weight %u %u\n", bucket, weights.weight[bucket]);
		if (!rp_get_weight(&weights, bucket))
			printf("drain %u\n", bucket);
	}
}

/* The group's maps are the same for each listener: the first one will do */
static int print_overrides(struct rp_member *m, void *found)
{
	struct overrides all;
	char text[64];

	*(int *)found = 1;
	rp_each_conviction(m, print_convict, NULL);
	print_weights(m);
	if (m->fds[RP_OVERRIDES] < 0)
		return 1;
	read_overrides(m->fds[RP_OVERRIDES], &all);
	for (size_t i = 0; i < all.n; i++) {
		prefix_text(&all.list[i].prefix, text, sizeof(text));
		print_override(text, &all.list[i]);
	}
	free(all.list);

	return 1;
}

int command_override_list(struct options *o, char **arguments)
{
	struct rp_member m;
	int found = 0, err;

	(void)arguments;
	rp_init(&m);
	err = rp_each_listener(&m, &o->config, print_overrides, &found);
	if (err >= 0 && !found)
		err = fail_no_listener(&m, o);

	return err < 0 ? report_error(FAILED, "%s", m.error) : DONE;
}

/* What a file has */
struct saved {
	struct overrides overrides;
	struct rp_weights weights;
	int has_weights;
};

/* A line "weight BUCKET WEIGHT" or "drain BUCKET". Returns 0 if it is something else. */
static int parse_weight(char words[3][128], int n, struct saved *saved)
{
	unsigned long bucket, weight = 0;
	int drains = n == 2 && !strcmp(words[0], "drain");

	if (!drains && (n != 3 || strcmp(words[0], "weight")))
		return 0;
	if (!parse_number(words[1], 0, RP_MAX_BUCKETS - 1, &bucket))
		return 0;
	if (!drains && !parse_number(words[2], 1, RP_MAX_WEIGHT, &weight))
		return 0;
	rp_set_weight(&saved->weights, bucket, weight);
	saved->has_weights = 1;

	return 1;
}

/* A line is "PREFIX BUCKET", "PREFIX BUCKET rebalanced" or "PREFIX BUCKET-BUCKET domain|port", or
 * one of a weight; # begins a comment. m takes what is wrong with a word */
static int parse_line(struct rp_member *m, char *line, const char *path, int number,
		      struct saved *saved)
{
	char words[3][128], rest[2];
	int rebalanced, is_range, n;
	struct override one;

	line[strcspn(line, "#\n")] = '\0';
	n = sscanf(line, "%127s %127s %127s %1s", words[0], words[1], words[2], rest);
	if (n <= 0 || parse_weight(words, n, saved))
		return DONE;
	is_range = n > 1 && strchr(words[1], '-');
	rebalanced = n == 3 && !is_range && !strcmp(words[2], "rebalanced");
	if (n != (is_range || rebalanced ? 3 : 2) || !strcmp(words[0], "drain"))
		return report_error(FAILED,
				    "%s, line %d: not 'PREFIX BUCKET', 'PREFIX BUCKET-BUCKET "
				    "domain|port', 'weight BUCKET WEIGHT' or 'drain BUCKET': "
				    "nothing was changed",
				    path, number);
	if (parse_override(m, words[0], words[1], is_range ? words[2] : "", &one))
		return report_error(FAILED, "%s, line %d: %s: nothing was changed", path, number,
				    m->error);
	one.rebalanced = rebalanced;
	append_override(&saved->overrides, &one);

	return DONE;
}

static int parse_lines(struct rp_member *m, FILE *file, const char *path, struct saved *saved)
{
	int status = DONE, number = 0;
	char *line = NULL;
	size_t room = 0;

	while (!status && getline(&line, &room, file) >= 0)
		status = parse_line(m, line, path, ++number, saved);
	if (!status && !feof(file))
		status = report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	free(line);

	return status;
}

static int check_twice(struct overrides *all, const char *path)
{
	char prefix[64];

	sort_overrides(all);
	for (size_t i = 1; i < all->n; i++) {
		if (compare_prefixes(&all->list[i - 1], &all->list[i]))
			continue;
		prefix_text(&all->list[i].prefix, prefix, sizeof(prefix));
		return report_error(FAILED, "%s has %s twice: nothing was changed", path, prefix);
	}

	return DONE;
}

/* path: "-" is stdin */
static int read_file(struct rp_member *m, const char *path, struct saved *saved)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int status;

	if (!file)
		return report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	status = parse_lines(m, file, path, saved);
	if (file != stdin)
		fclose(file);

	return status ? status : check_twice(&saved->overrides, path);
}

/* Checks all before it changes something */
static int load(struct rp_member *m, const struct overrides *before, const struct saved *after)
{
	int err = 0;

	for (size_t i = 0; !err && i < after->overrides.n; i++)
		err = check_bucket(m, &after->overrides.list[i]);
	if (!err && after->has_weights && m->fds[RP_WEIGHTS] < 0)
		err = fail_no_map(m, RP_MAP_WEIGHTS, "see 'reuseportctl status'");
	if (!err && after->has_weights)
		err = check_weights(m, &after->weights);
	if (!err)
		err = replace_overrides(m, before, &after->overrides);
	if (!err && after->has_weights)
		err = rp_place(m, rp_get_size(m), &after->weights);

	return err;
}

int command_override_load(struct options *o, char **arguments)
{
	struct saved after = {};
	struct overrides before;
	struct rp_member m;
	int err;

	if (read_file(&m, arguments[0], &after) || open_overrides(&m, o, &before))
		return FAILED;
	err = load(&m, &before, &after);
	if (!err)
		printf("%s: overrides: %zu, %zu before\n", o->config.pin_path, after.overrides.n,
		       before.n);
	free(before.list);
	free(after.overrides.list);

	return close_live_group(&m, err);
}
