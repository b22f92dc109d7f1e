// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A snapshot as metrics: see metrics.h */
#include <limits.h>
#include <stdio.h>
#include "metrics.h"
#include "reuseport_version.h"
#include "snapshot.h"
#include "text.h"

/* A value for each bucket of each listener. value() returns 0 if a bucket has none. */
struct metric {
	const char *name, *type, *help;
	int (*value)(const struct listener *l, const struct bucket *b, double *value);
};

static int value_live(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->owner.cookie != 0;

	return 1;
}

static int value_ready(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->owner.cookie && b->owner.state == RP_READY;

	return 1;
}

static int value_joined(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = wall_time(CLOCK_BOOTTIME, b->owner.since);

	return b->owner.since != 0;
}

static int value_own(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_OWN];

	return l->has_counters;
}

static int value_failover(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_FAILOVER];

	return l->has_counters;
}

static int value_refused(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_REFUSED];

	return l->has_counters;
}

static int value_sessions_refused(const struct listener *l, const struct bucket *b, double *value)
{
	*value = l->instances[b - l->bucket].refused;

	return l->counts_sessions;
}

static int value_sessions(const struct listener *l, const struct bucket *b, double *value)
{
	*value = l->instances[b - l->bucket].held;

	return l->counts_sessions && b->owner.cookie;
}

static int value_sessions_returned(const struct listener *l, const struct bucket *b, double *value)
{
	*value = l->instances[b - l->bucket].returned;

	return l->counts_sessions;
}

static int value_other_group(const struct listener *l, const struct bucket *b, double *value)
{
	*value = b->counters.n[RP_OTHER_GROUP];

	return l->has_counters;
}

static int value_disallowed(const struct listener *l, const struct bucket *b, double *value)
{
	const struct rp_instance *instance = &l->instances[b - l->bucket];

	*value = instance->disallowed;

	return instance->alive != 0;
}

static int value_queue(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->sock ? queue_fill(b->sock) : 0;

	return b->sock != NULL;
}

static int value_drops(const struct listener *l, const struct bucket *b, double *value)
{
	(void)l;
	*value = b->sock ? b->sock->drops : 0;

	return b->sock != NULL;
}

/* Seconds since one of the times in the record of a live instance; milliseconds of CLOCK_MONOTONIC
 */
static int age(const struct listener *l, const struct bucket *b, __u64 then, double *value)
{
	*value = l->instances_read > then ? (l->instances_read - then) / 1e3 : 0;

	return b->owner.cookie && then;
}

static int value_heartbeat(const struct listener *l, const struct bucket *b, double *value)
{
	return age(l, b, l->instances[b - l->bucket].alive, value);
}

static int value_read(const struct listener *l, const struct bucket *b, double *value)
{
	return age(l, b, l->instances[b - l->bucket].reads, value);
}

static const struct metric metrics[] = {
	{"reuseport_bucket_live", "gauge", "Whether an instance owns the bucket.", value_live},
	{"reuseport_bucket_ready", "gauge", "Whether that instance reads its socket.", value_ready},
	{"reuseport_bucket_joined_timestamp_seconds", "gauge", "When it joined.", value_joined},
	{"reuseport_received_own_total", "counter",
	 "Datagrams or connections of the bucket's own exporters.", value_own},
	{"reuseport_received_failover_total", "counter",
	 "Datagrams or connections of exporters whose own bucket was empty.", value_failover},
	{"reuseport_refused_total", "counter",
	 "Datagrams or connections refused because the bucket was empty.", value_refused},
	{"reuseport_sessions_refused_total", "counter",
	 "Sessions that the bucket's instance closed at once, for want of room.",
	 value_sessions_refused},
	{"reuseport_sessions", "gauge", "Sessions that the bucket's instance has.", value_sessions},
	{"reuseport_sessions_returned_total", "counter",
	 "Sessions that it closed, since it joined, for their owner to have them.",
	 value_sessions_returned},
	{"reuseport_other_group_total", "counter",
	 "Datagrams or connections whose bucket had a socket that the kernel does not select.",
	 value_other_group},
	{"reuseport_disallowed_total", "counter",
	 "Datagrams that the instance discarded, because its allow file does not list the "
	 "exporter.",
	 value_disallowed},
	{"reuseport_queue_ratio", "gauge",
	 "Fill of the socket's receive buffer, or of its accept queue.", value_queue},
	{"reuseport_socket_drops_total", "counter",
	 "Datagrams or connections that the kernel dropped at the socket.", value_drops},
	{"reuseport_instance_heartbeat_age_seconds", "gauge",
	 "Since the thread that looks after the instance was last seen to run.", value_heartbeat},
	{"reuseport_instance_read_age_seconds", "gauge",
	 "Since the instance was last seen to come round for the next datagrams.", value_read},
};

