/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The life of a listener: see lifecycle.h. */
#include "pmacct.h"
#include <poll.h>
#include <pthread.h>
#include "pmacct-data.h"
#include "plugin_hooks.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/exporter_state.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/in_hand.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"
#include "reuseport/room.h"

#define HOUSEKEEPING_MS    100    /* how often the main thread does its housekeeping */
#define PLUGINS_MAX_MS     10000  /* a plugin that does not read after that time, such as one that waits for its database, may never do */
#define PLUGINS_LONGEST_MS 300000 /* the same, while others serve this instance's exporters */

static struct {
  int in_loop;             /* it is in its main loop */
  int has_said_so;         /* that a plugin does not read yet */
  long long in_loop_since; /* ms; when it entered its main loop */
  long long next_ms;       /* when the next housekeeping is due */
} main_thread;

/* ---- the main thread's housekeeping ---- */

/* bucket: as it is, with the socket of another process or with none. */
static void log_lost_bucket(enum reuseport_listener id, const struct rp_bucket *bucket)
{
  char who[64] = "another process";

  if (reuseport_has_fault(RP_STUCK) || reuseport_has_fault(RP_STOPPED)) {
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: is awake again, after it did not %s for more than %d s and was taken out of its buckets. Draining, "
                     "then exiting.\n",
        config.name, reuseport_has_fault(RP_STUCK) ? "read" : "run", REUSEPORT_STUCK_MS / 1000);
    return;
  }
  if (bucket->pid) snprintf(who, sizeof(who), "%s pid %u", bucket->comm, bucket->pid);
  if (bucket->cookie)
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: index %u of listener %s was taken over by %s. Draining, then "
                  "exiting.\n",
        config.name, reuseport_config.index, reuseport_listener_names[id].name, who);
  else
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: another process emptied index %u of listener %s in %s. Draining, then "
                     "exiting.\n",
        config.name, reuseport_config.index, reuseport_listener_names[id].name, reuseport_config.pin_path);
}

/* Joins what waits, and drains if another process has changed one of the buckets. The caller holds listeners_mutex. */
static void check_buckets()
{
  struct rp_bucket bucket;
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS && !reuseport_is_draining(); id++) {
    struct listener *listener = &listeners[id];

    if (listener->phase == LISTENER_WAITING && reuseport_is_reading()) reuseport_join(id);
    if (listener->phase != LISTENER_JOINED || rp_owns_bucket(&listener->member, &bucket)) continue;

    log_lost_bucket(id, &bucket);
    /* the service manager, or an operator, may stop this instance once the new one runs */
    reuseport_start_draining(1);
  }
}

/* The plugins read, too. The caller holds listeners_mutex. */
static void become_ready()
{
  int id;

  reuseport_set_ready();
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listeners[id].phase == LISTENER_JOINED) rp_set_ready(&listeners[id].member);
}

/* A plugin that does not read after PLUGINS_MAX_MS is waited for as long as other instances serve this one's exporters, but not for ever: they may
   hang. Returns: whether to read. The caller holds listeners_mutex. */
static int is_time_to_read(long long now)
{
  const struct listener *main = &listeners[reuseport_main_listener()];
  long long waited = now - main_thread.in_loop_since;

  if (reuseport_plugins_ready() || waited > PLUGINS_LONGEST_MS) return TRUE;
  if (waited <= PLUGINS_MAX_MS) return FALSE;
  if (main->phase == LISTENER_JOINED || !rp_has_ready_peer(&main->member)) return TRUE;

  if (!main_thread.has_said_so)
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: a plugin does not read yet, after %d s: this instance joins when it does, or after %d s, as other "
                     "instances serve its exporters. See what it waits for above in this log.\n",
        config.name, PLUGINS_MAX_MS / 1000, PLUGINS_LONGEST_MS / 1000);
  main_thread.has_said_so = TRUE;

  return FALSE;
}

/* Leaves if a plugin hangs, and others can serve. The caller holds listeners_mutex. */
static void look_for_hung_plugin()
{
  const struct plugins_list_entry *plugin = reuseport_is_reading() && !reuseport_is_draining() ? reuseport_find_hung_plugin() : NULL;
  int leaves;

  if (!plugin) return;

  leaves = reuseport_others_can_serve();
  if (!reuseport_give_up_plugins(!leaves) && !leaves) return;

  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: plugin %s-%s, pid %d, has not read for more than %d s what this instance has for it. %s.\n", config.name,
      plugin->name, plugin->type.string, plugin->pid, REUSEPORT_STUCK_MS / 1000,
      leaves ? "Its exporters go to other instances. Draining, then exiting" : "No other instance can serve its exporters: what is too much is lost");
  if (!leaves) return;

  reuseport_note_fault(RP_STUCK, 0, NULL);
  reuseport_start_draining(1);
}

/* Returns: whether the daemon drains, but waits for the group's lock; it goes on to read. */
static int is_leaving()
{
  return reuseport_is_draining() && !reuseport_has_left_buckets();
}

static void housekeeping()
{
  long long now = reuseport_now_ms();
  int starts_reading = FALSE;

  reuseport_come_round(reuseport_main_listener());
  if (now < main_thread.next_ms && (!reuseport_signalled() || reuseport_is_draining())) return;

  if (!main_thread.in_loop) {
    main_thread.in_loop = TRUE;
    main_thread.in_loop_since = now;
    reuseport_catch_signals();
  }
  reuseport_let_signals_in();
  reuseport_note_round();

  pthread_mutex_lock(&listeners_mutex);
  if (reuseport_signalled() && !reuseport_is_draining()) {
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: leaving %s on a signal. Draining, then exiting.\n", config.name, reuseport_config.pin_path);
    reuseport_start_draining(0);
  }
  /* the service manager, or an operator, may stop it meanwhile */
  if (reuseport_lacks_a_plugin() && !reuseport_is_draining()) reuseport_start_draining(1);
  look_for_hung_plugin();
  if (!reuseport_is_reading() && !reuseport_is_draining() && is_time_to_read(now)) {
    starts_reading = TRUE;
    reuseport_set_reading();
  }
  if (reuseport_is_reading() && !reuseport_is_ready() && reuseport_plugins_have_begun()) become_ready();
  check_buckets();
  reuseport_leave_if_due();
  reuseport_wait_for_hung_plugins();
  main_thread.next_ms = now + (reuseport_is_reading() && !is_leaving() ? HOUSEKEEPING_MS : REUSEPORT_PLUGINS_MS);
  pthread_mutex_unlock(&listeners_mutex);

  reuseport_tidy_exporter_state();
  if (starts_reading) {
    reuseport_close_needless_inherited();
    reuseport_check_room();
    reuseport_notify_ready();
  }
}

void reuseport_prepare_to_read()
{
  for (housekeeping(); !reuseport_is_reading() && !reuseport_is_draining(); housekeeping()) reuseport_sleep_ms(REUSEPORT_PLUGINS_MS);

  reuseport_end_if_overdue();
}

void reuseport_end_if_quiet(int sock)
{
  struct pollfd queue = {.fd = sock, .events = POLLIN};

  if (!poll(&queue, 1, is_leaving() ? REUSEPORT_PLUGINS_MS : REUSEPORT_QUIET_MS)) reuseport_end_if_drained();
}
