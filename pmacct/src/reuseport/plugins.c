/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What the life cycle must know of pmacct's plugins: see lifecycle.h and reuseport.h. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include "pmacct-data.h"
#include "pretag.h"
#include <sys/wait.h>
#include "reuseport/clock.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"

#define NO_PIPE -2 /* no plugin's */

/* Set when a plugin has ended before the core, and while one has not read for so long that it is not waited for. */
static int lost_a_plugin, has_hung_plugin;

/* Returns: the channel with that index, or NULL behind the last one. Not by its aggregation, as upstream does: there are two words of
   that, and three from 1.7.9 on. */
static struct channels_list_entry *channel_at(int idx)
{
  return idx < MAX_N_PLUGINS && channels_list[idx].plugin ? &channels_list[idx] : NULL;
}

int reuseport_plugins_forked()
{
  const struct plugins_list_entry *list;

  for (list = plugins_list; list; list = list->next)
    if (strcmp(list->type.string, "core") && list->pid) return TRUE;

  return FALSE;
}

/* ---- what the core has handed to them ---- */

#ifdef WITH_ZMQ
/* Reads from the core's socket, which is of type XPUB, what the plugin has subscribed to since the last time. */
static int has_subscribed(struct channels_list_entry *channel)
{
  char message[8]; /* 1 to subscribe, 0 not to any more, and the topic, one byte */

  while (zmq_recv(channel->zmq_host.sock.obj, message, sizeof(message), ZMQ_DONTWAIT) > 0) channel->status->subscribed = message[0];

  return channel->status->subscribed;
}

static int has_read_pipe(struct channels_list_entry *channel)
{
  /* 0 both, before the first buffer */
  return has_subscribed(channel) && __atomic_load_n(&channel->status->read_at, __ATOMIC_ACQUIRE) == channel->hdr.seq;
}

/* Sends what has gathered, as exec_plugins() does when a buffer is full (plugin_hooks.c, 1.7.6 to 1.7.9). */
static void send_gathered(struct channels_list_entry *channel)
{
  struct ch_buf_hdr *header = (struct ch_buf_hdr *) channel->rg.ptr;

  if (!channel->hdr.num) return;

  channel->hdr.seq = (channel->hdr.seq + 1) % MAX_SEQNUM;
  header->len = channel->bufptr;
  header->num = channel->hdr.num;
  header->seq = channel->hdr.seq;
  p_zmq_topic_send(&channel->zmq_host, channel->rg.ptr, channel->bufsize);
  channel->bufptr = channel->buf;
  channel->hdr.num = 0;
}

void reuseport_send_gathered()
{
  struct channels_list_entry *channel;
  int idx;

  for (idx = 0; (channel = channel_at(idx)); idx++)
    if (channel->plugin->cfg.pipe_zmq) send_gathered(channel);
}

/* Runs in the plugin, which has a copy of the core's table; the status is shared. */
void reuseport_note_read(const void *zmq_host, const void *buffer)
{
  const struct channels_list_entry *channel =
      (const struct channels_list_entry *) ((const char *) zmq_host - offsetof(struct channels_list_entry, zmq_host));

  __atomic_store_n(&channel->status->read_at, ((const struct ch_buf_hdr *) buffer)->seq, __ATOMIC_RELEASE);
}
#else
/* A plugin with plugin_pipe_zmq ends at once then (plugin_pipe_zmq_compile_check() in plugin_hooks.c, 1.7.6 to 1.7.9). */
static int has_read_pipe(struct channels_list_entry *channel)
{
  return channel != NULL;
}

void reuseport_send_gathered()
{
}

/* Nothing calls it: zmq_common.c is not compiled. */
void reuseport_note_read(const void *zmq_host, const void *buffer)
{
  (void) zmq_host;
  (void) buffer;
}
#endif

