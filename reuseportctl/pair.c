// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The demonstration pair: `listen` is a group on any port, `connect` is many exporters. A listener
 * answers each datagram, and each connection, with the line "bucket N of pid P"; against a
 * collector, which answers nothing, `connect` sees what the kernel says.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "reuseportctl.h"

#define ANSWER	  "bucket %u of pid %d\n"
#define WAIT_MS	  1000 /* for answers; a refusal comes at once */
#define AT_A_TIME 500  /* connections that are open together */

static int parse_address(const char *address, const char *port, struct sockaddr_storage *to,
			 socklen_t *len)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
				       .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	unsigned long number;

	if (!parse_number(port, 1, 65535, &number))
		return report_error(NOT_UNDERSTOOD, "'%s' is not a port, 1 to 65535", port);
	if (getaddrinfo(address ? address : "::", port, &hints, &found))
		return report_error(NOT_UNDERSTOOD, "'%s' is not an IP address", address);
	memcpy(to, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
	freeaddrinfo(found);

	return DONE;
}

static void peer_text(const struct sockaddr_storage *peer, char *text, size_t len)
{
	const struct sockaddr_in6 *v6 = (const void *)peer;
	const struct sockaddr_in *v4 = (const void *)peer;
	union rp_addr addr;

	if (peer->ss_family == AF_INET)
		rp_addr_v4(&addr, v4->sin_addr.s_addr);
	else
		memcpy(&addr, &v6->sin6_addr, sizeof(addr));
	addr_text(&addr, text, len);
	/* the port is in the same place in both */
	snprintf(text + strlen(text), len - strlen(text), " port %u", ntohs(v6->sin6_port));
}

/* As many sockets, programs and maps as it may; what is more is an error of its own */
static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- listen ---- */

struct stall {
	struct rp_config config;
	struct rp_member member;
	int protocol, sock;
};

static volatile sig_atomic_t stopped;

static void stop(int signum)
{
	(void)signum;
	stopped = 1;
}

static int open_socket(const struct sockaddr_storage *at, int protocol)
{
	int yes = 1,
	    sock = socket(at->ss_family,
			  (protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);

	if (sock >= 0 && !setsockopt(sock, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)))
		return sock;
	if (sock >= 0)
		close(sock);

	return -1;
}

static int bind_socket(const struct stall *s, const struct sockaddr_storage *at, socklen_t len)
{
	if (!bind(s->sock, (const void *)at, len) &&
	    (s->protocol != IPPROTO_TCP || !listen(s->sock, SOMAXCONN)))
		return DONE;

	return report_error(
		FAILED, "cannot listen at that address and port, %s (%s): is it somebody else's?",
		s->protocol == IPPROTO_TCP ? "TCP" : "UDP", strerror(errno));
}

static int join(struct stall *s, const struct sockaddr_storage *at, socklen_t len, int plain)
{
	struct rp_member *m = &s->member;

	s->sock = open_socket(at, s->protocol);
	if (s->sock < 0)
		return report_error(FAILED, "no socket (%s)", strerror(errno));
	if (plain)
		return bind_socket(s, at, len);

	rp_init(m);
	if (rp_open(m, &s->config, s->protocol == IPPROTO_TCP ? "listen_tcp" : "listen_udp",
		    s->protocol) ||
	    rp_check_address(m, s->sock, (const void *)at, len))
		return report_error(FAILED, "%s", m->error);
	if (bind_socket(s, at, len))
		return FAILED;
	if (rp_join(m, s->sock, RP_READY))
		return report_error(FAILED, "%s", m->error);

	return DONE;
}

static void serve(const struct stall *s)
{
	struct sockaddr_storage from = {};
	socklen_t len = sizeof(from);
	char line[64], peer[80];
	int connection = -1, size = snprintf(line, sizeof(line), ANSWER, s->config.index, getpid());

	if (s->protocol == IPPROTO_TCP) {
		connection = accept(s->sock, (void *)&from, &len);
		if (connection < 0)
			return;
		if (write(connection, line, size) < 0)
			perror("reuseportctl: the peer is gone");
		close(connection);
	} else {
		char ignored[1];

		if (recvfrom(s->sock, ignored, sizeof(ignored), MSG_DONTWAIT, (void *)&from, &len) <
		    0)
			return;
		if (sendto(s->sock, line, size, 0, (void *)&from, len) < 0)
			perror("reuseportctl: the peer is gone");
	}
	peer_text(&from, peer, sizeof(peer));
	printf("%s  %s  bucket %u\n", s->protocol == IPPROTO_TCP ? "tcp" : "udp", peer,
	       s->config.index);
}

static int take_size(struct rp_member *m, void *arg)
{
	__u32 *size = arg;

	*size = rp_get_size(m);

	return 1;
}

