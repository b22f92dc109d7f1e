/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What exporters tell, in the group's map: see exporter_state.h. */
#include "pmacct.h"
#include <sys/mman.h>
#include "reuseport/config.h"
#include "reuseport/exporter_state.h"
#include "reuseport/exporters.h"
#include "reuseport/listeners.h"
#include "reuseport/recording.h"
#include "reuseport/replay.h"

#define SAVE_S 60 /* how often the map learns that an exporter is still there */
/*
 * Against a sender of forged addresses: once three quarters of the map are full, an exporter is recorded only when it has been seen for a
 * minute, and tidying deletes those sooner that were not seen for long, first those that had not been seen for long before. So its
 * addresses are gone three minutes after it ends, or an hour if it repeated them for ten minutes.
 */
#define PROBATION_S            60
#define REGULAR_S              600   /* who was seen over so long is a regular exporter */
#define KEEP_S                 86400 /* deleted if not seen for so long */
#define KEEP_REGULAR_S         604800
#define KEEP_CROWDED_S         180 /* the same, when it is crowded */
#define KEEP_REGULAR_CROWDED_S 3600
#define TIDY_KEYS              16 /* looked at in one call */
#define TIDY_KEYS_CROWDED      256
#define WALK_S                 60 /* how long tidying rests when it has seen all keys */

static struct {
  int is_set_up, map;
  struct rp_state_changes *changes; /* NULL: nothing is recorded */
  __u32 now;                        /* seconds of CLOCK_BOOTTIME, by the last tidying */
  struct rp_state_key next;         /* what tidying looks at next */
  int has_next;
  long long keys; /* that tidying has seen in this walk over all; negative: it has deleted some */
  __u64 pages;    /* how many there were when the walk began */
  __u32 rests_until;
  struct exporter *recorded; /* to be written when the datagram at hand is decoded */
  __u32 nonce;               /* the group's */
} state;

/* ---- set up ---- */

static void update_now()
{
  struct timespec t;

  clock_gettime(CLOCK_BOOTTIME, &t);
  state.now = t.tv_sec;
}

static void set_up()
{
  const struct rp_member *member = &listeners[REUSEPORT_NFACCTD].member;
  void *changes;

  state.is_set_up = TRUE;
  if (config.acct_type != ACCT_NF || member->fds[RP_STATE] < 0 || member->fds[RP_CHANGES] < 0) return;

  changes = mmap(NULL, sizeof(struct rp_state_changes), PROT_READ | PROT_WRITE, MAP_SHARED, member->fds[RP_CHANGES], 0);
  if (changes == MAP_FAILED) {
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot map '%s' of %s into memory (%s): what exporters tell only now and then, such as "
                     "templates and sampling rates, is not shared. Use the reuseport.o that belongs to this daemon.\n",
        config.name, RP_MAP_CHANGES, reuseport_config.pin_path, strerror(errno));
    return;
  }
  state.map = member->fds[RP_STATE];
  state.nonce = member->nonce;
  state.changes = changes;
  update_now();
}

static int is_crowded()
{
  /* signed: a process that is killed between writing and counting leaves the count too low */
  return (long long) __atomic_load_n(&state.changes->pages, __ATOMIC_RELAXED) >= RP_STATE_CROWDED;
}

