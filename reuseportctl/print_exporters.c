// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A list of exporters as a table, as JSON, and as metrics. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "exporters.h"
#include "json.h"
#include "metrics.h"

/* ---- JSON ---- */

static json_t *exporter_json(const struct listing *l, const struct exporter *e)
{
	int live = e->route.receiver != RP_NO_BUCKET;
	char address[64];
	json_t *object;

	rp_format_addr(&e->address, address, sizeof(address));
	object = json_pack("{s:s, s:i, s:b, s:i, s:i, s:i, s:i, s:I, s:I, s:b}", "exporter",
			   address, "bucket", (int)e->route.bucket, "live", live, "domains",
			   (int)e->domains, "templates", (int)e->templates, "options_templates",
			   (int)e->options_templates, "options", (int)e->options, "first_seen",
			   (json_int_t)e->first_seen, "last_seen", (json_int_t)e->last_seen,
			   "silent", e->is_silent);
	if (l->has_talkers)
		json_object_update_new(object, json_pack("{s:I, s:I, s:f}", "datagrams",
							 (json_int_t)e->datagrams, "bytes",
							 (json_int_t)e->bytes, "share", e->share));
	if (e->rate >= 0)
		json_object_update_new(object, json_pack("{s:f, s:f}", "rate", e->rate, "byte_rate",
							 e->byte_rate));
	if (e->route.range > 1)
		json_object_set_new(object, "last_bucket",
				    json_integer(e->route.bucket + e->route.range - 1));
	if (e->sampling_rate)
		json_object_set_new(object, "sampling_rate", json_integer(e->sampling_rate));
	if (live)
		json_object_update_new(object, json_pack("{s:i, s:b, s:i, s:s}", "served_by",
							 (int)e->route.receiver, "failover",
							 e->route.receiver != e->route.bucket,
							 "pid", (int)e->instance.pid, "process",
							 e->instance.comm));

	return object;
}

void print_exporters_json(const struct listing *l)
{
	json_t *exporters = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(exporters, exporter_json(l, &l->list[i]));
	write_json(json_pack("{s:s, s:s, s:b, s:f, s:I, s:i, s:o}", "pin_path",
			     l->options->config.pin_path, "listener", l->listener, "sflow_by_agent",
			     l->by_agent, "seconds", l->seconds, "pages",
			     (json_int_t)l->changes.pages, "max_pages", RP_STATE_PAGES, "exporters",
			     exporters),
		   l->options->watch);
}

/* ---- metrics ---- */

static double total_datagrams(const struct exporter *e)
{
	return e->datagrams;
}

static double total_bytes(const struct exporter *e)
{
	return e->bytes;
}

static double last_seen(const struct exporter *e)
{
	return e->last_seen;
}

static const struct exporter_metric {
	const char *name, *type, *help;
	double (*value)(const struct exporter *e);
} metrics[] = {
	{"reuseport_exporter_datagrams_total", "counter",
	 "Datagrams of the exporter, estimated by samples.", total_datagrams},
	{"reuseport_exporter_bytes_total", "counter",
	 "Bytes of these datagrams, with their UDP headers.", total_bytes},
	{"reuseport_exporter_last_seen_timestamp_seconds", "gauge",
	 "When the last sample of the exporter came.", last_seen},
};

static void print_metric(const struct exporter_metric *metric, const struct listing *l)
{
	char group[512], listener[256], address[64];

	quoted(l->options->config.pin_path, group, sizeof(group));
	quoted(l->listener, listener, sizeof(listener));
	for (size_t i = 0; i < l->n; i++) {
		rp_format_addr(&l->list[i].address, address, sizeof(address));
		printf("%s{group=\"%s\",listener=\"%s\",exporter=\"%s\"} %.17g\n", metric->name,
		       group, listener, address, metric->value(&l->list[i]));
	}
}

void print_exporters_metrics(const struct listing *all, size_t n)
{
	begin_metrics(all->options->metrics);
	for (size_t k = 0; k < sizeof(metrics) / sizeof(metrics[0]); k++) {
		print_metric_head(metrics[k].name, metrics[k].type, metrics[k].help);
		for (size_t i = 0; i < n; i++)
			print_metric(&metrics[k], &all[i]);
	}
	end_metrics();
}

