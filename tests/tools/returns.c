// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* When sessions return to their owner: returns.h's three promises, for hours of crashes and for
 * thousands of sessions, without a daemon. */
#include <arpa/inet.h>
#include <string.h>
#include "returns.h"
#include "tap.h"

#define RATE	20 /* sessions a second that return */
#define FIRST	5  /* seconds until the first one does */
#define LONGEST 600
#define LASTS	120 /* seconds, after the delay, from which on an instance has lasted */

/* An instance begins, and ends after so many seconds. Returns: the delay of its sessions. */
static time_t live_for(struct reuseport_owner *owner, time_t *now, time_t seconds)
{
	time_t delay;

	reuseport_owner_begins(owner, 42, *now);
	delay = reuseport_return_delay(owner);
	reuseport_owner_ends(owner, *now += seconds);

	return delay;
}

/* One that crashes a minute after each start, for a week */
static void crashes(void)
{
	static const time_t wanted[] = {FIRST, FIRST, 10, 20, 40, 80, 160, 320};
	struct reuseport_owner owner = {0};
	time_t now = 1000, delay;
	int n, beyond = 0;

	for (n = 0; n < 8; n++) {
		delay = live_for(&owner, &now, 60);
		ok(delay == wanted[n], "after %d ends within a minute, the delay is %ld s", n,
		   (long)delay);
	}
	for (; n < 10000; n++)
		beyond += live_for(&owner, &now, 60) != LONGEST;
	ok(!beyond, "from the eighth to the %dth it is %d s, neither more nor less", n, LONGEST);
	now += 3600;
	ok(live_for(&owner, &now, LONGEST + LASTS - 1) == LONGEST &&
		   live_for(&owner, &now, LONGEST + LASTS) == LONGEST,
	   "one that ends %d s after its sessions returned has not lasted", LASTS - 1);
	ok(live_for(&owner, &now, FIRST + LASTS) == FIRST,
	   "one that ends %d s after them has: the delay is %d s again", LASTS, FIRST);
}

static union rp_addr address(int n)
{
	union rp_addr a;

	rp_addr_v4(&a, htonl(0x0a000001 + n));

	return a;
}

/* So many sessions return, which the others have in equal parts */
struct portions {
	int first, last, most; /* seconds; sessions in a second */
};

static struct portions give_back(int sessions, int live, int failures)
{
	struct reuseport_owner owner = {.failures = failures,
					.away = sessions / (live > 1 ? live - 1 : 1)};
	static int seconds[10000];
	struct portions p = {.first = 10000};

	memset(seconds, 0, sizeof(seconds));
	for (int n = 0; n < sessions; n++) {
		union rp_addr exporter = address(n);
		int after = reuseport_return_after(&owner, live, &exporter);

		must(after >= 0 && after < 10000);
		seconds[after]++;
		p.first = after < p.first ? after : p.first;
		p.last = after > p.last ? after : p.last;
		p.most = seconds[after] > p.most ? seconds[after] : p.most;
	}

	return p;
}

/* Whatever their number and that of instances: twice the rate is more than chance brings into a
 * second */
static void rate(void)
{
	static const int sessions[] = {400, 4000, 40000}, live[] = {2, 3, 9};

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++) {
			struct portions p = give_back(sessions[i], live[j], 0);
			int due = sessions[i] / RATE;

			ok(p.first == FIRST && p.most <= 3 * RATE && p.last - FIRST <= due &&
				   p.last - FIRST >= due * 9 / 10,
			   "%d sessions return from %d others within %d s, after %d s, at most "
			   "%d in a second",
			   sessions[i], live[j] - 1, p.last - p.first + 1, p.first, p.most);
		}
	ok(give_back(1, 2, 0).last == FIRST, "a single one returns after %d s", FIRST);
}

static void late_rate(void)
{
	struct portions p = give_back(4000, 2, 50);

	ok(p.first == LONGEST && p.most <= 3 * RATE && p.last <= LONGEST + 4000 / RATE,
	   "to an owner that has ended 50 times, 4000 return after %d s, at most %d in a second",
	   p.first, p.most);
}

int main(void)
{
	crashes();
	rate();
	late_rate();

	return tap_done();
}
