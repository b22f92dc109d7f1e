/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A listener of a group without a daemon behind it: for `reuseportctl listen`, and for
 * tests. The order is that of a daemon: open the group, bind, join, leave.
 */
#ifndef LISTENER_SOCKET_H
#define LISTENER_SOCKET_H

#include <sys/socket.h>
#include "group.h"

struct listener_socket {
	struct rp_member member;  /* its error is that of the function that failed last */
	int protocol;		  /* IPPROTO_UDP or IPPROTO_TCP */
	int in_group;		  /* 0: SO_REUSEPORT alone, no selector */
	int sock;		  /* -1: none yet */
	int (*prepare)(int sock); /* sets options before the address is checked; NULL: none */
};

/* Raises the limit of open files as far as the process may: each bucket takes several */
void raise_file_limit(void);

/* For a socket in no group. Before bind_listener_socket(). */
void init_listener_socket(struct listener_socket *l, int protocol);

/* For a socket in a group, which it opens and locks. config and name must outlive it. Returns 0 or
 * a negative errno. */
int open_listener_socket(struct listener_socket *l, const struct rp_config *config,
			 const char *name, int protocol);

/* Makes the socket, and binds it if the address is the group's own; TCP: listens. Returns 0 or a
 * negative errno. */
int bind_listener_socket(struct listener_socket *l, const struct sockaddr *at, socklen_t len);

/* Puts the socket into its bucket, and unlocks; takes it out again. Return 0 or a negative errno.
 */
int join_listener_socket(struct listener_socket *l);
int leave_listener_socket(struct listener_socket *l);

#endif
