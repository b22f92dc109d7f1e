/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What is replayed to pmacct's decoder, in messages as the exporter would send them. */
#ifndef REUSEPORT_REPLAY_H
#define REUSEPORT_REPLAY_H

#include "reuseport/flow_sets.h"
#include "reuseport/state_pages.h"

/* Begins anew, before a message of the exporter, whose times and numbers the replayed ones get. */
extern void reuseport_start_replay(const struct flow_message *before);

/* Adds the records of fresh that known does not have, or has otherwise: definitions first. */
extern void reuseport_replay_differences(const struct rp_pages *known, const struct rp_pages *fresh);

#endif
