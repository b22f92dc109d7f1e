/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemons' side of the group: see reuseport.h for what it promises. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include <fcntl.h>
#include <pthread.h>
#include "reuseport/reuseport.h"
#include "reuseport/group.h"

static struct rp_config rp = {.pin_path = RP_DEFAULT_PIN_PATH, .failover = RP_UNSET};

/* Which keys the config has */
static struct {
  int any, count, index;
} seen;

static const struct {
  const char *name;
  int protocol;
} listeners[REUSEPORT_LISTENERS] = {
    [REUSEPORT_NFACCTD] = {"nfacctd", IPPROTO_UDP},
    [REUSEPORT_BMP] = {"bmp", IPPROTO_TCP},
};

static struct {
  struct rp_member member;
  int sock;
} open_listeners[REUSEPORT_LISTENERS] = {
    [REUSEPORT_NFACCTD] = {.sock = -1},
    [REUSEPORT_BMP] = {.sock = -1},
};

/* ---- keys ---- */

/* Upstream ignores a key whose handler fails, and runs on: ours must stop the start */
static void key_error(char *filename, const char *key, const char *value, const char *wanted)
{
  Log(LOG_ERR, "ERROR: [%s] %s: '%s' is not %s. Exiting.\n", filename, key, value, wanted);
  exit(1);
}

static void key_seen(char *filename, char *name, const char *key)
{
  if (config.acct_type != ACCT_NF && config.acct_type != ACCT_PMBMP) {
    Log(LOG_ERR, "ERROR: [%s] %s: only nfacctd and pmbmpd can share their ports: remove the reuseport_* keys. Exiting.\n",
        filename, key);
    exit(1);
  }
  if (name)
    Log(LOG_WARNING, "WARN: [%s] plugin name not supported for key '%s'. Globalized.\n", filename, key);
  seen.any = TRUE;
}

static __u32 key_number(char *filename, const char *key, const char *value, unsigned long min, unsigned long max)
{
  unsigned long number = 0;
  const char *digit;
  char wanted[64];

  snprintf(wanted, sizeof(wanted), "a whole number from %lu to %lu", min, max);
  for (digit = value; *digit >= '0' && *digit <= '9' && number <= max; digit++) number = number * 10 + (*digit - '0');
  if (digit == value || *digit || number < min || number > max) key_error(filename, key, value, wanted);

  return number;
}

static int key_truefalse(char *filename, const char *key, char *value)
{
  int truth = parse_truefalse(value);

  if (truth < 0) key_error(filename, key, value, "true or false");

  return truth;
}

int cfg_key_reuseport_hashbucket_count(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_hashbucket_count");
  rp.count = key_number(filename, "reuseport_hashbucket_count", value_ptr, 1, RP_MAX_BUCKETS);

  return seen.count = TRUE;
}

int cfg_key_reuseport_hashbucket_index(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_hashbucket_index");
  rp.index = key_number(filename, "reuseport_hashbucket_index", value_ptr, 0, RP_MAX_BUCKETS - 1);

  return seen.index = TRUE;
}

int cfg_key_reuseport_bpf_prog(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_bpf_prog");
  if (!*value_ptr) key_error(filename, "reuseport_bpf_prog", value_ptr, "the path of a BPF object");
  rp.prog = value_ptr;

  return TRUE;
}

int cfg_key_reuseport_pin_path(char *filename, char *name, char *value_ptr)
{
  size_t len = strlen(value_ptr);

  key_seen(filename, name, "reuseport_pin_path");
  while (len > 1 && value_ptr[len - 1] == '/') value_ptr[--len] = '\0';
  rp.pin_path = value_ptr;

  return TRUE;
}

int cfg_key_reuseport_nonce(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_nonce");
  rp.nonce = key_number(filename, "reuseport_nonce", value_ptr, 1, UINT32_MAX);

  return TRUE;
}

int cfg_key_reuseport_failover(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_failover");
  rp.failover = key_truefalse(filename, "reuseport_failover", value_ptr) ? RP_TRUE : RP_FALSE;

  return TRUE;
}

int cfg_key_reuseport_takeover(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_takeover");
  rp.takeover = key_truefalse(filename, "reuseport_takeover", value_ptr);

  return TRUE;
}

int reuseport_enabled()
{
  return seen.any;
}

/* ---- the config as a whole ---- */

/* Upstream's own feature for the same end: its keys as they were parsed, in releases that have it and that do not */
static const char *rp_ebpf_key()
{
  static const char suffix[] = "_rp_ebpf_prog";
  int idx;

  for (idx = 0; idx < rows; idx++) {
    size_t len = cfg[idx] ? strlen(cfg[idx]) : 0;

    if (len >= sizeof(suffix) && !strcmp(cfg[idx] + len - (sizeof(suffix) - 1), suffix)) return cfg[idx];
  }

  return NULL;
}

/* What would get past the selector, and the reason, or NULL */
static const char *conflict(const struct configuration *core)
{
  if (core->pcap_savefile) return "pcap_savefile is set: there is no port to share";
  if (config.acct_type != ACCT_NF) return NULL;
  if (core->nfacctd_kafka_broker_host || core->nfacctd_zmq_address)
    return "NetFlow comes from Kafka or ZeroMQ: there is no port to share";
  if (core->nfacctd_templates_port || core->nfacctd_dtls_port)
    return "nfacctd_templates_port and nfacctd_dtls_port are not shared by exporter";
  if (mcast_groups[0].family) return "a multicast datagram reaches every instance";

  return NULL;
}

