// SPDX-License-Identifier: GPL-2.0-or-later
/* exporters: what the group keeps of exporters of NetFlow v9 and IPFIX, and which instance has
 * each. Takes no lock and writes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "commands.h"
#include "flow_sets.h"
#include "json.h"
#include "live_group.h"
#include "snapshot.h"
#include "state_pages.h"
#include "text.h"

/* An exporter, and what its records say */
struct exporter {
	union rp_addr address;
	struct rp_bucket instance;
	struct rp_route route;
	__u32 domains, templates, options_templates, options;
	__u32 sampling_rate; /* the highest; 0: none is told */
	time_t first_seen, last_seen;
};

struct listing {
	const struct options *options;
	struct exporter *list;
	size_t n;
	struct rp_state_changes changes;
	int has_listener, has_state;
};

/* ---- one exporter ---- */

/* The sampling rate that a record of options data tells, or 0 */
static __u32 rate_of(const struct rp_pages *pages, const struct rp_state_record *record)
{
	struct rp_state_record wanted = {.domain = record->domain,
					 .id = record->id,
					 .version = record->version,
					 .kind = RP_STATE_OPTIONS_TEMPLATE};
	const struct rp_state_record *template = rp_pages_find(pages, &wanted);
	struct flow_definition definition;

	if (!template || !flow_read_definition(record->version, FLOW_OPTIONS_TEMPLATE, template + 1,
					       template->length, &definition))
		return 0;

	return flow_sampling_rate(&definition, (const __u8 *)(record + 1), record->length);
}

/* Whether no record before this one is of its domain and version */
static int is_first_of_domain(const struct rp_pages *pages, const struct rp_state_record *record)
{
	const struct rp_state_record *other;
	struct rp_pages_walk walk = {};

	while ((other = rp_pages_next(pages, &walk)) != record)
		if (other->domain == record->domain && other->version == record->version)
			return 0;

	return 1;
}

static void count_records(struct exporter *exporter, const struct rp_pages *pages)
{
	const struct rp_state_record *record;
	struct rp_pages_walk walk = {};
	__u32 rate;

	while ((record = rp_pages_next(pages, &walk))) {
		exporter->domains += is_first_of_domain(pages, record);
		exporter->templates += record->kind == RP_STATE_TEMPLATE;
		exporter->options_templates += record->kind == RP_STATE_OPTIONS_TEMPLATE;
		if (record->kind != RP_STATE_OPTIONS_DATA)
			continue;
		exporter->options++;
		rate = rate_of(pages, record);
		if (rate > exporter->sampling_rate)
			exporter->sampling_rate = rate;
	}
}

static void add_exporter(struct listing *l, const struct rp_member *m, const union rp_addr *address)
{
	struct exporter exporter = {.address = *address};
	struct rp_pages pages = {};

	/* deleted meanwhile */
	if (rp_pages_read(m->fds[RP_STATE], address, &pages))
		return;
	rp_find_route(m, address, &exporter.route);
	if (exporter.route.receiver != RP_NO_BUCKET)
		rp_read_bucket(m, exporter.route.receiver, &exporter.instance);
	exporter.first_seen = wall_time(pages.page[0].first_seen);
	exporter.last_seen = wall_time(pages.page[0].last_seen);
	count_records(&exporter, &pages);
	rp_pages_free(&pages);
	l->list = grow(l->list, l->n, sizeof(*l->list));
	l->list[l->n++] = exporter;
}

/* ---- all ---- */

static int compare(const void *one, const void *other)
{
	return memcmp(&((const struct exporter *)one)->address,
		      &((const struct exporter *)other)->address, sizeof(union rp_addr));
}

/* Keys first, then exporters: what instances write meanwhile must not lead the walk astray */
static void add_all(struct listing *l, const struct rp_member *m)
{
	struct rp_state_key key, *before = NULL;
	union rp_addr *addresses = NULL;
	size_t n = 0, keys = 0;

	while (keys++ < 2 * RP_STATE_PAGES && rp_pages_next_key(m->fds[RP_STATE], before, &key)) {
		before = &key;
		if (key.page)
			continue;
		addresses = grow(addresses, n, sizeof(*addresses));
		memcpy(&addresses[n++], key.exporter, sizeof(*addresses));
	}
	if (n)
		qsort(addresses, n, sizeof(*addresses), compare);
	for (size_t i = 0; i < n; i++)
		if (!i || compare(&addresses[i - 1], &addresses[i]))
			add_exporter(l, m, &addresses[i]);
	free(addresses);
}

/* ---- output ---- */

