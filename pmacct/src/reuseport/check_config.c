/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The config as a whole, when it is parsed: the keys against each other, against upstream's, the BPF object, the group and what systemd has
 * passed on. Above all other files of the daemons' side that it calls; none calls it but upstream's cfg.c.
 */
#include "pmacct.h"
#include "plugin_hooks.h"
#include "reuseport/config.h"
#include "reuseport/fd_store.h"
#include "reuseport/lifecycle.h"
#include "reuseport/room.h"

/* Returns: which input would bypass the selector, and why, or NULL. */
static const char *conflict(const struct configuration *core)
{
  if (core->pcap_savefile) return "pcap_savefile is set: there is no port to share";
  if (config.acct_type == ACCT_PMTELE && reuseport_telemetry_elsewhere())
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

  if (!reuseport_keys.count) strcat(missing, " reuseport_hashbucket_count");
  if (!reuseport_keys.index) strcat(missing, " reuseport_hashbucket_index");
  if (!reuseport_config.prog) strcat(missing, " reuseport_bpf_prog");
  if (!missing[0]) return;

  Log(LOG_ERR, "ERROR: [%s] missing:%s. reuseport_hashbucket_count, reuseport_hashbucket_index and reuseport_bpf_prog "
               "belong together. Exiting.\n",
      filename, missing);
  exit(1);
}

static void check_index(char *filename)
{
  if (reuseport_keys.auto_index && reuseport_config.takeover) {
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
  what = reuseport_find_key("*_rp_ebpf_prog");
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
  const char *key = reuseport_find_key("*_allow_file");

  if (!key || reuseport_config.count == 1) return;

  Log(LOG_WARNING, "WARN: [%s] %s is set: what failover brings of an exporter that this file does not list is discarded. List all exporters "
                   "of the group in it, in all instances, and place them by 'reuseportctl override load'.\n",
      filename, key);
}

/* An instance without one of its plugins would go on to take its exporters' records from that one. */
static void set_plugin_exit_any()
{
  struct plugins_list_entry *list;

  if (reuseport_find_key("plugin_exit_any*")) return;

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

  reuseport_note_listeners(core);
  check_required_keys(filename);
  check_index(filename);
  check_conflicts(filename, core);
  check_allow_file(filename);

  set_plugin_exit_any();
  reuseport_inherit_sockets();
  reuseport_config.is_inherited = reuseport_is_inherited;

  rp_set_log(config.debug || debug ? log_libbpf : NULL);
  if (reuseport_keys.auto_index) reuseport_claim_index(filename);
  reuseport_expand_values();
  check_templates_file(filename, core);
  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (reuseport_listens(id)) rehearse(filename, id);
  reuseport_check_max_peers(filename, core);
}
