/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The start and the end of a struct rp_member: all other files work on one, and leave their error line in it. Also the group's
 * lock, which a member holds, and libbpf's messages, from which some error lines are made, and the time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "group_internal.h"

void rp_init(struct rp_member *m)
{
  memset(m, 0, sizeof(*m));
  m->lock = m->prog = -1;
  for (int id = 0; id < RP_MAPS; id++) m->fds[id] = -1;
}

void rp_close(struct rp_member *m)
{
  rp_unlock(m);
  for (int id = 0; id < RP_MAPS; id++) {
    if (m->opened && m->fds[id] >= 0) close(m->fds[id]);
    m->map[id] = NULL;
    m->fds[id] = -1;
  }
  if (m->opened && m->prog >= 0) close(m->prog);
  m->prog = -1;
  /* This closes the fds that the object owns. The pins and the attached group keep alive what has to stay. */
  if (m->object) bpf_object__close(m->object);
  m->object = NULL;
  m->opened = m->rehearses = 0;
  m->missing[0] = '\0';
  m->cookie = 0;
}

__u64 rp_boot_seconds(void)
{
  struct timespec t;

  clock_gettime(CLOCK_BOOTTIME, &t);

  return t.tv_sec;
}

/* ---- error line, libbpf's messages ---- */

int rp_fail(struct rp_member *m, int err, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  vsnprintf(m->error, sizeof(m->error), format, args);
  va_end(args);
  /* names of files may have some */
  for (char *c = m->error; *c; c++)
    if ((unsigned char) *c < ' ' || *c == '\x7f') *c = '?';

  return err;
}

static void (*log_line)(const char *line);
static __thread char first_warning[200];

static int take_libbpf_message(enum libbpf_print_level level, const char *format, va_list args)
{
  char line[512], *end;

  vsnprintf(line, sizeof(line), format, args);
  end = strchr(line, '\n');
  if (end) *end = '\0';
  if (level == LIBBPF_WARN && !first_warning[0]) snprintf(first_warning, sizeof(first_warning), "%.199s", line);
  if (log_line && line[0]) log_line(line);

  return 0;
}

void rp_set_log(void (*log)(const char *line))
{
  log_line = log;
}

void rp_watch_libbpf(void)
{
  libbpf_set_print(take_libbpf_message);
  first_warning[0] = '\0';
}

const char *rp_libbpf_warning(void)
{
  return first_warning;
}

/* ---- lock ---- */

/* flock(), but gives up with EWOULDBLOCK after that many seconds. Returns: 0, or -1 with errno set. */
static int lock_within(int fd, int seconds)
{
  const struct timespec nap = {0, 20 * 1000 * 1000};

  for (int naps = 0; flock(fd, LOCK_EX | LOCK_NB); naps++) {
    if (errno != EWOULDBLOCK || naps >= seconds * 50) return -1;
    nanosleep(&nap, NULL);
  }

  return 0;
}

int rp_lock(struct rp_member *m, int seconds)
{
  const char *path = m->config->pin_path;
  struct stat locked, named;

  m->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (m->lock < 0)
    return rp_fail(m, -errno, "cannot open the group's directory %s (%s): all instances of a group run as one user, who owns it", path, strerror(errno));

  if (lock_within(m->lock, seconds)) {
    if (errno == EWOULDBLOCK)
      return rp_fail(m, -EBUSY, "another process holds the lock on %s for more than %d s: see 'fuser -v %s'", path, seconds, path);
    return rp_fail(m, -errno, "cannot lock the group's directory %s (%s)", path, strerror(errno));
  }

  /* If the directory was removed while we waited, we hold a lock that no other instance looks at. */
  if (fstat(m->lock, &locked) || stat(path, &named) || locked.st_ino != named.st_ino)
    return rp_fail(m, -EBUSY, "%s was removed while this instance waited for its lock: start it again", path);

  return 0;
}

/* Unlock explicitly: a forked child shares the open file and would keep the lock. */
void rp_unlock(struct rp_member *m)
{
  if (m->lock < 0) return;
  flock(m->lock, LOCK_UN);
  close(m->lock);
  m->lock = -1;
}
