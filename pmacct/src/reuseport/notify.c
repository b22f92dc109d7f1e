/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service manager's protocol, as sd_notify(3) describes it, without libsystemd. */
#include "pmacct.h"
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

void reuseport_notify_ready()
{
  const char *path = getenv("NOTIFY_SOCKET"), message[] = "READY=1";
  struct sockaddr_un manager;
  int sock = -1, len;

  if (!path || !*path) return;

  len = fill_address(&manager, path);
  if (len >= 0) sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0 || sendto(sock, message, strlen(message), 0, (struct sockaddr *) &manager, len) < 0)
    Log(LOG_WARNING, "WARN ( %s/core ): reuseport: cannot tell the service manager at %s that this instance reads (%s): the service "
                     "manager may take this for a failed start and stop it.\n",
        config.name, path, strerror(errno));
  if (sock >= 0) close(sock);
}
