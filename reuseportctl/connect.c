// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * connect: many exporters. It connects and sends one datagram from each port of each address. The
 * answer of `listen` names the bucket; against a collector, which answers nothing, the kernel's
 * errors are all there is to see.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "commands.h"
#include "listener_socket.h"
#include "text.h"

#define WAIT_MS	  1000 /* for answers; a refusal comes at once */
#define AT_A_TIME 500  /* sockets that are open together */

/* Where to, and where from */
struct path {
	struct sockaddr_storage to;
	socklen_t to_len;
	const char *source;    /* the prefix of the sources as text; NULL: the host's own address */
	struct rp_prefix from; /* the same */
};

/* One connection, or one datagram */
struct attempt {
	unsigned int exporter;
	int protocol, sock;
	int bucket; /* -1: no answer named one */
	int error;  /* errno; 0: none */
};

struct tally {
	unsigned int buckets[RP_MAX_BUCKETS], failed, silent, split;
};

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void source_of(const struct rp_prefix *from, unsigned int exporter, union rp_addr *addr)
{
	memcpy(addr->b, from->addr, sizeof(from->addr));
	addr->w[3] = htonl(ntohl(addr->w[3]) + (from->bits < 128 ? exporter + 1 : 0));
}

static int bind_source(int sock, int family, const union rp_addr *source)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = source->w[3]};

	if (family == AF_INET)
		return bind(sock, (void *)&v4, sizeof(v4));
	memcpy(&v6.sin6_addr, source->b, sizeof(v6.sin6_addr));

	return bind(sock, (void *)&v6, sizeof(v6));
}

/* ---- one attempt ---- */

static void start_attempt(struct attempt *a, const struct path *path)
{
	int type = a->protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	union rp_addr source;

	a->bucket = -1;
	a->sock = socket(path->to.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->sock < 0) {
		a->error = errno;
		return;
	}
	if (path->source) {
		source_of(&path->from, a->exporter, &source);
		if (bind_source(a->sock, path->to.ss_family, &source))
			a->error = errno;
	}
	if (!a->error && connect(a->sock, (const void *)&path->to, path->to_len) &&
	    errno != EINPROGRESS)
		a->error = errno;
	if (!a->error && a->protocol == IPPROTO_UDP && send(a->sock, "?", 1, 0) < 0)
		a->error = errno;
}

/* Reads what has arrived. Returns 0 if the attempt goes on. */
static int read_answer(struct attempt *a)
{
	char line[64];
	ssize_t len = recv(a->sock, line, sizeof(line) - 1, 0);

	if (len < 0 && errno == EAGAIN)
		return 0;
	if (len < 0)
		a->error = errno;
	if (len <= 0)
		return 1;
	line[len] = '\0';
	if (sscanf(line, "bucket %d", &a->bucket) != 1)
		a->bucket = -1;

	return 1;
}

/* No answer has come: the connection was established, or failed, or neither */
static void check_connection(struct attempt *a)
{
	struct sockaddr_storage peer;
	socklen_t peer_len = sizeof(peer), len = sizeof(a->error);

	if (!getpeername(a->sock, (void *)&peer, &peer_len))
		return;
	if (getsockopt(a->sock, SOL_SOCKET, SO_ERROR, &a->error, &len) || !a->error)
		a->error = ETIMEDOUT;
}

