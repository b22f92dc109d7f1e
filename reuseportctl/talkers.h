/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Who sends how much to a listener: what the selector has sampled, read, found, and compared. */
#ifndef TALKERS_H
#define TALKERS_H

#include <stddef.h>
#include "reuseportctl.h"

struct talker {
	union rp_addr address;
	struct rp_talker total;
	__u64 datagrams, bytes, samples; /* of these, those since the look before */
};

/* What a look at a listener found, by address. All zeroes: nothing. */
struct talkers {
	struct talker *list;
	size_t n;
	__u64 time; /* of the look, ns of CLOCK_MONOTONIC */
};

/*
 * Has the selector take more samples for so many seconds, and waits meanwhile; without the
 * privilege to say so, it waits only. A signal that would end the command ends it when the selector
 * takes as few as before again. If the command is killed, an instance sees to that, a minute later
 * at most.
 */
void watch_talkers(const struct options *o, unsigned int seconds);

/* Reads the map, whose fd it is. before: an earlier look, or all zeroes. The list is to be freed.
 */
void read_talkers(int map, const struct talkers *before, struct talkers *now);

/* Returns NULL if nothing was sampled of it */
const struct talker *find_talker(const struct talkers *all, const union rp_addr *address);

/*
 * Chooses the listener whose exporters are meant: that of --listener, nfacctd, or else the first
 * one that has something to tell of them. Returns its name, as listener_name() has it, or NULL, and
 * the error is reported.
 */
const char *choose_listener(const struct options *o);

/* Orders addresses, for qsort() and bsearch(); also of what begins with one */
int compare_addresses(const void *one, const void *other);

#endif
