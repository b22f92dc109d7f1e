/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What a message tells, put into the records of its exporter: see recording.h. */
#include "pmacct.h"
#include "reuseport/listeners.h"
#include "reuseport/recording.h"
#include "reuseport/template_check.h"

struct recording {
  struct exporter *exporter;
  const struct flow_message *message;
  __u64 *too_large;
  int changed;
  size_t no_room; /* options data of so many bytes have none; 0: none that we know of */
};

static struct rp_state_record name_definition(const struct recording *recording, const struct flow_definition *definition)
{
  return (struct rp_state_record){
      .domain = recording->message->domain,
      .id = definition->id,
      .length = definition->length,
      .version = recording->message->version,
      .kind = definition->kind == FLOW_TEMPLATE ? RP_STATE_TEMPLATE : RP_STATE_OPTIONS_TEMPLATE,
  };
}

/*
 * Whether a record is to be recorded: it differs from what is known, or options data of another template has overruled it meanwhile. Not
 * by an instance that drains, if anything but a withdrawal is known of the same thing: the one that has the exporter now may know better.
 */
static int is_news(const struct recording *recording, const struct rp_state_record *record, const void *bytes)
{
  const struct rp_pages *pages = &recording->exporter->pages;
  const struct rp_state_record *known = rp_pages_find(pages, record);

  if (reuseport_is_draining()) return !known || rp_is_withdrawal(known);
  if (!known) return TRUE;

  return !rp_pages_have(pages, record, bytes) || (known->kind == RP_STATE_OPTIONS_DATA && rp_pages_overrule(pages, known));
}

static int is_withdrawal(const struct rp_state_record *record, const void *unused)
{
  (void) unused;

  return rp_is_withdrawal(record);
}

static void count_too_large(const struct recording *recording)
{
  __atomic_fetch_add(recording->too_large, 1, __ATOMIC_RELAXED);
}

/* If there is no room left, what was withdrawn makes some: who knew it goes on to know it. Returns: whether there was room. */
static int put(struct recording *recording, const struct rp_state_record *record, const void *bytes)
{
  struct rp_pages *pages = &recording->exporter->pages;
  int err = rp_pages_put(pages, record, bytes);

  recording->changed = TRUE;
  if (err && rp_pages_remove(pages, is_withdrawal, NULL)) err = rp_pages_put(pages, record, bytes);
  if (err) count_too_large(recording);

  return !err;
}

/* Options data. What is new, and as large as what had no room, is not tried again in this message: that takes long. */
static void put_options(struct recording *recording, const struct rp_state_record *record, const void *bytes)
{
  if (recording->no_room && record->length >= recording->no_room && !rp_pages_find(&recording->exporter->pages, record))
    count_too_large(recording);
  else if (!put(recording, record, bytes))
    recording->no_room = record->length;
}

/* Whether a record is of the template that other is of: the template itself, or options data. */
static int is_of_template(const struct rp_state_record *record, const void *other)
{
  const struct rp_state_record *template = other;

  return record->domain == template->domain && record->version == template->version && record->id == template->id;
}

static int is_known_of_template(const struct rp_state_record *record, const void *other)
{
  return is_of_template(record, other) && !rp_is_withdrawal(record);
}

/* Records that a template is withdrawn, in its place, so that other instances that know it learn of that, too. */
static void withdraw(struct recording *recording, const struct flow_definition *definition)
{
  const __u8 bytes[RP_STATE_WITHDRAWAL] = {definition->id >> 8, definition->id};
  struct rp_state_record record = name_definition(recording, definition);

  if (reuseport_is_draining() || !rp_pages_remove(&recording->exporter->pages, is_known_of_template, &record)) return;
  record.length = sizeof(bytes);
  put(recording, &record, bytes);
}

/* The same for all templates of a kind that are known; the decoder is told which. */
static void withdraw_all(struct recording *recording, const struct flow_definition *all)
{
  const struct rp_state_record wanted = name_definition(recording, all), *record;
  struct rp_pages_walk walk = {0};
  struct flow_definition one = *all;

  while (!reuseport_is_draining() && (record = rp_pages_next(&recording->exporter->pages, &walk))) {
    if (record->kind != wanted.kind || record->domain != wanted.domain || record->version != wanted.version || rp_is_withdrawal(record)) continue;
    one.id = record->id;
    reuseport_note_withdrawn(one.kind, one.id);
    withdraw(recording, &one);
    /* records have moved */
    walk = (struct rp_pages_walk){0};
  }
}

/* A template with another meaning makes what is known of its id void; so does one that the decoder refuses. */
static void record_definition(struct recording *recording, const struct flow_definition *definition)
{
  struct rp_state_record record = name_definition(recording, definition);
  char reason[REUSEPORT_REASON_BYTES];

  if (definition->id < FLOW_FIRST_DATA)
    withdraw_all(recording, definition);
  else if (!definition->fields || !reuseport_is_decodable(definition, reason))
    withdraw(recording, definition);
  else if (is_news(recording, &record, definition->bytes)) {
    rp_pages_remove(&recording->exporter->pages, is_of_template, &record);
    put(recording, &record, definition->bytes);
  }
  else
    return;
  recording->no_room = 0;
  reuseport_list_options(recording->exporter);
}

/* Finds the options template of a set. Returns: whether it is known. */
static int find_options_template(const struct recording *recording, __u16 id, struct flow_definition *definition)
{
  const struct flow_message *message = recording->message;
  struct rp_state_record wanted = {
      .domain = message->domain, .id = id, .version = message->version, .kind = RP_STATE_OPTIONS_TEMPLATE};
  const struct rp_state_record *record;

  if (!reuseport_has_options(recording->exporter, message->domain, message->version, id)) return FALSE;
  record = rp_pages_find(&recording->exporter->pages, &wanted);

  return record && flow_read_definition(message->version, FLOW_OPTIONS_TEMPLATE, record + 1, record->length, definition);
}

static void record_options(struct recording *recording, struct flow_set *set)
{
  __u8 copy[RP_STATE_PAGE_BYTES];
  struct flow_definition definition;
  const __u8 *bytes;
  size_t length;

  if (!find_options_template(recording, set->id, &definition)) return;
  /* its record may move when others are put */
  memcpy(copy, definition.bytes, definition.length);
  definition.bytes = copy;

  while ((bytes = flow_next_record(&definition, set, &length))) {
    struct rp_state_record record = {
        .subject = flow_hash_subject(&definition, bytes, length),
        .domain = recording->message->domain,
        .id = set->id,
        .length = length,
        .version = recording->message->version,
        .kind = RP_STATE_OPTIONS_DATA,
    };

    if (is_news(recording, &record, bytes)) put_options(recording, &record, bytes);
  }
}

static void record_set(struct recording *recording, struct flow_set *set)
{
  struct flow_definition definition;

  if (set->id >= FLOW_FIRST_DATA) record_options(recording, set);
  while (flow_next_definition(recording->message->version, set, &definition)) record_definition(recording, &definition);
}

int reuseport_record_message(struct exporter *exporter, const struct flow_message *message, __u64 *too_large)
{
  struct recording recording = {.exporter = exporter, .message = message, .too_large = too_large};
  struct flow_message rest = *message;
  struct flow_set set;

  reuseport_forget_withdrawn();
  while (flow_next_set(&rest, &set)) record_set(&recording, &set);

  return recording.changed;
}
