/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Messages of NetFlow v9 and IPFIX: see flow_sets.h. */
#include <string.h>
#include "flow_sets.h"

#define NETFLOW9_HEADER 20
#define IPFIX_HEADER    16
#define ENTERPRISE_BIT  0x8000

/* Information elements; NetFlow v9 has the same numbers. */
enum {
  INGRESS_INTERFACE = 10,
  EGRESS_INTERFACE = 14,
  SAMPLING_INTERVAL = 34,
  ENGINE_TYPE = 38,
  ENGINE_ID = 39,
  SAMPLER_ID = 48,
  SAMPLER_INTERVAL = 50,
  CLASS_ID = 51,
  APPLICATION_ID = 95,
  OBSERVATION_POINT_ID = 138,
  LINE_CARD_ID = 141,
  PORT_ID = 142,
  METERING_PROCESS_ID = 143,
  EXPORTING_PROCESS_ID = 144,
  TEMPLATE_ID = 145,
  FLOW_ID = 148,
  OBSERVATION_DOMAIN_ID = 149,
  INGRESS_VRF_ID = 234,
  EGRESS_VRF_ID = 235,
  SELECTOR_ID = 302,
  INFORMATION_ELEMENT_ID = 303,
  PACKET_INTERVAL = 305,
  PACKET_SPACE = 306,
  PRIVATE_ENTERPRISE_NUMBER = 346,
};

static uint16_t read16(const uint8_t *p)
{
  return p[0] << 8 | p[1];
}

static uint32_t read32(const uint8_t *p)
{
  return (uint32_t) read16(p) << 16 | read16(p + 2);
}

/* ---- messages and sets ---- */

int flow_read_message(const void *datagram, size_t length, struct flow_message *message)
{
  const uint8_t *bytes = datagram;
  size_t header;

  if (length < 2) return 0;
  message->version = read16(bytes);
  if (message->version != FLOW_NETFLOW9 && message->version != FLOW_IPFIX) return 0;
  header = message->version == FLOW_NETFLOW9 ? NETFLOW9_HEADER : IPFIX_HEADER;
  if (length < header + FLOW_SET_HEADER) return 0;

  message->bytes = bytes;
  message->sets = bytes + header;
  message->end = bytes + length;
  message->domain = read32(message->sets - 4);

  return 1;
}

int flow_next_set(struct flow_message *message, struct flow_set *set)
{
  const uint8_t *at = message->sets;
  size_t length;

  if (message->end - at < FLOW_SET_HEADER) return 0;
  length = read16(at + 2);
  if (length < FLOW_SET_HEADER || length > (size_t) (message->end - at)) return 0;

  set->id = read16(at);
  set->at = at + FLOW_SET_HEADER;
  set->end = message->sets = at + length;

  return 1;
}

int flow_kind_of_set(uint16_t version, uint16_t set_id)
{
  if (set_id == (version == FLOW_NETFLOW9 ? 0 : 2)) return FLOW_TEMPLATE;
  if (set_id == (version == FLOW_NETFLOW9 ? 1 : 3)) return FLOW_OPTIONS_TEMPLATE;

  return -1;
}

uint16_t flow_set_of_kind(uint16_t version, enum flow_kind kind)
{
  return (version == FLOW_NETFLOW9 ? 0 : 2) + (kind == FLOW_OPTIONS_TEMPLATE);
}

/* ---- definitions ---- */

/* Returns: how many bytes a definition has before its first field. */
static size_t head_length(uint16_t version, enum flow_kind kind, uint16_t fields)
{
  if (kind == FLOW_TEMPLATE || (version == FLOW_IPFIX && !fields)) return 4;

  return 6;
}