/* A group that is live has its own */
static __u32 group_size(const struct rp_config *config)
{
	char whose[160];
	struct rp_member m;
	__u32 size = 0;

	rp_init(&m);
	m.config = config;
	if (!access(config->pin_path, F_OK) && rp_find_live(&m, 0, whose, sizeof(whose)) > 0)
		rp_each_listener(&m, config, take_size, &size);

	return size;
}

static void wait_and_serve(const struct stall *stalls, unsigned int n)
{
	struct pollfd polls[2 * RP_MAX_BUCKETS];

	for (unsigned int i = 0; i < n; i++)
		polls[i] = (struct pollfd){.fd = stalls[i].sock, .events = POLLIN};
	while (!stopped) {
		if (poll(polls, n, -1) < 0)
			continue;
		for (unsigned int i = 0; i < n; i++)
			if (polls[i].revents & POLLIN)
				serve(&stalls[i]);
		fflush(stdout);
	}
}

int listen_at(struct options *o, const char *address, const char *port)
{
	static const int protocols[] = {IPPROTO_UDP, IPPROTO_TCP};
	static struct stall stalls[2 * RP_MAX_BUCKETS];
	struct sigaction action = {.sa_handler = stop};
	struct sockaddr_storage at = {};
	unsigned int n = 0;
	socklen_t len;

	if (parse_address(address, port, &at, &len))
		return NOT_UNDERSTOOD;
	if (!o->plain && !o->config.prog)
		return report_error(
			NOT_UNDERSTOOD,
			"listen needs the selector, --prog /path/to/reuseport.o, or --plain");
	if (!o->config.count && !o->plain)
		o->config.count = group_size(&o->config);
	if (!o->config.count)
		o->config.count = 4;
	if (o->config.index >= o->config.count)
		return report_error(NOT_UNDERSTOOD, "--index %u is not below the %u buckets",
				    o->config.index, o->config.count);

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	for (__u32 bucket = 0; bucket < o->config.count; bucket++) {
		if (o->has_index && bucket != o->config.index)
			continue;
		for (int p = 0; p < 2; p++) {
			if (o->protocol && protocols[p] != o->protocol)
				continue;
			stalls[n].config = o->config;
			stalls[n].config.index = bucket;
			stalls[n].protocol = protocols[p];
			if (join(&stalls[n], &at, len, o->plain))
				return FAILED;
			n++;
		}
	}
	printf("listening at port %s, %s; Ctrl-C ends it\n", port,
	       o->plain ? "without a selector" : o->config.pin_path);
	fflush(stdout);
	wait_and_serve(stalls, n);

	for (unsigned int i = 0; i < n && !o->plain; i++)
		if (rp_leave(&stalls[i].member))
			report_error(FAILED, "%s", stalls[i].member.error);

	return DONE;
}

/* ---- connect ---- */

