/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Records of an exporter in pages, and pages in the group's map: see state_pages.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "state_pages.h"

#define PADDED(length) (((length) + 7U) & ~7U)

/* Returns: how many bytes of a page a record takes. */
static __u32 room_for(__u32 length)
{
  return sizeof(struct rp_state_record) + PADDED(length);
}

/* ---- records ---- */

int rp_is_withdrawal(const struct rp_state_record *record)
{
  return record->kind != RP_STATE_OPTIONS_DATA && record->length == RP_STATE_WITHDRAWAL;
}

const struct rp_state_record *rp_pages_next(const struct rp_pages *pages, struct rp_pages_walk *walk)
{
  for (; walk->page < pages->count; walk->page++, walk->offset = 0) {
    const struct rp_state_page *page = &pages->page[walk->page];
    const struct rp_state_record *record = (const void *) (page->data + walk->offset);

    if (walk->offset >= page->used) continue;
    walk->offset += room_for(record->length);

    return record;
  }

  return NULL;
}

static int is_about_the_same(const struct rp_state_record *a, const struct rp_state_record *b)
{
  return a->subject == b->subject && a->domain == b->domain && a->id == b->id && a->version == b->version && a->kind == b->kind;
}

const struct rp_state_record *rp_pages_find(const struct rp_pages *pages, const struct rp_state_record *wanted)
{
  struct rp_pages_walk walk = {0};
  const struct rp_state_record *record;

  while ((record = rp_pages_next(pages, &walk)))
    if (is_about_the_same(record, wanted)) return record;

  return NULL;
}

int rp_pages_have(const struct rp_pages *pages, const struct rp_state_record *record, const void *bytes)
{
  const struct rp_state_record *found = rp_pages_find(pages, record);

  return found && found->length == record->length && !memcmp(found + 1, bytes, record->length);
}

int rp_pages_overrule(const struct rp_pages *pages, const struct rp_state_record *record)
{
  struct rp_pages_walk walk = {0};
  const struct rp_state_record *other;

  while ((other = rp_pages_next(pages, &walk)))
    if (other->kind == record->kind && other->subject == record->subject && other->domain == record->domain &&
        other->version == record->version && other->order > record->order)
      return 1;

  return 0;
}

static __u32 next_order(const struct rp_pages *pages)
{
  struct rp_pages_walk walk = {0};
  const struct rp_state_record *record;
  __u32 last = 0;

  while ((record = rp_pages_next(pages, &walk)))
    if (record->order > last) last = record->order;

  return last + 1;
}

int rp_pages_remove(struct rp_pages *pages, int (*condemns)(const struct rp_state_record *, const void *arg), const void *arg)
{
  int removed = 0;

  for (__u32 n = 0; n < pages->count; n++) {
    struct rp_state_page *page = &pages->page[n];

    for (__u32 offset = 0; offset < page->used;) {
      struct rp_state_record *record = (void *) (page->data + offset);
      __u32 room = room_for(record->length);

      if (!condemns(record, arg)) {
        offset += room;
        continue;
      }
      memmove(record, page->data + offset + room, page->used - offset - room);
      page->used -= room;
      pages->unsaved |= 1ULL << n;
      removed++;
    }
  }

  return removed;
}

static int condemn_the_same(const struct rp_state_record *record, const void *other)
{
  return is_about_the_same(record, other);
}

/* Returns: a page that has so much room, or NULL, with errno set. */
static struct rp_state_page *find_room(struct rp_pages *pages, __u32 room)
{
  struct rp_state_page *more;
  __u32 n;

  for (n = 0; n < pages->count; n++)
    if (pages->page[n].used + room <= RP_STATE_PAGE_BYTES) return &pages->page[n];

  errno = E2BIG;
  if (pages->count == RP_STATE_PAGES_EACH || room > RP_STATE_PAGE_BYTES) return NULL;

  more = realloc(pages->page, (n + 1) * sizeof(*more));
  if (!more) return NULL;
  pages->page = more;
  memset(&pages->page[n], 0, sizeof(*more));
  pages->count = n + 1;
  /* page 0 says how many there are */
  pages->page[0].pages = pages->count;
  pages->unsaved |= 1;

  return &pages->page[n];
}

static void fill_room(void *place, const struct rp_state_record *record, const void *bytes, __u32 order)
{
  struct rp_state_record *filled = place;

  memset(place, 0, room_for(record->length));
  *filled = *record;
  filled->order = order;
  memcpy(filled + 1, bytes, record->length);
}

static __u32 page_of(const struct rp_pages *pages, const void *record)
{
  return ((const __u8 *) record - (const __u8 *) pages->page) / sizeof(*pages->page);
}

/* Options data that change keep their place in the order, as in pmacct's own lists, unless other data have overruled them. */
static __u32 choose_order(const struct rp_pages *pages, const struct rp_state_record *known)
{
  if (known && known->kind == RP_STATE_OPTIONS_DATA && !rp_pages_overrule(pages, known)) return known->order;

  return next_order(pages);
}

