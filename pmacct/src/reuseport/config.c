/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The keys, each by itself, and what they and upstream's say of listeners: see config.h. */
#include "pmacct.h"
#include <fnmatch.h>
#include "reuseport/config.h"

struct rp_config reuseport_config = {.pin_path = RP_DEFAULT_PIN_PATH, .failover = RP_UNSET};
struct reuseport_keys reuseport_keys;

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
  reuseport_keys.any = TRUE;
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

  return reuseport_keys.count = TRUE;
}

int cfg_key_reuseport_hashbucket_index(char *filename, char *name, char *value_ptr)
{
  key_seen(filename, name, "reuseport_hashbucket_index");
  reuseport_keys.auto_index = !strcmp(value_ptr, "auto");
  if (!reuseport_keys.auto_index) reuseport_config.index = key_number(filename, "reuseport_hashbucket_index", value_ptr, 0, RP_MAX_BUCKETS - 1);

  return reuseport_keys.index = TRUE;
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
  return reuseport_keys.any;
}

/* ---- listeners ---- */

const char *reuseport_find_key(const char *pattern)
{
  int idx;

  for (idx = 0; idx < rows; idx++)
    if (cfg[idx] && !fnmatch(pattern, cfg[idx], 0)) return cfg[idx];

  return NULL;
}

int reuseport_telemetry_elsewhere()
{
  return reuseport_find_key("telemetry_daemon_zmq*") || reuseport_find_key("telemetry_daemon_kafka*") || reuseport_find_key("telemetry_daemon_udp_notif*") ||
         reuseport_find_key("telemetry_daemon_grpc*");
}

/* Returns: whether the daemon opens this listener with this config. */
static int listens(const struct configuration *core, enum reuseport_listener id)
{
  int flows = config.acct_type == ACCT_NF || config.acct_type == ACCT_SF;
  /* main() in sfacctd.c (1.7.6 to 1.7.9) does not start it */
  int telemetry =
      (config.acct_type == ACCT_PMTELE || (config.acct_type == ACCT_NF && core->telemetry_daemon)) && !reuseport_telemetry_elsewhere();

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

void reuseport_note_listeners(const struct configuration *core)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++) listening[id] = listens(core, id);
}

int reuseport_listens(enum reuseport_listener id)
{
  return listening[id];
}
