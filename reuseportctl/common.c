// SPDX-License-Identifier: GPL-2.0-or-later
/* What every command needs: the error line, and a list that grows. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "reuseportctl.h"

int report_error(int status, const char *format, ...)
{
	va_list args;

	fputs("reuseportctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(status == NOT_UNDERSTOOD ? "; see 'reuseportctl --help'\n" : "\n", stderr);

	return status;
}

void *grow(void *list, size_t n, size_t size)
{
	list = reallocarray(list, n + 1, size);
	if (!list)
		exit(report_error(FAILED, "no memory"));

	return list;
}
