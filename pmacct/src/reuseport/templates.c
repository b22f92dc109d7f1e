/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Templates among instances: see templates.h for what it promises. Linked into nfacctd alone. */
#include "pmacct.h"
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/templates.h"

/*
 * pmacct 1.7.9 and later keep templates in a map, by exporter and NetFlow version; before, it is a table of chains. They
 * have a header of its own for it, nfv9_template.h, which nfacctd.h includes.
 */
#ifdef NFV9_TEMPLATE_H
#define FIELDS fld

/* Upstream's, in nfv9_template.c, where our patch makes them visible */
extern cdada_map_t *tpl_data_map;
extern u_char *compose_template_key(pm_hash_serial_t *, u_int8_t version, u_int16_t id, struct sockaddr *, u_int32_t sid);
extern struct template_cache_entry *nfacctd_offline_read_json_template(char *buf, char *errbuf, int errlen);
#else
#define FIELDS tpl
#endif

static struct template_cache_entry *find(u_int16_t id, struct sockaddr *agent, u_int8_t version, u_int16_t tpl_type, u_int32_t sid)
{
#ifdef NFV9_TEMPLATE_H
  return find_template_v2(id, agent, version, tpl_type, sid);
#else
  (void) version;
  return find_template(id, agent, tpl_type, sid);
#endif
}

#ifdef WITH_JANSSON

#define DATE      "date" /* microseconds since the epoch, and later than any before; upstream's reader ignores it */
#define LOOK_MS   1000   /* how often to look whether a file has changed */
#define MISSED_MS 10     /* the same, while templates are missing */

/* A file as it was last read */
static struct template_file {
  ino_t inode;
  off_t size;
  struct timespec changed;
  json_int_t latest; /* date of the latest template in it that we know */
  int known;         /* it has been read once: what has no date in it is no news any more */
} files[RP_MAX_BUCKETS];

/* A template that is news to us */
struct news {
  json_int_t date;
  struct template_cache_entry *template;
};

static int by_date(const void *a, const void *b)
{
  json_int_t x = ((const struct news *) a)->date, y = ((const struct news *) b)->date;

  return (x > y) - (x < y);
}

/* When it was learnt, or 0 if the line is upstream's */
static json_int_t date_of(const char *line)
{
  json_t *json = json_loads(line, 0, NULL);
  json_int_t date = json_integer_value(json_object_get(json, DATE));

  json_decref(json);

  return date;
}

#ifdef NFV9_TEMPLATE_H

static int insert(struct template_cache_entry *template, struct sockaddr *agent)
{
  pm_hash_serial_t serial;
  u_char *key = compose_template_key(&serial, template->version, template->template_id, agent, template->source_id);
  int ret = cdada_map_insert(tpl_data_map, key, template);

  hash_destroy_serial(&serial);

  return ret == CDADA_SUCCESS;
}

/* What upstream neither writes nor derives: the layers of a data template, how often a field is in one of options */
static void complete(struct template_cache_entry *template)
{
  int idx;

  for (idx = 0; template->template_type == 0 && idx < template->num && idx < TPL_LIST_ENTRIES; idx++) {
    const struct otpl_field *field = template->list[idx].ptr;
    layer_prot prot = field == &template->fld[NF9_IPV4_SRC_ADDR] ? ipv4 : field == &template->fld[NF9_IPV6_SRC_ADDR] ? ipv6
                                                                                                                     : none;

    if (prot != none && template->layers.count < TPL_MAX_ELEM_REPEATS) template->layers.prot[template->layers.count++] = prot;
  }
  for (idx = 0; template->template_type == 1 && idx < NF9_MAX_DEFINED_FIELD; idx++)
    if (template->fld[idx].len[0]) template->fld[idx].count = 1;
}

#else