int reuseport_plugins_ready()
{
  struct channels_list_entry *channel;
  int idx;

  for (idx = 0; (channel = channel_at(idx)); idx++)
    if (!(channel->plugin->cfg.pipe_zmq ? has_read_pipe(channel) : channel->status->wakeup)) return FALSE;

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
    size_t read_at;          /* as in struct ch_status */
    long long read_ms;       /* when that changed */
  } plugins[MAX_N_PLUGINS];
  static long long looked_ms;
  const struct channels_list_entry *channel;
  long long now = reuseport_now_ms();
  int idx, lag = FALSE, hung = FALSE, was_stopped = now - looked_ms > REUSEPORT_STUCK_MS / 2;

  looked_ms = now;
  for (idx = 0; (channel = channel_at(idx)); idx++) {
    long long size = channel->rg.end - channel->rg.base, wrote_at = channel->rg.ptr - channel->rg.base, room;
    size_t read_at = __atomic_load_n(&channel->status->read_at, __ATOMIC_RELAXED);

    plugins[idx].largest_batch = MAX(plugins[idx].largest_batch, (wrote_at - plugins[idx].wrote_at + size) % size);
    plugins[idx].wrote_at = wrote_at;
    /* the plugin may have been stopped, too */
    if (read_at != plugins[idx].read_at || was_stopped) {
      plugins[idx].read_at = read_at;
      plugins[idx].read_ms = now;
    }
    if (!read_at || channel->plugin->cfg.pipe_zmq) continue;

    room = size - (wrote_at - (long long) (read_at - 1) + size) % size;
    if (!has_little_room(room, size, plugins[idx].largest_batch)) continue;
    if (now - plugins[idx].read_ms < REUSEPORT_STUCK_MS)
      lag = TRUE;
    else
      hung = TRUE;
  }

  has_hung_plugin = hung;

  return lag;
}

int reuseport_plugin_hangs()
{
  return has_hung_plugin;
}

int reuseport_reload_is_due()
{
  return reload_map || reload_map_exec_plugins || reload_log || print_stats;
}

int reuseport_reloads_maps()
{
  return (config.acct_type == ACCT_NF || config.acct_type == ACCT_SF) && (reload_map || reload_map_exec_plugins);
}

int reuseport_is_idle(ssize_t received)
{
  return reuseport_enabled() && received < 0;
}

