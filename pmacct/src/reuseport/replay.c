/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Messages made of records: see replay.h and exporter_state.h. */
#include "pmacct.h"
#include "reuseport/exporter_state.h"
#include "reuseport/exporters.h"
#include "reuseport/replay.h"
#include "reuseport/template_check.h"

#define MESSAGE_MAX 1400 /* bytes, as exporters send them */

static struct {
  __u8 header[FLOW_MAX_HEADER]; /* of the exporter's own message */
  __u16 header_version;
  __u8 *messages;          /* each with its length before it, a size_t */
  size_t used, room, next; /* bytes; next: where the next one to take is */
  size_t open;             /* where the last one begins; used: there is none */
  __u32 domain;            /* of the last one */
  __u16 version;
  int replays;          /* the message that was taken last is a replayed one */
  char *templates_file; /* what config has while nothing is replayed */
} replay;

static void write16(__u8 *p, __u16 value)
{
  p[0] = value >> 8;
  p[1] = value;
}

static void write32(__u8 *p, __u32 value)
{
  write16(p, value >> 16);
  write16(p + 2, value);
}

/* ---- making ---- */

void reuseport_start_replay(const struct flow_message *before)
{
  replay.used = replay.next = replay.open = 0;
  replay.header_version = before->version;
  memcpy(replay.header, before->bytes, before->sets - before->bytes);
}

/* Makes room at the end. Returns: where it is. */
static __u8 *extend(size_t bytes)
{
  if (replay.used + bytes > replay.room) {
    replay.room = replay.used + bytes + 4096;
    replay.messages = reuseport_need_memory(realloc(replay.messages, replay.room));
  }
  replay.used += bytes;

  return replay.messages + replay.used - bytes;
}

static size_t header_length(__u16 version)
{
  return version == FLOW_NETFLOW9 ? 20 : 16;
}

/* The header of NetFlow v9: version, count of sets, uptime, time, number, source id; of IPFIX: version, length, time, number, domain. */
static void open_message(__u32 domain, __u16 version)
{
  size_t length = 0, header = header_length(version), time_at = version == FLOW_NETFLOW9 ? 8 : 4;
  const __u8 *time_and_number = replay.header + (replay.header_version == FLOW_NETFLOW9 ? 8 : 4);
  __u8 *message;

  replay.open = replay.used;
  memcpy(extend(sizeof(length)), &length, sizeof(length));
  message = extend(header);
  memset(message, 0, header);
  write16(message, version);
  if (version == replay.header_version) memcpy(message, replay.header, header);
  write16(message + 2, 0);
  memcpy(message + time_at, time_and_number, 8);
  write32(message + header - 4, domain);
  replay.domain = domain;
  replay.version = version;
}

/* Notes the length of the last message, and in it what its header says: sets or bytes. */
static void update_message()
{
  __u8 *message = replay.messages + replay.open + sizeof(size_t);
  size_t length = replay.used - replay.open - sizeof(size_t);

  memcpy(replay.messages + replay.open, &length, sizeof(length));
  write16(message + 2, replay.version == FLOW_IPFIX ? length : (message[2] << 8 | message[3]) + 1);
}

/* Adds one record, in a set of its own. */
static void add_record(const struct rp_state_record *record)
{
  size_t set_length = FLOW_SET_HEADER + record->length;
  __u16 set_id = record->id;
  __u8 *set;

  if (record->kind == RP_STATE_TEMPLATE) set_id = flow_set_of_kind(record->version, FLOW_TEMPLATE);
  if (record->kind == RP_STATE_OPTIONS_TEMPLATE) set_id = flow_set_of_kind(record->version, FLOW_OPTIONS_TEMPLATE);
  if (replay.open == replay.used || record->domain != replay.domain || record->version != replay.version ||
      replay.used - replay.open + set_length > MESSAGE_MAX)
    open_message(record->domain, record->version);

  set = extend(set_length);
  write16(set, set_id);
  write16(set + 2, set_length);
  memcpy(set + FLOW_SET_HEADER, record + 1, record->length);
  update_message();
}

/* Whether the process that knows that knows the record, and what came before it, too. */
static int is_known(const struct rp_pages *known, const struct rp_state_record *record)
{
  const struct rp_state_record *same = rp_pages_find(known, record);

  return same && same->order == record->order && rp_pages_have(known, record, record + 1);
}

static int by_order(const void *one, const void *other)
{
  const struct rp_state_record *a = *(const struct rp_state_record **) one, *b = *(const struct rp_state_record **) other;

  return (a->order > b->order) - (a->order < b->order);
}

/* Adds the differences among definitions, or among options data, in the order in which they came. */
static void add_differences(const struct rp_pages *known, const struct rp_pages *fresh, int are_options_data)
{
  const struct rp_state_record *record, **news = NULL;
  struct rp_pages_walk walk = {0};
  size_t number = 0, next;

  while ((record = rp_pages_next(fresh, &walk))) {
    if ((record->kind == RP_STATE_OPTIONS_DATA) != are_options_data || is_known(known, record)) continue;
    news = reuseport_need_memory(realloc(news, (number + 1) * sizeof(*news)));
    news[number++] = record;
  }
  if (number) qsort(news, number, sizeof(*news), by_order);
  for (next = 0; next < number; next++) add_record(news[next]);
  free(news);
}

void reuseport_replay_differences(const struct rp_pages *known, const struct rp_pages *fresh)
{
  if (rp_pages_equal(known, fresh)) return;

  add_differences(known, fresh, FALSE);
  add_differences(known, fresh, TRUE);
}

/* ---- taking ---- */

void reuseport_end_replay()
{
  if (replay.replays) config.nfacctd_templates_file = replay.templates_file;
  replay.replays = reuseport_refuses_silently = FALSE;
}

/* pmacct rewrites its file of templates for each one that it gets once more: not for these. What was withdrawn was logged when it came. */
static void begin_replay()
{
  replay.replays = reuseport_refuses_silently = TRUE;
  replay.templates_file = config.nfacctd_templates_file;
  config.nfacctd_templates_file = NULL;
}

ssize_t reuseport_take_replay(void *buf, size_t len)
{
  size_t length;

  if (replay.next >= replay.used) return 0;

  begin_replay();

  memcpy(&length, replay.messages + replay.next, sizeof(length));
  memcpy(buf, replay.messages + replay.next + sizeof(length), MIN(length, len));
  replay.next += sizeof(length) + length;

  return MIN(length, len);
}

int reuseport_replays()
{
  return replay.replays;
}
