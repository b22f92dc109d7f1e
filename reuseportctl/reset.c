// SPDX-License-Identifier: GPL-2.0-or-later
/* reset: removes what a dead group has left in its pin path. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"
#include "listener_names.h"
#include "live_group.h"

static const char *const group_pins[] = {
	RP_MAP_SIZE,	  RP_MAP_NONCE,	     RP_MAP_POLICY, RP_MAP_SLOTS,   RP_MAP_WEIGHTS,
	RP_MAP_OVERRIDES, RP_MAP_QUARANTINE, RP_MAP_STATE,  RP_MAP_CHANGES, NULL};
static const char *const listener_pins[] = {
	RP_MAP_UDP, RP_MAP_TCP, RP_MAP_OWNERS, RP_MAP_INSTANCES, RP_MAP_COUNTERS, RP_PROG, NULL};

/* Returns how many pins of these names the directory had, or a negative errno */
static int remove_pins(struct rp_member *m, const char *dir, const char *const *names)
{
	char path[PATH_MAX];
	int removed = 0;

	for (; *names; names++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *names);
		if (!unlink(path))
			removed++;
		else if (errno != ENOENT && errno != ENOTDIR)
			return rp_fail(m, -errno, "cannot remove %s (%s)", path, strerror(errno));
	}

	return removed;
}

/*
 * Removes the pins of each listener, its directory if that is empty then, and at last the group's
 * own pins. Files that are not ours stay, and so does the pin path: the daemons' user may not be
 * able to make it again. Returns the number of pins, or a negative errno.
 */
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
		ret = remove_pins(m, path, listener_pins);
		removed += ret > 0 ? ret : 0;
		if (ret > 0 || reuseport_find_listener_name(entry->d_name)) {
			rp_remove_claims(path);
			rmdir(path);
		}
	}
	closedir(dir);
	if (ret >= 0)
		ret = remove_pins(m, top, group_pins);

	return ret < 0 ? ret : removed + ret;
}

int command_reset(struct options *o, char **arguments)
{
	struct rp_member m;
	int live, removed;
	char who[160];

	(void)arguments;
	rp_init(&m);
	if (rp_open_settings(&m, &o->config))
		return report_error(FAILED, "%s", m.error);
	live = rp_find_live(&m, 0, who, sizeof(who));
	if (live > 0)
		live = rp_fail(&m, -EBUSY, "the group %s is live (%s): stop its instances first",
			       o->config.pin_path, who);
	removed = live ? live : remove_group(&m);
	if (removed >= 0)
		printf("%s: %d pins removed\n", o->config.pin_path, removed);

	return close_live_group(&m, removed < 0 ? removed : 0);
}
