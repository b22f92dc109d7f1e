/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A library to preload into a daemon: CLOCK_BOOTTIME is as many seconds as the file BOOT_TIME says
 * at that moment, so that what a daemon does after minutes is done when a test has it, and not
 * before.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void read_file(struct timespec *now)
{
	FILE *file = fopen(getenv("BOOT_TIME"), "r");

	if (!file || fscanf(file, "%ld", &now->tv_sec) != 1)
		abort();
	fclose(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = syscall(SYS_clock_gettime, clock, now);

	if (!ret && clock == CLOCK_BOOTTIME)
		read_file(now);

	return ret;
}
