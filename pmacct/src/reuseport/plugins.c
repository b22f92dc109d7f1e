/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What the life cycle must know of pmacct's plugins, but for what they have read (plugin_pipes.c): see lifecycle.h and reuseport.h. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "pkt_handlers.h"
#include "pmacct-data.h"
#include "pretag.h"
#include <ctype.h>
#include <dirent.h>
#include <sys/wait.h>
#include "reuseport/clock.h"
#include "reuseport/group.h"
#include "reuseport/lifecycle.h"

#define NO_PIPE -2 /* no plugin's */

static int lost_a_plugin; /* one has ended before the core */

int reuseport_plugins_forked()
{
  const struct plugins_list_entry *list;

  for (list = plugins_list; list; list = list->next)
    if (strcmp(list->type.string, "core") && list->pid) return TRUE;

  return FALSE;
}

/* ---- their maps ---- */

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
  for (idx = 0; (channel = reuseport_channel(idx)); idx++) {
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
  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
    if (channel->plugin == plugin) channel->pipe = NO_PIPE;
  delete_pipe_channel(NO_PIPE);
  /* which leaves the last one where it is */
  for (idx = 0; (channel = reuseport_channel(idx)); idx++)
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

/* Returns: whether the process is a child of this one and runs the same program. */
static int is_of_ours(pid_t pid, const struct stat *program)
{
  struct stat its;
  char path[32];
  pid_t parent;

  if (!reuseport_read_process(pid, &parent) || parent != getpid()) return FALSE;

  snprintf(path, sizeof(path), "/proc/%d/exe", pid);
  /* EACCES: with file capabilities, a process may not be looked at, other than one of a program without any */
  if (stat(path, &its)) return errno == EACCES;

  return its.st_dev == program->st_dev && its.st_ino == program->st_ino;
}

static int has_child_of_ours()
{
  const struct dirent *entry;
  struct stat program;
  int found = FALSE;
  DIR *proc;

  if (stat("/proc/self/exe", &program) || !(proc = opendir("/proc"))) return TRUE;
  while (!found && (entry = readdir(proc))) found = isdigit(entry->d_name[0]) && is_of_ours(atoi(entry->d_name), &program);
  closedir(proc);

  return found;
}

/* Waits until all children have ended, for some seconds. Returns: whether they have. */
static int children_end()
{
  long long until_ms = reuseport_now_ms() + RP_LEAVE_SECONDS * 1000;
  pid_t pid;

  while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0 && reuseport_now_ms() < until_ms)
    if (!pid) reuseport_sleep_ms(REUSEPORT_PLUGINS_MS);

  return pid < 0;
}

void reuseport_wait_for_children()
{
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  while (!children_end()) {
    if (has_child_of_ours()) continue;
    Log(LOG_INFO, "INFO ( %s/core ): reuseport: what plugins have started, such as a trigger script, has not ended: not waiting for it any more.\n", config.name);
    break;
  }
  if (!lost_a_plugin) return;

  fflush(NULL);
  /* PM_sigint_handler() has called exit(0) */
  _exit(1);
}
