// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* The sessions of the mock exporter: they say hello and stay; whichever ends is begun again. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "exporter.h"

#define RETRY_NS 500000000LL

/* RFC 7854: common header, then the one TLV that must be there twice: sysDescr (1), sysName (2) */
#define BMP_HELLO                                                                                  \
	{                                                                                          \
		3, 0, 0, 0, 22, 4, 0, 1, 0, 4, 'm', 'o', 'c', 'k', 0, 2, 0, 4, 'm', 'o', 'c', 'k'  \
	}
static const uint8_t bmp_hello[] = BMP_HELLO;
/* RFC 7854: who the neighbour is, to whom the two messages below belong */
#define BMP_NEIGHBOUR                                                                              \
	{                                                                                          \
		0, 0x20, [22] = 192, 0, 2, 1, [28] = 0xfd, 0xe8, 192, 0, 2, 1                      \
	}
#define BGP_MARKER                                                                                 \
	{                                                                                          \
		255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255     \
	}

struct bgp_open {
	uint8_t marker[16], length[2], type, version, as[2], hold[2], id[4], parameters;
} __attribute__((packed));

/* Session up, then a route to 198.51.100.0/24, by 192.0.2.1 and with the AS path `as` */
static struct {
	uint8_t hello[sizeof(bmp_hello)];
	uint8_t up[6], up_neighbour[42], local[16], ports[4];
	struct bgp_open sent, received;
	uint8_t route[6], route_neighbour[42];
	uint8_t marker[16], length[2], type, withdrawn[2], attributes[2];
	uint8_t origin[4], as_path[5], as[2], next_hop[7], prefix[4];
} __attribute__((packed)) bmp_route = {
	.hello = BMP_HELLO,
	.up = {3, 0, 0, 0, 6 + 42 + 20 + 2 * 29, 3},
	.up_neighbour = BMP_NEIGHBOUR,
	.local = {[12] = 192, 0, 2, 2},
	.ports = {0, 179, 0, 179},
	.sent = {BGP_MARKER, {0, 29}, 1, 4, {0xfd, 0xe8}, {0, 180}, {192, 0, 2, 2}, 0},
	.received = {BGP_MARKER, {0, 29}, 1, 4, {0xfd, 0xe8}, {0, 180}, {192, 0, 2, 1}, 0},
	.route = {3, 0, 0, 0, 6 + 42 + 45, 0},
	.route_neighbour = BMP_NEIGHBOUR,
	.marker = BGP_MARKER,
	.length = {0, 45},
	.type = 2,
	.attributes = {0, 18},
	.origin = {0x40, 1, 1, 0},
	.as_path = {0x40, 2, 4, 2, 1},
	.next_hop = {0x40, 3, 4, 192, 0, 2, 1},
	.prefix = {24, 198, 51, 100},
};
/* RFC 4271: OPEN of AS 65000, 180 s, an identifier, and KEEPALIVE */
static const uint8_t bgp_hello[] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
				    255, 255, 255, 255, 0,   29,  1,   4,   253, 232, 0,   180,
				    192, 0,   2,   1,	0,   255, 255, 255, 255, 255, 255, 255,
				    255, 255, 255, 255, 255, 255, 255, 255, 255, 0,   19,  4};
static const uint8_t telemetry_hello[] = {"{\"mock\": true}\n"};

static const struct {
	const void *hello;
	size_t size;
} sessions_say[PROTOCOLS] = {
	[BMP] = {bmp_hello, sizeof(bmp_hello)},
	[BMP_ROUTE] = {&bmp_route, sizeof(bmp_route)},
	[BGP] = {bgp_hello, sizeof(bgp_hello)},
	[TELEMETRY_TCP] = {telemetry_hello, sizeof(telemetry_hello) - 1},
};

int has_sessions(enum protocol p)
{
	return sessions_say[p].hello != NULL;
}

static int say_hello(int sock, int family, int session)
{
	size_t size = sessions_say[options.protocol].size;
	uint8_t hello[512];

	memcpy(bmp_route.as, &(uint16_t){htons(64512 + session % options.exporters)}, 2);
	memcpy(hello, sessions_say[options.protocol].hello, size);
	/* each has a BGP identifier of its own */
	if (options.protocol == BGP)
		memcpy(hello + 24, &(uint32_t){htonl((family << 24) + session)}, 4);

	return send(sock, hello, size, MSG_NOSIGNAL) > 0;
}

static struct session {
	int sock; /* -1: none */
	int up;
	long long retry; /* not to connect before that time */
} * sessions;
static int up, ended;

/* Whether the connection stands now, and has been told hello */
static int comes_up(struct session *s, int family, int i, int events)
{
	socklen_t len = sizeof(int);
	int error;

	return events & POLLOUT && !getsockopt(s->sock, SOL_SOCKET, SO_ERROR, &error, &len) &&
	       !error && say_hello(s->sock, family, i);
}

/* Whether the session goes on; what the collector says does not matter */
static int goes_on(const struct session *s, int events)
{
	char drop[512];

	return !(events & (POLLERR | POLLHUP)) && recv(s->sock, drop, sizeof(drop), 0) > 0;
}

static void handle_events(struct session *s, int family, int i, int events)
{
	if (!s->up && comes_up(s, family, i, events)) {
		s->up = 1;
		up++;
		return;
	}
	if (s->up && goes_on(s, events))
		return;

	close(s->sock);
	s->sock = -1;
	s->retry = now_ns() + RETRY_NS;
	up -= s->up;
	ended += s->up;
	s->up = 0;
}

static void report_all_up(int n)
{
	if (ended)
		printf("all again\n");
	else
		printf("%d sessions\n", n);
	fflush(stdout);
}

void run_sessions(int family, int port, int n)
{
	struct pollfd *polled = calloc(n, sizeof(*polled));
	int were_up = 0;

	sessions = calloc(n, sizeof(*sessions));
	if (!sessions || !polled)
		die("calloc");
	for (int i = 0; i < n; i++)
		sessions[i].sock = -1;

	while (!stop) {
		for (int i = 0; i < n; i++) {
			struct session *s = &sessions[i];

			if (s->sock < 0 && now_ns() >= s->retry)
				s->sock = open_socket(family, SOCK_STREAM | SOCK_NONBLOCK, port,
						      i % options.exporters);
			polled[i] = (struct pollfd){s->sock, s->up ? POLLIN : POLLOUT, 0};
		}
		poll(polled, n, 100);
		for (int i = 0; i < n; i++)
			if (polled[i].fd >= 0 && polled[i].revents)
				handle_events(&sessions[i], family, i, polled[i].revents);
		if (up == n && were_up < n)
			report_all_up(n);
		were_up = up;
	}
	printf("%d ended\n", ended);
	free(sessions);
	free(polled);
}
