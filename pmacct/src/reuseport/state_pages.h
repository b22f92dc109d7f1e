/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The state of one exporter as the group keeps it: records, in pages of the map RP_MAP_STATE (reuseport_abi.h). Needs libbpf alone.
 *
 * 1. A record is within one page. What is longer than a page, or does not fit into RP_STATE_PAGES_EACH of them, is not kept.
 * 2. Two processes that write to the same page within some microseconds, as may happen while an exporter moves: the last one wins.
 * 3. What is read from the map is checked: a page that makes no sense counts as empty.
 */
#ifndef REUSEPORT_STATE_PAGES_H
#define REUSEPORT_STATE_PAGES_H

#include "reuseport_abi.h"
#include "reuseport_hash.h"

/* The pages of an exporter in the memory of this process. All zeroes: there are none. */
struct rp_pages {
  struct rp_state_page *page;
  __u32 count;   /* of pages */
  __u64 unsaved; /* bit n: page n differs from the map's, as far as we know */
};

/* A walk over the records; all zeroes: before the first one */
struct rp_pages_walk {
  __u32 page, offset;
};

/* Returns: whether a record says that a template was withdrawn, in the place of its definition. */
int rp_is_withdrawal(const struct rp_state_record *record);

/* Returns: the next record, or NULL. It is valid until a record is put or removed. */
const struct rp_state_record *rp_pages_next(const struct rp_pages *pages, struct rp_pages_walk *walk);

/* Returns: the record that is about the same thing as wanted (all members but `length` and `order` are equal), or NULL. */
const struct rp_state_record *rp_pages_find(const struct rp_pages *pages, const struct rp_state_record *wanted);

/* Returns: whether there is a record about the same thing, with the same bytes. */
int rp_pages_have(const struct rp_pages *pages, const struct rp_state_record *record, const void *bytes);

/*
 * Of options data: returns whether options data of another template, about the same subject, has come later than the record, which is in
 * the pages. pmacct goes by what has come last, such as one of two intervals of a sampler.
 */
int rp_pages_overrule(const struct rp_pages *pages, const struct rp_state_record *record);

/* Puts a record, and length bytes with it, in the place of the one that is about the same thing; its order is that of the
   latest, but for options data that nothing has overruled, which keep theirs. Returns: 0; -E2BIG: there is no room
   for it; -ENOMEM. The earlier one is gone then. */
int rp_pages_put(struct rp_pages *pages, const struct rp_state_record *record, const void *bytes);

/* Removes all records for which condemns() returns other than 0. Returns: how many. */
int rp_pages_remove(struct rp_pages *pages, int (*condemns)(const struct rp_state_record *, const void *arg), const void *arg);

/* Returns: whether both have the same records in the same places. */
int rp_pages_equal(const struct rp_pages *one, const struct rp_pages *other);

/* Frees the pages. */
void rp_pages_free(struct rp_pages *pages);

/* Reads the pages of an exporter; map: the fd. pages: empty. Returns: 0, -ENOENT: the map has none, or another negative errno. */
int rp_pages_read(int map, const union rp_addr *exporter, struct rp_pages *pages);

/* Writes the pages in pages->unsaved, and clears them there. added: how many the map has gained. Returns: 0, or a negative errno; -E2BIG:
   the map is full. */
int rp_pages_write(int map, const union rp_addr *exporter, struct rp_pages *pages, int *added);

/* Finds the key that comes after one in the map, in no order; after NULL: the first one. Returns: whether there is one. */
int rp_pages_next_key(int map, const struct rp_state_key *after, struct rp_state_key *key);

/* Reads page 0 of the exporter that the key is of. Returns: whether there is one. */
int rp_pages_read_first(int map, const struct rp_state_key *key, struct rp_state_page *page);

/* Deletes all pages of an exporter from the map. Returns: how many there were. */
int rp_pages_delete(int map, const union rp_addr *exporter);

#endif
