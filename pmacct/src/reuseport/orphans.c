/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plugins whose core has died: see lifecycle.h and reuseport.h. */
#include "pmacct.h"
#include <sys/prctl.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/lifecycle.h"

#define READ_RING_MS 500 /* how long a plugin may read its ring after that */

/* It wakes the plugin up from poll(2), and again after a second: upstream's handler of SIGALRM does nothing. */
static void on_core_death(int signum)
{
  (void) signum;
  alarm(1);
}

void reuseport_notice_core_death()
{
  signal(SIGRTMIN, on_core_death);
  prctl(PR_SET_PDEATHSIG, SIGRTMIN);
}

int reuseport_core_is_gone(pid_t core_pid)
{
  static long long gone_since;
  long long now = reuseport_now_ms();

  if (getppid() == core_pid) return FALSE;
  if (!reuseport_enabled()) return TRUE;
  if (!gone_since) gone_since = now;
  if (now - gone_since < READ_RING_MS) return FALSE;

  Log(LOG_WARNING, "WARN ( %s/%s ): reuseport: the core process is gone. Writing what is left, then exiting.\n", config.name, config.type);
  raise(SIGINT);

  return TRUE;
}
