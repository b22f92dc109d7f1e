/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What happens when this process, or a child of it, forks: see lifecycle.h. */
#include "pmacct.h"
#include "reuseport/accept.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

/*
 * Runs in each forked child: plugins, and the processes that write their output. A child that kept a listener would keep the
 * bucket occupied after the daemon has died, and what arrives there would be lost; one that kept the group's directory open
 * would keep the lock. Marks each fd as closed, because the child uses its number again.
 */
static void close_listeners()
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) {
    struct listener *listener = &listeners[id];

    if (listener->sock < 0) continue;
    close(listener->sock);
    listener->sock = -1;
    if (listener->member.lock >= 0) close(listener->member.lock);
    listener->member.lock = -1;
  }
  reuseport_close_inherited_in_child();
  reuseport_close_claim();
}

/*
 * A plugin may get SIGINT while it forks a writer. Its handler, P_exit_now() (plugin_common.c) or sql_exit_gracefully()
 * (sql_common.c, 1.7.6 to 1.7.9), writes and exits; within fork(), which holds the locks of stdio and malloc, it would hang for
 * ever, and the core with it. So the signal waits until fork() is over.
 */
static __thread sigset_t mask_before_fork;

static void block_stop_signals()
{
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &mask_before_fork);
}

/* Waits, too, for a thread that opens the group, joins or leaves: what it has locked would stay locked in the child. The signals come
   first: a handler that forks would wait for itself. */
static void before_fork()
{
  block_stop_signals();
  pthread_mutex_lock(&listeners_mutex);
}

static void after_fork()
{
  pthread_mutex_unlock(&listeners_mutex);
  pthread_sigmask(SIG_SETMASK, &mask_before_fork, NULL);
}

static void after_fork_in_child()
{
  reuseport_drop_sessions_in_child();
  close_listeners();
  reuseport_outlive_core();
  reuseport_release_signals();
  after_fork();
}

static void register_fork_handlers()
{
  reuseport_note_core();
  pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

void reuseport_close_listeners_in_children()
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once(&once, register_fork_handlers);
}
