// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A mock of many exporters at once, for numbers that real ones cannot be brought to on one machine:
 * valid NetFlow v5 with one flow of one packet in each datagram, or BMP sessions that say
 * Initiation and stay. Each exporter has an address of its own; runs in a sandbox, where any
 * address is local.
 *
 * usage: exporter netflow5|bmp 4|6 PORT [KEY=VALUE...]
 *   exporters=N  how many addresses (200): 10.0.0.1 and up, or 2001:db8::1 and up
 *   ports=N      source ports, or sessions, of each (5)
 *   datagrams=N  from each port (4)
 *   rate=N       datagrams a second in all (20000)
 *   junk=true    NetFlow only: datagrams that are none instead: empty, truncated, or all zeroes
 *
 * netflow5 prints how many datagrams it sent, when it is done or gets SIGTERM. bmp prints "N
 * sessions" once all are up, and keeps them until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* Cisco's format, in network order */
struct netflow5 {
	uint16_t version, count;
	uint32_t uptime_ms, seconds, nanoseconds, sequence;
	uint8_t engine_type, engine_id;
	uint16_t sampling;
	struct {
		uint32_t source, destination, next_hop;
		uint16_t input, output;
		uint32_t packets, bytes, first_ms, last_ms;
		uint16_t source_port, destination_port;
		uint8_t pad1, tcp_flags, protocol, tos;
		uint16_t source_as, destination_as;
		uint8_t source_mask, destination_mask;
		uint16_t pad2;
	} flow;
} __attribute__((packed));

/* RFC 7854: common header, then the one TLV that must be there twice: sysDescr (1) and sysName (2)
 */
static const uint8_t bmp_initiation[] = {3,   0,   0,	0, 22, 4, 0, 1,	  0,   4,   'm',
					 'o', 'c', 'k', 0, 2,  0, 4, 'm', 'o', 'c', 'k'};

static volatile sig_atomic_t stop;
static int exporters = 200, ports = 5, datagrams = 4, rate = 20000, junk;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void on_sigterm(int signum)
{
	(void)signum;
	stop = 1;
}

static void parse(const char *word)
{
	const char *value = strchr(word, '=');
	size_t key = value ? value - word : 0;

	if (key == 9 && !strncmp(word, "exporters", key))
		exporters = atoi(value + 1);
	else if (key == 5 && !strncmp(word, "ports", key))
		ports = atoi(value + 1);
	else if (key == 9 && !strncmp(word, "datagrams", key))
		datagrams = atoi(value + 1);
	else if (key == 4 && !strncmp(word, "rate", key))
		rate = atoi(value + 1);
	else if (key == 4 && !strncmp(word, "junk", key))
		junk = !strcmp(value + 1, "true");
	else {
		fprintf(stderr, "exporter: unknown word %s\n", word);
		exit(2);
	}
}

/* A socket of exporter i, connected to the collector on loopback */
static int open_socket(int family, int type, int port, int i)
{
	struct sockaddr_in6 from6 = {.sin6_family = AF_INET6},
			    to6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in from4 = {.sin_family = AF_INET},
			   to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int sock = socket(family, type, 0), yes = 1, four = family == AF_INET;

	from4.sin_addr.s_addr = htonl(0x0a000001 + i);
	to4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	inet_pton(AF_INET6, "2001:db8::", &from6.sin6_addr);
	from6.sin6_addr.s6_addr32[3] = htonl(i + 1);

	if (sock < 0)
		die("socket");
	if (!four && setsockopt(sock, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)))
		die("IPV6_FREEBIND");
	if (bind(sock, four ? (void *)&from4 : (void *)&from6,
		 four ? sizeof(from4) : sizeof(from6)))
		die("bind");
	if (connect(sock, four ? (void *)&to4 : (void *)&to6, four ? sizeof(to4) : sizeof(to6)))
		die("connect");

	return sock;
}

/* Sleeps until `sent` datagrams are due */
static void pace(const struct timespec *start, long sent)
{
	long long due = sent * 1000000000LL / rate;
	struct timespec until = {start->tv_sec + due / 1000000000,
				 start->tv_nsec + due % 1000000000};

	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static long send_netflow(const int *socks, int n)
{
	struct netflow5 d = {.version = htons(5), .count = htons(1)};
	static const size_t junk_sizes[] = {0, 1, 3, 23, 47, 71, 4000, 60000};
	static char zeroes[60000];
	struct timespec start;
	long sent = 0;

	d.seconds = htonl(time(NULL));
	d.flow.source = htonl(0xc0000201);
	d.flow.destination = htonl(0xc6336401);
	d.flow.packets = htonl(1);
	d.flow.bytes = htonl(100);
	d.flow.protocol = IPPROTO_UDP;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int round = 0; round < datagrams && !stop; round++) {
		for (int i = 0; i < n && !stop; i++) {
			size_t size = junk ? junk_sizes[sent % 8] : sizeof(d);

			d.sequence = htonl(round);
			/* A refusal of an earlier datagram (ICMP) shows up here: that one is lost,
			 * not this one */
			if (send(socks[i], size > sizeof(d) ? (void *)zeroes : (void *)&d, size,
				 0) < 0 &&
			    (errno != ECONNREFUSED ||
			     send(socks[i], size > sizeof(d) ? (void *)zeroes : (void *)&d, size,
				  0) < 0))
				die("send");
			if (++sent % 20 == 0)
				pace(&start, sent);
		}
	}

	return sent;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int family, port, bmp, n, *socks;

	if (argc < 4) {
		fprintf(stderr, "usage: exporter netflow5|bmp 4|6 PORT [KEY=VALUE...]\n");
		return 2;
	}
	bmp = !strcmp(argv[1], "bmp");
	family = atoi(argv[2]) == 4 ? AF_INET : AF_INET6;
	port = atoi(argv[3]);
	for (int i = 4; i < argc; i++)
		parse(argv[i]);

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);

	n = exporters * ports;
	socks = calloc(n, sizeof(*socks));
	if (!socks)
		die("calloc");
	for (int i = 0; i < n; i++) {
		socks[i] = open_socket(family, bmp ? SOCK_STREAM : SOCK_DGRAM, port, i % exporters);
		if (bmp && send(socks[i], bmp_initiation, sizeof(bmp_initiation), MSG_NOSIGNAL) < 0)
			die("send");
	}
	if (!bmp) {
		signal(SIGTERM, on_sigterm);
		printf("%ld\n", send_netflow(socks, n));
		return 0;
	}

	printf("%d sessions\n", n);
	fflush(stdout);
	pause();

	return 0;
}
