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

#define HANG_MS 1000 /* a plugin that has not read anything for so long is not waited for */

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

/* Returns: whether the core, which has so many bytes to go before it overwrites what the plugin reads next, is to wait. It is, if less
   is left than two batches have taken at most. */
static int has_little_room(long long room, long long size, long long largest_batch)
{
  long long wanted = MAX(2 * largest_batch, size / 8);

  return room < MIN(wanted, size / 2);
}

int reuseport_plugins_lag()
{
  static struct {
    long long wrote_at;      /* where the core was when this was last called */
    long long largest_batch; /* bytes that it has written between two calls, at most */
    u_int64_t read_at;       /* as in struct ch_status */
    long long read_ms;       /* when that changed */
  } plugins[MAX_N_PLUGINS];
  long long now = reuseport_now_ms();
  int idx, lag = FALSE;

  for (idx = 0; idx < MAX_N_PLUGINS && (channels_list[idx].aggregation || channels_list[idx].aggregation_2); idx++) {
    const struct channels_list_entry *channel = &channels_list[idx];
    long long size = channel->rg.end - channel->rg.base, wrote_at = channel->rg.ptr - channel->rg.base, room;
    u_int64_t read_at = __atomic_load_n(&channel->status->read_at, __ATOMIC_RELAXED);

    plugins[idx].largest_batch = MAX(plugins[idx].largest_batch, (wrote_at - plugins[idx].wrote_at + size) % size);
    plugins[idx].wrote_at = wrote_at;
    if (read_at != plugins[idx].read_at) {
      plugins[idx].read_at = read_at;
      plugins[idx].read_ms = now;
    }
    if (!read_at) continue;

    room = size - (wrote_at - (long long) (read_at - 1) + size) % size;
    if (has_little_room(room, size, plugins[idx].largest_batch) && now - plugins[idx].read_ms < HANG_MS) lag = TRUE;
  }

  return lag;
}

void reuseport_note_position(const struct ring *rg, struct ch_status *status)
{
  __atomic_store_n(&status->read_at, rg->ptr - rg->base + 1, __ATOMIC_RELAXED);
}

int reuseport_reload_is_due()
{
  return reload_map || reload_map_exec_plugins || reload_log || print_stats;
}

int reuseport_is_idle(ssize_t received)
{
  return reuseport_enabled() && received < 0;
}

/* What exec_plugins() does after the next flow (plugin_hooks.c, 1.7.6 to 1.7.9); the GeoIP file is left to it. */
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

int reuseport_end_idle_turn(ssize_t received, struct plugin_requests *req)
{
  if (!reuseport_is_idle(received)) return FALSE;

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
