/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* The sockets of this network namespace, as the kernel lists them by sock_diag for ss(8) too. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <linux/types.h>
#include <stddef.h>

struct sock {
	__u64 cookie;
	__u64 inode;
	int family;
	__u8 addr[16]; /* network order, IPv4 as v4-mapped */
	__u8 peer[16]; /* the same: to whom it is connected */
	__u32 port;
	__u32 device; /* index of the interface that it is bound to; 0: none */
	int v6only;
	int connected;
	__u32 uid;
	__u32 queue, queue_max; /* UDP: bytes of the receive buffer; TCP: of the accept queue,
				   connections */
	__u32 drops;		/* since the socket was opened */
};

struct socks {
	struct sock *list;
	size_t n, room;
};

/* Reads all UDP sockets, or all TCP sockets that listen. Returns 0 or a negative errno. */
int read_socks(int protocol, struct socks *socks);

/* Reads all TCP sockets that are connected. Returns 0 or a negative errno. */
int read_sessions(struct socks *socks);

/* Returns NULL if there is none */
const struct sock *sock_by_cookie(const struct socks *socks, __u64 cookie);

/* Finds a process that has the socket, and its name. Returns its pid; 0: not found. Processes of
 * other users are visible to root only. */
int pid_of_sock(const struct sock *sock, char *comm, size_t len);

#endif
