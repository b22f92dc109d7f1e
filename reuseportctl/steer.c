// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The companion's commands that change a group: under the group's lock, and all or nothing.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "listener_names.h"
#include "reuseportctl.h"

/* Opens a group that somebody is live in: its settings go with the last one. whose: in words */
static int steer(struct rp_member *m, const struct rp_config *config, char *whose, size_t len)
{
	sigset_t all;
	int live;

	rp_init(m);
	if (rp_open_settings(m, config))
		return report_error(FAILED, "%s", m->error);
	/* all or nothing: from here to the end of the command */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);

	live = rp_find_live(m, 0, whose, len);
	if (live > 0)
		return DONE;
	if (!live)
		rp_fail(m, -ENOENT,
			"nobody is live in the group %s: its settings come with the first "
			"instance; start the instances",
			config->pin_path);
	report_error(FAILED, "%s", m->error);
	rp_close(m);

	return FAILED;
}

/* Closes; status DONE, or the error that m has */
static int steered(struct rp_member *m, int err)
{
	if (err)
		report_error(FAILED, "%s", m->error);
	rp_close(m);

	return err ? FAILED : DONE;
}

static int lacks(struct rp_member *m, const char *map, const char *whose)
{
	return rp_fail(m, -ENOENT,
		       "no map '%s' is pinned in %s, where instances are live (%s): their object "
		       "cannot do that, or this is not the group's directory",
		       map, m->config->pin_path, whose);
}

static int set_policy(struct rp_member *m, __u32 bit, int on)
{
	__u32 policy = rp_get_setting(m, RP_POLICY);

	return rp_set_setting(m, RP_POLICY, on ? policy | bit : policy & ~bit);
}

int failover(struct options *o, const char *word)
{
	int on = !strcmp(word, "on"), was, err;
	char whose[160];
	struct rp_member m;

	if (!on && strcmp(word, "off"))
		return report_error(NOT_UNDERSTOOD, "failover takes 'on' or 'off', not '%s'", word);
	if (steer(&m, &o->config, whose, sizeof(whose)))
		return FAILED;

	was = rp_fails_over(&m);
	err = m.fds[RP_POLICY] < 0 ? lacks(&m, RP_MAP_POLICY, whose)
				   : set_policy(&m, RP_NO_FAILOVER, !on);
	if (!err)
		printf("%s: failover %s, %s before\n", o->config.pin_path, on ? "on" : "off",
		       was ? "on" : "off");

	return steered(&m, err);
}

/* ---- overrides ---- */

struct override {
	struct rp_prefix prefix;
	__u32 bucket;
};

struct overrides {
	struct override *list;
	size_t n, room;
};

static void add(struct overrides *all, const struct override *one)
{
	if (all->n == all->room) {
		all->room = all->room ? 2 * all->room : 64;
		all->list = realloc(all->list, all->room * sizeof(*all->list));
		if (!all->list)
			exit(report_error(FAILED, "no memory for %zu overrides", all->room));
	}
	all->list[all->n++] = *one;
}

static int by_prefix(const void *a, const void *b)
{
	const struct rp_prefix *p = &((const struct override *)a)->prefix;
	const struct rp_prefix *q = &((const struct override *)b)->prefix;
	int differ = memcmp(p->addr, q->addr, sizeof(p->addr));

	return differ ? differ : (int)p->bits - (int)q->bits;
}

/* In the order of their addresses */
static void read_overrides(int map, struct overrides *all)
{
	struct override one;
	struct rp_prefix *key = NULL;

	memset(all, 0, sizeof(*all));
	while (!bpf_map_get_next_key(map, key, &one.prefix)) {
		if (!bpf_map_lookup_elem(map, &one.prefix, &one.bucket))
			add(all, &one);
		/* one that is deleted meanwhile would start the walk anew, for ever */
		if (all->n > RP_MAX_OVERRIDES)
			break;
		key = &all->list[all->n - 1].prefix;
	}
	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), by_prefix);
}

static const struct override *find(const struct overrides *all, const struct override *one)
{
	return all->n ? bsearch(one, all->list, all->n, sizeof(*one), by_prefix) : NULL;
}

/* All of one set that are not, or not alike, in another: writes them, or deletes them. A negative
 * errno if one fails. */
static int write_new(int map, const struct overrides *all, const struct overrides *there)
{
	const struct override *other;
	int err = 0;

	for (size_t i = 0; !err && i < all->n; i++) {
		other = find(there, &all->list[i]);
		if (!other || other->bucket != all->list[i].bucket)
			err = bpf_map_update_elem(map, &all->list[i].prefix, &all->list[i].bucket,
						  BPF_ANY)
				      ? -errno
				      : 0;
	}

	return err;
}