/* Reads the head of a definition. Returns: whether it is whole and makes sense by itself. */
static int read_head(const uint8_t *at, size_t room, struct flow_definition *definition)
{
  if (room < 4) return 0;
  definition->id = read16(at);
  definition->fields = read16(at + 2);
  definition->scope_fields = 0;
  if (room < head_length(definition->version, definition->kind, definition->fields)) return 0;
  if (definition->kind != FLOW_OPTIONS_TEMPLATE) return 1;

  if (definition->version == FLOW_NETFLOW9) {
    /* lengths in bytes: of the scope's fields, and of the others */
    if (read16(at + 2) % 4 || read16(at + 4) % 4) return 0;
    definition->scope_fields = read16(at + 2) / 4;
    definition->fields = definition->scope_fields + read16(at + 4) / 4;
  }
  else if (definition->fields) {
    definition->scope_fields = read16(at + 4);
    if (definition->scope_fields > definition->fields) return 0;
  }

  return 1;
}

/* Reads one field of a definition at `at`. Returns: how many bytes it has, or 0 if there is no room for it. */
static size_t read_field(uint16_t version, const uint8_t *at, size_t room, struct flow_field *field)
{
  int has_enterprise;

  if (room < 4) return 0;
  has_enterprise = version == FLOW_IPFIX && read16(at) & ENTERPRISE_BIT;
  if (has_enterprise && room < 8) return 0;
  field->type = has_enterprise ? read16(at) & ~ENTERPRISE_BIT : read16(at);
  field->length = read16(at + 2);
  field->enterprise = has_enterprise ? read32(at + 4) : 0;
  field->has_enterprise = has_enterprise;

  return has_enterprise ? 8 : 4;
}

/* A definition of fields: checks them, and finds its length. Returns: whether it is whole, and its records are not empty. */
static int check_fields(const uint8_t *at, size_t room, struct flow_definition *definition)
{
  size_t used = head_length(definition->version, definition->kind, definition->fields), record = 0;
  struct flow_field field;
  int i;

  for (i = 0; i < definition->fields; i++) {
    size_t bytes = read_field(definition->version, at + used, room - used, &field);

    if (!bytes) return 0;
    used += bytes;
    record += field.length == FLOW_VARIABLE && definition->version == FLOW_IPFIX ? 1 : field.length;
  }
  definition->bytes = at;
  definition->length = used;

  /* a record that no set has room for */
  return record && record < FLOW_VARIABLE;
}

static int is_withdrawal(const struct flow_definition *definition)
{
  return definition->version == FLOW_IPFIX && !definition->fields;
}

int flow_read_definition(uint16_t version, enum flow_kind kind, const void *bytes, size_t length, struct flow_definition *definition)
{
  memset(definition, 0, sizeof(*definition));
  definition->version = version;
  definition->kind = kind;
  if (!read_head(bytes, length, definition)) return 0;
  if (is_withdrawal(definition)) {
    definition->bytes = bytes;
    definition->length = 4;
    /* of one template, or of all of this kind; else it is padding */
    return definition->id >= FLOW_FIRST_DATA || definition->id == flow_set_of_kind(version, kind);
  }

  return definition->id >= FLOW_FIRST_DATA && check_fields(bytes, length, definition);
}

int flow_next_definition(uint16_t version, struct flow_set *set, struct flow_definition *definition)
{
  int kind = flow_kind_of_set(version, set->id);

  /* padding */
  if (kind < 0 || set->end - set->at < 4) return 0;
  if (!flow_read_definition(version, kind, set->at, set->end - set->at, definition)) return 0;
  set->at += definition->length;

  return 1;
}

/* ---- records ---- */

/* Finds the value of a field in a record. Returns: whether it is whole. */
static int find_value(uint16_t version, const uint8_t **record, const uint8_t *end, struct flow_field *field)
{
  const uint8_t *at = *record;
  size_t length = field->length;

  if (version == FLOW_IPFIX && field->length == FLOW_VARIABLE) {
    if (end - at < 1) return 0;
    length = *at++;
    if (length == 255) {
      if (end - at < 2) return 0;
      length = read16(at);
      at += 2;
    }
  }
  if ((size_t) (end - at) < length) return 0;

  field->value = at;
  field->value_length = length;
  *record = at + length;

  return 1;
}

