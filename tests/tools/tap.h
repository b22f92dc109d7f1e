/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* TAP for the tests in C, and random numbers that are the same in every run. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/types.h>
#include "reuseport_hash.h"

static int tap_count, tap_failed;

/* One assertion, named by the format. Returns good. */
__attribute__((format(printf, 2, 3))) static inline int ok(int good, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	tap_failed += !good;

	return good;
}

/* Ends the program if the condition, without which it cannot go on, does not hold */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("Bail out! %s:%d: " #condition ": %m\n", __FILE__, __LINE__);       \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

/* Prints the plan. Returns the exit code: 1 if an assertion has failed. */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);

	return tap_failed != 0;
}

/* Whether a chi square of so many degrees of freedom is within seven standard deviations */
static inline int is_chance(double chi_square, int degrees)
{
	double beyond = chi_square - degrees;

	return beyond <= 0 || beyond * beyond < 49.0 * 2 * degrees;
}

/* The same sequence in every run, so that a failure can be reproduced */
static inline __u64 next_random(__u64 *state)
{
	return rp_mix(*state += 0x9e3779b97f4a7c15ULL);
}

#endif
