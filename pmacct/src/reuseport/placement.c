/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The placement table, made and written: see placement.h. */
#include <errno.h>
#include <string.h>
#include "group_internal.h"
#include "placement.h"

#define UNOWNED RP_MAX_BUCKETS /* owner of a slot that is yet to be dealt out */

/* Which permutation of the slots a choice goes by. 0..RP_MAX_BUCKETS - 1: bucket k takes its share of all slots */
enum { DEALS = 1 << 8,      /* + k: bucket k takes its share of those that others have too many of */
       RELEASES = 2 << 8 }; /* + k: bucket k gives away what it has too many of */

struct table {
  __u32 nonce, count;
  __u32 weight[RP_MAX_BUCKETS]; /* 0: drained */
  __u32 base[RP_SLOT_COUNT];    /* the owner if all weights were the same */
  __u32 owner[RP_SLOT_COUNT];
};

/* Some buckets, and the slots that they share */
struct shares {
  __u32 n, slots;
  __u32 bucket[RP_MAX_BUCKETS], weight[RP_MAX_BUCKETS];
  __u32 has[RP_MAX_BUCKETS], target[RP_MAX_BUCKETS];
};

/* ---- weights ---- */

static int is_drained(const struct rp_weights *weights, __u32 bucket)
{
  return weights->drained[bucket / 64] >> bucket % 64 & 1;
}

__u32 rp_get_weight(const struct rp_weights *weights, __u32 bucket)
{
  if (is_drained(weights, bucket)) return 0;

  return weights->weight[bucket] ? weights->weight[bucket] : RP_DEFAULT_WEIGHT;
}

void rp_undrain(struct rp_weights *weights, __u32 bucket)
{
  weights->drained[bucket / 64] &= ~(1ULL << bucket % 64);
}

void rp_set_weight(struct rp_weights *weights, __u32 bucket, __u32 weight)
{
  rp_undrain(weights, bucket);
  if (!weight)
    weights->drained[bucket / 64] |= 1ULL << bucket % 64;
  else
    weights->weight[bucket] = weight == RP_DEFAULT_WEIGHT ? 0 : weight;
}

void rp_cut_weights(struct rp_weights *weights, __u32 count)
{
  for (__u32 bucket = count; bucket < RP_MAX_BUCKETS; bucket++) {
    rp_undrain(weights, bucket);
    weights->weight[bucket] = 0;
  }
}

int rp_all_drained(const struct rp_weights *weights, __u32 count)
{
  for (__u32 bucket = 0; bucket < count; bucket++)
    if (!is_drained(weights, bucket)) return 0;

  return 1;
}

/* ---- orders of the slots ---- */

/* Returns: a hash of (nonce, slot, choice) that is a permutation of the slots. */
static __u32 rank_slot(__u64 key, __u32 slot)
{
  for (int i = 0; i < 5; i++) {
    slot = ((slot ^ (key & (RP_SLOT_COUNT - 1))) * 2693) % RP_SLOT_COUNT;
    slot ^= slot >> 6;
    key >>= 12;
  }

  return slot;
}

/* Lists the slots in the order in which they are chosen. */
static void order_slots(__u32 nonce, __u32 choice, __u32 order[RP_SLOT_COUNT])
{
  __u64 key = rp_mix(rp_mix((__u64) nonce << 32 | choice));

  for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++) order[rank_slot(key, slot)] = slot;
}

/* ---- shares ---- */

/*
 * Whether a bucket may have one slot more than its share rounded down. joins: the last of them takes its share from the others, who
 * must not gain by that.
 */
static int may_round_up(const struct shares *s, __u32 i, __u64 total, int joins)
{
  if (s->target[i] > (__u64) s->slots * s->weight[i] / total) return 0;

  return !joins || i == s->n - 1 || s->has[i] > s->target[i];
}

/* Returns: the one whose share is rounded down most, among equals the one that has most, and then the first. */
static __u32 find_next(const struct shares *s, __u64 total, int joins)
{
  __u32 best = s->n;
  __u64 most = 0;

  for (__u32 i = 0; i < s->n; i++) {
    __u64 rest = (__u64) s->slots * s->weight[i] % total;

    if (!may_round_up(s, i, total, joins) || (best < s->n && (rest < most || (rest == most && s->has[i] <= s->has[best])))) continue;
    best = i;
    most = rest;
  }

  return best < s->n ? best : s->n - 1;
}

/* Sets the target of each: its part of the slots, in proportion to its weight. Source: the method of the largest remainder. */
static void set_targets(struct shares *s, int joins)
{
  __u32 left = s->slots;
  __u64 total = 0;

  for (__u32 i = 0; i < s->n; i++) total += s->weight[i];
  for (__u32 i = 0; i < s->n; i++) {
    s->target[i] = (__u64) s->slots * s->weight[i] / total;
    left -= s->target[i];
  }
  for (; left; left--) s->target[find_next(s, total, joins)]++;
}

