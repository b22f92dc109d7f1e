/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What exporters of NetFlow v9 and IPFIX tell only now and then: templates, options templates, options data such as sampling rates.
 *
 * 1. Recorded raw, as it comes, and kept with the group (RP_MAP_STATE), so that an instance that gets an exporter knows it, too.
 * 2. Replayed to pmacct's own decoder in messages of that exporter: before the first datagram of an exporter that this process has not
 *    seen before, and again what another instance has recorded since. Plugins get nothing of what is replayed, and pmacct does not
 *    count it.
 * 3. Recorded only when it is new or differs. What is malformed is not recorded.
 * 4. Bounded, in the map and in this process: see the limits in exporter_state.c and reuseport_abi.h.
 *
 * For the main thread of nfacctd alone. An object without the maps: nothing is recorded.
 */
#ifndef REUSEPORT_EXPORTER_STATE_H
#define REUSEPORT_EXPORTER_STATE_H

#include <sys/socket.h>

/* For each datagram, before it is handed out: records what is in it, and prepares what is to be replayed before it. */
extern void reuseport_note_datagram(const struct sockaddr *sender, const void *datagram, size_t length);

/* Takes the next message to replay; buf has room for len bytes. Returns: its length, or 0 if there is none. */
extern ssize_t reuseport_take_replay(void *buf, size_t len);

/* When what was handed out last is decoded: nothing is replayed any more, and what was recorded is written to the group's map. A datagram
   that crashes the decoder, or keeps it busy for ever, never gets there. */
extern void reuseport_end_replay();
extern void reuseport_save_recorded();

/* Now and then, about ten times a second: makes room in the group's map. */
extern void reuseport_tidy_exporter_state();

#endif