static int insert(struct template_cache_entry *template, struct sockaddr *agent)
{
  struct template_cache_entry **link = &tpl_cache.c[modulo_template(template->template_id, agent, tpl_cache.num)];

  template->next = *link;
  *link = template;

  return TRUE;
}

#endif

/* Of the same exporter, domain and id the later definition replaces the earlier one */
static void put(struct template_cache_entry *template)
{
  struct template_cache_entry *old;
  struct sockaddr_storage agent;
  u_int8_t version = 0;
  int idx;

#ifdef NFV9_TEMPLATE_H
  version = template->version;
  complete(template);
#endif
  memset(&agent, 0, sizeof(agent));
  addr_to_sa((struct sockaddr *) &agent, &template->agent, 0);
  old = find(template->template_id, (struct sockaddr *) &agent, version, template->template_type, template->source_id);
  if (!old) {
    if (!insert(template, (struct sockaddr *) &agent)) free(template);
    return;
  }

  /* in its place: others may point to it, and its list points into it */
  for (idx = 0; idx < TPL_LIST_ENTRIES; idx++)
    if (template->list[idx].ptr) template->list[idx].ptr = (char *) old + ((char *) template->list[idx].ptr - (char *) template);
  template->next = old->next;
  memcpy(old, template, sizeof(*old));
  free(template);
}

/* Appends what a file has that is later than what we know of it */
static void read_file(const char *path, struct template_file *file, struct news **news, size_t *n)
{
  char *line = NULL, why[SRVBUFLEN];
  size_t size = 0;
  json_int_t latest = file->latest;
  FILE *in = fopen(path, "r");

  if (!in) return;

  while (getline(&line, &size, in) > 0) {
    struct news found = {.date = date_of(line)}, *more;

    if (found.date ? found.date <= file->latest : file->known) continue;
    found.template = nfacctd_offline_read_json_template(line, why, sizeof(why));
    /* a line that is being written right now is whole when we look again */
    if (!found.template) continue;
    more = realloc(*news, (*n + 1) * sizeof(*more));
    if (!more) {
      free(found.template);
      break;
    }
    *news = more;
    more[(*n)++] = found;
    if (found.date > latest) latest = found.date;
  }
  file->latest = latest;
  file->known = TRUE;
  free(line);
  fclose(in);
}

static int changed(const char *path, struct template_file *file)
{
  struct stat st;

  if (stat(path, &st)) return FALSE;
  if (st.st_ino == file->inode && st.st_size == file->size && st.st_mtim.tv_sec == file->changed.tv_sec &&
      st.st_mtim.tv_nsec == file->changed.tv_nsec)
    return FALSE;

  file->inode = st.st_ino;
  file->size = st.st_size;
  file->changed = st.st_mtim;

  return TRUE;
}

/* Returns how many templates it took from the files of all instances, our own among them: a predecessor may still write
   to it. */
static size_t read_changed_files()
{
  const char *own = config.nfacctd_templates_file;
  int stem = reuseport_templates_stem, index;
  struct news *news = NULL;
  char path[PATH_MAX];
  size_t n = 0, i;

  for (index = 0; index < RP_MAX_BUCKETS; index++) {
    const char *extension = own + stem + 1;

    while (*extension >= '0' && *extension <= '9') extension++;
    snprintf(path, sizeof(path), "%.*s-%d%s", stem, own, index, extension);
    if (changed(path, &files[index])) read_file(path, &files[index], &news, &n);
  }

  if (n) qsort(news, n, sizeof(*news), by_date);
  for (i = 0; i < n; i++) put(news[i].template);
  free(news);

  return n;
}

void reuseport_load_templates(char *path)
{
  size_t n;
  FILE *own;

  if (!reuseport_enabled()) {
    load_templates_from_file(path);
    return;
  }

  /* upstream only updates a file that is there; and if it cannot be written, now is the time to say so */
  own = open_output_file(path, "a", FALSE);
  if (own) close_output_file(own);

  n = read_changed_files();
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: read %zu templates from %s and its siblings.\n", config.name, n, path);
}