static int delete_old(int map, const struct overrides *all, const struct overrides *kept)
{
	int err = 0;

	for (size_t i = 0; !err && i < all->n; i++)
		if (!find(kept, &all->list[i]) && bpf_map_delete_elem(map, &all->list[i].prefix) &&
		    errno != ENOENT)
			err = -errno;

	return err;
}

/*
 * From `before` to `after`, both sorted. First what is new or changed, so that no exporter is
 * without an override that it is to have, unless there is no room for both. If it fails, what was
 * comes back: its room was there.
 */
static int replace(struct rp_member *m, const struct overrides *before,
		   const struct overrides *after)
{
	int map = m->fds[RP_OVERRIDES], room = before->n + after->n <= RP_MAX_OVERRIDES, err = 0;

	if (after->n > RP_MAX_OVERRIDES)
		return rp_fail(m, -E2BIG,
			       "%zu overrides are more than the %d that a group may have: nothing "
			       "was changed",
			       after->n, RP_MAX_OVERRIDES);
	if (after->n)
		err = set_policy(m, RP_OVERRIDDEN, 1);
	if (err)
		return err;

	if (!room)
		err = delete_old(map, before, after);
	if (!err)
		err = write_new(map, after, before);
	if (!err && room)
		err = delete_old(map, before, after);
	if (!err)
		return after->n ? 0 : set_policy(m, RP_OVERRIDDEN, 0);

	rp_fail(m, err, "cannot write map '%s' in %s (%s): nothing was changed", RP_MAP_OVERRIDES,
		m->config->pin_path, strerror(-err));
	if (delete_old(map, after, before) || write_new(map, before, &(struct overrides){}) ||
	    (!before->n && set_policy(m, RP_OVERRIDDEN, 0)))
		rp_fail(m, err,
			"cannot write map '%s' in %s (%s), nor undo what was changed: see "
			"'reuseportctl pins'",
			RP_MAP_OVERRIDES, m->config->pin_path, strerror(-err));

	return err;
}

/* Opens a live group's overrides for a change; before: as they are */
static int open_overrides(struct rp_member *m, struct options *o, struct overrides *before)
{
	char whose[160];

	if (steer(m, &o->config, whose, sizeof(whose)))
		return FAILED;
	if (m->fds[RP_OVERRIDES] < 0 || m->fds[RP_POLICY] < 0)
		return steered(m, lacks(m, RP_MAP_OVERRIDES, whose));
	read_overrides(m->fds[RP_OVERRIDES], before);

	return DONE;
}

/* All but the one of that prefix */
static void add_others(struct overrides *to, const struct overrides *all,
		       const struct override *one)
{
	for (size_t i = 0; i < all->n; i++)
		if (by_prefix(&all->list[i], one))
			add(to, &all->list[i]);
}

static int check_bucket(struct rp_member *m, const struct override *one)
{
	char text[64];

	if (one->bucket < rp_get_size(m))
		return 0;
	prefix_text(&one->prefix, text, sizeof(text));

	return rp_fail(m, -ERANGE,
		       "bucket %u for %s is not one of the group %s, which has 0 to %u: nothing "
		       "was changed",
		       one->bucket, text, m->config->pin_path, rp_get_size(m) - 1);
}

/* Whether the two words are an override; or says why not */
static int parse_override(const char *prefix, const char *bucket, struct override *one)
{
	unsigned long number = 0;

	memset(one, 0, sizeof(*one));
	if (!parse_prefix(prefix, &one->prefix)) {
		report_error(
			NOT_UNDERSTOOD,
			"'%s' is not a prefix: give an address or ADDRESS/LENGTH with no bits set "
			"beyond the length",
			prefix);
		return 0;
	}
	if (!parse_number(bucket, 0, RP_MAX_BUCKETS - 1, &number)) {
		report_error(NOT_UNDERSTOOD, "'%s' is not a bucket, 0 to %d", bucket,
			     RP_MAX_BUCKETS - 1);
		return 0;
	}
	one->bucket = number;

	return 1;
}

int pin(struct options *o, const char *prefix, const char *bucket)
{
	struct overrides before, after = {};
	struct override one;
	struct rp_member m;
	int err;

	if (!parse_override(prefix, bucket, &one))
		return NOT_UNDERSTOOD;
	if (open_overrides(&m, o, &before))
		return FAILED;

	err = check_bucket(&m, &one);
	add_others(&after, &before, &one);
	add(&after, &one);
	qsort(after.list, after.n, sizeof(*after.list), by_prefix);
	if (!err)
		err = replace(&m, &before, &after);
	free(before.list);
	free(after.list);

	return steered(&m, err);
}

