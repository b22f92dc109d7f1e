/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The service manager's protocol, as sd_notify(3) and sd_pid_notify_with_fds(3) describe it, without libsystemd. */
#include "pmacct.h"
#include <pthread.h>
#include <sys/un.h>
#include "reuseport/lifecycle.h"

/* Returns: the length of the address, or -1 with errno set if the path is too long for one. */
static int fill_address(struct sockaddr_un *address, const char *path)
{
  size_t len = strlen(path);

  if (len >= sizeof(address->sun_path)) {
    errno = ENAMETOOLONG;
    return -1;
  }

  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, len);
  /* an abstract name */
  if (path[0] == '@') address->sun_path[0] = '\0';

  return offsetof(struct sockaddr_un, sun_path) + len;
}

/* Adds a copy of fd to the message. control: where it is kept. */
static void attach_fd(struct msghdr *header, char *control, int fd)
{
  struct cmsghdr *rights;

  header->msg_control = control;
  header->msg_controllen = CMSG_SPACE(sizeof(fd));
  rights = CMSG_FIRSTHDR(header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(fd));
  memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
}

const char *reuseport_service_manager()
{
  const char *path = getenv("NOTIFY_SOCKET");

  return path && *path ? path : NULL;
}

static int notify_socket = -1;

/* Once, at the start: later there may be too many sessions to open another file, and the watchdog is to hear of an instance nevertheless. */
static void open_notify_socket()
{
  notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

int reuseport_notify(const char *message, int fd)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  char control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned(__alignof__(struct cmsghdr)))) = {0};
  struct iovec text = {(char *) message, strlen(message)};
  struct sockaddr_un manager;
  struct msghdr header = {.msg_name = &manager, .msg_iov = &text, .msg_iovlen = 1};
  int len = fill_address(&manager, reuseport_service_manager());

  if (len < 0) return -1;
  pthread_once(&once, open_notify_socket);

  header.msg_namelen = len;
  if (fd >= 0) attach_fd(&header, control, fd);

  return sendmsg(notify_socket, &header, 0) < 0 ? -1 : 0;
}

void reuseport_notify_ready()
{
  if (!reuseport_service_manager() || !reuseport_notify("READY=1", -1)) return;

  Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot tell the service manager at %s that this instance reads (%s): the service "
                   "manager may take this for a failed start and stop it.\n",
      config.name, reuseport_service_manager(), strerror(errno));
}
