// SPDX-License-Identifier: GPL-2.0-or-later
/* The names and transports of the listeners that daemons have, from the daemons' own table. */
#include <netinet/in.h>
#include <string.h>
#include "known_listeners.h"

const struct known_listener known_listeners[N_KNOWN_LISTENERS] = REUSEPORT_LISTENER_NAMES;

const struct known_listener *find_known_listener(const char *name)
{
	for (int i = 0; i < N_KNOWN_LISTENERS; i++)
		if (!strcmp(known_listeners[i].name, name))
			return &known_listeners[i];

	return NULL;
}
