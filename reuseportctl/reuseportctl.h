/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the companion share. Each command returns the exit status. */
#ifndef REUSEPORTCTL_H
#define REUSEPORTCTL_H

#include <stdarg.h>
#include <stdio.h>
#include "group.h"

enum status {
	DONE,		/* as it was asked for */
	FAILED,		/* refused or failed, with one line that says why */
	NOT_UNDERSTOOD, /* the command line */
	MARKED,		/* done, and the output marks something as not as it should be */
};

/* Of the command line */
struct options {
	struct rp_config config; /* pin_path; for listen and load also prog, count, index, nonce */
	const char *listener;	 /* only this one; NULL: all */
	int json, openmetrics, plain, has_index;
	int watch;		/* seconds between two looks; 0: one look */
	const char *load;	/* file of overrides, or - */
	const char *from;	/* source addresses, as a prefix */
	unsigned int exporters; /* how many of them */
	unsigned int ports;	/* source ports of each */
	int protocol;		/* IPPROTO_TCP, IPPROTO_UDP; 0: both */
};

/* One line on stderr, with the program's name in front; returns status */
int report_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A prefix or an address, IPv4 as v4-mapped, and back; false: not one, or with bits beyond its
 * length */
int parse_prefix(const char *word, struct rp_prefix *prefix);
void prefix_text(const struct rp_prefix *prefix, char *text, size_t len);
void addr_text(const union rp_addr *addr, char *text, size_t len);

/* A whole number within bounds; false: not one */
int parse_number(const char *word, unsigned long min, unsigned long max, unsigned long *number);

/* steer.c */
int resize(struct options *o, const char *word);
int failover(struct options *o, const char *word);
int pin(struct options *o, const char *prefix, const char *bucket);
int unpin(struct options *o, const char *prefix);
int pins(struct options *o);
int reset(struct options *o);
int load(struct options *o, char **listeners);

/* status.c */
int show_status(struct options *o);
int where(struct options *o, char **addresses);

/* pair.c */
int listen_at(struct options *o, const char *address, const char *port);
int connect_to(struct options *o, const char *address, const char *port);

#endif
