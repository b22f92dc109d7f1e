// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A member of a group without a daemon around it: what group.c does, by hand and for the tests.
 *
 * usage: member OBJECT PIN-PATH COUNT INDEX [KEY=VALUE...]
 *   nonce=N failover=true|false takeover=true   as in the daemons' config
 *   protocol=tcp  port=N (2100)
 *   rehearse=true  opens the group by rp_rehearse(), says "rehearsed", and exits
 *   accept=true   takes all connections, and keeps them: a stand-in for a daemon with many sessions
 *   hold=SECONDS  between opening, which locks, and binding
 *   wait=SECONDS  between binding, when it unlocks, and joining; says "bound" in between
 *
 * Says "joined ..." and stays until it is killed; on SIGTERM it leaves, says so, and keeps its
 * socket. Or prints the library's error, and exits with 1.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "group.h"

static struct rp_config config = {.failover = RP_UNSET};
static int protocol = IPPROTO_UDP, port = 2100, hold, wait, accepting, rehearses;

static int parse(const char *word)
{
	const char *value = strchr(word, '=');

	if (!value)
		return 0;
	value++;
	if (!strncmp(word, "nonce=", 6))
		config.nonce = strtoul(value, NULL, 10);
	else if (!strncmp(word, "failover=", 9))
		config.failover = !strcmp(value, "true") ? RP_TRUE : RP_FALSE;
	else if (!strncmp(word, "takeover=", 9))
		config.takeover = !strcmp(value, "true");
	else if (!strcmp(word, "rehearse=true"))
		rehearses = 1;
	else if (!strcmp(word, "accept=true"))
		accepting = 1;
	else if (!strncmp(word, "protocol=", 9))
		protocol = !strcmp(value, "tcp") ? IPPROTO_TCP : IPPROTO_UDP;
	else if (!strncmp(word, "port=", 5))
		port = atoi(value);
	else if (!strncmp(word, "hold=", 5))
		hold = atoi(value);
	else if (!strncmp(word, "wait=", 5))
		wait = atoi(value);
	else
		return 0;

	return 1;
}

/* Until SIGTERM */
static void serve(int sock)
{
	const struct timespec tick = {0, 5000000};
	sigset_t stop;
	int signum;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (!accepting) {
		sigwait(&stop, &signum);
		return;
	}
	do
		while (accept(sock, NULL, NULL) >= 0)
			;
	while (sigtimedwait(&stop, NULL, &tick) != SIGTERM);
}

static int die(const char *why)
{
	printf("%s\n", why);

	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int sock, yes = 1;
	struct rp_member m;
	struct rp_bucket slot;
	struct rlimit files;
	const char *listener;
	int held;

	if (argc < 5)
		return die("usage: member OBJECT PIN-PATH COUNT INDEX [KEY=VALUE...]");
	config.prog = argv[1];
	config.pin_path = argv[2];
	config.count = atoi(argv[3]);
	config.index = atoi(argv[4]);
	for (int i = 5; i < argc; i++)
		if (!parse(argv[i]))
			return die("member: unknown word");
	listener = protocol == IPPROTO_TCP ? "bmp" : "nfacctd";
	setvbuf(stdout, NULL, _IOLBF, 0);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);

	rp_init(&m);
	if (rehearses) {
		if (rp_rehearse(&m, &config, listener, protocol))
			return die(m.error);
		printf("rehearsed\n");
		return 0;
	}
	if (rp_open(&m, &config, listener, protocol))
		return die(m.error);
	sleep(hold);
	sock = socket(AF_INET6,
		      (protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) |
			      (accepting ? SOCK_NONBLOCK : 0),
		      0);
	any.sin6_port = htons(port);
	if (sock >= 0 && rp_check_address(&m, sock, (void *)&any, sizeof(any)))
		return die(m.error);
	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) ||
	    bind(sock, (void *)&any, sizeof(any)) ||
	    (protocol == IPPROTO_TCP && listen(sock, accepting ? SOMAXCONN : 8)))
		return die("member: no socket");
	if (wait) {
		rp_unlock(&m);
		printf("bound, %s\n", rp_has_ready_peer(&m) ? "others serve" : "nobody serves");
		sleep(wait);
	}
	if (rp_join(&m, sock, RP_READY))
		return die(m.error);

	printf("joined index %u of %u nonce %u failover %s%s%s live", config.index, config.count,
	       m.nonce, rp_fails_over(&m) ? "on" : "off", m.missing[0] ? " lacks " : "", m.missing);
	for (__u32 i = 0; i < config.count; i++)
		if (!rp_read_bucket(&m, i, &slot) && slot.cookie)
			printf(" %u:%s:%u", i, slot.comm, slot.pid);
	printf("\n");

	for (;;) {
		serve(sock);
		held = rp_owns_bucket(&m, &slot);
		if (rp_leave(&m))
			return die(m.error);
		printf("left, %s\n",
		       held ? "its bucket is empty" : "its bucket was in other hands");
	}
}
