/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The exporters that this process knows, the least recently seen of which is forgotten when there are too many, or too many pages. */
#ifndef REUSEPORT_EXPORTERS_H
#define REUSEPORT_EXPORTERS_H

#include "reuseport/state_pages.h"

struct exporter {
  union rp_addr address;
  __u64 hash;
  struct exporter *next;            /* of the same place in the table */
  struct exporter *newer, *older;   /* by when it was last seen */
  struct rp_pages pages;            /* as the map has them, and with what could not be written yet */
  struct options_template *options; /* those in the pages, so that data sets are told apart at once */
  int options_count;
  __u32 counted;             /* how many of its pages are counted in the bound of all */
  int is_loaded;             /* the map was asked once */
  int is_kept;               /* the map has its pages */
  __u32 mark;                /* of struct rp_state_changes, when the pages were read */
  __u32 first_seen, saved_s; /* seconds of CLOCK_BOOTTIME */
};

/* Finds an exporter, or adds it. nonce: the group's, so that nobody can choose addresses that fall into one place. now: seconds of
   CLOCK_BOOTTIME. Exits if there is no memory. */
extern struct exporter *reuseport_find_exporter(const union rp_addr *address, __u32 nonce, __u32 now);

/* Forgets others until all have no more pages together than the group may have. The exporter is the one that was seen last. */
extern void reuseport_bound_exporters(struct exporter *);

/* Returns: memory. Exits if it is NULL, as there is none. */
extern void *reuseport_need_memory(void *memory);

/* Lists the options templates in its pages anew, after these have changed. */
extern void reuseport_list_options(struct exporter *);

/* Returns: whether sets of that id hold options data. */
extern int reuseport_has_options(const struct exporter *, __u32 domain, __u8 version, __u16 id);

#endif
