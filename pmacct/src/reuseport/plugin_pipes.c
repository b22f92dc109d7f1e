/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * What plugins have read of what the core has handed to them, in the ring that they share, or in a pipe of ZeroMQ: see lifecycle.h.
 *
 * 1. The core waits before it overwrites what a plugin has not read, or sends to one that does not listen yet.
 * 2. A plugin that has something to read, and does not, hangs: the instance leaves, if others can serve. The core goes on waiting for it: what
 *    is too much is dropped at the socket, where it is counted. If no other instance can serve, other plugins do not wait for the one that hangs.
 * 3. No plugin is told to end before it has read everything: it would find the signal first, and lose the rest. One that hangs has a minute; one
 *    that is stopped, or waits for a disk, which no signal ends, has all the time it takes. If the core is killed meanwhile, it reads and writes
 *    nevertheless (orphan.c).
 */
#include "pmacct.h"
#include <fcntl.h>
#include <sys/wait.h>
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include "pmacct-data.h"
#include "reuseport/clock.h"
#include "reuseport/fd_store.h"
#include "reuseport/health.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

/* A plugin that has read nothing for so long hangs, though its ring has room: nothing is lost yet, and one with a large cache may take seconds to
   hand that to a process that writes. With hardly any room left, REUSEPORT_STUCK_MS are enough. */
#define UNREAD_MS 30000
#define LOST_MS   60000 /* one that has read nothing for so long may never do, and is told to end: the instance that is started next may do better */
#define NOTIFY_MS 1000  /* one that has read nothing for so long, and sleeps, was not told that there is something */

static struct progress {
  const struct ch_status *status; /* whose progress: behind a plugin that has ended, the others move up */
  long long wrote_at;             /* where the core was when it looked last */
  long long largest_batch;        /* bytes that it has written between two looks, at most */
  size_t read_at;                 /* as in struct ch_status */
  long long since_ms;             /* when the plugin was last seen to read, or to have nothing to read */
  int hangs;
  int given_up; /* the core waits for it no more than for others */
} plugins[MAX_N_PLUGINS];

static volatile sig_atomic_t hurries; /* the last wait is not prolonged for plugins that hang */

/* By its aggregation, as upstream does, it cannot be said: there are two words of that, and three from 1.7.9 on. */
struct channels_list_entry *reuseport_channel(int idx)
{
  return idx < MAX_N_PLUGINS && channels_list[idx].plugin ? &channels_list[idx] : NULL;
}

/* ---- pipes of ZeroMQ ---- */

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