static json_t *exporter_json(const struct exporter *e)
{
	int live = e->route.receiver != RP_NO_BUCKET;
	char address[64];
	json_t *object;

	rp_format_addr(&e->address, address, sizeof(address));
	object = json_pack("{s:s, s:i, s:b, s:i, s:i, s:i, s:i, s:I, s:I}", "exporter", address,
			   "bucket", (int)e->route.bucket, "live", live, "domains", (int)e->domains,
			   "templates", (int)e->templates, "options_templates",
			   (int)e->options_templates, "options", (int)e->options, "first_seen",
			   (json_int_t)e->first_seen, "last_seen", (json_int_t)e->last_seen);
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

static void print_exporters_json(const struct listing *l)
{
	json_t *exporters = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(exporters, exporter_json(&l->list[i]));
	write_json(json_pack("{s:s, s:I, s:i, s:o}", "pin_path", l->options->config.pin_path,
			     "pages", (json_int_t)l->changes.pages, "max_pages", RP_STATE_PAGES,
			     "exporters", exporters),
		   0);
}

static void seen_text(time_t t, char text[16])
{
	struct tm tm;

	snprintf(text, 16, "-");
	if (localtime_r(&t, &tm))
		strftime(text, 16, time(NULL) - t < 20 * 3600 ? "%H:%M:%S" : "%m-%d %H:%M", &tm);
}

static void print_exporter(const struct exporter *e)
{
	char address[64], instance[40] = "refused", rate[16] = "-", first[16], last[16];

	rp_format_addr(&e->address, address, sizeof(address));
	if (e->route.receiver != RP_NO_BUCKET)
		snprintf(instance, sizeof(instance), e->instance.pid ? "%.12s %u" : "live",
			 e->instance.comm, e->instance.pid);
	if (e->sampling_rate)
		snprintf(rate, sizeof(rate), "1:%u", e->sampling_rate);
	seen_text(e->first_seen, first);
	seen_text(e->last_seen, last);
	printf("%-25s %6u  %-18s %7u %9u %7u %8s %-11s %s\n", address,
	       e->route.receiver == RP_NO_BUCKET ? e->route.bucket : e->route.receiver, instance,
	       e->domains, e->templates + e->options_templates, e->options, rate, first, last);
}

static void print_exporters_table(const struct listing *l)
{
	printf("%-25s %6s  %-18s %7s %9s %7s %8s %-11s %s\n", "exporter", "bucket", "instance",
	       "domains", "templates", "options", "sampling", "first seen", "last seen");
	for (size_t i = 0; i < l->n; i++)
		print_exporter(&l->list[i]);
	printf("%zu exporter%s; the group keeps %llu pages of at most %d\n", l->n,
	       l->n == 1 ? "" : "s", (unsigned long long)l->changes.pages, RP_STATE_PAGES);
}

/* ---- the command ---- */

/* The group's maps are the same for each listener; where an exporter is, is that of nfacctd's port
 */
static int list_listener(struct rp_member *m, void *arg)
{
	struct listing *l = arg;
	const __u32 zero = 0;

	if (strcmp(listener_name(m), l->options->listener))
		return 0;
	l->has_listener = 1;
	if (m->fds[RP_STATE] < 0)
		return 1;
	l->has_state = 1;
	if (m->fds[RP_CHANGES] >= 0)
		bpf_map_lookup_elem(m->fds[RP_CHANGES], &zero, &l->changes);
	if (!l->n)
		add_all(l, m);

	return 1;
}

/* Keeps those that the command line names, in its order */
static int choose(struct listing *all, char **arguments)
{
	struct listing chosen = *all;

	chosen.list = NULL;
	chosen.n = 0;
	for (; *arguments; arguments++) {
		const struct exporter *found;
		struct exporter wanted;

		if (!parse_address(*arguments, &wanted.address))
			return report_error(NOT_UNDERSTOOD, "'%s' is not an IP address",
					    *arguments);
		found = all->n ? bsearch(&wanted, all->list, all->n, sizeof(wanted), compare)
			       : NULL;
		if (!found)
			return report_error(FAILED,
					    "the group %s keeps nothing of %s: it has sent no "
					    "template of NetFlow v9 or IPFIX",
					    all->options->config.pin_path, *arguments);
		chosen.list = grow(chosen.list, chosen.n, sizeof(*chosen.list));
		chosen.list[chosen.n++] = *found;
	}
	free(all->list);
	*all = chosen;

	return DONE;
}

int command_exporters(struct options *o, char **arguments)
{
	struct listing l = {.options = o};
	struct rp_member m;
	int status = DONE;

	o->listener = "nfacctd";
	rp_init(&m);
	if (rp_each_listener(&m, &o->config, list_listener, &l) < 0)
		return report_error(FAILED, "%s", m.error);
	if (!l.has_state) {
		if (l.has_listener)
			fail_no_map(&m, RP_MAP_STATE, "nfacctd");
		else
			fail_no_listener(&m, o);
		return report_error(FAILED, "%s", m.error);
	}
	if (*arguments)
		status = choose(&l, arguments);
	if (!status && o->json)
		print_exporters_json(&l);
	else if (!status)
		print_exporters_table(&l);
	free(l.list);

	return status;
}
