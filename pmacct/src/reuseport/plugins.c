/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the life cycle must know of pmacct's plugins: see lifecycle.h. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include <sys/wait.h>
#include "reuseport/lifecycle.h"

int reuseport_plugins_forked()
{
  const struct plugins_list_entry *list;

  for (list = plugins_list; list; list = list->next)
    if (strcmp(list->type.string, "core") && list->pid) return TRUE;

  return FALSE;
}

int reuseport_plugins_ready()
{
  int idx;

  for (idx = 0; idx < MAX_N_PLUGINS && (channels_list[idx].aggregation || channels_list[idx].aggregation_2); idx++)
    if (!channels_list[idx].plugin->cfg.pipe_zmq && !channels_list[idx].status->wakeup) return FALSE;

  return TRUE;
}

void reuseport_wait_for_children()
{
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  while (wait(NULL) > 0) continue;
}
