/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The service manager's file descriptor store: see fd_store.h. */
#include "pmacct.h"
#include <fcntl.h>
#include <poll.h>
#include "reuseport/clock.h"
#include "reuseport/config.h"
#include "reuseport/fd_store.h"
#include "reuseport/lifecycle.h"
#include "reuseport/listeners.h"

#define FIRST_FD    3  /* SD_LISTEN_FDS_START of sd_listen_fds(3) */
#define MAX_SOCKETS 64 /* the units keep 16 */
#define NAME_LEN    64
#define QUIET_MS    100 /* nothing is on its way into a socket that has been out of its bucket, and hidden, for so long */

/* By the thread that reads the listener, since reuseport_inherit_sockets(). */
struct inherited {
  enum reuseport_listener id;
  int sock; /* -1: closed */
  __u64 cookie;
  long long hidden_ms; /* when it was hidden; 0: not yet */
  unsigned long long datagrams;
};

static struct inherited inherited[MAX_SOCKETS];
static int count;

/* What a socket is called in the store: the listener and the cookie, since a takeover has two sockets of each listener there. */
static void write_name(char name[NAME_LEN], enum reuseport_listener id, __u64 cookie)
{
  snprintf(name, NAME_LEN, "%s-%llu", reuseport_listener_names[id].name, (unsigned long long) cookie);
}

static int is_kept(enum reuseport_listener id)
{
  return reuseport_is_udp(id) && id != REUSEPORT_DTLS;
}

static void remove_from_store(enum reuseport_listener id, __u64 cookie)
{
  char name[NAME_LEN], message[NAME_LEN + 32];

  if (!reuseport_service_manager()) return;
  write_name(name, id, cookie);
  snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=%s", name);
  /* if that fails, the next start finds it empty */
  reuseport_notify(message, -1);
}

/* ---- inherited ---- */

/* name: in the store. Leaves a socket alone that no instance has put there, such as one of a socket unit. */
static void inherit(int sock, const char *name)
{
  __u64 cookie = rp_read_cookie(sock);
  char wanted[NAME_LEN];
  int id;

  for (id = 0; cookie && id < REUSEPORT_LISTENERS && count < MAX_SOCKETS; id++) {
    write_name(wanted, id, cookie);
    if (!is_kept(id) || strcmp(name, wanted)) continue;
    fcntl(sock, F_SETFD, FD_CLOEXEC);
    inherited[count++] = (struct inherited){.id = id, .sock = sock, .cookie = cookie};
  }
}

void reuseport_inherit_sockets()
{
  const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
  char *list, *name, *rest;
  int fd, fds;

  if (!pid || !number || !names || atol(pid) != getpid()) return;

  fds = atoi(number);
  list = rest = strdup(names);
  for (fd = FIRST_FD; list && fd < FIRST_FD + fds && (name = strsep(&rest, ":")); fd++) inherit(fd, name);
  free(list);
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
}

int reuseport_is_inherited(__u64 cookie)
{
  int i;

  for (i = 0; i < count; i++)
    if (inherited[i].cookie == cookie) return TRUE;

  return FALSE;
}

static struct inherited *find(enum reuseport_listener id)
{
  int i;

  for (i = 0; i < count; i++)
    if (inherited[i].id == id && inherited[i].sock >= 0) return &inherited[i];

  return NULL;
}

int reuseport_inherited_socket(enum reuseport_listener id)
{
  struct inherited *it = find(id);

  if (!it || listeners[id].phase < LISTENER_JOINED) return -1;

  if (!it->hidden_ms) {
    reuseport_hide(id, it->sock);
    it->hidden_ms = reuseport_now_ms();
  }

  return it->sock;
}

void reuseport_count_inherited(enum reuseport_listener id, int datagrams)
{
  find(id)->datagrams += datagrams;
}

int reuseport_close_inherited(enum reuseport_listener id)
{
  struct inherited *it = find(id);
  int sock = it->sock;

  if (reuseport_now_ms() - it->hidden_ms < QUIET_MS) return FALSE;

  it->sock = -1;
  close(sock);
  remove_from_store(id, it->cookie);
  Log(LOG_INFO, "INFO ( %s/core ): reuseport: listener %s has read the %llu datagrams that an instance before it had queued when it was killed.\n",
      config.name, reuseport_listener_names[id].name, it->datagrams);

  return TRUE;
}

void reuseport_close_needless_inherited()
{
  int i;

  for (i = 0; i < count; i++) {
    if (inherited[i].sock < 0 || reuseport_listens(inherited[i].id)) continue;
    close(inherited[i].sock);
    inherited[i].sock = -1;
    remove_from_store(inherited[i].id, inherited[i].cookie);
  }
}

int reuseport_any_inherited_queued()
{
  struct pollfd queue[MAX_SOCKETS];
  int i;

  /* poll() passes over those that are closed, whose fd is -1 */
  for (i = 0; i < count; i++) queue[i] = (struct pollfd){.fd = inherited[i].sock, .events = POLLIN};

  return count && poll(queue, count, 0) > 0;
}

void reuseport_close_inherited_in_child()
{
  int i;

  for (i = 0; i < count; i++) {
    if (inherited[i].sock >= 0) close(inherited[i].sock);
    inherited[i].sock = -1;
  }
}

/* ---- stored ---- */

void reuseport_store_socket(enum reuseport_listener id)
{
  char name[NAME_LEN], message[NAME_LEN + 32];

  if (!reuseport_service_manager() || !is_kept(id) || !listeners[id].member.cookie) return;

  write_name(name, id, listeners[id].member.cookie);
  /* FDPOLL=0: else each datagram would cost a look at who polls the socket */
  snprintf(message, sizeof(message), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
  if (reuseport_notify(message, listeners[id].sock))
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot give the socket of listener %s to the service manager at %s (%s): what is queued in it "
                     "is lost if this instance is killed.\n",
        config.name, reuseport_listener_names[id].name, reuseport_service_manager(), strerror(errno));
}

void reuseport_empty_store()
{
  int id, i;

  for (id = 0; id < REUSEPORT_LISTENERS; id++)
    if (is_kept(id) && listeners[id].member.cookie) remove_from_store(id, listeners[id].member.cookie);
  for (i = 0; i < count; i++)
    if (inherited[i].sock >= 0) remove_from_store(inherited[i].id, inherited[i].cookie);
}
