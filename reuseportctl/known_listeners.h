/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names and transports of the listeners that daemons have. */
#ifndef KNOWN_LISTENERS_H
#define KNOWN_LISTENERS_H

#include "reuseport.h"

#define N_KNOWN_LISTENERS REUSEPORT_LISTENERS

struct known_listener {
	const char *name;
	int protocol; /* IPPROTO_UDP or IPPROTO_TCP */
};

extern const struct known_listener known_listeners[N_KNOWN_LISTENERS];

/* Returns NULL if no daemon has a listener of that name */
const struct known_listener *find_known_listener(const char *name);

#endif
