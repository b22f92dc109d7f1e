/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The exporters of one listener: who sends how much, what the group keeps of each, and which
 * instance has it. */
#ifndef EXPORTERS_H
#define EXPORTERS_H

#include <time.h>
#include "reuseportctl.h"

struct exporter {
	union rp_addr address; /* first: see compare_addresses() */
	struct rp_bucket instance;
	struct rp_route route;
	/* what its records say */
	int is_kept; /* the group keeps records of it */
	__u32 domains, templates, options_templates, options;
	__u32 sampling_rate; /* the highest; 0: none is told */
	/* by samples: in the time between two looks; with one look, since it was first seen */
	__u64 datagrams, bytes;
	double rate, byte_rate; /* a second; below 0: unknown */
	double share;		/* of all datagrams, 0 to 1 */
	time_t first_seen, last_seen;
	int is_silent; /* it has sent nothing for much longer than it uses to */
};

struct listing {
	const struct options *options;
	const char *listener;
	struct exporter *list;
	size_t n;
	size_t n_all, n_kept, n_silent; /* before some were chosen */
	double seconds;			/* between two looks; 0: there was one */
	struct rp_state_changes changes;
	int has_state, has_talkers; /* the object has the maps for that */
	int by_agent;		    /* not these senders have buckets, but the agents of sFlow */
};

/* exporter_records.c: what the group keeps of the exporter, if it keeps anything */
void read_records(const struct rp_member *m, struct exporter *e);

/* print_exporters.c. is_next: another one was printed before */
void print_exporters_table(const struct listing *l, int is_next);
void print_exporters_json(const struct listing *l);
void print_exporters_metrics(const struct listing *all, size_t n);

#endif
