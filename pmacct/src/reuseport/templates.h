/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Templates of NetFlow v9 and IPFIX among instances: each knows what any of them has learnt.
 *
 * 1. Each instance writes what it learns to its own nfacctd_templates_file, as upstream does, with the time of it.
 * 2. Each reads its siblings' files: at the start, when one of them has changed, and when it misses a template. So an
 *    instance decodes an exporter that it has never seen before: after a failover, a takeover or growth.
 * 3. Of several definitions of one template the latest holds.
 *
 * Without the reuseport_* keys, or without --enable-jansson, every function here does what upstream does.
 */
#ifndef REUSEPORT_TEMPLATES_H
#define REUSEPORT_TEMPLATES_H

#include "pmacct.h"
#include "nfacctd.h"
#include "reuseport/reuseport.h"

/* In the place of load_templates_from_file() */
extern void reuseport_load_templates(char *path);

/* In the place of find_template(), or of find_template_v2(): looks at the siblings' files, too */
extern struct template_cache_entry *reuseport_find_template(u_int16_t id, struct sockaddr *agent, u_int8_t version,
                                                            u_int16_t tpl_type, u_int32_t sid);

/* Whether a refreshed template has to be written: unless it is what it was, as it is nearly always; NULL never */
extern int reuseport_template_changed(const struct template_cache_entry *was, const struct template_cache_entry *is);

/* Adds the time to a template that is about to be written; json_t * */
extern void reuseport_date_template(void *json);

#endif