int unpin(struct options *o, const char *prefix)
{
	struct overrides before, after = {};
	struct override one;
	struct rp_member m;
	int err = 0;

	if (!parse_override(prefix, "0", &one))
		return NOT_UNDERSTOOD;
	if (open_overrides(&m, o, &before))
		return FAILED;

	add_others(&after, &before, &one);
	if (after.n == before.n)
		err = rp_fail(&m, -ENOENT,
			      "%s is not among the overrides of the group %s: 'reuseportctl pins' "
			      "lists them",
			      prefix, o->config.pin_path);
	else
		err = replace(&m, &before, &after);
	free(before.list);
	free(after.list);

	return steered(&m, err);
}

/* A line is "PREFIX BUCKET"; # begins a comment */
static int read_file(const char *path, struct overrides *all)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char line[256], prefix[128], bucket[32], rest[2];
	struct override one;
	int number = 0, words;

	if (!file)
		return report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		number++;
		line[strcspn(line, "#\n")] = '\0';
		words = sscanf(line, "%127s %31s %1s", prefix, bucket, rest);
		if (words <= 0)
			continue;
		if (words != 2 || !parse_override(prefix, bucket, &one))
			return report_error(FAILED,
					    "%s, line %d: not 'PREFIX BUCKET': nothing was changed",
					    path, number);
		add(all, &one);
	}
	if (ferror(file))
		return report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	if (file != stdin)
		fclose(file);
	if (!all->n)
		return DONE;

	qsort(all->list, all->n, sizeof(*all->list), by_prefix);
	for (size_t i = 1; i < all->n; i++) {
		if (by_prefix(&all->list[i - 1], &all->list[i]))
			continue;
		prefix_text(&all->list[i].prefix, prefix, sizeof(prefix));
		return report_error(FAILED, "%s has %s twice: nothing was changed", path, prefix);
	}

	return DONE;
}

static int load_pins(struct options *o)
{
	struct overrides before, after = {};
	struct rp_member m;
	int err = 0;

	if (read_file(o->load, &after) || open_overrides(&m, o, &before))
		return FAILED;
	for (size_t i = 0; !err && i < after.n; i++)
		err = check_bucket(&m, &after.list[i]);
	if (!err)
		err = replace(&m, &before, &after);
	if (!err)
		printf("%s: overrides: %zu, %zu before\n", o->config.pin_path, after.n, before.n);
	free(before.list);
	free(after.list);

	return steered(&m, err);
}

/* The group's maps are the same for each listener */
static int print_pins(struct rp_member *m, void *none)
{
	struct overrides all;
	char text[64];

	(void)none;
	if (m->fds[RP_OVERRIDES] < 0)
		return 1;
	read_overrides(m->fds[RP_OVERRIDES], &all);
	for (size_t i = 0; i < all.n; i++) {
		prefix_text(&all.list[i].prefix, text, sizeof(text));
		printf("%s %u\n", text, all.list[i].bucket);
	}
	free(all.list);

	return 1;
}

int pins(struct options *o)
{
	struct rp_member m;

	if (o->load)
		return load_pins(o);

	rp_init(&m);
	if (rp_each_listener(&m, &o->config, print_pins, NULL) < 0)
		return report_error(FAILED, "%s", m.error);

	return DONE;
}

/* An override of a bucket that is gone would not count any more, without a word */
static int check_overrides(struct rp_member *m, __u32 size)
{
	struct overrides all = {};
	char text[64];
	int err = 0;

	if (m->fds[RP_OVERRIDES] >= 0)
		read_overrides(m->fds[RP_OVERRIDES], &all);
	for (size_t i = 0; !err && i < all.n; i++) {
		if (all.list[i].bucket < size)
			continue;
		prefix_text(&all.list[i].prefix, text, sizeof(text));
		err = rp_fail(m, -EBUSY,
			      "cannot shrink the group %s to %u buckets: an override has %s in "
			      "bucket %u; 'reuseportctl pin' it elsewhere, or unpin it",
			      m->config->pin_path, size, text, all.list[i].bucket);
	}
	free(all.list);

	return err;
}