/* Whether there is news, looking no more often than every so many milliseconds */
static int look(int every_ms)
{
  static long long last;
  long long t = reuseport_now_ms();
  size_t n;

  if (t - last < every_ms) return FALSE;
  last = t;

  n = read_changed_files();
  if (n) Log(LOG_DEBUG, "DEBUG ( %s/core ): reuseport: read %zu templates that were learnt since.\n", config.name, n);

  return n > 0;
}

struct template_cache_entry *reuseport_find_template(u_int16_t id, struct sockaddr *agent, u_int8_t version, u_int16_t tpl_type,
                                                     u_int32_t sid)
{
  struct template_cache_entry *found;

  if (!reuseport_enabled() || !config.nfacctd_templates_file) return find(id, agent, version, tpl_type, sid);

  look(LOOK_MS);
  found = find(id, agent, version, tpl_type, sid);
  if (!found && look(MISSED_MS)) found = find(id, agent, version, tpl_type, sid);

  return found;
}

/* The list points into its own template, and a refreshed one may be elsewhere. With fields of variable length, offsets and
   lengths are those of the latest record. */
static void forget_place_and_record(struct template_cache_entry *t, const struct template_cache_entry *place)
{
  int idx, ie;

  t->next = NULL;
  for (idx = 0; idx < TPL_LIST_ENTRIES; idx++)
    if (t->list[idx].ptr) t->list[idx].ptr = (void *) ((char *) t->list[idx].ptr - (char *) place);
  if (!t->vlen) return;

  t->len = 0;
  for (idx = 0; idx < NF9_MAX_DEFINED_FIELD; idx++) {
    memset(&t->FIELDS[idx].off, 0, sizeof(t->FIELDS[idx].off));
    memset(&t->FIELDS[idx].len, 0, sizeof(t->FIELDS[idx].len));
  }
  for (idx = 0; idx < TPL_EXT_DB_ENTRIES; idx++)
    for (ie = 0; ie < IES_PER_TPL_EXT_DB_ENTRY; ie++) t->ext_db[idx].ie[ie].off = t->ext_db[idx].ie[ie].len = 0;
}

int reuseport_template_changed(const struct template_cache_entry *was, const struct template_cache_entry *is)
{
  static struct template_cache_entry a, b;

  if (!reuseport_enabled()) return TRUE;
  /* 1.7.9 and later: one that is malformed */
  if (!was || !is) return FALSE;

  memcpy(&a, was, sizeof(a));
  memcpy(&b, is, sizeof(b));
#ifdef NFV9_TEMPLATE_H
  forget_place_and_record(&a, was);
#else
  /* it was refreshed in its place */
  forget_place_and_record(&a, is);
#endif
  forget_place_and_record(&b, is);

  return memcmp(&a, &b, sizeof(a)) != 0;
}

void reuseport_date_template(void *json)
{
  static json_int_t last;
  struct timeval t;
  json_int_t date;

  if (!reuseport_enabled()) return;

  gettimeofday(&t, NULL);
  date = t.tv_sec * 1000000LL + t.tv_usec;

  /* the clock may have been set back */
  if (last < files[reuseport_config.index].latest) last = files[reuseport_config.index].latest;
  last = date > last ? date : last + 1;
  json_object_set_new_nocheck(json, DATE, json_integer(last));
}

#else

void reuseport_load_templates(char *path)
{
  load_templates_from_file(path);
}

struct template_cache_entry *reuseport_find_template(u_int16_t id, struct sockaddr *agent, u_int8_t version, u_int16_t tpl_type,
                                                     u_int32_t sid)
{
  return find(id, agent, version, tpl_type, sid);
}

int reuseport_template_changed(const struct template_cache_entry *was, const struct template_cache_entry *is)
{
  return TRUE;
}

void reuseport_date_template(void *json)
{
}

#endif
