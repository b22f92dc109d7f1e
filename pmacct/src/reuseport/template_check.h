/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * Which templates and options templates of NetFlow v9 and IPFIX pmacct's decoder can be given. Upstream's (insert|refresh|compose)_template()
 * and (...)_opt_template() in nfv9_template.c, 1.7.6 to 1.8.1, believe what a template says: a record of 0 bytes is decoded for ever, a
 * mask of 1000 bytes is copied into one. The limits are those of the places that nfacctd.c, pkt_handlers.c and pretag_handlers.c copy to.
 *
 * 1. A template is looked at as it stands on the wire, before upstream reads it. What is refused is counted and logged as upstream does
 *    with malformed templates, and nothing of it is remembered. The sets behind it are decoded.
 * 2. Whoever sends an undecodable definition has given up the earlier one of that id: its records are not decoded until a sound one comes.
 * 3. Of one exporter's address, 16,384 templates are kept, by each instance: upstream frees none, and takes 10 KB for one of 8 bytes.
 * 4. A line of nfacctd_templates_file has to keep the same limits.
 * 5. A template of IPFIX that is withdrawn, or all of a kind, which RFC 7011 forbids over UDP, is given up likewise. All: those that
 *    exporter_state.c knows of the exporter; without the reuseport_* keys, or by DTLS, none.
 */
#ifndef REUSEPORT_TEMPLATE_CHECK_H
#define REUSEPORT_TEMPLATE_CHECK_H

#include <stdint.h>
#include "flow_sets.h"

#define REUSEPORT_REASON_BYTES 96

/* Returns: whether the decoder has room for all fields of a definition, and for the value of each; otherwise writes the reason. */
extern int reuseport_is_decodable(const struct flow_definition *, char reason[REUSEPORT_REASON_BYTES]);

/* Returns: the greatest length in bytes that a field of IANA's element may have, or 65535 if the decoder bounds what it copies of it. */
extern uint16_t reuseport_greatest_length(uint16_t element);

/* Whether what is refused is neither logged nor counted: what is replayed. */
extern int reuseport_refuses_silently;

/* Which templates the datagram that is decoded next withdraws by a withdrawal of all. Before it: forgets the earlier ones; notes one. */
extern void reuseport_forget_withdrawn();
extern void reuseport_note_withdrawn(enum flow_kind, uint16_t id);

/* Returns: the smallest id after that one of those that are noted, or 0. */
extern uint16_t reuseport_next_withdrawn(enum flow_kind, uint16_t after);

#endif
