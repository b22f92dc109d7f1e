// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * How long an exporter is in quarantine, and for how long that is remembered: faults.h, in a group
 * whose records are made older, as if time had passed. Runs in a sandbox.
 *
 * usage: quarantine OBJECT BPFFS
 */
#define _GNU_SOURCE
#include <signal.h>
#include "faults.h"
#include "selector_group.h"

static union rp_addr exporters[RP_MAX_CONVICTED + 1];

/* Makes the last conviction of the exporter, if any, so many seconds older */
static void age(struct rp_member *m, const union rp_addr *exporter, int seconds)
{
	struct rp_conviction c;
	int map = m->fds[RP_QUARANTINE];

	if (bpf_map_lookup_elem(map, exporter, &c))
		return;
	c.last -= seconds;
	c.until -= seconds;
	must(!bpf_map_update_elem(map, exporter, &c, BPF_EXIST));
	rp_tidy_quarantine(m);
}

/* Convicts the exporter so many seconds after the last time. Returns: for how long, in seconds. */
static int convict(struct rp_member *m, const union rp_addr *exporter, int later)
{
	age(m, exporter, later);

	return rp_convict(m, exporter, SIGSEGV, 1);
}

/* Whether one that was convicted for the first time is in quarantine so many seconds later */
static int remains(struct rp_member *m, const union rp_addr *exporter, int later)
{
	__u64 second;
	int active;

	do {
		second = rp_boot_seconds();
		must(rp_convict(m, exporter, SIGSEGV, 1) == 60);
		age(m, exporter, later);
		active = rp_is_quarantined(m, exporter);
		must(!rp_release(m, exporter));
	} while (rp_boot_seconds() != second);

	return active;
}

static void convictions(void)
{
	struct rp_conviction c = {.last = rp_boot_seconds(), .times = 1};
	struct rp_member m;
	int n, map;

	start_group(AF_INET, 4, 0, 3, RP_UNSET);
	rp_init(&m);
	must(!rp_open_settings(&m, &g.config));
	map = m.fds[RP_QUARANTINE];
	ok(remains(&m, exporters, 60) && !remains(&m, exporters, 61),
	   "the first minute is not over before it is: the clock counts in seconds");
	ok(convict(&m, exporters, 0) == 60 && convict(&m, exporters, 61) == 600 &&
		   convict(&m, exporters, 601) == 3600 && convict(&m, exporters, 3601) == 3600,
	   "an exporter is convicted for a minute, ten, an hour, and an hour again");
	ok(convict(&m, exporters, RP_FORGET_SECONDS - 9) == 3600, "it is remembered for a day");
	ok(convict(&m, exporters, RP_FORGET_SECONDS + 9) == 60, "and forgotten then");
	for (n = 1; n < RP_MAX_CONVICTED; n++)
		must(!bpf_map_update_elem(map, &exporters[n], &c, BPF_ANY));
	ok(rp_convict(&m, &exporters[n], SIGSEGV, 1) < 0, "%d are remembered at most", n);
	for (n = 0; n < 8; n++)
		rp_tidy_quarantine(&m);
	for (n = 1; n < RP_MAX_CONVICTED && !bpf_map_lookup_elem(map, &exporters[n], &c);)
		n++;
	ok(n < RP_MAX_CONVICTED && rp_convict(&m, &exporters[n], SIGSEGV, 1) == 60 &&
		   rp_is_quarantined(&m, exporters),
	   "those whose quarantine is over make room, the others stay");
	rp_close(&m);
}

int main(int argc, char **argv)
{
	must(argc == 3);
	object = argv[1];
	bpffs = argv[2];
	for (int i = 0; i <= RP_MAX_CONVICTED; i++)
		rp_addr_v4(&exporters[i], htonl(0x0a000001 + i));
	convictions();

	return tap_done();
}
