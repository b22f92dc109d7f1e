/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What the commands with --openmetrics share. */
#ifndef OPENMETRICS_H
#define OPENMETRICS_H

#include <stddef.h>

/* A label's value: pin paths and listener directories may have quotes and backslashes. Returns: to
 */
const char *quoted(const char *text, char *to, size_t len);

/* The two lines before a metric's values */
void print_metric_head(const char *name, const char *type, const char *help);

#endif