int resize(struct options *o, const char *word)
{
	struct rp_config *config = &o->config;
	char whose[160];
	struct rp_member m;
	unsigned long n;
	__u32 was;
	int err;

	if (!parse_number(word, 1, RP_MAX_BUCKETS, &n))
		return report_error(NOT_UNDERSTOOD, "'%s' is not a number of buckets, 1 to %d",
				    word, RP_MAX_BUCKETS);
	config->count = n;
	if (steer(&m, config, whose, sizeof(whose)))
		return FAILED;

	was = rp_get_setting(&m, RP_SIZE);
	if (m.fds[RP_SIZE] < 0) {
		err = rp_fail(&m, -ENOENT,
			      "no map '%s' is pinned in %s, where instances are live (%s): give "
			      "the directory that has it; pmacct's own *_rp_ebpf_prog has one for "
			      "each listener",
			      RP_MAP_SIZE, config->pin_path, whose);
	} else {
		err = rp_find_live(&m, config->count, whose, sizeof(whose));
		if (err > 0)
			err = rp_fail(&m, -EBUSY,
				      "cannot shrink the group %s to %u buckets: a bucket beyond "
				      "is in use by %s; stop that instance first",
				      config->pin_path, config->count, whose);
	}
	if (!err)
		err = check_overrides(&m, config->count);
	if (!err)
		err = rp_set_setting(&m, RP_SIZE, config->count);
	if (!err)
		printf("%s: %u buckets, %u before\n", config->pin_path, config->count, was);

	return steered(&m, err);
}

/* ---- the end of a group, and its beginning for those who may not load ---- */

static const char *const group_pins[] = {RP_MAP_SIZE, RP_MAP_NONCE, RP_MAP_POLICY,
					 RP_MAP_OVERRIDES};
static const char *const listener_pins[] = {RP_MAP_UDP, RP_MAP_TCP, RP_MAP_OWNERS, RP_MAP_COUNTERS,
					    RP_PROG};

/* How many pins of these names a directory had, or a negative errno */
static int remove_pins(struct rp_member *m, const char *dir, const char *const *names, int n)
{
	char path[PATH_MAX];
	int removed = 0;

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (!unlink(path))
			removed++;
		else if (errno != ENOENT && errno != ENOTDIR)
			return rp_fail(m, -errno, "cannot remove %s (%s)", path, strerror(errno));
	}

	return removed;
}

#define COUNT_OF(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Before the group's own; and their directories, if they are empty then. What is not ours stays;
   and so does the pin path itself, which the daemons' user may not be able to make again. */
static int remove_group(struct rp_member *m)
{
	const char *top = m->config->pin_path;
	int removed = 0, ret = 0;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(top);

	if (!dir)
		return rp_fail(m, -errno, "cannot list %s (%s)", top, strerror(errno));
	while (ret >= 0 && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", top, entry->d_name);
		ret = remove_pins(m, path, listener_pins, COUNT_OF(listener_pins));
		removed += ret > 0 ? ret : 0;
		if (ret > 0 || reuseport_find_listener_name(entry->d_name))
			rmdir(path);
	}
	closedir(dir);
	if (ret >= 0)
		ret = remove_pins(m, top, group_pins, COUNT_OF(group_pins));

	return ret < 0 ? ret : removed + ret;
}

int reset(struct options *o)
{
	struct rp_member m;
	char whose[160];
	int live, removed;

	rp_init(&m);
	if (rp_open_settings(&m, &o->config))
		return report_error(FAILED, "%s", m.error);
	live = rp_find_live(&m, 0, whose, sizeof(whose));
	if (live > 0)
		rp_fail(&m, -EBUSY, "the group %s is live (%s): stop its instances first",
			o->config.pin_path, whose);
	removed = live ? -EBUSY : remove_group(&m);
	if (removed >= 0)
		printf("%s: %d pins removed\n", o->config.pin_path, removed);

	return steered(&m, removed < 0);
}

int load(struct options *o, char **listeners)
{
	struct rp_member m;
	char **name;
	struct stat st;
	const struct reuseport_listener_name *listener;

	if (!o->config.prog)
		return report_error(NOT_UNDERSTOOD,
				    "load needs the selector: --prog /path/to/reuseport.o");
	if (!stat(o->config.pin_path, &st) && st.st_uid != geteuid())
		return report_error(
			FAILED,
			"%s belongs to user id %u, who could not use what %u pins there: "
			"run this as that user, with CAP_BPF",
			o->config.pin_path, st.st_uid, geteuid());
	for (name = listeners; *name; name++)
		if (!reuseport_find_listener_name(*name))
			return report_error(NOT_UNDERSTOOD, "no listener is called '%s'", *name);

	for (name = listeners; *name; name++) {
		listener = reuseport_find_listener_name(*name);
		rp_init(&m);
		if (rp_preload(&m, &o->config, listener->name, listener->protocol))
			return report_error(FAILED, "%s", m.error);
		printf("%s: %s is loaded for listener %s\n", o->config.pin_path, o->config.prog,
		       *name);
	}

	return DONE;
}
