/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A plugin whose core was killed writes what it has, as if the core had stopped: see lifecycle.h.
 *
 * Upstream's plugin goes on to read its ring, and then finds its pipe closed, or "Core process *seems* gone" when its poll() ends, and ends
 * without writing (P_*_plugin() of 1.7.6 to 1.7.9). So
 *
 * 1. the kernel ends its poll() by SIGALRM when the core has ended, and the handler does so every second from then on: a pipe of ZeroMQ is not
 *    closed, and another plugin may hold the other end of this one's;
 * 2. exit_plugin(), by which it ends then, has it do first what SIGINT does.
 */
#include "pmacct.h"
#include <sys/prctl.h>
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define PATIENCE_S 10 /* one that has not ended by then does what SIGINT does, whatever is left in its ring */

static pid_t core;
static int is_plugin;

static void on_core_death(int signum)
{
  static int seconds;

  (void) signum;
  if (getppid() == core) return;
  if (++seconds > PATIENCE_S) raise(SIGINT);
  alarm(1);
}

void reuseport_note_core()
{
  core = getpid();
}

/* Plugins alone: a child of a plugin, such as one that writes, outlives it, and a thread of the core may fork when it reads. */
void reuseport_outlive_core()
{
  struct sigaction action = {.sa_handler = on_core_death, .sa_flags = SA_RESTART};

  is_plugin = getppid() == core && !reuseport_is_reading();
  if (!is_plugin) return;

  /* Ctrl-C in a terminal is for the core alone: plugins that end with it do not read what it hands to them while it drains */
  setpgid(0, 0);
  sigaction(SIGALRM, &action, NULL);
  prctl(PR_SET_PDEATHSIG, SIGALRM);
}

void reuseport_end_orphan()
{
  if (!is_plugin || getppid() == core) return;

  is_plugin = FALSE;
  signal(SIGALRM, SIG_IGN);
  Log(LOG_INFO, "INFO ( %s/%s ): reuseport: the core has ended. Writing what there is.\n", config.name, config.type);
  raise(SIGINT);
}