int rp_pages_put(struct rp_pages *pages, const struct rp_state_record *record, const void *bytes)
{
  struct rp_state_record *known = (void *) rp_pages_find(pages, record);
  __u32 order = choose_order(pages, known);
  struct rp_state_page *page;
  __u8 *place;

  if (known && room_for(known->length) == room_for(record->length)) {
    fill_room(known, record, bytes, order);
    pages->unsaved |= 1ULL << page_of(pages, known);
    return 0;
  }
  rp_pages_remove(pages, condemn_the_same, record);
  page = find_room(pages, room_for(record->length));
  if (!page) return -errno;

  place = page->data + page->used;
  fill_room(place, record, bytes, order);
  page->used += room_for(record->length);
  pages->unsaved |= 1ULL << (page - pages->page);

  return 0;
}

int rp_pages_equal(const struct rp_pages *one, const struct rp_pages *other)
{
  if (one->count != other->count) return 0;
  for (__u32 n = 0; n < one->count; n++)
    if (one->page[n].used != other->page[n].used || memcmp(one->page[n].data, other->page[n].data, one->page[n].used)) return 0;

  return 1;
}

void rp_pages_free(struct rp_pages *pages)
{
  free(pages->page);
  memset(pages, 0, sizeof(*pages));
}

/* ---- the map ---- */

/* Drops what makes no sense from a page. */
static void check_page(struct rp_state_page *page)
{
  __u32 offset = 0;

  while (offset + sizeof(struct rp_state_record) <= page->used && page->used <= RP_STATE_PAGE_BYTES) {
    const struct rp_state_record *record = (const void *) (page->data + offset);

    if (offset + room_for(record->length) > page->used) break;
    offset += room_for(record->length);
  }
  page->used = offset;
}

int rp_pages_read(int map, const union rp_addr *exporter, struct rp_pages *pages)
{
  struct rp_state_key key = {.page = 0};
  struct rp_state_page first;
  __u32 count;

  memcpy(key.exporter, exporter, sizeof(key.exporter));
  if (bpf_map_lookup_elem(map, &key, &first)) return -errno;

  count = first.pages < 1 ? 1 : first.pages > RP_STATE_PAGES_EACH ? RP_STATE_PAGES_EACH
                                                                  : first.pages;
  pages->page = calloc(count, sizeof(*pages->page));
  if (!pages->page) return -ENOMEM;
  pages->count = count;
  pages->page[0] = first;
  for (key.page = 1; key.page < count; key.page++)
    /* one that is not there is empty */
    if (bpf_map_lookup_elem(map, &key, &pages->page[key.page])) memset(&pages->page[key.page], 0, sizeof(first));
  for (__u32 n = 0; n < count; n++) check_page(&pages->page[n]);
  pages->page[0].pages = count;

  return 0;
}

/* Writes one page. Returns: 1: the map has gained it; 0: it was there; or a negative errno. */
static int write_page(int map, const struct rp_state_key *key, const struct rp_state_page *page)
{
  if (!bpf_map_update_elem(map, key, page, BPF_EXIST)) return 0;
  if (errno == ENOENT && !bpf_map_update_elem(map, key, page, BPF_NOEXIST)) return 1;
  if (errno == EEXIST && !bpf_map_update_elem(map, key, page, BPF_ANY)) return 0;

  return -errno;
}

/* Page 0 comes first: without it, the others are taken for leftovers. */
int rp_pages_write(int map, const union rp_addr *exporter, struct rp_pages *pages, int *added)
{
  struct rp_state_key key = {.page = 0};
  int written;

  *added = 0;
  memcpy(key.exporter, exporter, sizeof(key.exporter));
  for (; key.page < pages->count; key.page++) {
    if (!(pages->unsaved & 1ULL << key.page)) continue;
    written = write_page(map, &key, &pages->page[key.page]);
    if (written < 0) return written;
    *added += written;
    pages->unsaved &= ~(1ULL << key.page);
  }
  pages->unsaved = 0;

  return 0;
}

int rp_pages_next_key(int map, const struct rp_state_key *after, struct rp_state_key *key)
{
  return !bpf_map_get_next_key(map, after, key);
}

int rp_pages_read_first(int map, const struct rp_state_key *key, struct rp_state_page *page)
{
  struct rp_state_key first = *key;

  first.page = 0;

  return !bpf_map_lookup_elem(map, &first, page);
}

int rp_pages_delete(int map, const union rp_addr *exporter)
{
  struct rp_state_key key = {.page = RP_STATE_PAGES_EACH};
  int deleted = 0;

  memcpy(key.exporter, exporter, sizeof(key.exporter));
  while (key.page--)
    if (!bpf_map_delete_elem(map, &key)) deleted++;

  return deleted;
}