struct attempt {
	unsigned int exporter;
	int protocol, sock, asked; /* a datagram is sent, or connected */
	int bucket;		   /* -1: none was told */
	int error;		   /* errno; 0: none */
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

static void begin(struct attempt *a, const struct sockaddr_storage *to, socklen_t len,
		  const struct rp_prefix *from)
{
	union rp_addr source;

	a->bucket = -1;
	a->sock = socket(to->ss_family,
			 (a->protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK |
				 SOCK_CLOEXEC,
			 0);
	if (a->sock < 0) {
		a->error = errno;
		return;
	}
	if (from) {
		source_of(from, a->exporter, &source);
		if (bind_source(a->sock, to->ss_family, &source))
			a->error = errno;
	}
	if (!a->error && connect(a->sock, (const void *)to, len) && errno != EINPROGRESS)
		a->error = errno;
	if (!a->error && a->protocol == IPPROTO_UDP) {
		if (send(a->sock, "?", 1, 0) < 0)
			a->error = errno;
		a->asked = 1;
	}
}

/* False: it is over */
static int go_on(struct attempt *a)
{
	char line[64];
	ssize_t len;

	len = recv(a->sock, line, sizeof(line) - 1, 0);
	if (len < 0 && errno == EAGAIN)
		return 1;
	a->asked = 1;
	if (len < 0)
		a->error = errno;
	if (len <= 0)
		return 0;
	line[len] = '\0';
	if (sscanf(line, "bucket %d", &a->bucket) != 1)
		a->bucket = -1;

	return 0;
}

static void run_attempts(struct attempt *list, unsigned int n, const struct sockaddr_storage *to,
			 socklen_t len, const struct rp_prefix *from)
{
	struct pollfd polls[AT_A_TIME];
	long deadline = now_ms() + WAIT_MS;
	unsigned int i, open = 0;
	int error;

	for (i = 0; i < n; i++) {
		begin(&list[i], to, len, from);
		polls[i] =
			(struct pollfd){.fd = list[i].error ? -1 : list[i].sock, .events = POLLIN};
		open += polls[i].fd >= 0;
	}
	while (open && now_ms() < deadline) {
		poll(polls, n, deadline - now_ms());
		for (i = 0; i < n; i++) {
			if (polls[i].fd < 0 || !polls[i].revents || go_on(&list[i]))
				continue;
			polls[i].fd = -1;
			open--;
		}
	}
	for (i = 0; i < n; i++) {
		socklen_t size = sizeof(error);

		if (list[i].sock < 0)
			continue;
		/* nothing said: connected, or not yet answered */
		if (polls[i].fd >= 0 && list[i].protocol == IPPROTO_TCP) {
			struct sockaddr_storage peer;
			socklen_t peer_len = sizeof(peer);

			list[i].asked = !getpeername(list[i].sock, (void *)&peer, &peer_len);
			if (!list[i].asked)
				list[i].error = !getsockopt(list[i].sock, SOL_SOCKET, SO_ERROR,
							    &error, &size) &&
								error
							? error
							: ETIMEDOUT;
		}
		close(list[i].sock);
	}
}

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

struct tally {
	unsigned int buckets[RP_MAX_BUCKETS], refused, silent, split;
};

/* One line for the attempts of one exporter by one protocol: the different things that became of
 * them */
static void print_exporter(const struct attempt *list, unsigned int n, const char *name,
			   struct tally *tally)
{
	char before[80], text[80];
	int split = 0;

	printf("%s  %-20s", list->protocol == IPPROTO_TCP ? "tcp" : "udp", name);
	for (unsigned int i = 0; i < n; i++) {
		outcome_text(&list[i], text, sizeof(text));
		if (!i || strcmp(text, before))
			printf("%s%s", i ? ", " : " ", text);
		split |= i && strcmp(text, before);
		strcpy(before, text);
		if (list[i].error)
			tally->refused++;
		else if (list[i].bucket < 0 || list[i].bucket >= RP_MAX_BUCKETS)
			tally->silent++;
		else
			tally->buckets[list[i].bucket]++;
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
	if (t->refused)
		printf(" refused or failed: %u;", t->refused);
	printf(" split over buckets: %u\n", t->split);
}

/* false: there are not so many addresses, or none of that family */
static int check_source(const struct rp_prefix *from, int family, unsigned int exporters)
{
	return (from->bits >= 96) == (family == AF_INET) &&
	       (from->bits <= 96 || 1ULL << (128 - from->bits) > (exporters > 1 ? exporters : 0));
}

int connect_to(struct options *o, const char *address, const char *port)
{
	static const int protocols[] = {IPPROTO_UDP, IPPROTO_TCP};
	unsigned int n, at_once;
	struct sockaddr_storage to = {};
	struct tally tally = {};
	struct rp_prefix from;
	const char *source = o->from;
	struct attempt *list;
	char name[80];
	socklen_t len;

	if (parse_address(address, port, &to, &len))
		return NOT_UNDERSTOOD;
	if (!source && to.ss_family == AF_INET &&
	    ntohl(((struct sockaddr_in *)&to)->sin_addr.s_addr) >> 24 == 127)
		source = "127.0.0.0/8";
	if (!source)
		o->exporters = 1;
	n = o->exporters * o->ports;
	if (source &&
	    (!parse_prefix(source, &from) || !check_source(&from, to.ss_family, o->exporters)))
		return report_error(
			NOT_UNDERSTOOD,
			"--from %s is not a prefix with %u addresses of the family of %s", source,
			o->exporters, address);
	list = calloc(2 * n, sizeof(*list));
	if (!list)
		return report_error(FAILED, "no memory for %u connections", n);
	raise_files();

	for (int p = 0; p < 2; p++) {
		if (o->protocol && protocols[p] != o->protocol)
			continue;
		for (unsigned int i = 0; i < n; i++) {
			list[i] = (struct attempt){.exporter = i / o->ports,
						   .protocol = protocols[p]};
		}
		for (unsigned int i = 0; i < n; i += at_once) {
			at_once = n - i < AT_A_TIME ? n - i : AT_A_TIME;
			run_attempts(list + i, at_once, &to, len, source ? &from : NULL);
		}
		for (unsigned int i = 0; i < o->exporters; i++) {
			union rp_addr addr;

			strcpy(name, "this host");
			if (source) {
				source_of(&from, i, &addr);
				addr_text(&addr, name, sizeof(name));
			}
			print_exporter(list + i * o->ports, o->ports, name, &tally);
		}
	}
	free(list);
	print_tally(&tally, o->exporters);

	return tally.split || tally.refused ? MARKED : DONE;
}
