// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* status: what a group does, once or again and again. */
#include <stdio.h>
#include <unistd.h>
#include "commands.h"
#include "snapshot.h"

int command_status(struct options *o, char **arguments)
{
	struct snapshot now, before = {};
	struct rp_member m;

	(void)arguments;
	if (o->metrics && o->json)
		return report_error(NOT_UNDERSTOOD, "--json or metrics, not both");
	if (o->metrics && o->watch)
		return report_error(NOT_UNDERSTOOD, "--watch or metrics, not both");

	for (int taken = 0;; taken++) {
		if (take_snapshot(&now, o, taken ? &before : NULL, &m))
			return report_error(FAILED, "%s", m.error);
		diagnose(&now);
		if (o->metrics)
			print_metrics(&now);
		else if (o->json)
			print_json(&now);
		else
			print_table(&now, taken ? now.taken - before.taken : 0);
		free_snapshot(&before);
		if (flush_output() || !o->watch)
			break;
		before = now;
		sleep(o->watch);
	}
	free_snapshot(&now);

	return now.n_warnings ? MARKED : DONE;
}
