// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* evict: takes the sockets of an instance that has ended, and which systemd keeps, out of a bucket.
 */
#include <stdio.h>
#include <unistd.h>
#include "commands.h"
#include "faults.h"
#include "text.h"

static void print_eviction(const struct rp_member *listener, __u32 pid)
{
	char name[1024];

	printf("%s: pid %u has ended, and its socket is out of bucket %u\n",
	       printable(listener->listener, name, sizeof(name)), pid, listener->config->index);
}

int command_evict(struct options *o, char **arguments)
{
	unsigned long index;
	struct rp_member m;

	if (!parse_number(arguments[0], 0, RP_MAX_BUCKETS - 1, &index))
		return report_error(NOT_UNDERSTOOD, "'%s' is not a bucket, 0 to %d", arguments[0],
				    RP_MAX_BUCKETS - 1);
	/* the instance has ended before there was a group */
	if (access(o->config.pin_path, F_OK))
		return DONE;
	o->config.index = index;
	rp_init(&m);
	if (rp_evict_dead(&m, &o->config, index, print_eviction))
		return report_error(FAILED, "%s", m.error);

	return DONE;
}