void flow_start_fields(struct flow_walk *walk, const struct flow_definition *definition, const uint8_t *record, const uint8_t *end)
{
  walk->definition = definition;
  walk->index = 0;
  walk->at = definition->bytes + head_length(definition->version, definition->kind, definition->fields);
  walk->record = record;
  walk->end = end;
}

int flow_next_field(struct flow_walk *walk, struct flow_field *field)
{
  const struct flow_definition *definition = walk->definition;

  if (walk->index >= definition->fields) return 0;
  memset(field, 0, sizeof(*field));
  walk->at += read_field(definition->version, walk->at, definition->bytes + definition->length - walk->at, field);
  field->is_scope = walk->index++ < definition->scope_fields;
  if (walk->record && !find_value(definition->version, &walk->record, walk->end, field)) return -1;

  return 1;
}

const uint8_t *flow_next_record(const struct flow_definition *definition, struct flow_set *set, size_t *length)
{
  const uint8_t *record = set->at;
  struct flow_field field;
  struct flow_walk walk;
  int found;

  flow_start_fields(&walk, definition, record, set->end);
  while ((found = flow_next_field(&walk, &field)) > 0) continue;
  /* padding */
  if (found < 0 || walk.record == record) return NULL;

  set->at = walk.record;
  *length = walk.record - record;

  return record;
}

/* ---- what a record says ---- */

static int is_id(const struct flow_field *field)
{
  if (field->enterprise) return 0;

  switch (field->type) {
  case INGRESS_INTERFACE:
  case EGRESS_INTERFACE:
  case ENGINE_TYPE:
  case ENGINE_ID:
  case SAMPLER_ID:
  case CLASS_ID:
  case APPLICATION_ID:
  case OBSERVATION_POINT_ID:
  case LINE_CARD_ID:
  case PORT_ID:
  case METERING_PROCESS_ID:
  case EXPORTING_PROCESS_ID:
  case TEMPLATE_ID:
  case FLOW_ID:
  case OBSERVATION_DOMAIN_ID:
  case INGRESS_VRF_ID:
  case EGRESS_VRF_ID:
  case SELECTOR_ID:
  case INFORMATION_ELEMENT_ID:
  case PRIVATE_ENTERPRISE_NUMBER:
    return 1;
  default:
    return 0;
  }
}

/* FNV-1a: an exporter that makes two hashes equal harms itself alone. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
  const uint8_t *p = bytes;

  while (length--) hash = (hash ^ *p++) * 0x100000001b3ULL;

  return hash;
}

uint64_t flow_hash_subject(const struct flow_definition *definition, const uint8_t *record, size_t length)
{
  uint64_t hash = 0xcbf29ce484222325ULL;
  struct flow_field field;
  struct flow_walk walk;

  flow_start_fields(&walk, definition, record, record + length);
  while (flow_next_field(&walk, &field) > 0) {
    if (!field.is_scope && !is_id(&field)) continue;
    hash = hash_bytes(hash, &field.type, sizeof(field.type));
    hash = hash_bytes(hash, &field.value_length, sizeof(field.value_length));
    hash = hash_bytes(hash, field.value, field.value_length);
  }

  return hash;
}

static uint32_t read_number(const struct flow_field *field)
{
  uint32_t number = 0;
  size_t i;

  for (i = 0; i < field->value_length; i++) number = number << 8 | field->value[i];

  return number;
}

uint32_t flow_sampling_rate(const struct flow_definition *definition, const uint8_t *record, size_t length)
{
  uint32_t rate = 0, interval = 0, space = 0;
  struct flow_field field;
  struct flow_walk walk;

  flow_start_fields(&walk, definition, record, record + length);
  while (flow_next_field(&walk, &field) > 0) {
    if (field.is_scope || field.enterprise) continue;
    if (field.type == SAMPLING_INTERVAL || field.type == SAMPLER_INTERVAL) rate = read_number(&field);
    if (field.type == PACKET_INTERVAL) interval = read_number(&field);
    if (field.type == PACKET_SPACE) space = read_number(&field);
  }
  if (!rate && interval) rate = (interval + space) / interval;

  return rate;
}
