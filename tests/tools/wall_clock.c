/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A mock, to be preloaded into a process: something has stepped the machine's wall clock by
 * WALL_CLOCK_STEP seconds, forward or back. As on a real machine, CLOCK_MONOTONIC and
 * CLOCK_BOOTTIME do not take part.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t step(void)
{
	const char *seconds = getenv("WALL_CLOCK_STEP");

	return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = syscall(SYS_clock_gettime, clock, now);

	if (!ret && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += step();

	return ret;
}

time_t time(time_t *now)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (now)
		*now = t.tv_sec;

	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	now->tv_sec = t.tv_sec;
	now->tv_usec = t.tv_nsec / 1000;

	return 0;
}
