// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* How long the daemons let datagrams gather: pace.h's three promises, at rates from none to the
 * highest, without a daemon. */
#include "pace.h"
#include "tap.h"

#define SECOND_NS 1000000000LL
#define TIMER_NS  60000 /* by which a sleep may be longer than what was asked for */

/* A collector whose buffer has that size, and that is sent datagrams of that truesize at that rate
   for a second: reads all that is there, then waits as long as it is told to. */
struct run {
	long long waits, longest_ns, fullest; /* fullest: bytes in the buffer after a wait */
	double batch;			      /* datagrams that a read found */
};

static struct run run(long long rate, long long buffer, long long truesize)
{
	struct reuseport_pace pace = {.buffer = buffer};
	struct run run = {0};
	long long now_ns = SECOND_NS, read = 0, reads = 0, measure = 0;

	while (now_ns < 2 * SECOND_NS) {
		long long wait_ns = reuseport_pace_wait_ns(&pace), arrived;

		run.waits += wait_ns > 0;
		if (wait_ns > run.longest_ns)
			run.longest_ns = wait_ns;
		now_ns += wait_ns ? wait_ns + TIMER_NS : 0;
		/* it sleeps until there is a datagram */
		arrived = (now_ns - SECOND_NS) * rate / SECOND_NS;
		if (arrived == read) {
			now_ns = SECOND_NS + (read + 1) * SECOND_NS / rate + 1;
			arrived = read + 1;
		}
		/* not in the first windows: until it is measured, a truesize is assumed */
		if (wait_ns && now_ns > SECOND_NS + SECOND_NS / 10 &&
		    (arrived - read) * truesize > run.fullest)
			run.fullest = (arrived - read) * truesize;
		if (measure)
			reuseport_pace_measure(&pace, arrived - read, (arrived - read) * truesize);
		measure = reuseport_pace_count(&pace, now_ns, arrived - read);
		reads++;
		read = arrived;
		now_ns += 5000;
	}
	run.batch = (double)read / reads;

	return run;
}

static void slow_senders(void)
{
	static const int rates[] = {1, 10, 100, 1000, 1900};
	struct run r;

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		r = run(rates[i], 16000000, 2304);
		ok(r.waits == 0, "%d datagrams a second: %lld waits", rates[i], r.waits);
	}
}

static void fast_senders(void)
{
	static const int rates[] = {2500, 10000, 20000, 50000, 100000, 200000};
	static const int buffers[] = {212992, 8000000, 32000000};
	static const int truesizes[] = {768, 2304, 4608};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		for (size_t j = 0; j < sizeof(buffers) / sizeof(buffers[0]); j++)
			for (size_t k = 0; k < sizeof(truesizes) / sizeof(truesizes[0]); k++) {
				struct run r = run(rates[i], buffers[j], truesizes[k]);

				ok(r.longest_ns + TIMER_NS <= 1000000 &&
					   r.fullest <= buffers[j] / 8,
				   "%d a second of %d bytes in %d: a wait is %lld us at most, "
				   "fills %lld bytes, and "
				   "%.1f datagrams gather",
				   rates[i], truesizes[k], buffers[j], r.longest_ns / 1000,
				   r.fullest, r.batch);
			}
}

/* What it is for */
static void batches(void)
{
	struct run r = run(20000, 8000000, 768);

	ok(r.batch > 10, "20000 a second, with room for them: %.1f datagrams gather", r.batch);
	r = run(100000, 212992, 768);
	ok(r.batch > 10, "100000 a second in the default buffer: %.1f datagrams gather", r.batch);
}

/* After a burst: the first datagram that comes late is handed on at once from then on */
static void end_of_a_burst(void)
{
	struct reuseport_pace pace = {.buffer = 8000000};
	long long now_ns = SECOND_NS;

	for (int i = 0; i < 4000; i++)
		reuseport_pace_count(&pace, now_ns += 10000, 1);
	ok(reuseport_pace_wait_ns(&pace) > 0, "in a burst, datagrams gather");
	reuseport_pace_count(&pace, now_ns += SECOND_NS, 1);
	ok(reuseport_pace_wait_ns(&pace) == 0, "after a second of silence they do not");
	for (int i = 0; i < 4000; i++)
		reuseport_pace_count(&pace, now_ns += 10000, 1);
	reuseport_pace_count(&pace, now_ns += SECOND_NS, 0);
	ok(reuseport_pace_wait_ns(&pace) == 0, "nor after a read that found nothing");
}

int main(void)
{
	slow_senders();
	fast_senders();
	batches();
	end_of_a_burst();

	return tap_done();
}
