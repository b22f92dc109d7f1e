/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* How JSON is written to stdout. */
#ifndef JSON_H
#define JSON_H

#include <jansson.h>

/* Prints a value, on one line if compact is set, and gives its reference back */
void write_json(json_t *value, int compact);

#endif