/* Returns: whether what is sent to the plugin is dropped, as it has not subscribed yet. */
static int is_deaf(struct channels_list_entry *channel)
{
  return channel->plugin->cfg.pipe_zmq && !channel->status->subscribed && !has_subscribed(channel);
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

  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
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

static int is_deaf(struct channels_list_entry *channel)
{
  return channel == NULL;
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

/* ---- how far plugins are ---- */

int reuseport_plugins_ready()
{
  struct channels_list_entry *channel;
  int idx;

  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
    if (!(channel->plugin->cfg.pipe_zmq ? has_read_pipe(channel) : channel->status->wakeup)) return FALSE;

  return TRUE;
}

/* Returns: whether it publishes where it reads. With a ring, the memory plugin does not, which is notified of each buffer, nor does mongodb's, which
   has no number any more in upstream's development branch. */
static int tells_progress(const struct channels_list_entry *channel)
{
  return channel->plugin->cfg.pipe_zmq || (!channel->request && strcmp(channel->plugin->type.string, "mongodb"));
}

int reuseport_plugins_have_begun()
{
  struct channels_list_entry *channel;
  int idx;

  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
    if (is_deaf(channel) || (tells_progress(channel) && !channel->plugin->cfg.pipe_zmq && !channel->status->wakeup &&
                             !__atomic_load_n(&channel->status->read_at, __ATOMIC_RELAXED)))
      return FALSE;

  return TRUE;
}

/* Notifies a plugin that sleeps. Returns: whether that can be done; otherwise it has ended. */
static int notify(const struct channels_list_entry *channel)
{
  channel->status->wakeup = FALSE;

  return write(channel->pipe, &channel->rg.ptr, CharPtrSz) > 0;
}

/* Bytes of a ring; those of a pipe have no limit, and it hangs when as many wait there. */
static long long size_of(const struct channels_list_entry *channel)
{
  return channel->rg.end - channel->rg.base;
}

/* Returns: how many bytes the plugin has yet to read, which is at read_at. */
static long long count_unread(const struct channels_list_entry *channel, long long read_at)
{
  long long size = size_of(channel);

  if (channel->plugin->cfg.pipe_zmq) return (channel->hdr.seq - read_at + MAX_SEQNUM) % MAX_SEQNUM * (long long) channel->bufsize;

  /* one that has never looked into its ring begins where that does */
  return (channel->rg.ptr - channel->rg.base - (read_at ? read_at - 1 : 0) + size) % size;
}

/* Returns: whether less is left in a ring than two batches have taken at most. */
static int has_little_room(long long room, long long size, long long largest_batch)
{
  long long wanted = MAX(2 * largest_batch, size / 8);

  return room < MIN(wanted, size / 2);
}

static struct progress *find_progress(int idx, const struct channels_list_entry *channel)
{
  struct progress *plugin = &plugins[idx];

  if (plugin->status != channel->status)
    *plugin = (struct progress){.status = channel->status, .wrote_at = channel->rg.ptr - channel->rg.base, .since_ms = reuseport_now_ms()};

  return plugin;
}

static void note_batch(struct progress *plugin, const struct channels_list_entry *channel)
{
  long long size = size_of(channel), wrote_at = channel->rg.ptr - channel->rg.base;

  if (!channel->plugin->cfg.pipe_zmq) plugin->largest_batch = MAX(plugin->largest_batch, (wrote_at - plugin->wrote_at + size) % size);
  plugin->wrote_at = wrote_at;
}

/* Returns: where the plugin is. */
static size_t note_reading(struct progress *plugin, const struct channels_list_entry *channel)
{
  size_t read_at = __atomic_load_n(&channel->status->read_at, __ATOMIC_ACQUIRE);

  if (read_at == plugin->read_at) return read_at;

  plugin->given_up = FALSE;
  plugin->read_at = read_at;
  plugin->since_ms = reuseport_now_ms();

  return read_at;
}

/* goes_on: the plugin may have been stopped as long as the core was. Returns: whether the core is to wait for the plugin. */
static int look_at(struct progress *plugin, struct channels_list_entry *channel, long long now, int goes_on)
{
  int deaf = is_deaf(channel), little;
  long long unread, size = size_of(channel);

  note_batch(plugin, channel);
  unread = count_unread(channel, note_reading(plugin, channel));
  if (deaf) unread = reuseport_any_inherited_queued() || reuseport_any_queued();
  little = deaf || has_little_room(size - unread, size, plugin->largest_batch);
  if (!unread || goes_on) plugin->since_ms = now;
  if (!channel->plugin->cfg.pipe_zmq && channel->status->wakeup && now - plugin->since_ms > NOTIFY_MS) notify(channel);
  plugin->hangs = now - plugin->since_ms >= (little ? REUSEPORT_STUCK_MS : UNREAD_MS);

  /* what a pipe has no room for, ZeroMQ keeps in memory */
  return little && (deaf || !channel->plugin->cfg.pipe_zmq);
}

int reuseport_plugins_lag()
{
  static long long looked_ms;
  long long now = reuseport_now_ms();
  int idx, lag = FALSE, lag_in_vain = FALSE, another_reads = FALSE, goes_on = now - looked_ms > REUSEPORT_STUCK_MS / 2;
  struct channels_list_entry *channel;

  looked_ms = now;
  for (idx = 0; (channel = reuseport_channel(idx)); idx++) {
    struct progress *plugin = find_progress(idx, channel);
    int waits = tells_progress(channel) && look_at(plugin, channel, now, goes_on);

    if (!plugin->hangs) another_reads = TRUE;
    if (!waits) continue;
    if (plugin->given_up)
      lag_in_vain = TRUE;
    else
      lag = TRUE;
  }

  return lag || (lag_in_vain && !another_reads);
}

const struct plugins_list_entry *reuseport_find_hung_plugin()
{
  const struct plugins_list_entry *found = NULL;
  struct channels_list_entry *channel;
  int idx;

  reuseport_plugins_lag();
  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
    if (plugins[idx].hangs && (!found || !plugins[idx].given_up)) found = channel->plugin;

  return found;
}

int reuseport_give_up_plugins(int given_up)
{
  int idx, any = FALSE;

  for (idx = 0; reuseport_channel(idx); idx++) {
    if (!plugins[idx].hangs || plugins[idx].given_up == given_up) continue;
    plugins[idx].given_up = given_up;
    any = TRUE;
  }

  return any;
}

/* ---- the end ---- */

char reuseport_read_process(pid_t pid, pid_t *parent)
{
  char path[32], line[256] = "", state;
  const char *name_end;
  int fd;

  snprintf(path, sizeof(path), "/proc/%d/stat", pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  if (read(fd, line, sizeof(line) - 1) < 0) line[0] = 0;
  close(fd);
  /* PID (NAME) STATE PARENT; the name may have brackets, too */
  name_end = strrchr(line, ')');

  return name_end && sscanf(name_end, ") %c %d", &state, parent) == 2 ? state : 0;
}

/* Returns: whether the plugin is stopped, or waits for a disk: it goes on where it was, but finds a signal first. */
static int is_stopped(const struct channels_list_entry *channel)
{
  pid_t parent;
  char state = reuseport_read_process(channel->plugin->pid, &parent);

  return state == 'T' || state == 't' || state == 'D';
}

/* Leaves the end to be waited for. */
static int has_ended(const struct channels_list_entry *channel)
{
  siginfo_t end = {0};

  return waitid(P_PID, channel->plugin->pid, &end, WEXITED | WNOHANG | WNOWAIT) || end.si_pid;
}

static int may_go_on(const struct progress *plugin, const struct channels_list_entry *channel)
{
  return reuseport_now_ms() - plugin->since_ms < LOST_MS || is_stopped(channel);
}

int reuseport_hung_plugin_may_go_on()
{
  struct channels_list_entry *channel;
  int idx;

  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
    if (is_stopped(channel) || (find_progress(idx, channel)->hangs && may_go_on(&plugins[idx], channel))) return TRUE;

  return FALSE;
}

/*
 * Returns: whether the plugin has read the last buffer, which fill_pipe_buffer() has handed to it. If it sleeps before that, it had looked
 * into the ring before the buffer was there, and the core at `wakeup` before it was set: the core notifies it once more.
 */
static int has_read_last(struct channels_list_entry *channel)
{
  long long end = reuseport_next_buffer(&channel->rg, channel->rg.ptr, channel->bufsize) - channel->rg.base + 1;

  if (channel->plugin->cfg.pipe_zmq) return has_read_pipe(channel);
  /* the memory plugin: what it has ends with it */
  if (channel->request) return TRUE;
  if ((long long) __atomic_load_n(&channel->status->read_at, __ATOMIC_ACQUIRE) == end) return TRUE;

  /* mongodb's plugin would take a second notice for lost data */
  return tells_progress(channel) && channel->status->wakeup && !notify(channel);
}

static void wait_for_last(int idx, struct channels_list_entry *channel)
{
  long long deadline = reuseport_now_ms() + REUSEPORT_LAST_READ_MS;
  struct progress *plugin = find_progress(idx, channel);
  /* fill_pipe_buffer() hands out an empty buffer, too */
  int was_handed_any = channel->hdr.seq > 1 || channel->hdr.num;

  while (!has_read_last(channel) && !has_ended(channel) && reuseport_now_ms() < deadline) {
    reuseport_sleep_ms(1);
    note_reading(plugin, channel);
    if (was_handed_any && !hurries && tells_progress(channel) && may_go_on(plugin, channel)) deadline = reuseport_now_ms() + RP_LEAVE_SECONDS * 1000;
  }
}

void reuseport_hurry_plugins()
{
  hurries = TRUE;
}

int reuseport_plugins_have_read()
{
  struct channels_list_entry *channel;
  int idx;

  if (!reuseport_enabled()) return FALSE;

  for (idx = 0; (channel = reuseport_channel(idx)); idx++) wait_for_last(idx, channel);

  return TRUE;
}
