/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The threads of BGP, BMP and telemetry, beside the core that forks its plugins: see lifecycle.h.
 *
 * A child has the locks that other threads hold in the moment of the fork, and no thread that releases them: a plugin that then calls
 * librdkafka, libcurl or syslog(3) waits for ever. So, while the core forks its plugins, none of these threads runs:
 *
 * 1. The core waits, before it binds, and so before it forks, until each of them has come to its first select().
 * 2. There they wait until the core has forked all plugins. They take no lock but listeners_mutex, and allocate nothing.
 * 3. A thread that opens a listener or joins, such as a helper thread, holds listeners_mutex, and fork() waits for that one (fork.c).
 */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define LOOK_MS        20    /* how often one looks for the other */
#define THREADS_MAX_MS 30000 /* a thread that has not come by then may never do, such as one that waits for its message broker */

static int came[REUSEPORT_LISTENERS]; /* whether the thread of that listener has come to its first select(); atomic */

static int is_thread(enum reuseport_listener id)
{
  return id == REUSEPORT_BGP || id == REUSEPORT_BMP || id == REUSEPORT_TELEMETRY_TCP || id == REUSEPORT_TELEMETRY_UDP;
}

static int is_forked(const struct plugins_list_entry *plugin)
{
  /* as load_plugins() does (plugin_hooks.c, 1.7.6 to 1.7.9): the core's own entry has no function; -1 if fork() failed */
  return !plugin->type.func || __atomic_load_n(&plugin->pid, __ATOMIC_RELAXED);
}

/* With listeners_mutex: once all are forked, the main thread takes off the list those that have ended. */
static int all_forked()
{
  const struct plugins_list_entry *list;
  int all = TRUE;

  pthread_mutex_lock(&listeners_mutex);
  for (list = plugins_list; list; list = list->next) all &= is_forked(list);
  pthread_mutex_unlock(&listeners_mutex);

  return all;
}

void reuseport_wait_for_forks(enum reuseport_listener id)
{
  if (__atomic_load_n(&came[id], __ATOMIC_RELAXED)) return;

  __atomic_store_n(&came[id], TRUE, __ATOMIC_RELEASE);
  while (!all_forked()) reuseport_sleep_ms(LOOK_MS);
}

void reuseport_wait_for_threads()
{
  long long deadline = reuseport_now_ms() + THREADS_MAX_MS;
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    if (!is_thread(id) || !reuseport_listens(id)) continue;

    while (!__atomic_load_n(&came[id], __ATOMIC_ACQUIRE) && reuseport_now_ms() < deadline) reuseport_sleep_ms(LOOK_MS);
    if (!__atomic_load_n(&came[id], __ATOMIC_RELAXED))
      Log(LOG_WARNING, "WARN ( %s/core ): reuseport: the thread of listener %s is still starting after %d s: its broker may not answer. "
                       "Plugins are started beside it, and may hang: restart the instance then.\n",
          config.name, reuseport_listener_names[id].name, THREADS_MAX_MS / 1000);
  }
}

int reuseport_start_thread(void *(*run)(void *), void *arg)
{
  sigset_t all, before;
  pthread_t thread;
  int err;

  /* a fault of the thread itself is fatal nevertheless: such signals cannot be blocked */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  err = pthread_create(&thread, NULL, run, arg);
  if (!err) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);

  return err;
}