/* What exec_plugins() does after the next flow (plugin_hooks.c, 1.7.6 to 1.7.9); the GeoIP file is left to it. */
static void reload_pre_tag_maps(struct plugin_requests *req)
{
  struct channels_list_entry *channel;
  int idx;

  memset(&req->ptm_c, 0, sizeof(req->ptm_c));
  for (idx = 0; (channel = channel_at(idx)); idx++) {
    struct configuration *plugin = &channel->plugin->cfg;
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

/* ---- their end ---- */

/* Takes it off the lists of the core, as handle_falling_child() does (signals.c, 1.7.6 to 1.7.9). Returns: whether others are left. */
static int forget(struct plugins_list_entry *plugin)
{
  struct channels_list_entry *channel;
  int idx;

  /* with plugin_pipe_zmq, pipe[1] is no fd but a number from 1 on, which another plugin's pipe may have as its fd */
  if (!plugin->cfg.pipe_zmq) close(plugin->pipe[1]);
  for (idx = 0; (channel = channel_at(idx)); idx++)
    if (channel->plugin == plugin) channel->pipe = NO_PIPE;
  delete_pipe_channel(NO_PIPE);
  /* which leaves the last one where it is */
  for (idx = 0; (channel = channel_at(idx)); idx++)
    if (channel->plugin == plugin) channel->plugin = NULL;

  return delete_plugin_by_id(plugin->id) > 0;
}

/* how: how it has ended. Returns: whether the instance is to end for that. */
static int lose(struct plugins_list_entry *plugin, const char *how)
{
  char who[SRVBUFLEN];
  int ends;

  snprintf(who, sizeof(who), "%s-%s", plugin->name, plugin->type.string);
  ends = !forget(plugin) || config.plugin_exit_any;
  if (ends) lost_a_plugin = TRUE;
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: plugin %s has ended (%s). %s.\n", config.name, who, how,
      ends ? "Draining, then exiting with status 1" : "The instance runs on without it, as plugin_exit_any is false");

  return ends;
}

static void describe_end(char *how, size_t size, int status)
{
  if (WIFSIGNALED(status))
    snprintf(how, size, "signal %d", WTERMSIG(status));
  else
    snprintf(how, size, "exit status %d", WEXITSTATUS(status));
}

/* Returns: whether the instance is to end for one of those that had no process, or ended before the main loop. */
static int lacks_one_from_the_start()
{
  struct plugins_list_entry *plugin, *next;
  int idx, ends = FALSE;

  /* what startup_handle_falling_child() has noted */
  for (idx = 0; idx < MAX_N_PLUGINS && failed_plugins[idx]; idx++) {
    plugin = search_plugin_by_pid(failed_plugins[idx]);
    failed_plugins[idx] = 0;
    if (plugin) ends |= lose(plugin, "while the instance started");
  }
  for (plugin = plugins_list; plugin; plugin = next) {
    next = plugin->next;
    if (plugin->type.func && plugin->pid < 0) ends |= lose(plugin, "it could not be started: too many processes, or no memory");
  }

  return ends;
}

int reuseport_lacks_a_plugin()
{
  struct plugins_list_entry *plugin;
  int status, ends;
  char how[32];
  pid_t pid;

  if (config.acct_type != ACCT_NF && config.acct_type != ACCT_SF) return FALSE;

  ends = lacks_one_from_the_start();
  /* all of them: for two children that die at once there is one SIGCHLD. Those of BGP, BMP and telemetry threads write dumps. */
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    plugin = search_plugin_by_pid(pid);
    describe_end(how, sizeof(how), status);
    if (plugin) ends |= lose(plugin, how);
  }

  return ends;
}

void reuseport_wait_for_children()
{
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  while (wait(NULL) > 0) continue;
  if (!lost_a_plugin) return;

  fflush(NULL);
  /* PM_sigint_handler() has called exit(0) */
  _exit(1);
}

/* ---- the ring ---- */

/*
 * Returns: whether the plugin has read the last buffer, which fill_pipe_buffer() has handed to it. If it sleeps before that, it had looked
 * into the ring before the buffer was there, and the core at `wakeup` before it was set: the core notifies it once more.
 */
static int has_read_last(struct channels_list_entry *channel)
{
  long long end = reuseport_next_buffer(&channel->rg, channel->rg.ptr, channel->bufsize) - channel->rg.base + 1, read_at;

  if (channel->plugin->cfg.pipe_zmq) return has_read_pipe(channel);
  /* the memory plugin: it does not publish where it reads, and what it has ends with it */
  if (channel->request) return TRUE;
  read_at = __atomic_load_n(&channel->status->read_at, __ATOMIC_ACQUIRE);
  if (read_at == end) return TRUE;

  /* one that has never looked into the ring has been notified; mongodb's does not publish it, and would take each notice for lost data */
  if (read_at && channel->status->wakeup) {
    channel->status->wakeup = FALSE;
    if (write(channel->pipe, &channel->rg.ptr, CharPtrSz) < 0) return TRUE; /* the plugin has ended */
  }

  return FALSE;
}

int reuseport_plugins_have_read()
{
  long long deadline = reuseport_now_ms() + REUSEPORT_LAST_READ_MS;
  struct channels_list_entry *channel;
  int idx = 0;

  if (!reuseport_enabled()) return FALSE;

  while ((channel = channel_at(idx)) && reuseport_now_ms() < deadline) {
    if (has_read_last(channel))
      idx++;
    else
      reuseport_sleep_ms(1);
  }

  return TRUE;
}
