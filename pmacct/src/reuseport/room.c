/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Room for sessions: see room.h. */
#include "pmacct.h"
#include <dirent.h>
#include <sys/resource.h>
#include "bgp/bgp.h"
#include "bmp/bmp.h"
#include "telemetry/telemetry.h"
#include "reuseport/config.h"
#include "reuseport/listeners.h"
#include "reuseport/room.h"

#define SPARE 16 /* descriptors that sessions leave for logs, maps and brokers */

/* Those with sessions */
static const struct kind {
  enum reuseport_listener id;
  const char *key;
  int usual; /* if the key is not set */
} kinds[] = {
    {REUSEPORT_BGP, "bgp_daemon_max_peers", MAX_BGP_PEERS_DEFAULT},
    {REUSEPORT_BMP, "bmp_daemon_max_peers", BMP_MAX_PEERS_DEFAULT},
    {REUSEPORT_TELEMETRY_TCP, "telemetry_daemon_max_peers", TELEMETRY_MAX_PEERS_DEFAULT},
};

#define KINDS (int) (sizeof(kinds) / sizeof(kinds[0]))

/* ---- descriptors ---- */

/* Returns: how many descriptors the process may have, as far as select(2) knows them. */
static int limit()
{
  struct rlimit files;

  return getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur > FD_SETSIZE ? FD_SETSIZE : (int) files.rlim_cur;
}

int reuseport_first_unusable()
{
  return limit() - MIN(SPARE, limit() / 8);
}

const char *reuseport_more_room()
{
  return limit() < FD_SETSIZE ? "raise LimitNOFILE= or 'ulimit -n' to 1024" : "start more instances, and lower *_max_peers";
}

/* ---- what the config has ---- */

static int max_peers(const struct configuration *c, enum reuseport_listener id)
{
  switch (id) {
  case REUSEPORT_BGP:
    return c->bgp_daemon_max_peers;
  case REUSEPORT_BMP:
    return c->bmp_daemon_max_peers;
  case REUSEPORT_TELEMETRY_TCP:
    return c->telemetry_max_peers;
  default:
    return 0;
  }
}

int reuseport_max_peers(enum reuseport_listener id)
{
  return max_peers(&config, id);
}

const char *reuseport_max_peers_key(enum reuseport_listener id)
{
  int kind;

  for (kind = 0; kind < KINDS; kind++)
    if (kinds[kind].id == id) return kinds[kind].key;

  return NULL;
}

/* A log file with the router in its name is one for each session. */
static int descriptors_each(enum reuseport_listener id)
{
  const char *log = id == REUSEPORT_BGP ? config.bgp_daemon_msglog_file : id == REUSEPORT_BMP ? config.bmp_daemon_msglog_file
                                                                                              : config.telemetry_msglog_file;

  return 1 + (log && strchr(log, '$')) + (id == REUSEPORT_BGP && config.bgp_xconnect_map);
}

/* ---- checks ---- */

/* No further than select(2) goes: what has a descriptor beyond cannot be a session, and is none of our business. */
static void raise_limit()
{
  struct rlimit files;

  if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= FD_SETSIZE) return;

  files.rlim_cur = files.rlim_max < FD_SETSIZE ? files.rlim_max : FD_SETSIZE;
  setrlimit(RLIMIT_NOFILE, &files);
}

void reuseport_check_max_peers(const char *filename, const struct configuration *core)
{
  int kind;

  for (kind = 0; kind < KINDS; kind++) {
    if (!reuseport_listens(kinds[kind].id)) continue;

    raise_limit();
    if (reuseport_config.count > 1 && !max_peers(core, kinds[kind].id))
      Log(LOG_WARNING, "WARN: [%s] %s is not set: this instance takes %d sessions, and refuses those beyond, its own and those that fail over to it. "
                       "Set it to the number of all routers.\n",
          filename, kinds[kind].key, kinds[kind].usual);
  }
}

/* Returns: how many descriptors are open, but for the one that this takes itself. */
static int count_open()
{
  DIR *dir = opendir("/proc/self/fd");
  struct dirent *entry;
  int n = 0;

  if (!dir) return 0;
  while ((entry = readdir(dir))) n += entry->d_name[0] != '.';
  closedir(dir);

  return n - 1;
}

void reuseport_check_room()
{
  int open = count_open(), room = reuseport_first_unusable() - open, sessions = 0, needed = 0, kind;

  for (kind = 0; kind < KINDS; kind++) {
    enum reuseport_listener id = kinds[kind].id;

    if (!reuseport_listens(id)) continue;
    sessions += reuseport_max_peers(id);
    needed += reuseport_max_peers(id) * descriptors_each(id);
  }
  if (needed <= room) return;

  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: *_max_peers allow %d sessions, which take %d descriptors; %d are open, and below %d there is room for %d: a "
                   "failover may bring more sessions than that, and they will be refused: %s.\n",
      config.name, sessions, needed, open, reuseport_first_unusable(), room > 0 ? room : 0, reuseport_more_room());
}

void reuseport_check_share(enum reuseport_listener id, int sessions, int live)
{
  static int warned[REUSEPORT_LISTENERS];
  int most = reuseport_max_peers(id), all = sessions * live, share = live > 1 ? all / (live - 1) : sessions;

  if (share <= most) {
    warned[id] = FALSE;
    return;
  }
  if (warned[id]) return;

  warned[id] = TRUE;
  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: listener %s has %d sessions with %d instances live: if one of them ends, about %d come to each other one, "
                   "but %s is %d. Raise it, in all instances; %d serves all routers.\n",
      config.name, reuseport_listener_names[id].name, sessions, live, share, reuseport_max_peers_key(id), most, all);
}
