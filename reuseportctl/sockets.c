// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* The sockets of this network namespace: see sockets.h. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include "group.h"
#include "sockets.h"

static int read_attribute(const struct nlattr *attr, void *arg)
{
	const __u32 *mem = mnl_attr_get_payload(attr);
	struct sock *s = arg;

	switch (mnl_attr_get_type(attr)) {
	case INET_DIAG_SKMEMINFO:
		if (mnl_attr_get_payload_len(attr) <= SK_MEMINFO_DROPS * sizeof(*mem))
			break;
		s->drops = mem[SK_MEMINFO_DROPS];
		if (!s->queue_max)
			s->queue_max = mem[SK_MEMINFO_RCVBUF];
		break;
	case INET_DIAG_SKV6ONLY:
		s->v6only = mnl_attr_get_u8(attr);
		break;
	}

	return MNL_CB_OK;
}

static int add_sock(const struct nlmsghdr *header, void *arg)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(header);
	struct socks *all = arg;
	union rp_addr addr = {};
	struct sock *s;

	if (all->n == all->room) {
		size_t room = all->room ? 2 * all->room : 256;
		void *list = realloc(all->list, room * sizeof(*all->list));

		if (!list) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		all->list = list;
		all->room = room;
	}

	s = &all->list[all->n++];
	memset(s, 0, sizeof(*s));
	s->cookie = (__u64)msg->id.idiag_cookie[1] << 32 | msg->id.idiag_cookie[0];
	s->inode = msg->idiag_inode;
	s->family = msg->idiag_family;
	if (s->family == AF_INET)
		rp_addr_v4(&addr, msg->id.idiag_src[0]);
	else
		memcpy(&addr, msg->id.idiag_src, sizeof(addr));
	memcpy(s->addr, addr.b, sizeof(s->addr));
	if (s->family == AF_INET)
		rp_addr_v4(&addr, msg->id.idiag_dst[0]);
	else
		memcpy(&addr, msg->id.idiag_dst, sizeof(addr));
	memcpy(s->peer, addr.b, sizeof(s->peer));
	s->port = ntohs(msg->id.idiag_sport);
	s->device = msg->id.idiag_if;
	s->connected = msg->idiag_state == TCP_ESTABLISHED;
	s->uid = msg->idiag_uid;
	s->queue = msg->idiag_rqueue;
	if (msg->idiag_state == TCP_LISTEN)
		s->queue_max = msg->idiag_wqueue;
	mnl_attr_parse(header, sizeof(*msg), read_attribute, s);

	return MNL_CB_OK;
}

/* states: a bit each */
static int dump(struct mnl_socket *netlink, int protocol, int family, __u32 states,
		struct socks *socks)
{
	static unsigned int seq;
	char buf[1 << 15];
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;
	ssize_t len;
	int ret;

	header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	header->nlmsg_seq = ++seq;
	req = mnl_nlmsg_put_extra_header(header, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = protocol;
	req->idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
	req->idiag_states = states;
	if (mnl_socket_sendto(netlink, header, header->nlmsg_len) < 0)
		return -errno;

	do {
		len = mnl_socket_recvfrom(netlink, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		ret = mnl_cb_run(buf, len, seq, mnl_socket_get_portid(netlink), add_sock, socks);
	} while (ret > MNL_CB_STOP);

	return ret < 0 ? -errno : 0;
}

static int read_in_state(int protocol, __u32 states, struct socks *socks)
{
	struct mnl_socket *netlink = mnl_socket_open(NETLINK_SOCK_DIAG);
	int err;

	socks->n = 0;
	if (!netlink)
		return -errno;
	err = mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) ? -errno : 0;
	if (!err)
		err = dump(netlink, protocol, AF_INET, states, socks);
	if (!err)
		err = dump(netlink, protocol, AF_INET6, states, socks);
	mnl_socket_close(netlink);

	return err;
}

int read_socks(int protocol, struct socks *socks)
{
	return read_in_state(protocol, protocol == IPPROTO_TCP ? 1 << TCP_LISTEN : ~0U, socks);
}

int read_sessions(struct socks *socks)
{
	return read_in_state(IPPROTO_TCP, 1 << TCP_ESTABLISHED, socks);
}

const struct sock *sock_by_cookie(const struct socks *socks, __u64 cookie)
{
	for (size_t i = 0; i < socks->n; i++)
		if (socks->list[i].cookie == cookie)
			return &socks->list[i];

	return NULL;
}

static int process_has(const char *pid, const char *socket)
{
	char path[PATH_MAX], link[64];
	struct dirent *fd;
	ssize_t len;
	int has = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !has && (fd = readdir(dir))) {
		len = readlinkat(dirfd(dir), fd->d_name, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		has = !strcmp(link, socket);
	}
	if (dir)
		closedir(dir);

	return has;
}

int pid_of_sock(const struct sock *sock, char *comm, size_t len)
{
	char socket[64], path[PATH_MAX];
	struct dirent *process;
	int pid = 0;
	FILE *file;
	DIR *dir;

	snprintf(socket, sizeof(socket), "socket:[%llu]", (unsigned long long)sock->inode);
	dir = opendir("/proc");
	while (dir && !pid && (process = readdir(dir)))
		if (isdigit((unsigned char)process->d_name[0]) &&
		    process_has(process->d_name, socket))
			pid = atoi(process->d_name);
	if (dir)
		closedir(dir);

	snprintf(comm, len, "?");
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = pid ? fopen(path, "re") : NULL;
	if (file && fgets(comm, len, file))
		comm[strcspn(comm, "\n")] = '\0';
	rp_make_printable(comm);
	if (file)
		fclose(file);

	return pid;
}
