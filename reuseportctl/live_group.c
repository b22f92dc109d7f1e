// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A live group, opened to change its settings: see live_group.h. */
#include <errno.h>
#include <signal.h>
#include "live_group.h"

int open_live_group(struct rp_member *m, const struct rp_config *config, char *who, size_t len)
{
	sigset_t all;
	int live;

	rp_init(m);
	if (rp_open_settings(m, config))
		return report_error(FAILED, "%s", m->error);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);

	live = rp_find_live(m, 0, who, len);
	if (live > 0)
		return DONE;
	if (!live)
		rp_fail(m, -ENOENT,
			"no instance is live in the group %s: its settings come with the first "
			"instance; start the instances",
			config->pin_path);
	report_error(FAILED, "%s", m->error);
	rp_close(m);

	return FAILED;
}

int close_live_group(struct rp_member *m, int err)
{
	if (err)
		report_error(FAILED, "%s", m->error);
	rp_close(m);

	return err ? FAILED : DONE;
}

int fail_no_map(struct rp_member *m, const char *map, const char *who)
{
	return rp_fail(m, -ENOENT,
		       "no map '%s' is pinned in %s, where instances are live (%s): their object "
		       "cannot do that, or this is not the group's directory",
		       map, m->config->pin_path, who);
}

int set_policy(struct rp_member *m, __u32 bit, int on)
{
	__u32 policy = rp_get_setting(m, RP_POLICY);

	return rp_set_setting(m, RP_POLICY, on ? policy | bit : policy & ~bit);
}
