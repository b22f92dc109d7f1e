/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What nfacctd asks before it decodes a template: see template_check.h. In a file of its own: other daemons lack what this calls. */
#include "pmacct.h"
#include "addr.h"
#include "nfacctd.h"
#include "reuseport/flow_sets.h"
#include "reuseport/template_check.h"

/* How many templates the decoder keeps, by a hash of who sent them. It takes 10 KB for each, and never frees one. Many routers may have one
   address, behind NAT or a replicator. */
#define TEMPLATES_EACH 16384
static uint16_t kept[65536];

static struct template_cache_entry *find_known(const struct flow_definition *definition, uint16_t set_id, uint32_t domain, struct sockaddr *agent)
{
#ifdef TPL_MAX_ELEM_REPEATS
  return find_template_v2(htons(definition->id), agent, definition->version, set_id, domain);
#else
  return find_template(htons(definition->id), agent, set_id, domain);
#endif
}

static uint16_t *find_count(const struct sockaddr *agent)
{
  static uint32_t seed; /* so that nobody can choose an address with another one's hash */
  uint32_t word[4] = {0}, hash;
  int i;

  if (!seed) seed = (uint32_t) time(NULL) * (uint32_t) getpid() | 1;
  hash = seed;
  if (agent->sa_family == AF_INET) memcpy(word, &((const struct sockaddr_in *) agent)->sin_addr, 4);
  if (agent->sa_family == AF_INET6) memcpy(word, &((const struct sockaddr_in6 *) agent)->sin6_addr, 16);
  for (i = 0; i < 4; i++) hash = (hash ^ word[i]) * 0x9e3779b1; /* 2^32 by the golden ratio: neighbours are far from each other */

  return &kept[hash >> 16];
}

/* Makes data of a template that is known undecodable: process_v9_packet() skips records without a length. */
static void forget_one(const struct flow_definition *definition, uint16_t set_id, uint32_t domain, struct sockaddr *agent)
{
  struct template_cache_entry *known = find_known(definition, set_id, domain, agent);

  if (!known) return;
  known->len = 0;
  known->vlen = FALSE;
}

static void forget(const struct flow_definition *definition, uint16_t set_id, uint32_t domain, struct sockaddr *agent)
{
  struct flow_definition one = *definition;

  if (definition->id >= FLOW_FIRST_DATA)
    forget_one(definition, set_id, domain, agent);
  else if (definition->id == set_id && !definition->fields)
    for (one.id = 0; (one.id = reuseport_next_withdrawn(one.kind, one.id));) forget_one(&one, set_id, domain, agent);
}

static void tell(const struct flow_definition *definition, const char *reason, struct sockaddr *agent, uint32_t sequence)
{
  const char *kind = definition->kind == FLOW_TEMPLATE ? "" : "Options ";
  char text[REUSEPORT_REASON_BYTES + 64];

  if (reuseport_refuses_silently) return;
  snprintf(text, sizeof(text), "refused %sTemplate %u (%s)", kind, definition->id, reason);
  notify_malf_packet(LOG_INFO, "INFO", text, agent, sequence);
  xflow_status_table.tot_bad_datagrams++;
}

/* Counts a template that is new. Returns: whether it is one too many of its exporter, which is logged for the first of these alone. */
static int is_one_too_many(const struct flow_definition *definition, uint16_t set_id, uint32_t domain, struct sockaddr *agent, uint32_t sequence)
{
  uint16_t *count = find_count(agent);
  char reason[REUSEPORT_REASON_BYTES];

  if (find_known(definition, set_id, domain, agent)) return FALSE;
  if (*count < TEMPLATES_EACH) {
    ++*count;
    return FALSE;
  }
  if (*count == TEMPLATES_EACH) {
    ++*count;
    snprintf(reason, sizeof(reason), "one more than the %d of an exporter that are kept; further ones are not logged", TEMPLATES_EACH);
    tell(definition, reason, agent, sequence);
  }

  return TRUE;
}

u_int16_t reuseport_refuse_template(const u_char *template, u_int16_t room, u_int16_t set_id, u_int32_t domain, struct sockaddr *agent,
                                    u_int32_t sequence)
{
  uint16_t version = set_id < 2 ? FLOW_NETFLOW9 : FLOW_IPFIX;
  struct flow_definition definition;
  char reason[REUSEPORT_REASON_BYTES];

  if (!flow_read_definition(version, flow_kind_of_set(version, set_id), template, room, &definition)) {
    /* padding, or nothing that tells where the next definition begins */
    if (room < 4 || !definition.id) return room;
    forget(&definition, set_id, domain, agent);
    tell(&definition, "malformed, or its records are empty", agent, sequence);
    return room;
  }
  if (!definition.fields) {
    /* withdrawn, which RFC 7011 forbids over UDP */
    forget(&definition, set_id, domain, agent);
    tell(&definition, "no fields", agent, sequence);
    return definition.length;
  }
  if (!reuseport_is_decodable(&definition, reason)) {
    forget(&definition, set_id, domain, agent);
    tell(&definition, reason, agent, sequence);
    return definition.length;
  }
  if (is_one_too_many(&definition, set_id, domain, agent, sequence)) return definition.length;

  return 0;
}
