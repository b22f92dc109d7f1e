/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The index of the instance: claimed, if the config says 'auto', and put into file names. See reuseport.h, lifecycle.h. */
#include "pmacct.h"
#include <ctype.h>
#include <sys/file.h>
#include "reuseport/config.h"
#include "reuseport/lifecycle.h"

#define VARIABLE "$index"

static char **values;  /* of the config, those with the variable; ends with NULL */
static int claim = -1; /* see rp_claim_index() */

/* ---- $index ---- */

void reuseport_note_values(char **lines, int number)
{
  int idx, noted = 0;

  values = calloc(number + 1, sizeof(*values));
  for (idx = 0; values && idx < number; idx++) {
    char *value = strchr(lines[idx], ':');

    if (value && strstr(value, VARIABLE)) values[noted++] = value + 1;
  }
}

/* What takes its place is never longer. */
static void expand(char *value)
{
  char digits[sizeof(VARIABLE)], *rest;
  size_t length = snprintf(digits, sizeof(digits), "%u", reuseport_config.index);

  while ((value = strstr(value, VARIABLE))) {
    rest = value + strlen(VARIABLE);
    if (!isalnum((unsigned char) *rest) && *rest != '_') {
      memmove(value + length, rest, strlen(rest) + 1);
      memcpy(value, digits, length);
    }
    value++;
  }
}

void reuseport_expand_values()
{
  char **value;

  for (value = values; value && *value; value++) expand(*value);
  free(values);
  values = NULL;
}

/* ---- auto ---- */

/* Returns: the name of the daemon's first listener; all instances of a daemon have it. */
static const char *first_listener()
{
  int id = 0;

  while (id + 1 < REUSEPORT_LISTENERS && !reuseport_listens(id)) id++;

  return reuseport_listener_names[id].name;
}

static int has_listener(const char *name)
{
  int id;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (reuseport_listens(id) && !strcmp(name, reuseport_listener_names[id].name)) return TRUE;

  return FALSE;
}

void reuseport_claim_index(const char *filename)
{
  struct rp_member member;

  rp_init(&member);
  claim = rp_claim_index(&member, &reuseport_config, first_listener(), has_listener, &reuseport_config.index);
  if (claim >= 0) return;

  Log(LOG_ERR, "ERROR: [%s] reuseport: %s. Exiting.\n", filename, member.error);
  exit(1);
}

void reuseport_release_index()
{
  if (claim >= 0) flock(claim, LOCK_UN);
  reuseport_close_claim();
}

void reuseport_close_claim()
{
  if (claim >= 0) close(claim);
  claim = -1;
}
