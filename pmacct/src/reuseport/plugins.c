/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the life cycle must know of pmacct's plugins, and their ring: see lifecycle.h and reuseport.h. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include "pmacct-data.h"
#include "pretag.h"
#include <sys/wait.h>
#include "reuseport/clock.h"
#include "reuseport/lifecycle.h"

#define LAG_MAX_MS 1000 /* how long a plugin that hangs may hold up the core, and with it the other plugins: once */

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

/*
 * The core overwrites what a plugin has not read yet, once it is a whole ring ahead (exec_plugins() in plugin_hooks.c, 1.7.6 to 1.7.9). A
 * plugin does not say where it reads, only that it has read everything: when it sleeps. So this counts from there.
 */
int reuseport_plugins_lag()
{
  static struct {
    const char *read_up_to;  /* where the core wrote when the plugin had read everything */
    long long lags_since_ms; /* 0: it does not lag */
  } plugins[MAX_N_PLUGINS];
  int idx, lag = FALSE;

  for (idx = 0; idx < MAX_N_PLUGINS && (channels_list[idx].aggregation || channels_list[idx].aggregation_2); idx++) {
    const struct channels_list_entry *channel = &channels_list[idx];
    long long size = channel->rg.end - channel->rg.base;

    if (channel->plugin->cfg.pipe_zmq) continue;

    if (channel->status->wakeup || !plugins[idx].read_up_to) {
      plugins[idx].read_up_to = channel->rg.ptr;
      plugins[idx].lags_since_ms = 0;
    }
    else if ((channel->rg.ptr - plugins[idx].read_up_to + size) % size > size / 2) {
      if (!plugins[idx].lags_since_ms) plugins[idx].lags_since_ms = reuseport_now_ms();
      if (reuseport_now_ms() - plugins[idx].lags_since_ms < LAG_MAX_MS) lag = TRUE;
    }
  }

  return lag;
}

int reuseport_reload_is_due()
{
  return reload_map || reload_map_exec_plugins || reload_log || print_stats;
}

int reuseport_interrupted(ssize_t received)
{
  return reuseport_enabled() && received < 0;
}

/* Reloads what pmacct reloads after the next flow (exec_plugins() in plugin_hooks.c, 1.7.6 to 1.7.9). */
static void reload_pre_tag_maps(struct plugin_requests *req)
{
  int idx;

  memset(&req->ptm_c, 0, sizeof(req->ptm_c));
  for (idx = 0; idx < MAX_N_PLUGINS && (channels_list[idx].aggregation || channels_list[idx].aggregation_2); idx++) {
    struct configuration *plugin = &channels_list[idx].plugin->cfg;
    int is_tee = plugin->type_id == PLUGIN_ID_TEE;

    if (!plugin->pre_tag_map || !find_id_func) continue;

    if (is_tee) {
      req->ptm_c.load_ptm_plugin = PLUGIN_ID_TEE;
      req->ptm_c.load_ptm_res = FALSE;
    }
    load_pre_tag_map(config.acct_type, plugin->pre_tag_map, &plugin->ptm, req, &plugin->ptm_alloc, plugin->maps_entries,
                     plugin->maps_row_len);
    if (is_tee) {
      plugin->ptm_complex = req->ptm_c.load_ptm_res;
      if (req->ptm_c.load_ptm_res) req->ptm_c.exec_ptm_dissect = TRUE;
    }
  }
  reload_map_exec_plugins = FALSE;
}

int reuseport_end_interruption(ssize_t received, struct plugin_requests *req)
{
  if (!reuseport_interrupted(received)) return FALSE;

  if (reload_map_exec_plugins) reload_pre_tag_maps(req);

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