static void count(__u64 *counter, long long n)
{
  __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- the group's map ---- */

static __u32 *find_mark(__u64 hash)
{
  return &state.changes->marks[hash % RP_STATE_MARKS];
}

/* Has others read the exporter's pages again. This process need not, unless another has changed them meanwhile. */
static void mark_changed(struct exporter *exporter)
{
  __u32 before = __atomic_fetch_add(find_mark(exporter->hash), 1, __ATOMIC_RELEASE);

  if (before == exporter->mark) exporter->mark = before + 1;
}

/* Whether the map is to have an exporter that it does not have yet. */
static int may_add(const struct exporter *exporter)
{
  return !is_crowded() || state.now - exporter->first_seen >= PROBATION_S;
}

/* Writes the pages that the map has not, and has others read them. What cannot be written is tried again after SAVE_S. */
static void save(struct exporter *exporter)
{
  struct rp_pages *pages = &exporter->pages;
  int added = 0, err = 0, is_news = pages->unsaved != 0;

  exporter->saved_s = state.now;
  if (!pages->count) return;

  pages->page[0].first_seen = exporter->first_seen;
  pages->page[0].last_seen = state.now;
  pages->unsaved |= 1;
  if (exporter->is_kept || may_add(exporter))
    err = rp_pages_write(state.map, &exporter->address, pages, &added);
  else
    err = -E2BIG;
  count(&state.changes->pages, added);
  exporter->is_kept = !err;
  if (err)
    count(&state.changes->refused, 1);
  else if (is_news || added)
    mark_changed(exporter);
}

/* Reads the exporter's pages, if another instance may have written them. What differs from what this process knows is to be replayed. */
static void load(struct exporter *exporter)
{
  struct rp_pages fresh = {0};
  int err = rp_pages_read(state.map, &exporter->address, &fresh);

  exporter->is_kept = !err;
  if (err) {
    /* deleted, or never written: this process keeps what it knows, and writes it again */
    exporter->pages.unsaved = ~0ULL;
    return;
  }
  reuseport_replay_differences(&exporter->pages, &fresh);
  if (fresh.page[0].first_seen < exporter->first_seen) exporter->first_seen = fresh.page[0].first_seen;
  rp_pages_free(&exporter->pages);
  exporter->pages = fresh;
  reuseport_list_options(exporter);
}

/* Loads the exporter's pages if they have changed since. */
static void keep_up(struct exporter *exporter)
{
  __u32 mark = __atomic_load_n(find_mark(exporter->hash), __ATOMIC_ACQUIRE);

  if (exporter->is_loaded && mark == exporter->mark) return;
  exporter->is_loaded = TRUE;
  exporter->mark = mark;
  load(exporter);
}

/* ---- recording ---- */

void reuseport_note_datagram(const struct sockaddr *sender, const void *datagram, size_t length)
{
  struct exporter *exporter;
  struct flow_message message;
  union rp_addr address;
  int changed;

  if (!state.is_set_up) set_up();
  if (!state.changes || !flow_read_message(datagram, length, &message) || rp_addr_from_sockaddr(&address, sender)) return;

  exporter = reuseport_find_exporter(&address, state.nonce, state.now);
  reuseport_start_replay(&message);
  keep_up(exporter);

  changed = reuseport_record_message(exporter, &message, &state.changes->too_large);
  if (changed || state.now - exporter->saved_s >= SAVE_S) {
    /* of another port, while a replay was on its way */
    if (state.recorded && state.recorded != exporter) save(state.recorded);
    state.recorded = exporter;
  }
  reuseport_bound_exporters(exporter);
}

void reuseport_save_recorded()
{
  if (state.recorded) save(state.recorded);
  state.recorded = NULL;
}

/* ---- tidying ---- */

static int is_stale(const struct rp_state_page *page)
{
  int is_regular = page->last_seen - page->first_seen >= REGULAR_S;
  __u32 keep = is_regular ? KEEP_REGULAR_S : KEEP_S;

  if (is_crowded()) keep = is_regular ? KEEP_REGULAR_CROWDED_S : KEEP_CROWDED_S;

  return (__s32) (state.now - page->last_seen) > (__s32) keep;
}

/* Deletes the exporter that the key is of, if it has not been seen for long, or if this is a leftover without page 0. */
static void tidy_exporter(const struct rp_state_key *key)
{
  struct rp_state_page first;
  union rp_addr address;
  int has_first = rp_pages_read_first(state.map, key, &first);

  if (has_first && (key->page || !is_stale(&first))) return;

  memcpy(&address, key->exporter, sizeof(address));
  count(&state.changes->pages, -rp_pages_delete(state.map, &address));
  if (has_first) count(&state.changes->evicted, 1);
  /* an instance that knows it writes it again when it is back */
  __atomic_fetch_add(find_mark(rp_hash(&address, state.nonce)), 1, __ATOMIC_RELEASE);
  state.keys = -2 * RP_STATE_PAGES;
}

/* Begins a walk over all keys. Returns: whether there are any. */
static int begin_walk()
{
  state.keys = 0;
  state.pages = __atomic_load_n(&state.changes->pages, __ATOMIC_RELAXED);

  return rp_pages_next_key(state.map, NULL, &state.next);
}

/* Corrects the count of pages, from which a killed process's may be missing, if it has not changed meanwhile. */
static void end_walk()
{
  if (state.keys >= 0 && state.pages == __atomic_load_n(&state.changes->pages, __ATOMIC_RELAXED))
    __atomic_store_n(&state.changes->pages, state.keys, __ATOMIC_RELAXED);
  if (!is_crowded()) state.rests_until = state.now + WALK_S;
}

void reuseport_tidy_exporter_state()
{
  struct rp_state_key key;
  int n;

  if (!state.changes) return;

  update_now();
  if (state.now < state.rests_until && !is_crowded()) return;
  for (n = is_crowded() ? TIDY_KEYS_CROWDED : TIDY_KEYS; n; n--) {
    if (!state.has_next && !begin_walk()) {
      end_walk();
      return;
    }
    key = state.next;
    /* before that page is deleted: after a key that is gone comes the first one again */
    state.has_next = rp_pages_next_key(state.map, &key, &state.next);
    state.keys++;
    tidy_exporter(&key);
    if (!state.has_next) {
      end_walk();
      return;
    }
  }
}
