/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The keys, each by itself and as a whole: see config.h. */
#include "pmacct.h"
#include "plugin_hooks.h"
#include <fnmatch.h>
#include "reuseport/config.h"
#include "reuseport/fd_store.h"
#include "reuseport/lifecycle.h"
#include "reuseport/room.h"

struct rp_config reuseport_config = {.pin_path = RP_DEFAULT_PIN_PATH, .failover = RP_UNSET};

/* Which keys the config has. */
static struct {
  int any, count, index;
  int auto_index; /* the index is to be claimed */
} seen;

static int listening[REUSEPORT_LISTENERS]; /* which listeners the daemon opens with its config */

/* ---- keys ---- */

/* Exits, because upstream ignores a key whose handler fails, and runs on (evaluate_configuration() in cfg.c, 1.7.6 to 1.7.9). */
static void key_error(char *filename, const char *key, const char *value, const char *wanted)
{
  Log(LOG_ERR, "ERROR: [%s] %s: '%s' is not %s. Exiting.\n", filename, key, value, wanted);
  exit(1);
}

static void key_seen(char *filename, char *name, const char *key)
{
  switch (config.acct_type) {
  case ACCT_NF:
  case ACCT_SF:
  case ACCT_PMBGP:
  case ACCT_PMBMP:
  case ACCT_PMTELE:
    break;
  default:
    Log(LOG_ERR, "ERROR: [%s] %s: only nfacctd, sfacctd, pmbgpd, pmbmpd and pmtelemetryd can share their ports: remove the "
                 "reuseport_* keys. Exiting.\n",
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
  reuseport_config.count = key_number(filename, "reuseport_hashbucket_count", value_ptr, 1, RP_MAX_BUCKETS);

  return seen.count = TRUE;
}

int cfg_key_reuseport_hashbucket_index(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_hashbucket_index");
  seen.auto_index = !strcmp(value_ptr, "auto");
  if (!seen.auto_index) reuseport_config.index = key_number(filename, "reuseport_hashbucket_index", value_ptr, 0, RP_MAX_BUCKETS - 1);

  return seen.index = TRUE;
}

int cfg_key_reuseport_bpf_prog(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_bpf_prog");
  if (!*value_ptr) key_error(filename, "reuseport_bpf_prog", value_ptr, "the path of a BPF object");
  reuseport_config.prog = value_ptr;

  return TRUE;
}

int cfg_key_reuseport_pin_path(char *filename, char *name, char *value_ptr)
{
  size_t len = strlen(value_ptr);

  key_seen(filename, name, "reuseport_pin_path");
  while (len > 1 && value_ptr[len - 1] == '/') value_ptr[--len] = '\0';
  reuseport_config.pin_path = value_ptr;

  return TRUE;
}

int cfg_key_reuseport_nonce(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_nonce");
  reuseport_config.nonce = key_number(filename, "reuseport_nonce", value_ptr, 1, UINT32_MAX);

  return TRUE;
}

int cfg_key_reuseport_failover(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_failover");
  reuseport_config.failover = key_truefalse(filename, "reuseport_failover", value_ptr) ? RP_TRUE : RP_FALSE;

  return TRUE;
}

int cfg_key_reuseport_takeover(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_takeover");
  reuseport_config.takeover = key_truefalse(filename, "reuseport_takeover", value_ptr);

  return TRUE;
}

int cfg_key_reuseport_quarantine(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_quarantine");
  reuseport_config.no_quarantine = !key_truefalse(filename, "reuseport_quarantine", value_ptr);

  return TRUE;
}

int reuseport_enabled()
{
  return seen.any;
}

int reuseport_listens(enum reuseport_listener id)
{
  return listening[id];
}

/* ---- the config as a whole ---- */

/* Finds a key that matches the pattern, whether this release of pmacct knows the key or not. Returns: the config's line, or NULL. */
static const char *find_key(const char *pattern)
{
  int idx;

  for (idx = 0; idx < rows; idx++)
    if (cfg[idx] && !fnmatch(pattern, cfg[idx], 0)) return cfg[idx];

  return NULL;
}

/* Returns: whether telemetry comes to no port that could be shared. */
static int telemetry_elsewhere()
{
  return find_key("telemetry_daemon_zmq*") || find_key("telemetry_daemon_kafka*") || find_key("telemetry_daemon_udp_notif*") ||
         find_key("telemetry_daemon_grpc*");
}

/* Returns: whether the daemon opens this listener with this config. */
static int listens(const struct configuration *core, enum reuseport_listener id)
{
  int flows = config.acct_type == ACCT_NF || config.acct_type == ACCT_SF;
  /* main() in sfacctd.c (1.7.6 to 1.7.9) does not start it */
  int telemetry =
      (config.acct_type == ACCT_PMTELE || (config.acct_type == ACCT_NF && core->telemetry_daemon)) && !telemetry_elsewhere();

  switch (id) {
  case REUSEPORT_NFACCTD:
    return config.acct_type == ACCT_NF;
  case REUSEPORT_TEMPLATES:
    return config.acct_type == ACCT_NF && core->nfacctd_templates_port;
  case REUSEPORT_DTLS:
    return config.acct_type == ACCT_NF && core->nfacctd_dtls_port;
  case REUSEPORT_SFACCTD:
    return config.acct_type == ACCT_SF;
  case REUSEPORT_BGP:
    return config.acct_type == ACCT_PMBGP || (flows && core->bgp_daemon);
  case REUSEPORT_BMP:
    return config.acct_type == ACCT_PMBMP || (flows && core->bmp_daemon);
  case REUSEPORT_TELEMETRY_TCP:
    /* without a port, telemetry_daemon() in telemetry.c (1.7.6 to 1.7.9) takes a default one for TCP */
    return telemetry && (core->telemetry_port_tcp || !core->telemetry_port_udp);
  case REUSEPORT_TELEMETRY_UDP:
    return telemetry && core->telemetry_port_udp && !core->telemetry_port_tcp;
  default:
    return FALSE;
  }
}

/* Returns: which input would bypass the selector, and why, or NULL. */
static const char *conflict(const struct configuration *core)
{
  if (core->pcap_savefile) return "pcap_savefile is set: there is no port to share";
  if (config.acct_type == ACCT_PMTELE && telemetry_elsewhere())
    return "telemetry comes from Kafka, ZeroMQ, UDP-Notif or gRPC: there is no port to share";
  if (config.acct_type != ACCT_NF && config.acct_type != ACCT_SF) return NULL;
  if (core->nfacctd_kafka_broker_host || core->nfacctd_zmq_address)
    return "flows come from Kafka or ZeroMQ: there is no port to share";
  if (mcast_groups[0].family) return "a multicast datagram reaches every instance";

  return NULL;
}

static void check_required_keys(char *filename)
{
  char missing[128] = "";

  if (!seen.count) strcat(missing, " reuseport_hashbucket_count");
  if (!seen.index) strcat(missing, " reuseport_hashbucket_index");
  if (!reuseport_config.prog) strcat(missing, " reuseport_bpf_prog");
  if (!missing[0]) return;

  Log(LOG_ERR, "ERROR: [%s] missing:%s. reuseport_hashbucket_count, reuseport_hashbucket_index and reuseport_bpf_prog "
               "belong together. Exiting.\n",
      filename, missing);
  exit(1);
}

static void check_index(char *filename)
{
  if (seen.auto_index && reuseport_config.takeover) {
    Log(LOG_ERR, "ERROR: [%s] reuseport_hashbucket_index auto takes a free index, and reuseport_takeover one that is in use: give the index, "
                 "or remove reuseport_takeover. Exiting.\n",
        filename);
    exit(1);
  }
  if (reuseport_config.index < reuseport_config.count) return;

  Log(LOG_ERR, "ERROR: [%s] reuseport_hashbucket_index %u is not below reuseport_hashbucket_count %u: use 0 to %u. "
               "Exiting.\n",
      filename, reuseport_config.index, reuseport_config.count, reuseport_config.count - 1);
  exit(1);
}

static void check_conflicts(char *filename, const struct configuration *core)
{
  const char *what;

  /* upstream's own feature for the same purpose (cfg.c, 1.7.8 and later) */
  what = find_key("*_rp_ebpf_prog");
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
}

/* pmacct rewrites the whole file for each template: two instances would lose each other's. */
static void check_templates_file(const char *filename, const struct configuration *core)
{
  char index[16];

  snprintf(index, sizeof(index), "%u", reuseport_config.index);
  if (!core->nfacctd_templates_file || reuseport_config.count == 1 || strstr(core->nfacctd_templates_file, index)) return;

  Log(LOG_WARNING, "WARN: [%s] nfacctd_templates_file %s does not have the index %s in its name: give each instance a file of its own, by $index in its "
                   "name.\n",
      filename, core->nfacctd_templates_file, index);
}

/* What failover, an override or another count brings is new to this instance, but not to its group. */
static void check_allow_file(const char *filename)
{
  const char *key = find_key("*_allow_file");

  if (!key || reuseport_config.count == 1) return;

  Log(LOG_WARNING, "WARN: [%s] %s is set: what failover brings of an exporter that this file does not list is discarded. List all exporters "
                   "of the group in it, in all instances, and place them by 'reuseportctl override load'.\n",
      filename, key);
}

/* An instance without one of its plugins would go on to take its exporters' records from that one. */
static void set_plugin_exit_any()
{
  struct plugins_list_entry *list;

  if (find_key("plugin_exit_any*")) return;

  for (list = plugins_list; list; list = list->next) list->cfg.plugin_exit_any = TRUE;
}

static void log_libbpf(const char *line)
{
  Log(LOG_DEBUG, "DEBUG ( %s/core ): reuseport: %s\n", config.name, line);
}

/*
 * Checks one listener against the object and the group, without any effect on the group. An exit status still reaches the
 * caller here; after daemonize() it would not. reuseport_bind() makes the same checks again, because the group may change
 * meanwhile.
 */
static void rehearse(const char *filename, enum reuseport_listener id)
{
  const struct reuseport_listener_name *listener = &reuseport_listener_names[id];
  struct rp_member member;

  rp_init(&member);
  if (rp_rehearse(&member, &reuseport_config, listener->name, listener->protocol)) {
    Log(LOG_ERR, "ERROR: [%s] reuseport: %s. Exiting.\n", filename, member.error);
    exit(1);
  }
}

void reuseport_check_config(char *filename)
{
  struct configuration *core = &plugins_list->cfg;
  int id;

  if (!reuseport_enabled()) return;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) listening[id] = listens(core, id);
  check_required_keys(filename);
  check_index(filename);
  check_conflicts(filename, core);
  check_allow_file(filename);

  set_plugin_exit_any();
  reuseport_inherit_sockets();
  reuseport_config.is_inherited = reuseport_is_inherited;

  rp_set_log(config.debug || debug ? log_libbpf : NULL);
  if (seen.auto_index) reuseport_claim_index(filename);
  reuseport_expand_values();
  check_templates_file(filename, core);
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (listening[id]) rehearse(filename, id);
  reuseport_check_max_peers(filename, core);
}
