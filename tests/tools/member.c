// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * A member of a group without a daemon behind it, for the tests: what the library does, by hand.
 *
 * usage: member OBJECT PIN-PATH COUNT INDEX [KEY=VALUE...]
 *   nonce=N failover=true|false takeover=true   as in the daemons' config
 *   protocol=tcp  port=N (2100)  device=NAME  v6only=true
 *   unchecked=true  binds without a look at where the others are, as one of another version may
 *   rehearse=true  checks the config by rp_rehearse(), prints "rehearsed", and exits
 *   accept=true   accepts all connections and keeps them, as a daemon with many sessions does
 *   hold=SECONDS  waits after it has opened and locked the group, before it binds
 *   wait=SECONDS  unlocks the group after it has bound, prints "bound", and waits before it joins
 *
 * Prints "joined ..." and runs until it is killed. On SIGTERM it leaves, prints "left ..." and
 * keeps its socket. If the library refuses, it prints the error and exits with 1.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "listener_socket.h"

static struct rp_config config = {.failover = RP_UNSET};
static int protocol = IPPROTO_UDP, port = 2100, hold, wait, accepting, rehearses, v6only, unchecked;
static const char *device;

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
	else if (!strncmp(word, "device=", 7))
		device = value;
	else if (!strcmp(word, "v6only=true"))
		v6only = 1;
	else if (!strcmp(word, "unchecked=true"))
		unchecked = 1;
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

static void parse_arguments(int argc, char **argv)
{
	if (argc < 5)
		exit(die("usage: member OBJECT PIN-PATH COUNT INDEX [KEY=VALUE...]"));
	config.prog = argv[1];
	config.pin_path = argv[2];
	config.count = atoi(argv[3]);
	config.index = atoi(argv[4]);
	for (int i = 5; i < argc; i++)
		if (!parse(argv[i]))
			exit(die("member: unknown word"));
}

static const char *listener_name(void)
{
	return protocol == IPPROTO_TCP ? "bmp" : "nfacctd";
}

static int rehearse(void)
{
	struct rp_member m;

	rp_init(&m);
	if (rp_rehearse(&m, &config, listener_name(), protocol))
		return die(m.error);
	printf("rehearsed\n");

	return 0;
}

static int set_options(int sock)
{
	if (device && setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device)))
		return -1;

	return setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
}

static void join(struct listener_socket *l)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct rp_member *m = &l->member;

	if (open_listener_socket(l, &config, listener_name(), protocol))
		exit(die(m->error));
	sleep(hold);
	l->prepare = set_options;
	l->in_group = !unchecked;
	if (bind_listener_socket(l, (void *)&any, sizeof(any)))
		exit(die(m->error));
	l->in_group = 1;
	if (accepting)
		fcntl(l->sock, F_SETFL, O_NONBLOCK);
	if (wait) {
		rp_unlock(m);
		printf("bound, %s\n",
		       rp_has_ready_peer(m) ? "others serve" : "no other instance serves");
		sleep(wait);
	}
	if (join_listener_socket(l))
		exit(die(m->error));
}

static void print_group(const struct rp_member *m)
{
	struct rp_bucket bucket;

	printf("joined index %u of %u nonce %u failover %s%s%s live", config.index, config.count,
	       m->nonce, rp_fails_over(m) ? "on" : "off", m->missing[0] ? " lacks " : "",
	       m->missing);
	for (__u32 i = 0; i < config.count; i++)
		if (!rp_read_bucket(m, i, &bucket) && bucket.cookie)
			printf(" %u:%s:%u", i, bucket.comm, bucket.pid);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct listener_socket l;
	struct rp_bucket bucket;
	int owned;

	parse_arguments(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	raise_file_limit();
	if (rehearses)
		return rehearse();
	join(&l);
	print_group(&l.member);
	for (;;) {
		serve(l.sock);
		owned = rp_owns_bucket(&l.member, &bucket);
		if (leave_listener_socket(&l))
			return die(l.member.error);
		printf("left, %s\n",
		       owned ? "its bucket is empty" : "its bucket was in other hands");
	}
}
