/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Templates, options templates and options data of a message, put into the records of its exporter. */
#ifndef REUSEPORT_RECORDING_H
#define REUSEPORT_RECORDING_H

#include "reuseport/exporters.h"
#include "reuseport/flow_sets.h"

/* Records what is new in a message, and what it withdraws. too_large: counts the records for which there is no room; other processes count
   there, too. Returns: whether the exporter's pages have changed. */
extern int reuseport_record_message(struct exporter *, const struct flow_message *, __u64 *too_large);

#endif