static void check_three(char *filename)
{
  char missing[128] = "";

  if (!seen.count) strcat(missing, " reuseport_hashbucket_count");
  if (!seen.index) strcat(missing, " reuseport_hashbucket_index");
  if (!rp.prog) strcat(missing, " reuseport_bpf_prog");
  if (!missing[0]) return;

  Log(LOG_ERR, "ERROR: [%s] missing:%s. reuseport_hashbucket_count, reuseport_hashbucket_index and reuseport_bpf_prog "
               "belong together. Exiting.\n",
      filename, missing);
  exit(1);
}

/* Opens the group once for nothing, while nothing has been started, and an exit status still reaches the caller: after
   daemonize() it would not. What changes until reuseport_open() is found there. */
static void rehearse(char *filename, enum reuseport_listener id)
{
  struct rp_member member;

  rp_init(&member);
  if (rp_open(&member, &rp, listeners[id].name, listeners[id].protocol)) {
    Log(LOG_ERR, "ERROR: [%s] reuseport: %s. Exiting.\n", filename, member.error);
    exit(1);
  }
  rp_close(&member);
}

void reuseport_check_config(char *filename)
{
  const struct configuration *core = &plugins_list->cfg;
  const char *what;

  if (!reuseport_enabled()) return;

  check_three(filename);

  if (rp.index >= rp.count) {
    Log(LOG_ERR, "ERROR: [%s] reuseport_hashbucket_index %u is not below reuseport_hashbucket_count %u: use 0 to %u. "
                 "Exiting.\n",
        filename, rp.index, rp.count, rp.count - 1);
    exit(1);
  }

  what = rp_ebpf_key();
  if (what) {
    Log(LOG_ERR, "ERROR: [%s] %s and reuseport_bpf_prog are both set: a port cannot have two selectors, remove one of "
                 "them. Exiting.\n",
        filename, what);
    exit(1);
  }

  what = conflict(core);
  if (what) {
    Log(LOG_ERR, "ERROR: [%s] %s: remove it or the reuseport_* keys. Exiting.\n", filename, what);
    exit(1);
  }

  if (config.acct_type == ACCT_NF && (core->bgp_daemon || core->telemetry_daemon))
    Log(LOG_WARNING, "WARN: [%s] BGP and telemetry listeners are not shared by exporter: give each instance a port of "
                     "its own.\n",
        filename);

  if (config.acct_type == ACCT_NF) rehearse(filename, REUSEPORT_NFACCTD);
  if (config.acct_type == ACCT_PMBMP || core->bmp_daemon) rehearse(filename, REUSEPORT_BMP);
}

/* ---- listeners ---- */

static void log_libbpf(const char *line)
{
  Log(LOG_DEBUG, "DEBUG ( %s/core ): reuseport: %s\n", config.name, line);
}

/* A child that inherits a listener keeps its bucket occupied after the daemon died: traffic would go nowhere. The same
   with the group's lock. Runs in every forked child, plugins and writers alike, and once per fd, since the child
   reuses the number. */
static void close_listeners_in_child()
{
  int idx;

  for (idx = 0; idx < REUSEPORT_LISTENERS; idx++) {
    if (open_listeners[idx].sock < 0) continue;
    close(open_listeners[idx].sock);
    open_listeners[idx].sock = -1;
    if (open_listeners[idx].member.lock >= 0) close(open_listeners[idx].member.lock);
    open_listeners[idx].member.lock = -1;
  }
}

static void watch_forks()
{
  pthread_atfork(NULL, NULL, close_listeners_in_child);
}

/* Ends the daemon, but leaves a pidfile alone that another instance wrote */
static void refuse(struct rp_member *member)
{
  FILE *file = config.pidfile ? fopen(config.pidfile, "r") : NULL;
  long pid = 0;

  Log(LOG_ERR, "ERROR ( %s/core ): reuseport: %s. Exiting.\n", config.name, member->error);
  rp_close(member);

  if (file) {
    if (fscanf(file, "%ld", &pid) != 1) pid = 0;
    fclose(file);
  }
  if (pid != getpid()) config.pidfile = NULL;

  exit_gracefully(1);
}

void reuseport_open(enum reuseport_listener id, int sock, const struct sockaddr *addr, socklen_t len)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  struct rp_member *member = &open_listeners[id].member;
  int yes = 1, no = 0;

  if (!reuseport_enabled()) return;

  setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
  /* With SO_REUSEADDR on every UDP socket of the port the kernel lets other users' sockets in, and serves them first */
  if (listeners[id].protocol == IPPROTO_UDP) setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &no, sizeof(no));
  pthread_once(&once, watch_forks);
  fcntl(sock, F_SETFD, FD_CLOEXEC);
  rp_init(member);
  open_listeners[id].sock = sock;
  rp_set_log(config.debug || debug ? log_libbpf : NULL);

  if (rp_open(member, &rp, listeners[id].name, listeners[id].protocol)) refuse(member);
  if (rp_check_address(member, sock, addr, len)) refuse(member);
  if (member->missing[0])
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: %s lacks the maps %s%s: use reuseport.o to have what they are for.\n",
        config.name, rp.prog, member->missing, member->failover ? "" : ", and does no failover");
}

void reuseport_join(enum reuseport_listener id)
{
  struct rp_member *member = &open_listeners[id].member;
  struct rp_slot slot;
  __u32 bucket, live = 0;

  if (!reuseport_enabled()) return;

  if (rp_join(member, open_listeners[id].sock)) refuse(member);

  for (bucket = 0; bucket < rp.count; bucket++)
    if (!rp_slot(member, bucket, &slot) && slot.cookie) live++;
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s joined %s as index %u of %u (%u live, nonce %u, failover %s).\n",
      config.name, member->listener, rp.pin_path, rp.index, rp.count, live, member->nonce,
      member->failover ? "on" : "off");
  rp_close(member);
}