/* The last of them takes its share from the others, in slots that have one of them as owner. choice: by which order of the slots. */
static void take_share(struct shares *s, struct table *t, __u32 *owner, __u32 choice, const __u8 *shared)
{
  __u32 order[RP_SLOT_COUNT], index[RP_MAX_BUCKETS], taker = s->n - 1;

  order_slots(t->nonce, choice + s->bucket[taker], order);
  for (__u32 i = 0; i < s->n; i++) index[s->bucket[i]] = i;
  for (__u32 place = 0; place < RP_SLOT_COUNT; place++) {
    __u32 slot = order[place], from;

    if (shared && !shared[slot]) continue;
    from = index[owner[slot]];
    if (s->has[from] <= s->target[from]) continue;
    s->has[from]--;
    s->has[taker]++;
    owner[slot] = s->bucket[taker];
    /* What a drained one would take stays with whom it would take it from. */
    if (owner == t->base && t->weight[s->bucket[taker]]) t->owner[slot] = s->bucket[taker];
  }
}

/* ---- the table ---- */

/* Shares out all slots as if all weights were the same. */
static void share_evenly(struct table *t)
{
  struct shares s = {.slots = RP_SLOT_COUNT, .has = {RP_SLOT_COUNT}};

  for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++) {
    t->base[slot] = 0;
    t->owner[slot] = t->weight[0] ? 0 : UNOWNED;
  }
  for (s.n = 1; s.n <= t->count; s.n++) {
    s.bucket[s.n - 1] = s.n - 1;
    s.weight[s.n - 1] = 1;
    if (s.n == 1) continue;
    set_targets(&s, 1);
    take_share(&s, t, t->base, 0, NULL);
  }
}

/* Takes away from a bucket what it has beyond its target: first what has come from drained ones. */
static void release(struct table *t, __u32 bucket, __u32 surplus)
{
  __u32 order[RP_SLOT_COUNT];

  order_slots(t->nonce, RELEASES + bucket, order);
  for (int own = 0; own <= 1; own++)
    for (__u32 place = 0; place < RP_SLOT_COUNT && surplus; place++) {
      __u32 slot = order[place];

      if (t->owner[slot] != bucket || (t->base[slot] == bucket) != own) continue;
      t->owner[slot] = UNOWNED;
      surplus--;
    }
}

/* Deals out the slots of no bucket to those that have less than their target, as growth would: see take_share(). */
static void deal(struct table *t, const struct shares *all)
{
  struct shares s = {.n = 0};
  __u8 shared[RP_SLOT_COUNT];
  __u32 lacks;

  for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++) {
    shared[slot] = t->owner[slot] == UNOWNED;
    s.slots += shared[slot];
  }
  for (__u32 bucket = 0; bucket < t->count; bucket++) {
    lacks = all->target[bucket] > all->has[bucket] ? all->target[bucket] - all->has[bucket] : 0;
    if (!lacks) continue;
    s.bucket[s.n] = bucket;
    s.weight[s.n++] = lacks;
    if (s.n > 1) {
      set_targets(&s, 1);
      take_share(&s, t, t->owner, DEALS, shared);
      continue;
    }
    s.has[0] = s.slots;
    for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++)
      if (shared[slot]) t->owner[slot] = bucket;
  }
}

/* Moves slots from those that have more than their weight's share to those that have less. */
static void apply_weights(struct table *t)
{
  struct shares s = {.n = t->count, .slots = RP_SLOT_COUNT};

  for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++)
    if (t->owner[slot] != UNOWNED) s.has[t->owner[slot]]++;
  memcpy(s.weight, t->weight, sizeof(s.weight));
  set_targets(&s, 0);
  for (__u32 bucket = 0; bucket < t->count; bucket++)
    if (s.has[bucket] > s.target[bucket]) release(t, bucket, s.has[bucket] - s.target[bucket]);
  deal(t, &s);
}

/* Lists those that take exporters, and then the drained ones. */
static void list_buckets(const struct table *t, __u32 entries[RP_SLOT_ENTRIES])
{
  __u32 n = 0;

  memset(&entries[RP_SLOT_TAKERS], 0, (RP_SLOT_ENTRIES - RP_SLOT_TAKERS) * sizeof(*entries));
  for (int drained = 0; drained <= 1; drained++)
    for (__u32 bucket = 0; bucket < t->count; bucket++) {
      if ((t->weight[bucket] == 0) != drained) continue;
      entries[RP_SLOT_ORDER + n++] = bucket + 1;
      if (!drained) entries[RP_SLOT_TAKERS]++;
    }
}

