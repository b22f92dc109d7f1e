// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* The two text formats of metrics: see metrics.h */
#include <stdio.h>
#include <string.h>
#include "metrics.h"

static enum metrics_format format;

void begin_metrics(enum metrics_format wanted)
{
	format = wanted;
}

void print_metric_head(const char *name, const char *type, const char *help)
{
	int len = strlen(name);

	if (format == OPENMETRICS_TEXT && !strcmp(type, "counter"))
		len -= strlen("_total");
	printf("# HELP %.*s %s\n# TYPE %.*s %s\n", len, name, help, len, name, type);
}

void end_metrics(void)
{
	if (format == OPENMETRICS_TEXT)
		printf("# EOF\n");
}

const char *quoted(const char *text, char *to, size_t len)
{
	size_t n = 0;

	for (; *text && n + 3 < len; text++) {
		if (*text == '"' || *text == '\\')
			to[n++] = '\\';
		to[n++] = *text;
	}
	to[n] = '\0';

	return to;
}
