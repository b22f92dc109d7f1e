// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* failover: whether live instances serve the exporters of an empty bucket. */
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "live_group.h"

int command_failover(struct options *o, char **arguments)
{
	int on = !strcmp(arguments[0], "on"), was_on, err;
	struct rp_member m;
	char who[160];

	if (!on && strcmp(arguments[0], "off"))
		return report_error(NOT_UNDERSTOOD, "failover takes 'on' or 'off', not '%s'",
				    arguments[0]);
	if (open_live_group(&m, &o->config, who, sizeof(who)))
		return FAILED;

	was_on = rp_fails_over(&m);
	if (m.fds[RP_POLICY] < 0)
		err = fail_no_map(&m, RP_MAP_POLICY, who);
	else
		err = set_policy(&m, RP_NO_FAILOVER, !on);
	if (!err)
		printf("%s: failover %s, %s before\n", o->config.pin_path, on ? "on" : "off",
		       was_on ? "on" : "off");

	return close_live_group(&m, err);
}
