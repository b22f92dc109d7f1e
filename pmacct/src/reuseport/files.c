/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Files of pmacct: those that the instance which replaces this one may have made anew, and that of templates. See reuseport.h, lifecycle.h. */
#include "pmacct.h"
#include "reuseport/reuseport.h"

/* The socket file that this process made; all zeroes: none. */
static struct stat made;

void reuseport_made(const char *path)
{
  stat(path, &made);
}

void reuseport_make_templates_file()
{
  FILE *file;

  if (config.acct_type != ACCT_NF || !config.nfacctd_templates_file) return;

  file = open_output_file(config.nfacctd_templates_file, "a", FALSE);
  if (file) close_output_file(file);
}

/* An inode number alone does not tell: the file system uses it again. */
static int is_made(const struct stat *st)
{
  return st->st_ino == made.st_ino && st->st_ctim.tv_sec == made.st_ctim.tv_sec && st->st_ctim.tv_nsec == made.st_ctim.tv_nsec;
}

static int has_own_pid(const char *path)
{
  FILE *file = fopen(path, "r");
  long pid = 0;

  if (!file) return FALSE;
  if (fscanf(file, "%ld", &pid) != 1) pid = 0;
  fclose(file);

  return pid == getpid();
}

int reuseport_may_remove(const char *path)
{
  struct stat st;

  if (!reuseport_enabled()) return TRUE;
  if (stat(path, &st)) return FALSE;

  /* a regular file is a pidfile */
  return S_ISREG(st.st_mode) ? has_own_pid(path) : is_made(&st);
}
