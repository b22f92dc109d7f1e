// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* sflow: whether the agent that an sFlow datagram names is its exporter, or its sender. */
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "live_group.h"

int command_sflow(struct options *o, char **arguments)
{
	int by_agent = !strcmp(arguments[0], "agent"), before, err;
	struct rp_member m;
	char who[160];

	if (!by_agent && strcmp(arguments[0], "sender"))
		return report_error(NOT_UNDERSTOOD, "sflow takes 'agent' or 'sender', not '%s'",
				    arguments[0]);
	if (open_live_group(&m, &o->config, who, sizeof(who)))
		return FAILED;

	before = rp_get_setting(&m, RP_POLICY) & RP_BY_AGENT;
	if (m.fds[RP_POLICY] < 0)
		err = fail_no_map(&m, RP_MAP_POLICY, who);
	else
		err = set_policy(&m, RP_BY_AGENT, by_agent);
	if (!err)
		printf("%s: sFlow by %s, by %s before\n", o->config.pin_path, arguments[0],
		       before ? "agent" : "sender");

	return close_live_group(&m, err);
}