/* At most AT_A_TIME */
static void run_attempts(struct attempt *list, unsigned int n, const struct path *path)
{
	struct pollfd polls[AT_A_TIME];
	long deadline = now_ms() + WAIT_MS;
	unsigned int open = 0;

	for (unsigned int i = 0; i < n; i++) {
		start_attempt(&list[i], path);
		polls[i] =
			(struct pollfd){.fd = list[i].error ? -1 : list[i].sock, .events = POLLIN};
		open += polls[i].fd >= 0;
	}
	while (open && now_ms() < deadline) {
		poll(polls, n, deadline - now_ms());
		for (unsigned int i = 0; i < n; i++) {
			if (polls[i].fd < 0 || !polls[i].revents || !read_answer(&list[i]))
				continue;
			polls[i].fd = -1;
			open--;
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		if (polls[i].fd >= 0 && list[i].protocol == IPPROTO_TCP)
			check_connection(&list[i]);
		if (list[i].sock >= 0)
			close(list[i].sock);
	}
}

/* ---- what became of them ---- */

static void outcome_text(const struct attempt *a, char *text, size_t len)
{
	if (a->error)
		snprintf(text, len, "%s",
			 a->error == ECONNREFUSED ? "refused" : strerror(a->error));
	else if (a->bucket >= 0)
		snprintf(text, len, "bucket %d", a->bucket);
	else
		snprintf(text, len, "%s",
			 a->protocol == IPPROTO_TCP ? "connected" : "sent, no answer");
}

static void count_outcome(struct tally *tally, const struct attempt *a)
{
	if (a->error)
		tally->failed++;
	else if (a->bucket < 0 || a->bucket >= RP_MAX_BUCKETS)
		tally->silent++;
	else
		tally->buckets[a->bucket]++;
}

/* One line for the attempts of one exporter by one protocol. An outcome that is the same as the one
 * before is not repeated. */
static void print_exporter(const struct attempt *list, unsigned int n, const char *name,
			   struct tally *tally)
{
	char before[80] = "", text[80];
	int split = 0;

	printf("%s  %-20s", protocol_text(list->protocol), name);
	for (unsigned int i = 0; i < n; i++) {
		outcome_text(&list[i], text, sizeof(text));
		if (!i || strcmp(text, before))
			printf("%s%s", i ? ", " : " ", text);
		split |= i && strcmp(text, before);
		strcpy(before, text);
		count_outcome(tally, &list[i]);
	}
	printf("%s\n", split ? "   ! split" : "");
	tally->split += split;
}

static void print_tally(const struct tally *t, unsigned int exporters)
{
	printf("%u exporters:", exporters);
	for (int i = 0; i < RP_MAX_BUCKETS; i++)
		if (t->buckets[i])
			printf(" bucket %d: %u;", i, t->buckets[i]);
	if (t->silent)
		printf(" no answer: %u;", t->silent);
	if (t->failed)
		printf(" refused or failed: %u;", t->failed);
	printf(" split over buckets: %u\n", t->split);
}

/* ---- all of them ---- */

/* Whether a prefix has so many addresses, of that family */
static int has_sources(const struct rp_prefix *from, int family, unsigned int exporters)
{
	return is_v4_prefix(from) == (family == AF_INET) &&
	       (from->bits <= 96 || 1ULL << (128 - from->bits) > (exporters > 1 ? exporters : 0));
}

static int choose_path(struct path *path, struct options *o, const char *address, const char *port)
{
	const struct sockaddr_in *v4 = (const void *)&path->to;

	memset(path, 0, sizeof(*path));
	if (parse_socket_address(address, port, &path->to, &path->to_len))
		return NOT_UNDERSTOOD;
	path->source = o->from;
	if (!path->source && v4->sin_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == 127)
		path->source = "127.0.0.0/8";
	if (!path->source)
		o->exporters = 1;
	else if (!parse_prefix(path->source, &path->from) ||
		 !has_sources(&path->from, path->to.ss_family, o->exporters))
		return report_error(
			NOT_UNDERSTOOD,
			"--from %s is not a prefix with %u addresses of the family of %s",
			path->source, o->exporters, address);

	return DONE;
}

/* list: room for all attempts */
static void run_protocol(int protocol, const struct options *o, const struct path *path,
			 struct attempt *list, struct tally *tally)
{
	unsigned int n = o->exporters * o->ports;
	char name[80] = "this host";
	union rp_addr addr;

	for (unsigned int i = 0; i < n; i++)
		list[i] = (struct attempt){.exporter = i / o->ports, .protocol = protocol};
	for (unsigned int i = 0; i < n; i += AT_A_TIME)
		run_attempts(list + i, n - i < AT_A_TIME ? n - i : AT_A_TIME, path);
	for (unsigned int i = 0; i < o->exporters; i++) {
		if (path->source) {
			source_of(&path->from, i, &addr);
			rp_format_addr(&addr, name, sizeof(name));
		}
		print_exporter(list + i * o->ports, o->ports, name, tally);
	}
}

int command_connect(struct options *o, char **arguments)
{
	struct tally tally = {};
	struct attempt *list;
	struct path path;

	if (choose_path(&path, o, arguments[0], arguments[1]))
		return NOT_UNDERSTOOD;
	list = calloc(o->exporters * o->ports, sizeof(*list));
	if (!list)
		return report_error(FAILED, "no memory for %u connections",
				    o->exporters * o->ports);
	raise_file_limit();
	if (o->protocol != IPPROTO_TCP)
		run_protocol(IPPROTO_UDP, o, &path, list, &tally);
	if (o->protocol != IPPROTO_UDP)
		run_protocol(IPPROTO_TCP, o, &path, list, &tally);
	free(list);
	print_tally(&tally, o->exporters);

	return tally.split || tally.failed ? MARKED : DONE;
}
