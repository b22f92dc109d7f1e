// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* reset: removes what a dead group has left in its pin path. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include "commands.h"
#include "listener_names.h"
#include "live_group.h"

static const char *const group_pins[] = {RP_MAP_SIZE,
					 RP_MAP_NONCE,
					 RP_MAP_POLICY,
					 RP_MAP_SLOTS,
					 RP_MAP_WEIGHTS,
					 RP_MAP_OVERRIDES,
					 RP_MAP_QUARANTINE,
					 RP_MAP_STATE,
					 RP_MAP_CHANGES,
					 RP_MAP_GROUP,
					 NULL};
static const char *const listener_pins[] = {
	RP_MAP_UDP,	 RP_MAP_TCP,	 RP_MAP_OWNERS, RP_MAP_INSTANCES,
	RP_MAP_COUNTERS, RP_MAP_TALKERS, RP_PROG,	NULL};

/* Removes pins of these names from a directory, whose name is for the error line. Returns how many
 * it had, or a negative errno. */
static int remove_pins(struct rp_member *m, int dir, const char *name, const char *const *names)
{
	int removed = 0;

	for (; *names; names++) {
		if (!unlinkat(dir, *names, 0))
			removed++;
		else if (errno != ENOENT)
			return rp_fail(m, -errno, "cannot remove %s in %s/%s (%s)", *names,
				       m->config->pin_path, name, strerror(errno));
	}

	return removed;
}

/* Opens a directory in the group's, but no symbolic link, and nothing that is mounted there.
 * Returns its fd, or -1. */
static int open_listener(int top, const char *name)
{
	int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat above, st;

	if (dir < 0 || (!fstat(top, &above) && !fstat(dir, &st) && above.st_dev == st.st_dev))
		return dir;
	close(dir);

	return -1;
}

/* Removes the pins of a listener, and its directory if that is empty then. Returns the number of
 * pins, or a negative errno. */
static int remove_listener(struct rp_member *m, int top, const char *name)
{
	int dir = open_listener(top, name), removed;

	if (dir < 0)
		return 0;
	removed = remove_pins(m, dir, name, listener_pins);
	if (removed > 0 || reuseport_find_listener_name(name)) {
		rp_remove_claims(dir);
		unlinkat(top, name, AT_REMOVEDIR);
	}
	close(dir);

	return removed;
}

/*
 * Removes what each listener has, and at last the group's own pins. Files that are not ours stay,
 * and so does the pin path: the daemons' user may not be able to make it again. All names are
 * looked up in the directory that is locked, which is on a bpffs, whatever its path leads to by
 * now. Returns the number of pins, or a negative errno.
 */
static int remove_group(struct rp_member *m)
{
	int top = openat(m->lock, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), removed = 0, ret = 0;
	DIR *dir = top < 0 ? NULL : fdopendir(top);
	struct dirent *entry;
	struct statfs fs;

	if (!dir || fstatfs(top, &fs))
		return rp_fail(m, -errno, "cannot list %s (%s)", m->config->pin_path,
			       strerror(errno));
	if ((__u32)fs.f_type != (__u32)BPF_FS_MAGIC)
		ret = rp_fail(m, -ENOENT, "%s is not on a bpffs", m->config->pin_path);
	while (ret >= 0 && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".."))
			continue;
		ret = remove_listener(m, top, entry->d_name);
		removed += ret > 0 ? ret : 0;
	}
	if (ret >= 0)
		ret = remove_pins(m, top, ".", group_pins);
	closedir(dir);

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
