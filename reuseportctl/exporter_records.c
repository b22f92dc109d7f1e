// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* What the group keeps of one exporter of NetFlow v9 or IPFIX: templates, options, sampling. */
#include <time.h>
#include "exporters.h"
#include "flow_sets.h"
#include "state_pages.h"

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

/* Whether no record before this one is of its domain and version, but for withdrawals */
static int is_first_of_domain(const struct rp_pages *pages, const struct rp_state_record *record)
{
	const struct rp_state_record *other;
	struct rp_pages_walk walk = {};

	while ((other = rp_pages_next(pages, &walk)) != record)
		if (other->domain == record->domain && other->version == record->version &&
		    !rp_is_withdrawal(other))
			return 0;

	return 1;
}

static void count_records(struct exporter *exporter, const struct rp_pages *pages)
{
	const struct rp_state_record *record;
	struct rp_pages_walk walk = {};
	__u32 rate;

	while ((record = rp_pages_next(pages, &walk))) {
		if (rp_is_withdrawal(record))
			continue;
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

void read_records(const struct rp_member *m, struct exporter *e)
{
	struct rp_pages pages = {};

	if (m->fds[RP_STATE] < 0 || rp_pages_read(m->fds[RP_STATE], &e->address, &pages))
		return;
	e->is_kept = 1;
	e->first_seen = wall_time(CLOCK_BOOTTIME, pages.page[0].first_seen);
	e->last_seen = wall_time(CLOCK_BOOTTIME, pages.page[0].last_seen);
	count_records(e, &pages);
	rp_pages_free(&pages);
}
