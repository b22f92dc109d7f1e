/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Exporters for the tests and the benchmark in C: datagrams and connections from any address to a
 * port on loopback. */
#ifndef SENDERS_H
#define SENDERS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tap.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* Fills in a socket address of IPv4, if four, or IPv6; addr NULL: loopback. Returns its length. */
static inline socklen_t fill_sockaddr(struct sockaddr_in6 *s, const union rp_addr *addr, int four,
				      int port)
{
	struct sockaddr_in *s4 = (void *)s;

	memset(s, 0, sizeof(*s));
	if (four) {
		s4->sin_family = AF_INET;
		s4->sin_port = htons(port);
		s4->sin_addr.s_addr = addr ? addr->w[3] : htonl(INADDR_LOOPBACK);
		return sizeof(*s4);
	}
	s->sin6_family = AF_INET6;
	s->sin6_port = htons(port);
	s->sin6_addr = in6addr_loopback;
	if (addr)
		memcpy(&s->sin6_addr, addr->b, sizeof(addr->b));

	return sizeof(*s);
}

/* Returns a socket that can send from any address of the family. type: SOCK_* */
static inline int new_sender(int four, int type)
{
	int sender = socket(four ? AF_INET : AF_INET6, type, 0), yes = 1;

	must(sender >= 0);
	must(four || !setsockopt(sender, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)));

	return sender;
}

/* One datagram: what its message points to */
struct datagram {
	struct sockaddr_in6 to;
	char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct iovec payload;
};

/* Returns a message for sendmsg() on a socket of new_sender(), valid as long as d and the payload.
 * It goes from that address to the port on loopback. */
static inline struct msghdr address_datagram(struct datagram *d, const union rp_addr *from,
					     int port, const void *payload, size_t size)
{
	struct msghdr m = {.msg_name = &d->to,
			   .msg_iov = &d->payload,
			   .msg_iovlen = 1,
			   .msg_control = d->control};
	struct cmsghdr *c = (void *)d->control;
	int four = rp_addr_is_v4(from);

	d->payload = (struct iovec){(void *)payload, size};
	m.msg_namelen = fill_sockaddr(&d->to, NULL, four, port);
	memset(d->control, 0, sizeof(d->control));
	if (four) {
		struct in_pktinfo info = {.ipi_spec_dst.s_addr = from->w[3]};

		*c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IP, IP_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		m.msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = {};

		memcpy(&info.ipi6_addr, from->b, sizeof(from->b));
		*c = (struct cmsghdr){CMSG_LEN(sizeof(info)), IPPROTO_IPV6, IPV6_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		m.msg_controllen = CMSG_SPACE(sizeof(info));
	}

	return m;
}

/* Connects from that address to the port on loopback. Returns the socket, or -1 with errno if the
 * connection is refused. */
static inline int connect_from(const union rp_addr *from, int port)
{
	int four = rp_addr_is_v4(from), sock = new_sender(four, SOCK_STREAM);
	struct sockaddr_in6 addr;
	socklen_t len = fill_sockaddr(&addr, from, four, 0);

	must(!bind(sock, (void *)&addr, len));
	len = fill_sockaddr(&addr, NULL, four, port);
	if (!connect(sock, (void *)&addr, len))
		return sock;
	close(sock);

	return -1;
}

#endif