static void print_of_group(const char *name, const char *type, const char *help, const char *group,
			   double value)
{
	print_metric_head(name, type, help);
	printf("%s{group=\"%s\"} %.17g\n", name, group, value);
}

static void print_gauge(const char *name, const char *help, const char *group, double value)
{
	print_of_group(name, "gauge", help, group, value);
}

static void print_state(const struct rp_state_changes *state, const char *group)
{
	print_gauge("reuseport_exporter_state_ratio",
		    "Fill of the map that keeps what exporters tell only now and then.", group,
		    (double)state->pages / RP_STATE_PAGES);
	print_gauge("reuseport_exporter_state_pages",
		    "Pages of that map in use: one for most exporters, 64 at most.", group,
		    state->pages);
	print_of_group("reuseport_exporter_state_evicted_total", "counter",
		       "Exporters that were forgotten because they were not seen for long.", group,
		       state->evicted);
	print_of_group("reuseport_exporter_state_refused_total", "counter",
		       "Attempts to keep an exporter for which there was no room.", group,
		       state->refused);
	print_of_group("reuseport_exporter_state_too_large_total", "counter",
		       "Templates and options that were too large to be kept.", group,
		       state->too_large);
}

static void print_quarantine(const struct snapshot *s, const char *group)
{
	__u64 dropped = 0;
	__u32 active = 0, times = 0;

	for (size_t i = 0; i < s->n_convicts; i++) {
		active += s->convicts[i].conviction.active;
		times += s->convicts[i].conviction.times;
	}
	for (size_t n = 0; n < s->n_listeners; n++)
		dropped += s->listeners[n]->quarantined;
	print_gauge("reuseport_group_quarantined",
		    "Exporters in quarantine, because they have brought instances down.", group,
		    active);
	print_gauge("reuseport_group_convictions",
		    "Instances that exporters have brought down within about a day.", group, times);
	print_of_group("reuseport_quarantined_total", "counter",
		       "Datagrams and connections of exporters in quarantine that were dropped.",
		       group, dropped);
}

static double weight_of(const struct snapshot *s, __u32 bucket)
{
	return rp_get_weight(&s->weights, bucket);
}

/* A gauge of each of the group's buckets, whatever the listener */
static void print_of_buckets(const char *name, const char *help, const struct snapshot *s,
			     const char *group, double (*value)(const struct snapshot *, __u32))
{
	print_metric_head(name, "gauge", help);
	for (__u32 i = 0; i < s->size && i < RP_MAX_BUCKETS; i++)
		printf("%s{group=\"%s\",bucket=\"%u\"} %.17g\n", name, group, i, value(s, i));
}

static void print_metric(const struct metric *metric, const struct snapshot *s, const char *group)
{
	char name[2 * sizeof(s->listeners[0]->name)];
	double value;

	print_metric_head(metric->name, metric->type, metric->help);
	for (size_t n = 0; n < s->n_listeners; n++) {
		const struct listener *l = s->listeners[n];

		for (__u32 i = 0; i < l->n_buckets; i++)
			if (metric->value(l, &l->bucket[i], &value))
				printf("%s{group=\"%s\",listener=\"%s\",bucket=\"%u\"} %.17g\n",
				       metric->name, group, quoted(l->name, name, sizeof(name)), i,
				       value);
	}
}

/* A sample of a listener, up to its further labels */
static void print_sample(const char *name, const char *group, const struct listener *l)
{
	char text[2 * sizeof(l->name)];

	printf("%s{group=\"%s\",listener=\"%s\"", name, group, quoted(l->name, text, sizeof(text)));
}

