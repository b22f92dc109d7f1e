/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the life cycle must know of pmacct's plugins, and their ring: see lifecycle.h and reuseport.h. */
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

int reuseport_ring_is_read(const struct ring *rg, const struct ch_status *status, u_int64_t bufsz)
{
  const char *next = rg->base + status->last_buf_off + bufsz;

  /* as exec_plugins() does (plugin_hooks.c, 1.7.6 to 1.7.9) */
  if (next + bufsz > rg->end) next = rg->base;

  return rg->ptr == next;
}
