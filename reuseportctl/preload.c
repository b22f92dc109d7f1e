// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* preload: pins the selector and its maps, for daemons that may not load BPF programs. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "commands.h"
#include "listener_names.h"

int command_preload(struct options *o, char **arguments)
{
	const char *path = o->config.pin_path;
	struct rp_member m;
	struct stat st;

	if (!o->config.prog)
		return report_error(NOT_UNDERSTOOD,
				    "preload needs the selector: --prog /path/to/reuseport.o");
	if (!stat(path, &st) && st.st_uid != geteuid())
		return report_error(
			FAILED,
			"%s belongs to user id %u, who could not use what user id %u pins there: "
			"run this as that user, with CAP_BPF",
			path, st.st_uid, geteuid());
	for (char **name = arguments; *name; name++)
		if (!reuseport_find_listener_name(*name))
			return report_error(NOT_UNDERSTOOD, "no listener is called '%s'", *name);

	for (char **name = arguments; *name; name++) {
		const struct reuseport_listener_name *listener =
			reuseport_find_listener_name(*name);

		rp_init(&m);
		if (rp_preload(&m, &o->config, listener->name, listener->protocol))
			return report_error(FAILED, "%s", m.error);
		printf("%s: %s is loaded for listener %s\n", path, o->config.prog, *name);
	}

	return DONE;
}
