/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What the commands share: the exit status, the options, the error line. One file a command; the
 * table of them is in commands.c. */
#ifndef REUSEPORTCTL_H
#define REUSEPORTCTL_H

#include <stddef.h>
#include <time.h>
#include "group.h"

/* The exit status of reuseportctl, and what each command returns */
enum status {
	DONE,		/* done as asked */
	FAILED,		/* refused or failed: one line on stderr says why */
	NOT_UNDERSTOOD, /* the command line has a mistake: one line on stderr says which */
	MARKED,		/* done, and the output marks something that is wrong */
};

/* See metrics.h */
enum metrics_format { NO_METRICS, PROMETHEUS_TEXT, OPENMETRICS_TEXT };

/* The options of the command line */
struct options {
	struct rp_config config;    /* pin_path; for listen and preload also prog, count, index */
	const char *listener;	    /* show only this one; NULL: all */
	const char *addresses_file; /* NULL: none; "-": stdin */
	int json, plain, has_index;
	enum metrics_format metrics;
	int watch;	  /* seconds between two snapshots; 0: take one only */
	const char *from; /* prefix of the source addresses; NULL: chosen by the destination */
	unsigned int exporters;	 /* number of source addresses */
	unsigned int ports;	 /* number of source ports of each */
	const char *spread, *by; /* of override add; NULL: not given */
	int protocol;		 /* IPPROTO_TCP, IPPROTO_UDP; 0: both */
	const char *sort;	 /* by what exporters are sorted; NULL: datagrams */
	unsigned int top;	 /* show as many exporters; 0: all */
	unsigned int seconds;	 /* between two looks at what exporters send; 0: one look */
	unsigned int limit;	 /* rebalance moves at most so many */
	int apply;
};

/* A name that others may have chosen, such as that of a directory: all but printable ASCII, and the
 * backslash itself, as \xHH. It is cut off if text is too short; four times the name is enough.
 * Returns text. */
const char *printable(const char *name, char *text, size_t len);

/* Prints one line on stderr, after the name of the program. Returns status. */
int report_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes what was printed so far. Returns 0, or the errno of the first write that failed, also
 * after later ones: main() reports it. */
int flush_output(void);

/* Seconds since the epoch, by what the wall clock says now; seconds: of that clock */
time_t wall_time(clockid_t clock, __u64 seconds);

/* Returns the list, with room for n + 1 elements of that size; exits if there is no memory */
void *grow(void *list, size_t n, size_t size);

#endif
