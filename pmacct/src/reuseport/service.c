/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What the service manager is told while it waits, so that its timeouts and its watchdog end an instance that hangs, and none that is slow.
 * A thread tells it:
 *
 * 1. While the instance starts, which may mean to load large maps, and while it drains and its plugins write, to a slow database perhaps:
 *    that this takes longer (EXTEND_TIMEOUT_USEC), for at most an hour each. Until then it is well (WATCHDOG=1).
 * 2. When it reads, it is well unless the main thread has not come round for half the time of the watchdog. It comes round whatever the load
 *    is, and does not wait for a plugin that writes. While it loads maps that a signal has asked for, it need not.
 *
 * Not the watch (watch.c), which an object without the map `instances` does not have.
 */
#include "pmacct.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define TICK_MS     1000
#define ASK_MS      10000   /* how often to ask for more time */
#define PATIENCE_S  "60"    /* for how much, by then */
#define WATCHDOG_MS 300000  /* as in the units */
#define LONGEST_MS  3600000 /* a start, or an end, that takes longer never comes to one */

enum phase {
  STARTING,
  READING,
  ENDING,
};

/* Returns: ms that the watchdog of the service manager waits, as far as it is known: systemd tells what ExecStart starts, and not what ExecReload
   does, whom it watches as well. Without a watchdog it takes no notice. */
static long long watchdog_ms()
{
  const char *usec = getenv("WATCHDOG_USEC");

  return usec ? strtoll(usec, NULL, 10) / 1000 : WATCHDOG_MS;
}

/* Returns: whether the main thread has come round in these ms, or loads maps, as a signal has asked for before it came round last. */
static int comes_round(long long now, long long ms)
{
  static struct {
    unsigned long rounds;
    long long since_ms;
    int reloads;
  } seen;
  unsigned long rounds = readers[reuseport_main_listener()].rounds;

  if (rounds != seen.rounds) seen.reloads = reuseport_reloads_maps();
  if (rounds != seen.rounds || seen.reloads || !seen.since_ms) seen.since_ms = now;
  seen.rounds = rounds;
  seen.reloads &= reuseport_reloads_maps();

  return now - seen.since_ms < ms;
}

static enum phase find_phase()
{
  if (reuseport_is_draining()) return ENDING;

  return reuseport_is_reading() ? READING : STARTING;
}

static void *tell(void *unused)
{
  long long watchdog = watchdog_ms(), tick = MIN(TICK_MS, watchdog / 4), now, since = 0, next_ask = 0;
  enum phase phase, before = STARTING;
  int is_well;

  (void) unused;
  for (;; reuseport_sleep_ms(tick)) {
    now = reuseport_now_ms();
    phase = find_phase();
    if (phase != before || !since) since = next_ask = now;
    before = phase;

    is_well = phase == READING ? comes_round(now, watchdog / 2) : now - since < LONGEST_MS;
    if (is_well) reuseport_notify("WATCHDOG=1", -1);
    if (is_well && phase != READING && now >= next_ask) {
      reuseport_notify("EXTEND_TIMEOUT_USEC=" PATIENCE_S "000000", -1);
      next_ask = now + ASK_MS;
    }
  }

  return NULL;
}

void reuseport_start_telling()
{
  int err = reuseport_service_manager() ? reuseport_start_thread(tell, NULL) : 0;

  if (err)
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot start a thread (%s): the service manager may take a slow start or stop for one that hangs. Raise "
                     "the limit of threads (ulimit -u, TasksMax).\n",
        config.name, strerror(err));
}
