/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Time, for the daemons' side. */
#ifndef REUSEPORT_CLOCK_H
#define REUSEPORT_CLOCK_H

/* Returns: milliseconds since an arbitrary moment, with the resolution of the kernel's tick. Cheap enough for each datagram. */
extern long long reuseport_now_ms();

/* Returns: nanoseconds since an arbitrary moment (CLOCK_MONOTONIC). Cheap enough for each batch. */
extern long long reuseport_now_ns();

/* Sleeps for so many milliseconds, or until a signal comes. */
extern void reuseport_sleep_ms(int ms);

#endif