/* Which programs run: hosts that differ were not upgraded together */
static void print_versions(const struct snapshot *s, const char *group)
{
	const char *build = "reuseport_build_info", *selector = "reuseport_selector_info";

	print_metric_head(build, "gauge",
			  "Version of reuseportctl, and the number of maps and hash, which all "
			  "of a group share.");
	printf("%s{group=\"%s\",version=\"%s\",abi=\"%d\"} 1\n", build, group, REUSEPORT_VERSION,
	       RP_ABI);
	print_metric_head(selector, "gauge", "Tag that the kernel gives the selector in use.");
	for (size_t n = 0; n < s->n_listeners; n++) {
		if (!s->listeners[n]->tag[0])
			continue;
		print_sample(selector, group, s->listeners[n]);
		printf(",tag=\"%s\"} 1\n", s->listeners[n]->tag);
	}
}

static void print_unreadable(const struct snapshot *s, const char *group)
{
	const char *name = "reuseport_unreadable_total";

	print_metric_head(name, "counter",
			  "Datagrams or connections dropped, since they have no readable source.");
	for (size_t n = 0; n < s->n_listeners; n++) {
		if (!s->listeners[n]->has_counters)
			continue;
		print_sample(name, group, s->listeners[n]);
		printf("} %llu\n", (unsigned long long)s->listeners[n]->unreadable);
	}
}

static void print_faults(const struct snapshot *s, const char *group)
{
	const char *name = "reuseport_instance_fault_timestamp_seconds";

	print_metric_head(name, "gauge", "When an instance of the bucket last had a fault.");
	for (size_t n = 0; n < s->n_listeners; n++)
		for (__u32 i = 0; i < RP_MAX_BUCKETS; i++) {
			const struct rp_instance *r = &s->listeners[n]->instances[i];

			if (r->fault == RP_NO_FAULT)
				continue;
			print_sample(name, group, s->listeners[n]);
			printf(",bucket=\"%u\",kind=\"%s\"} %llu\n", i, fault_name(r->fault),
			       (unsigned long long)wall_time(CLOCK_BOOTTIME, r->fault_at));
		}
}

/* Those of the listener whose instances keep such a record: the main thread's */
static void print_fault_counts(const struct snapshot *s, const char *group)
{
	const char *name = "reuseport_instance_faults_total";

	print_metric_head(name, "counter", "Faults that instances of the bucket had.");
	for (size_t n = 0; n < s->n_listeners; n++)
		for (__u32 i = 0; i < s->listeners[n]->n_buckets; i++)
			for (__u32 fault = RP_CRASHED; fault < RP_FAULTS; fault++) {
				const struct rp_instance *r = &s->listeners[n]->instances[i];

				if (!r->alive && r->fault == RP_NO_FAULT)
					continue;
				print_sample(name, group, s->listeners[n]);
				printf(",bucket=\"%u\",kind=\"%s\"} %u\n", i, fault_name(fault),
				       r->faults[fault]);
			}
}

void print_metrics(const struct snapshot *s)
{
	char path[4 * PATH_MAX], group[2 * sizeof(path)];
	size_t takers = 0;

	for (size_t n = 0; n < s->n_listeners; n++)
		for (size_t i = 0; i < s->listeners[n]->n_foreign; i++)
			takers += s->listeners[n]->foreign[i].takes_traffic;

	printable(s->options->config.pin_path, path, sizeof(path));
	quoted(path, group, sizeof(group));
	begin_metrics(s->options->metrics);
	print_gauge("reuseport_group_buckets", "Buckets of the group.", group, s->size);
	print_gauge("reuseport_group_failover",
		    "Whether live instances serve the exporters of an empty bucket.", group,
		    s->failover);
	print_gauge("reuseport_group_overrides", "Prefixes that have a bucket by override.", group,
		    s->n_overrides);
	print_gauge("reuseport_group_foreign_sockets",
		    "Sockets outside the group that take its traffic.", group, takers);
	print_of_buckets("reuseport_bucket_weight", "Weight of the bucket, 0 if it is drained.", s,
			 group, weight_of);
	print_of_buckets("reuseport_bucket_slots_ratio", "Share that the bucket has of the slots.",
			 s, group, slots_share);
	if (s->keeps_exporters)
		print_state(&s->state, group);
	if (s->has_quarantine)
		print_quarantine(s, group);
	for (size_t k = 0; k < sizeof(metrics) / sizeof(metrics[0]); k++)
		print_metric(&metrics[k], s, group);
	print_unreadable(s, group);
	print_faults(s, group);
	print_fault_counts(s, group);
	print_versions(s, group);
	end_metrics();
}
