/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel says about the sockets of this network namespace: by sock_diag, as ss(8) does. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <linux/types.h>
#include <stddef.h>

struct sock {
	__u64 cookie;
	__u64 inode;
	int family;
	__u8 addr[16]; /* network order, IPv4 as v4-mapped */
	__u32 port;
	__u32 device; /* that it is bound to; 0: any */
	int v6only;
	int connected;
	__u32 uid;
	__u32 queue, queue_max; /* bytes of its receive buffer (UDP), or connections to be accepted
				   (TCP) */
	__u32 drops;
};

struct socks {
	struct sock *list;
	size_t n, room;
};

/* All UDP sockets, or all TCP ones that listen. 0 or a negative errno. */
int read_socks(int protocol, struct socks *socks);

const struct sock *sock_by_cookie(const struct socks *socks, __u64 cookie);

/* A process that has it, and its name; 0: not found, which takes root for other users' processes */
int pid_of_sock(const struct sock *sock, char *comm, size_t len);

#endif
