// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* forget: deletes what the group keeps of an exporter. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include "commands.h"
#include "live_group.h"
#include "state_pages.h"
#include "text.h"

/* Replaces what is kept by an empty page, which instances take over, other than none. Returns how
 * many pages there are less, or a negative errno; m takes the error. */
static int empty_pages(struct rp_member *m, const union rp_addr *exporter, const char *word)
{
	struct rp_state_page empty = {.pages = 1};
	struct rp_pages pages = {}, left = {.page = &empty, .count = 1, .unsaved = 1};
	struct rp_state_key key = {.page = 0};
	int err = rp_pages_read(m->fds[RP_STATE], exporter, &pages), added, deleted = 0;

	if (err == -ENOENT)
		return rp_fail(m, err,
			       "the group %s keeps nothing of %s: it has sent no template of "
			       "NetFlow v9 or IPFIX",
			       m->config->pin_path, word);
	if (!err) {
		empty.first_seen = pages.page[0].first_seen;
		empty.last_seen = pages.page[0].last_seen;
		err = rp_pages_write(m->fds[RP_STATE], exporter, &left, &added);
	}
	if (err)
		return rp_fail(m, err, "cannot write map '%s' in %s (%s)", RP_MAP_STATE,
			       m->config->pin_path, strerror(-err));
	memcpy(key.exporter, exporter, sizeof(key.exporter));
	for (key.page = 1; key.page < pages.count; key.page++)
		deleted += !bpf_map_delete_elem(m->fds[RP_STATE], &key);
	rp_pages_free(&pages);

	return deleted;
}

/* Has the instances look at the exporter's pages again */
static int mark_changed(struct rp_member *m, const union rp_addr *exporter, int deleted)
{
	struct rp_state_changes *changes;
	__u64 hash = rp_hash(exporter, rp_get_setting(m, RP_NONCE));

	changes = mmap(NULL, sizeof(*changes), PROT_READ | PROT_WRITE, MAP_SHARED,
		       m->fds[RP_CHANGES], 0);
	if (changes == MAP_FAILED)
		return rp_fail(m, -errno, "cannot write map '%s' in %s (%s)", RP_MAP_CHANGES,
			       m->config->pin_path, strerror(errno));
	__atomic_fetch_sub(&changes->pages, deleted, __ATOMIC_RELAXED);
	__atomic_fetch_add(&changes->marks[hash % RP_STATE_MARKS], 1, __ATOMIC_RELEASE);
	munmap(changes, sizeof(*changes));

	return 0;
}

int command_forget(struct options *o, char **arguments)
{
	union rp_addr exporter;
	struct rp_member m;
	char who[160];
	int deleted;

	if (!parse_address(arguments[0], &exporter))
		return report_error(NOT_UNDERSTOOD, "'%s' is not an IP address", arguments[0]);
	if (open_live_group(&m, &o->config, who, sizeof(who)))
		return FAILED;
	if (m.fds[RP_STATE] < 0 || m.fds[RP_CHANGES] < 0)
		return close_live_group(&m, fail_no_map(&m, RP_MAP_STATE, who));

	deleted = empty_pages(&m, &exporter, arguments[0]);

	return close_live_group(&m, deleted < 0 ? deleted : mark_changed(&m, &exporter, deleted));
}
