// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A listener of a group without a daemon behind it: see listener_socket.h. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "listener_socket.h"

void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

void init_listener_socket(struct listener_socket *l, int protocol)
{
	memset(l, 0, sizeof(*l));
	rp_init(&l->member);
	l->protocol = protocol;
	l->sock = -1;
}

int open_listener_socket(struct listener_socket *l, const struct rp_config *config,
			 const char *name, int protocol)
{
	init_listener_socket(l, protocol);
	l->in_group = 1;

	return rp_open(&l->member, config, name, protocol);
}

int bind_listener_socket(struct listener_socket *l, const struct sockaddr *at, socklen_t len)
{
	int tcp = l->protocol == IPPROTO_TCP, yes = 1, err;

	l->sock = socket(at->sa_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (l->sock < 0 || (l->prepare && l->prepare(l->sock)))
		return rp_fail(&l->member, -errno, "no socket (%s)", strerror(errno));
	err = l->in_group ? rp_check_address(&l->member, l->sock, at, len) : 0;
	if (err)
		return err;
	if (!setsockopt(l->sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) &&
	    !bind(l->sock, at, len) && (!tcp || !listen(l->sock, SOMAXCONN)))
		return 0;

	return rp_fail(&l->member, -errno,
		       "cannot listen at that address and port, %s (%s): does another process use "
		       "it?",
		       tcp ? "TCP" : "UDP", strerror(errno));
}

int join_listener_socket(struct listener_socket *l)
{
	return l->in_group ? rp_join(&l->member, l->sock, RP_READY) : 0;
}

int leave_listener_socket(struct listener_socket *l)
{
	int ret;

	if (!l->in_group)
		return 0;
	rp_lock(&l->member, 2);
	ret = rp_leave(&l->member);
	rp_unlock(&l->member);

	return ret;
}
