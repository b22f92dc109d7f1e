/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The exporters that this process knows: see exporters.h. */
#include "pmacct.h"
#include "reuseport/exporters.h"

#define EXPORTERS_MAX 65536
#define PLACES        65536 /* of the table; a power of two */

struct options_template {
  __u32 domain;
  __u16 id;
  __u8 version;
};

static struct {
  struct exporter **places; /* NULL: there are none yet */
  struct exporter *newest, *oldest;
  int count;
  __u32 pages; /* of all, as counted */
} exporters;

void *reuseport_need_memory(void *memory)
{
  if (memory) return memory;

  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: no memory for what exporters have told (%d exporters). Exiting.\n", config.name, exporters.count);
  exit_gracefully(1);

  return NULL;
}

/* ---- by when they were seen ---- */

static void take_out(struct exporter *exporter)
{
  if (exporter->newer)
    exporter->newer->older = exporter->older;
  else
    exporters.newest = exporter->older;
  if (exporter->older)
    exporter->older->newer = exporter->newer;
  else
    exporters.oldest = exporter->newer;
}

static void put_first(struct exporter *exporter)
{
  exporter->newer = NULL;
  exporter->older = exporters.newest;
  if (exporters.newest) exporters.newest->newer = exporter;
  exporters.newest = exporter;
  if (!exporters.oldest) exporters.oldest = exporter;
}

/* ---- the table ---- */

static struct exporter **find_place(__u64 hash)
{
  return &exporters.places[hash % PLACES];
}

static void forget_oldest()
{
  struct exporter *oldest = exporters.oldest, **link = find_place(oldest->hash);

  while (*link != oldest) link = &(*link)->next;
  *link = oldest->next;
  take_out(oldest);
  exporters.pages -= oldest->counted;
  rp_pages_free(&oldest->pages);
  free(oldest->options);
  free(oldest);
  exporters.count--;
}

static struct exporter *add(const union rp_addr *address, __u64 hash, __u32 now)
{
  struct exporter *exporter = reuseport_need_memory(calloc(1, sizeof(*exporter))), **place = find_place(hash);

  if (exporters.count == EXPORTERS_MAX) forget_oldest();
  exporter->address = *address;
  exporter->hash = hash;
  exporter->first_seen = exporter->saved_s = now;
  exporter->next = *place;
  *place = exporter;
  put_first(exporter);
  exporters.count++;

  return exporter;
}

struct exporter *reuseport_find_exporter(const union rp_addr *address, __u32 nonce, __u32 now)
{
  __u64 hash = rp_hash(address, nonce);
  struct exporter *exporter;

  if (!exporters.places) exporters.places = reuseport_need_memory(calloc(PLACES, sizeof(*exporters.places)));
  for (exporter = *find_place(hash); exporter; exporter = exporter->next)
    if (exporter->address.q[0] == address->q[0] && exporter->address.q[1] == address->q[1]) break;
  if (!exporter) return add(address, hash, now);

  if (exporter != exporters.newest) {
    take_out(exporter);
    put_first(exporter);
  }

  return exporter;
}

void reuseport_bound_exporters(struct exporter *exporter)
{
  exporters.pages += exporter->pages.count - exporter->counted;
  exporter->counted = exporter->pages.count;
  while (exporters.pages > RP_STATE_PAGES && exporters.oldest != exporter) forget_oldest();
}

/* ---- options templates ---- */

void reuseport_list_options(struct exporter *exporter)
{
  const struct rp_state_record *record;
  struct rp_pages_walk walk = {0};

  exporter->options_count = 0;
  while ((record = rp_pages_next(&exporter->pages, &walk))) {
    if (record->kind != RP_STATE_OPTIONS_TEMPLATE || rp_is_withdrawal(record)) continue;
    exporter->options = reuseport_need_memory(realloc(exporter->options, (exporter->options_count + 1) * sizeof(*exporter->options)));
    exporter->options[exporter->options_count++] = (struct options_template){record->domain, record->id, record->version};
  }
}

int reuseport_has_options(const struct exporter *exporter, __u32 domain, __u8 version, __u16 id)
{
  int i;

  for (i = 0; i < exporter->options_count; i++) {
    const struct options_template *options = &exporter->options[i];

    if (options->id == id && options->domain == domain && options->version == version) return TRUE;
  }

  return FALSE;
}