/* ---- the table ---- */

/* How long ago that was, in the unit that leaves two or three digits */
static const char *age_text(time_t t, char text[24])
{
	static const struct {
		long seconds, until;
		char unit;
	} units[] = {
		{1, 100, 's'}, {60, 6000, 'm'}, {3600, 48 * 3600, 'h'}, {86400, LONG_MAX, 'd'}};
	long age = time(NULL) - t;
	int n = 0;

	if (age < 0)
		age = 0;
	while (age >= units[n].until)
		n++;
	snprintf(text, 24, "%ld%c", age / units[n].seconds, units[n].unit);

	return text;
}

static void instance_text(const struct exporter *e, char text[40])
{
	if (e->route.receiver == RP_NO_BUCKET)
		snprintf(text, 40, e->route.quarantined ? "quarantine" : "refused");
	else
		snprintf(text, 40, e->instance.pid ? "%.12s %u" : "live", e->instance.comm,
			 e->instance.pid);
}

/* The buckets that an override spreads it over, or the one that has it; none
 * of a sender whose datagrams go where their agents belong */
static void bucket_text(const struct rp_route *route, int by_agent, char text[16])
{
	if (by_agent)
		snprintf(text, 16, "-");
	else if (route->range > 1)
		snprintf(text, 16, "%u-%u", route->bucket, route->bucket + route->range - 1);
	else
		snprintf(text, 16, "%u",
			 route->receiver == RP_NO_BUCKET ? route->bucket : route->receiver);
}

/* Returns: how many characters the longest of the addresses has */
static int address_width(const struct listing *l)
{
	int width = strlen("exporter");
	char address[64];

	for (size_t i = 0; i < l->n; i++) {
		int length;

		rp_format_addr(&l->list[i].address, address, sizeof(address));
		length = strlen(address);
		if (length > width)
			width = length;
	}

	return width;
}

static void print_exporter(const struct listing *l, const struct exporter *e, int width)
{
	char address[64], bucket[16], instance[40], first[24], last[24];
	char rate[16] = "-", bytes[16] = "-", share[16] = "-", sampling[16] = "-";

	rp_format_addr(&e->address, address, sizeof(address));
	if (l->by_agent)
		snprintf(instance, sizeof(instance), "by agent");
	else
		instance_text(e, instance);
	if (e->rate >= 0) {
		snprintf(rate, sizeof(rate), e->rate < 10 ? "%.1f" : "%.0f", e->rate);
		snprintf(bytes, sizeof(bytes), "%.1f", e->byte_rate / 1000);
	}
	if (l->has_talkers)
		snprintf(share, sizeof(share), "%.1f%%", 100 * e->share);
	if (e->sampling_rate)
		snprintf(sampling, sizeof(sampling), "1:%u", e->sampling_rate);
	bucket_text(&e->route, l->by_agent, bucket);
	printf("%-*s %6s  %-15s %11s %8s %6s %7u %9u %7u %8s %5s  %s%s\n", width, address, bucket,
	       instance, rate, bytes, share, e->domains, e->templates + e->options_templates,
	       e->options, sampling, age_text(e->first_seen, first), age_text(e->last_seen, last),
	       e->is_silent ? ", silent" : "");
}

void print_exporters_table(const struct listing *l, int is_next)
{
	int width = address_width(l);

	if (is_next)
		printf("%sthe last %.1f s:\n", isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n",
		       l->seconds);
	printf("%-*s %6s  %-15s %11s %8s %6s %7s %9s %7s %8s %5s  %s\n", width, "exporter",
	       "bucket", "instance", "datagrams/s", "kB/s", "share", "domains", "templates",
	       "options", "sampling", "first", "last");
	for (size_t i = 0; i < l->n; i++)
		print_exporter(l, &l->list[i], width);
	printf("%zu exporter%s, %zu silent; of %zu the group keeps templates or options, in %llu "
	       "of %d pages\n",
	       l->n_all, l->n_all == 1 ? "" : "s", l->n_silent, l->n_kept,
	       (unsigned long long)l->changes.pages, RP_STATE_PAGES);
	if (l->by_agent)
		printf("these are senders; sFlow is placed by the agents that it names: "
		       "'reuseportctl where' shows the bucket of one\n");
}
