/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What is in a message of NetFlow v9 (RFC 3954) or IPFIX (RFC 7011): its sets, the definitions in template sets, the records in options
 * data. Needs nothing of pmacct.
 *
 * 1. Nothing outside of the message is read. What contradicts itself is malformed, and ends the walk.
 * 2. A definition whose records would be empty is malformed.
 */
#ifndef REUSEPORT_FLOW_SETS_H
#define REUSEPORT_FLOW_SETS_H

#include <stddef.h>
#include <stdint.h>

#define FLOW_NETFLOW9 9
#define FLOW_IPFIX    10

#define FLOW_SET_HEADER 4     /* bytes */
#define FLOW_FIRST_DATA 256   /* sets with smaller ids hold definitions */
#define FLOW_MAX_HEADER 20    /* bytes, of a message */
#define FLOW_VARIABLE   65535 /* IPFIX: the length of a field that comes with each record */

struct flow_message {
  const uint8_t *bytes, *sets, *end; /* sets: behind the header */
  uint16_t version;                  /* FLOW_NETFLOW9 or FLOW_IPFIX */
  uint32_t domain;                   /* source id, or observation domain */
};

struct flow_set {
  uint16_t id;
  const uint8_t *at, *end; /* its contents, without its header; `at` moves on with each definition or record that is taken */
};

enum flow_kind {
  FLOW_TEMPLATE,
  FLOW_OPTIONS_TEMPLATE,
  FLOW_OPTIONS_DATA,
};

/* A template or options template as it was defined */
struct flow_definition {
  enum flow_kind kind;
  uint16_t version;
  uint16_t id;     /* of the template; in a withdrawal of all: 2 or 3 */
  uint16_t fields; /* how many, those of the scope first; 0: the definition is withdrawn (IPFIX) */
  uint16_t scope_fields;
  const uint8_t *bytes; /* from the template's id on, as it came */
  size_t length;        /* bytes */
};

struct flow_field {
  uint16_t type;       /* of a scope in NetFlow v9, the scope's type; else the information element */
  uint32_t enterprise; /* 0: IANA's */
  int has_enterprise;  /* IPFIX: also if that is 0 */
  uint16_t length;     /* FLOW_VARIABLE, or bytes */
  int is_scope;
  const uint8_t *value; /* in a record; NULL: in a definition alone */
  size_t value_length;
};

/* A walk over fields; record: behind the last value that was taken */
struct flow_walk {
  const struct flow_definition *definition;
  int index;
  const uint8_t *at, *record, *end;
};

/* Reads the header. Returns: whether it is a message of NetFlow v9 or IPFIX, with sets. */
extern int flow_read_message(const void *datagram, size_t length, struct flow_message *);

/* Takes the next set of a message. Returns: whether there is one that is whole. */
extern int flow_next_set(struct flow_message *, struct flow_set *);

/* Returns: which kind of definitions a set of that id holds, or -1. */
extern int flow_kind_of_set(uint16_t version, uint16_t set_id);

/* Returns: the id of the sets that hold such definitions. */
extern uint16_t flow_set_of_kind(uint16_t version, enum flow_kind);

/* Takes the next definition of a template set. Returns: whether there is one that is not malformed. */
extern int flow_next_definition(uint16_t version, struct flow_set *, struct flow_definition *);

/* Reads a definition that was kept: bytes and length as in struct flow_definition. Returns: whether it is one. */
extern int flow_read_definition(uint16_t version, enum flow_kind, const void *bytes, size_t length, struct flow_definition *);

/* Starts a walk over the fields of a definition and, if record is not NULL, over their values in that record, which ends before end. */
extern void flow_start_fields(struct flow_walk *, const struct flow_definition *, const uint8_t *record, const uint8_t *end);

/* Takes the next field. Returns: 1; 0: there are no more; -1: the record ends before. */
extern int flow_next_field(struct flow_walk *, struct flow_field *);

/* Takes the next record of a set that was defined so. Returns: its bytes, or NULL if there is none; length: how many. */
extern const uint8_t *flow_next_record(const struct flow_definition *, struct flow_set *, size_t *length);

/*
 * Returns: a hash of what an options record is about: its scope, and the ids among its other fields, such as those of a sampler, an
 * application, an interface or a VRF. A record with the same hash takes the place of the earlier one.
 */
extern uint64_t flow_hash_subject(const struct flow_definition *, const uint8_t *record, size_t length);

/*
 * Returns: the sampling rate that an options record tells: 1000 for one packet of 1000; 0: none. That is what pmacct 1.7.6 to 1.7.9 make of
 * samplingInterval (34), samplerRandomInterval (50), samplingPacketInterval and samplingPacketSpace (305, 306).
 */
extern uint32_t flow_sampling_rate(const struct flow_definition *, const uint8_t *record, size_t length);

#endif
