/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Which templates the decoder can be given: see template_check.h. */
#include "pmacct.h"
#include "nfacctd.h"
#include "reuseport/flow_sets.h"
#include "reuseport/template_check.h"

/* Only the development branch gives options templates fields of variable length; others take the 65535 for a number of bytes. */
#ifdef NF9_MAX_FIXED_FIELD_LEN
#define OPTIONS_MAY_VARY TRUE
#else
#define OPTIONS_MAY_VARY FALSE
#endif

#define UNLIMITED 65535

/* The elements that some release copies with the length in the template, and the room that the smallest destination has, in bytes. */
static const uint8_t greatest_length[NF9_MAX_DEFINED_FIELD] = {
    [NF9_L4_PROTOCOL] = 1,
    [NF9_SRC_TOS] = 1,
    [NF9_TCP_FLAGS] = 2,
    [NF9_L4_SRC_PORT] = 2,
    [NF9_IPV4_SRC_ADDR] = 4,
    [NF9_SRC_MASK] = 1,
    [NF9_L4_DST_PORT] = 2,
    [NF9_IPV4_DST_ADDR] = 4,
    [NF9_DST_MASK] = 1,
    [NF9_IPV4_NEXT_HOP] = 4,
    [NF9_BGP_IPV4_NEXT_HOP] = 4,
    [NF9_LAST_SWITCHED] = 4,
    [NF9_FIRST_SWITCHED] = 4,
    [NF9_IPV6_SRC_ADDR] = 16,
    [NF9_IPV6_DST_ADDR] = 16,
    [NF9_IPV6_SRC_MASK] = 1,
    [NF9_IPV6_DST_MASK] = 1,
    [NF9_MPLS_TOP_LABEL_ADDR] = 4,
    [NF9_IN_SRC_MAC] = 6,
    [NF9_OUT_DST_MAC] = 6,
    [NF9_IN_VLAN] = 2,
    [NF9_OUT_VLAN] = 2,
    [NF9_IPV6_NEXT_HOP] = 16,
    [NF9_BGP_IPV6_NEXT_HOP] = 16,
    [NF9_MPLS_LABEL_1... NF9_MPLS_LABEL_10] = 4,
    [NF9_IN_DST_MAC] = 6,
    [NF9_OUT_SRC_MAC] = 6,
    [NF9_MPLS_TOP_LABEL_IPV6_ADDR] = 16,
    [NF9_FIRST_SWITCHED_MSEC] = 8,
    [NF9_LAST_SWITCHED_MSEC] = 8,
    [NF9_FIRST_SWITCHED_DELTA_MICRO] = 4,
    [NF9_LAST_SWITCHED_DELTA_MICRO] = 4,
    [NF9_SYS_UPTIME_MSEC] = 8,
    [NF9_EGRESS_VRFID] = 4,
    [NF9_PSEUDOWIREID] = 4,
    [NF9_OBSERVATION_TIME_MSEC] = 8,
};

uint16_t reuseport_greatest_length(uint16_t element)
{
  return element < NF9_MAX_DEFINED_FIELD && greatest_length[element] ? greatest_length[element] : UNLIMITED;
}

/* Scopes of NetFlow v9 have numbers of their own, 1 to 5. Upstream takes those above for elements. */
static int is_v9_scope(const struct flow_definition *definition, const struct flow_field *field)
{
  return field->is_scope && definition->version == FLOW_NETFLOW9 && field->type <= NF9_OPT_SCOPE_TPL;
}

/* Checks the length of a field. Returns: whether it fits; otherwise writes the reason. */
static int field_fits(const struct flow_definition *definition, const struct flow_field *field, char *reason)
{
  int varies = definition->version == FLOW_IPFIX && field->length == FLOW_VARIABLE;
  uint16_t greatest = reuseport_greatest_length(field->type);

  if (varies && definition->kind == FLOW_OPTIONS_TEMPLATE && !OPTIONS_MAY_VARY) {
    snprintf(reason, REUSEPORT_REASON_BYTES, "field %u has a variable length, which this release cannot decode in options", field->type);
    return FALSE;
  }
  if (field->has_enterprise || greatest == UNLIMITED || is_v9_scope(definition, field)) return TRUE;
  if (varies || field->length > greatest) {
    snprintf(reason, REUSEPORT_REASON_BYTES, "field %u has %s%u bytes, and at most %u fit", field->type, varies ? "up to " : "", field->length, greatest);
    return FALSE;
  }

  return TRUE;
}

int reuseport_is_decodable(const struct flow_definition *definition, char reason[REUSEPORT_REASON_BYTES])
{
  int places[TPL_EXT_DB_ENTRIES] = {0}, most = definition->kind == FLOW_TEMPLATE ? TPL_LIST_ENTRIES : TPL_LIST_ENTRIES - 1;
  struct flow_field field;
  struct flow_walk walk;

  if (definition->fields > most) {
    snprintf(reason, REUSEPORT_REASON_BYTES, "%u fields, and at most %d fit", definition->fields, most);
    return FALSE;
  }
  flow_start_fields(&walk, definition, NULL, NULL);
  while (flow_next_field(&walk, &field) > 0) {
    if (!field_fits(definition, &field, reason)) return FALSE;
    if (field.type < NF9_MAX_DEFINED_FIELD && !field.has_enterprise) continue;
    if (++places[field.type % TPL_EXT_DB_ENTRIES] > IES_PER_TPL_EXT_DB_ENTRY) {
      snprintf(reason, REUSEPORT_REASON_BYTES, "more than %d enterprise or high fields of ids like %u", IES_PER_TPL_EXT_DB_ENTRY, field.type);
      return FALSE;
    }
  }

  return TRUE;
}

/* ---- withdrawn ---- */

int reuseport_refuses_silently;

static struct {
  int any;
  uint64_t ids[FLOW_OPTIONS_TEMPLATE + 1][65536 / 64]; /* a bit each */
} withdrawn;

void reuseport_forget_withdrawn()
{
  if (withdrawn.any) memset(&withdrawn, 0, sizeof(withdrawn));
}

void reuseport_note_withdrawn(enum flow_kind kind, uint16_t id)
{
  withdrawn.any = TRUE;
  withdrawn.ids[kind][id / 64] |= 1ULL << id % 64;
}

uint16_t reuseport_next_withdrawn(enum flow_kind kind, uint16_t after)
{
  uint32_t id;

  for (id = after + 1; id <= UINT16_MAX; id++) {
    uint64_t rest = withdrawn.ids[kind][id / 64] >> id % 64;

    if (rest & 1) return id;
    if (!rest) id |= 63;
  }

  return 0;
}
