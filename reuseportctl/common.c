// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* What every command needs: the error line, printable names, the time, and a list that grows. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "reuseportctl.h"

const char *printable(const char *name, char *text, size_t len)
{
	size_t used = 0;

	for (; *name && used + 5 <= len; name++)
		if (*name < ' ' || *name > '~' || *name == '\\')
			used += snprintf(text + used, 5, "\\x%02x", (unsigned char)*name);
		else
			text[used++] = *name;
	text[used] = '\0';

	return text;
}

int report_error(int status, const char *format, ...)
{
	char line[2048], text[4 * sizeof(line)];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "reuseportctl: %s", printable(line, text, sizeof(text)));
	fputs(status == NOT_UNDERSTOOD ? "; see 'reuseportctl --help'\n" : "\n", stderr);

	return status;
}

int flush_output(void)
{
	static int err;

	if (fflush(stdout) && !err)
		err = errno;
	/* printf() had failed, and none has kept its errno */
	if (ferror(stdout) && !err)
		err = EIO;

	return err;
}

time_t wall_time(clockid_t clock, __u64 seconds)
{
	struct timespec now, wall;

	clock_gettime(clock, &now);
	clock_gettime(CLOCK_REALTIME, &wall);

	/* whole seconds at last, so that each call says the same */
	return seconds + wall.tv_sec - now.tv_sec - (wall.tv_nsec < now.tv_nsec);
}

void *grow(void *list, size_t n, size_t size)
{
	list = reallocarray(list, n + 1, size);
	if (!list)
		exit(report_error(FAILED, "no memory"));

	return list;
}
