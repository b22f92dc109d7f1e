/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* When sessions go back to the instance that they belong to: see returns.h. Knows nothing of pmacct, so that a test can have it alone. */
#include "returns.h"

#define RETURN_DELAY     5   /* seconds that a session stays after its owner is live again */
#define RETURN_DELAY_MAX 600 /* the same, if the owner has ended again and again: doubled each time */
#define RETURN_RATE      20  /* sessions that return to an owner in a second, from all other instances together */
#define FIRST_MINUTES    120 /* seconds: an owner that ends within them, after the delay, did not last */

void reuseport_owner_begins(struct reuseport_owner *owner, __u64 cookie, time_t now)
{
  owner->cookie = cookie;
  owner->since = now;
  owner->away = 0;
}

void reuseport_owner_ends(struct reuseport_owner *owner, time_t now)
{
  int lasted = now - owner->since >= reuseport_return_delay(owner) + FIRST_MINUTES;

  owner->failures = lasted ? 0 : owner->failures + 1;
  owner->cookie = 0;
}

time_t reuseport_return_delay(const struct reuseport_owner *owner)
{
  time_t delay = RETURN_DELAY;
  int n;

  for (n = 1; n < owner->failures && delay < RETURN_DELAY_MAX; n++) delay *= 2;

  return delay < RETURN_DELAY_MAX ? delay : RETURN_DELAY_MAX;
}

time_t reuseport_return_after(const struct reuseport_owner *owner, int live, const union rp_addr *exporter)
{
  /* of all others together, if each has as many of them as this one */
  __u32 all = (__u32) owner->away * (live > 2 ? live - 1 : 1);

  return reuseport_return_delay(owner) + (time_t) (rp_hash(exporter, 0) % (all / RETURN_RATE + 1));
}