void rp_make_placement(__u32 nonce, __u32 count, const struct rp_weights *weights, __u32 entries[RP_SLOT_ENTRIES])
{
  int all_drained = rp_all_drained(weights, count);
  struct table t = {.nonce = nonce, .count = count};

  for (__u32 bucket = 0; bucket < count; bucket++) t.weight[bucket] = all_drained ? RP_DEFAULT_WEIGHT : rp_get_weight(weights, bucket);
  /* drained ones at the end take no part, so that one that is reserved moves nothing when it comes */
  while (!t.weight[t.count - 1]) t.count--;
  share_evenly(&t);
  apply_weights(&t);
  t.count = count;
  for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++) entries[slot] = t.owner[slot] + 1;
  list_buckets(&t, entries);
}

/* ---- in the group's maps ---- */

static const __u32 zero;

void rp_read_weights(const struct rp_member *m, struct rp_weights *weights)
{
  if (m->fds[RP_WEIGHTS] < 0 || bpf_map_lookup_elem(m->fds[RP_WEIGHTS], &zero, weights)) memset(weights, 0, sizeof(*weights));
}

static int fail_write(struct rp_member *m, enum rp_map_id id)
{
  return rp_fail(m, -errno, "cannot write map '%s' in %s (%s)", rp_map_spec(m, id)->name, m->config->pin_path, strerror(errno));
}

/* Reads all entries, as far as there are any. */
static void read_entries(const struct rp_member *m, __u32 entries[RP_SLOT_ENTRIES])
{
  __u32 keys[RP_SLOT_ENTRIES], next, n = RP_SLOT_ENTRIES;

  memset(entries, 0, RP_SLOT_ENTRIES * sizeof(*entries));
  if (m->fds[RP_SLOTS] >= 0) bpf_map_lookup_batch(m->fds[RP_SLOTS], NULL, &next, keys, entries, &n, NULL);
}

/*
 * Writes the entries that differ. Meanwhile the order of the buckets for failover counts as not set, so that the selector tries them
 * all; each slot has its bucket before or its bucket afterwards.
 */
static int write_entries(struct rp_member *m, const __u32 entries[RP_SLOT_ENTRIES])
{
  __u32 old[RP_SLOT_ENTRIES], keys[RP_SLOT_ENTRIES], values[RP_SLOT_ENTRIES], n = 0, takers = RP_SLOT_TAKERS;
  int map = m->fds[RP_SLOTS];

  read_entries(m, old);
  for (__u32 key = 0; key < RP_SLOT_ENTRIES; key++) {
    if (key == takers || entries[key] == old[key]) continue;
    keys[n] = key;
    values[n++] = entries[key];
  }
  if (bpf_map_update_elem(map, &takers, &zero, BPF_ANY)) return fail_write(m, RP_SLOTS);
  if (n && bpf_map_update_batch(map, keys, values, &n, NULL)) return fail_write(m, RP_SLOTS);
  if (bpf_map_update_elem(map, &takers, &entries[takers], BPF_ANY)) return fail_write(m, RP_SLOTS);

  return 0;
}

int rp_place(struct rp_member *m, __u32 count, const struct rp_weights *weights)
{
  __u32 entries[RP_SLOT_ENTRIES];
  int err;

  err = rp_set_setting(m, RP_SIZE, count);
  if (err) return err;
  if (m->fds[RP_WEIGHTS] >= 0 && bpf_map_update_elem(m->fds[RP_WEIGHTS], &zero, weights, BPF_ANY)) return fail_write(m, RP_WEIGHTS);
  if (m->fds[RP_SLOTS] < 0) return 0;

  rp_make_placement(rp_get_setting(m, RP_NONCE), count, weights, entries);

  return write_entries(m, entries);
}

int rp_is_placed(const struct rp_member *m)
{
  static const __u32 unset[RP_SLOT_ENTRIES];
  __u32 entries[RP_SLOT_ENTRIES], made[RP_SLOT_ENTRIES];
  struct rp_weights weights;

  read_entries(m, entries);
  if (!memcmp(entries, unset, sizeof(unset))) return 1;

  rp_read_weights(m, &weights);
  rp_make_placement(rp_get_setting(m, RP_NONCE), rp_get_size(m), &weights, made);

  return !memcmp(entries, made, sizeof(made));
}

__u32 rp_count_slots(const struct rp_member *m, __u32 slots[RP_MAX_BUCKETS])
{
  __u32 entries[RP_SLOT_ENTRIES], n = 0;

  memset(slots, 0, RP_MAX_BUCKETS * sizeof(*slots));
  read_entries(m, entries);
  for (__u32 slot = 0; slot < RP_SLOT_COUNT; slot++) {
    if (!entries[slot] || entries[slot] > RP_MAX_BUCKETS) continue;
    slots[entries[slot] - 1]++;
    n++;
  }

  return n;
}
