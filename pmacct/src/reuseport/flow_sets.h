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
#include <linux/types.h>

#define FLOW_NETFLOW9 9
#define FLOW_IPFIX    10

#define FLOW_SET_HEADER 4     /* bytes */
#define FLOW_FIRST_DATA 256   /* sets with smaller ids hold definitions */
#define FLOW_MAX_HEADER 20    /* bytes, of a message */
#define FLOW_VARIABLE   65535 /* IPFIX: the length of a field that comes with each record */

struct flow_message {
  const __u8 *bytes, *sets, *end; /* sets: behind the header */
  __u16 version;                  /* FLOW_NETFLOW9 or FLOW_IPFIX */
  __u32 domain;                   /* source id, or observation domain */
};

struct flow_set {
  __u16 id;
  const __u8 *at, *end; /* its contents, without its header; `at` moves on with each definition or record that is taken */
};

enum flow_kind {
  FLOW_TEMPLATE,
  FLOW_OPTIONS_TEMPLATE,
  FLOW_OPTIONS_DATA,
};

/* A template or options template as it was defined */
struct flow_definition {
  enum flow_kind kind;
  __u16 version;
  __u16 id;     /* of the template; in a withdrawal of all: 2 or 3 */
  __u16 fields; /* how many, those of the scope first; 0: the definition is withdrawn (IPFIX) */
  __u16 scope_fields;
  const __u8 *bytes; /* from the template's id on, as it came */
  size_t length;     /* bytes */
};

struct flow_field {
  __u16 type;         /* of a scope in NetFlow v9, the scope's type; else the information element */
  __u32 enterprise;   /* 0: IANA's */
  int has_enterprise; /* IPFIX: also if that is 0 */
  __u16 length;       /* FLOW_VARIABLE, or bytes */
  int is_scope;
  const __u8 *value; /* in a record; NULL: in a definition alone */
  size_t value_length;
};

/* A walk over fields; record: behind the last value that was taken */
struct flow_walk {
  const struct flow_definition *definition;
  int index;
  const __u8 *at, *record, *end;
};

/* Reads the header. Returns: whether it is a message of NetFlow v9 or IPFIX, with sets. */
extern int flow_read_message(const void *datagram, size_t length, struct flow_message *);

/* Takes the next set of a message. Returns: whether there is one that is whole. */
extern int flow_next_set(struct flow_message *, struct flow_set *);

/* Returns: which kind of definitions a set of that id holds, or -1. */
extern int flow_kind_of_set(__u16 version, __u16 set_id);

/* Returns: the id of the sets that hold such definitions. */
extern __u16 flow_set_of_kind(__u16 version, enum flow_kind);

/* Takes the next definition of a template set. Returns: whether there is one that is not malformed. */
extern int flow_next_definition(__u16 version, struct flow_set *, struct flow_definition *);

/* Reads a definition that was kept: bytes and length as in struct flow_definition. Returns: whether it is one. */
extern int flow_read_definition(__u16 version, enum flow_kind, const void *bytes, size_t length, struct flow_definition *);

/* Starts a walk over the fields of a definition and, if record is not NULL, over their values in that record, which ends before end. */
extern void flow_start_fields(struct flow_walk *, const struct flow_definition *, const __u8 *record, const __u8 *end);

/* Takes the next field. Returns: 1; 0: there are no more; -1: the record ends before. */
extern int flow_next_field(struct flow_walk *, struct flow_field *);

/* Takes the next record of a set that was defined so. Returns: its bytes, or NULL if there is none; length: how many. */
extern const __u8 *flow_next_record(const struct flow_definition *, struct flow_set *, size_t *length);

/*
 * Returns: a hash of what an options record is about: its scope, and the ids among its other fields, such as those of a sampler, an
 * application, an interface or a VRF. A record with the same hash takes the place of the earlier one.
 */
extern __u64 flow_hash_subject(const struct flow_definition *, const __u8 *record, size_t length);

/*
 * Returns: the sampling rate that an options record tells: 1000 for one packet of 1000; 0: none. That is what pmacct 1.7.6 to 1.7.9 make of
 * samplingInterval (34), samplerRandomInterval (50), samplingPacketInterval and samplingPacketSpace (305, 306).
 */
extern __u32 flow_sampling_rate(const struct flow_definition *, const __u8 *record, size_t length);

#endif
