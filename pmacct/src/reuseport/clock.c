/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Time: see clock.h. */
#include <time.h>
#include "clock.h"

long long reuseport_now_ms()
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);

  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

long long reuseport_now_ns()
{
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);

  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void reuseport_sleep_ms(int ms)
{
  const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

  nanosleep(&t, NULL);
}
