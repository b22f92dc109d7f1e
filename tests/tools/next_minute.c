// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * A library to preload into a daemon: when the file NEXT_MINUTE is there, gettimeofday() goes ahead
 * by a minute, so that what is due at the next full minute, such as a dump, is due now.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	tv->tv_sec = now.tv_sec + (access(getenv("NEXT_MINUTE"), F_OK) ? 0 : 60);
	tv->tv_usec = now.tv_nsec / 1000;

	return 0;
}
