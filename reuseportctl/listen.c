// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * listen: a group on any port. It answers each datagram, and each connection, with the line "bucket
 * N of pid P", which `connect` reads.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "commands.h"
#include "listener_socket.h"
#include "text.h"

/* A bucket of one transport */
struct place {
	struct rp_config config;
	struct listener_socket listener;
};

static volatile sig_atomic_t stopped;

static void stop(int signum)
{
	(void)signum;
	stopped = 1;
}

static int take_size(struct rp_member *m, void *arg)
{
	__u32 *size = arg;

	*size = rp_get_size(m);

	return 1;
}

/* The number of buckets of a live group; 0: it is not live */
static __u32 live_size(const struct rp_config *config)
{
	char who[160];
	struct rp_member m;
	__u32 size = 0;

	rp_init(&m);
	m.config = config;
	if (!access(config->pin_path, F_OK) && rp_find_live(&m, 0, who, sizeof(who)) > 0)
		rp_each_listener(&m, config, take_size, &size);

	return size;
}

static int choose_buckets(struct options *o)
{
	if (!o->plain && !o->config.prog)
		return report_error(
			NOT_UNDERSTOOD,
			"listen needs the selector, --prog /path/to/reuseport.o, or --plain");
	if (!o->config.count && !o->plain)
		o->config.count = live_size(&o->config);
	if (!o->config.count)
		o->config.count = 4;
	if (o->config.index >= o->config.count)
		return report_error(NOT_UNDERSTOOD, "--index %u is not below the %u buckets",
				    o->config.index, o->config.count);

	return DONE;
}

static int join(struct place *p, const struct options *o, __u32 bucket, int protocol,
		const struct sockaddr_storage *at, socklen_t len)
{
	struct listener_socket *l = &p->listener;
	int err = 0;

	p->config = o->config;
	p->config.index = bucket;
	if (o->plain)
		init_listener_socket(l, protocol);
	else
		err = open_listener_socket(l, &p->config,
					   protocol == IPPROTO_TCP ? "listen_tcp" : "listen_udp",
					   protocol);
	if (!err)
		err = bind_listener_socket(l, (const void *)at, len);
	if (!err)
		err = join_listener_socket(l);

	return err ? report_error(FAILED, "%s", l->member.error) : DONE;
}

/* n: takes how many places were joined */
static int join_all(struct place *places, unsigned int *n, const struct options *o,
		    const struct sockaddr_storage *at, socklen_t len)
{
	static const int protocols[] = {IPPROTO_UDP, IPPROTO_TCP};

	for (__u32 bucket = 0; bucket < o->config.count; bucket++) {
		if (o->has_index && bucket != o->config.index)
			continue;
		for (int p = 0; p < 2; p++) {
			if (o->protocol && protocols[p] != o->protocol)
				continue;
			if (join(&places[*n], o, bucket, protocols[p], at, len))
				return FAILED;
			++*n;
		}
	}

	return DONE;
}

/* Returns 0 if nothing was there to be received */
static int answer(const struct place *p, struct sockaddr_storage *from)
{
	socklen_t len = sizeof(*from);
	int sock = p->listener.sock, connection, failed;
	char line[64], ignored[1];
	int size = snprintf(line, sizeof(line), "bucket %u of pid %d\n", p->config.index, getpid());

	if (p->listener.protocol == IPPROTO_TCP) {
		connection = accept(sock, (void *)from, &len);
		if (connection < 0)
			return 0;
		failed = write(connection, line, size) < 0;
		if (failed)
			perror("reuseportctl: the peer is gone");
		close(connection);
		return 1;
	}
	if (recvfrom(sock, ignored, sizeof(ignored), MSG_DONTWAIT, (void *)from, &len) < 0)
		return 0;
	if (sendto(sock, line, size, 0, (void *)from, len) < 0)
		perror("reuseportctl: the peer is gone");

	return 1;
}

static void serve(const struct place *p)
{
	struct sockaddr_storage from = {};
	union rp_addr addr;
	char text[64];

	if (!answer(p, &from))
		return;
	rp_addr_from_sockaddr(&addr, (const void *)&from);
	rp_format_addr(&addr, text, sizeof(text));
	/* sin_port and sin6_port are at the same offset */
	printf("%s  %s port %u  bucket %u\n", protocol_text(p->listener.protocol), text,
	       ntohs(((const struct sockaddr_in *)&from)->sin_port), p->config.index);
}

static void serve_until_stopped(const struct place *places, unsigned int n)
{
	struct pollfd polls[2 * RP_MAX_BUCKETS];

	for (unsigned int i = 0; i < n; i++)
		polls[i] = (struct pollfd){.fd = places[i].listener.sock, .events = POLLIN};
	while (!stopped) {
		if (poll(polls, n, -1) < 0)
			continue;
		for (unsigned int i = 0; i < n; i++)
			if (polls[i].revents & POLLIN)
				serve(&places[i]);
		fflush(stdout);
	}
}

int command_listen(struct options *o, char **arguments)
{
	static struct place places[2 * RP_MAX_BUCKETS];
	struct sigaction action = {.sa_handler = stop};
	const char *address = arguments[1] ? arguments[0] : NULL;
	const char *port = arguments[1] ? arguments[1] : arguments[0];
	struct sockaddr_storage at = {};
	unsigned int n = 0;
	socklen_t len;

	if (parse_socket_address(address, port, &at, &len) || choose_buckets(o))
		return NOT_UNDERSTOOD;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	if (join_all(places, &n, o, &at, len))
		return FAILED;
	printf("listening at port %s, %s; Ctrl-C ends it\n", port,
	       o->plain ? "without a selector" : o->config.pin_path);
	fflush(stdout);

	serve_until_stopped(places, n);
	for (unsigned int i = 0; i < n; i++)
		if (leave_listener_socket(&places[i].listener))
			report_error(FAILED, "%s", places[i].listener.member.error);

	return DONE;
}
