/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What the commands that print metrics share. The two formats have the same samples. In Prometheus'
 * own, version 0.0.4, which node_exporter's textfile collector and promtool read, a counter is
 * declared by the name of its samples, which ends in _total. In OpenMetrics 1.0 it is declared
 * without that suffix, and the text has an end. A reader of one refuses, or loses the types and the
 * explanations of, the counters of the other.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>
#include "reuseportctl.h"

/* Sets the format of what is printed until end_metrics() */
void begin_metrics(enum metrics_format wanted);
void end_metrics(void);

/* A label's value: pin paths and listener directories may have quotes and backslashes. Returns: to
 */
const char *quoted(const char *text, char *to, size_t len);

/* The two lines before a metric's values; name: that of its samples */
void print_metric_head(const char *name, const char *type, const char *help);

#endif
