/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The lines of nfacctd_templates_file: see checks.h, template_check.h. Upstream's reader, nfacctd_offline_read_json_template() in
 * nfv9_template.c, 1.7.6 to 1.8.1, takes indexes of its arrays from the line. A line is checked here for all that the reader and the
 * decoder rely on; a key that is missing is the reader's to complain of.
 */
#include "pmacct.h"
#include "nfacctd.h"
#include "reuseport/template_check.h"

#ifdef WITH_JANSSON

/* How often an element may be in a template; 1.7.6 to 1.7.8 keep the last one */
#ifdef TPL_MAX_ELEM_REPEATS
#define REPEATS TPL_MAX_ELEM_REPEATS
#else
#define REPEATS 1
#endif

#define UNBOUNDED 65535

/* Of the line that is checked */
static struct {
  char *text; /* what is wrong */
  size_t length;
  json_int_t record; /* bytes, of one that has no fields of variable length; otherwise UNBOUNDED */
} check;

static int refuse(const char *what, json_int_t value, json_int_t least, json_int_t most)
{
  snprintf(check.text, check.length, "%s is %lld, not %lld to %lld. Line skipped.", what, (long long) value, (long long) least,
           (long long) most);
  return FALSE;
}

/* Returns: whether the number at key, if there is any, is in that range. */
static int is_within(const json_t *object, const char *key, json_int_t least, json_int_t most)
{
  const json_t *number = json_object_get(object, key);
  json_int_t value = json_integer_value(number);

  return !number || (value >= least && value <= most) || refuse(key, value, least, most);
}

/* Checks where the value of a field is, and how long. most: bytes. */
static int fits_record(const json_t *field, json_int_t most)
{
  json_int_t length = json_integer_value(json_object_get(field, "len")), tpl_length = json_integer_value(json_object_get(field, "tpl_len"));
  json_int_t end = json_integer_value(json_object_get(field, "off")) + length;

  if (length < 0 || length > most) return refuse("len", length, 0, most);
  if (tpl_length < 0 || tpl_length > most) return refuse("tpl_len", tpl_length, 0, most);

  return (end >= length && end <= check.record) || refuse("off + len", end, length, check.record);
}

/* A field of the list of a template */
static int is_sound_field(const json_t *field)
{
  const json_t *legacy = json_object_get(field, "otpl"), *other = json_object_get(field, "utpl");

  if (json_integer_value(json_object_get(field, "type")) == TPL_TYPE_LEGACY)
    return is_within(field, "repeat", 1, REPEATS) && is_within(legacy, "tpl_index", 0, NF9_MAX_DEFINED_FIELD - 1) &&
           is_within(legacy, "count", 1, REPEATS) &&
           fits_record(legacy, reuseport_greatest_length(json_integer_value(json_object_get(legacy, "tpl_index"))));

  return is_within(other, "type", 0, 65535) && is_within(other, "ie_idx", 0, IES_PER_TPL_EXT_DB_ENTRY - 1) && fits_record(other, UNBOUNDED);
}

/* A field of an options template */
static int is_sound_option(const json_t *field)
{
  json_int_t type = json_integer_value(json_object_get(field, "type"));

  if (!is_within(field, "type", 0, NF9_MAX_DEFINED_FIELD - 1)) return FALSE;

  /* a scope of NetFlow v9 has numbers of its own, which are small */
  return fits_record(field, type <= NF9_OPT_SCOPE_TPL ? UNBOUNDED : reuseport_greatest_length(type));
}

static int is_sound_template(const json_t *line)
{
  const json_t *list = json_object_get(line, "list");
  json_int_t fields = json_array_size(list);
  size_t i;

  if (fields > TPL_LIST_ENTRIES) return refuse("the number of fields", fields, 1, TPL_LIST_ENTRIES);
  if (!is_within(line, "num", fields, fields)) return FALSE;
  for (i = 0; i < json_array_size(list); i++)
    if (!is_sound_field(json_array_get(list, i))) return FALSE;

  return TRUE;
}

static int is_sound_options_template(const json_t *line)
{
  const json_t *fields = json_object_get(line, "tpl");
  size_t i;

  for (i = 0; i < json_array_size(fields); i++)
    if (!is_sound_option(json_array_get(fields, i))) return FALSE;

  return TRUE;
}

static int is_sound_line(const json_t *line)
{
  int is_template = !json_integer_value(json_object_get(line, "template_type"));
  int varies = is_template && json_integer_value(json_object_get(line, "vlen"));

  /* the reader has 8 and 16 bits for them */
  if (!is_within(line, "template_type", 0, 1) || !is_within(line, "vlen", 0, 1)) return FALSE;

  check.record = varies ? UNBOUNDED : json_integer_value(json_object_get(line, "len"));
  if (!json_is_string(json_object_get(line, "agent"))) {
    snprintf(check.text, check.length, "agent is no string. Line skipped.");
    return FALSE;
  }
  /* a record of 0 bytes would be decoded for ever */
  if (!varies && !is_within(line, "len", 1, UNBOUNDED)) return FALSE;

  return is_template ? is_sound_template(line) : is_sound_options_template(line);
}

int reuseport_check_template_line(const char *line, char *text, size_t length)
{
  json_error_t error;
  json_t *object = json_loads(line, 0, &error);
  int is_sound;

  /* what is no object, is the reader's to complain of */
  if (!json_is_object(object)) {
    json_decref(object);
    return TRUE;
  }
  check.text = text;
  check.length = length;
  is_sound = is_sound_line(object);
  json_decref(object);

  return is_sound;
}

#else

int reuseport_check_template_line(const char *line, char *text, size_t length)
{
  (void) line, (void) text, (void) length;

  return TRUE;
}

#endif
