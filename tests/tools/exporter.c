// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* clang-format off */
/*
 * A mock of many exporters at once, for numbers that real ones cannot be brought to on one machine:
 * valid NetFlow v5, v9, IPFIX or sFlow with one flow of one packet in each datagram, telemetry with
 * one JSON object, or sessions of BMP, BGP or telemetry that say hello and stay. Each exporter has
 * an address of its own; runs in a sandbox, where any address is local, or at least those.
 *
 * usage: exporter PROTOCOL 4|6 PORT [KEY=VALUE...]
 *   PROTOCOL     netflow5, netflow9, ipfix, mixed, sflow, telemetry; bmp, bmp_route, bgp,
 *                telemetry_tcp
 *   mixed        exporters are NetFlow v5, v9 and IPFIX in turn
 *   bmp_route    bmp, with a route to where all flows go, of an AS of the exporter's own: the first
 *                has 64512, the next 64513, ...
 *   to=ADDRESS   the collector, of the same family (127.0.0.1, or ::1)
 *   exporters=N  how many addresses (200): 10.0.0.1 and up, or 2001:db8::1 and up
 *   address=N    the first of them (1), of flows but sFlow
 *   ports=N      source ports, or sessions, of each (5)
 *   datagrams=N  from each port (4); 0: until SIGTERM
 *   rate=N       datagrams a second in all (20000), at least 1; SLOWER in the environment divides it
 *   zipf=true    flows: of N exporters, the first sends N times as many as the last, twice as many as
 *                the second, three times as many as the third, and so on
 *   train=N      sends N datagrams of a port (1), at most 64, by one system call (UDP_SEGMENT): for
 *                rates that one system call for each does not reach
 *   again=true   flows: when all are sent, SIGUSR1 brings as many more, from the same ports; until
 *                SIGTERM
 *   templates=N  seconds between two templates of an exporter (30), the first of which comes first;
 *                0: never
 *   definitions=N  how many templates each exporter has (1), the others of which are not used
 *   sampled=KIND flows stand for 1000 packets each, as NetFlow v9 and IPFIX say in options data after
 *                their first template, only once: sampler (fields 48 and 50), interval (34), space
 *                (305, 306), selector (302, 305, 306), or mixed, which is each of them in turn;
 *                NetFlow v5 says so in each header
 *   period=MS    the flows' destination port says in which period of so many milliseconds since the
 *                start they were sent; 0, as usual: it does not
 *   first=N      the number of the first period (0)
 *   report=FILE  what was sent, a line "address protocol period flows" for each exporter and period;
 *                with sampled=, packets in the place of flows
 *   keepalive=N  seconds without a word after which a session asks whether its peer is still there,
 *                and again, once a second, three times; 0, as usual: never
 *   junk=true    netflow5 only: datagrams that are none instead: empty, truncated, or all zeroes
 *
 * Prints how many flows it sent, when it is done or gets SIGTERM; junk counts as such. With
 * sessions, it prints "N sessions" once all are up, and keeps them: whichever ends, it connects
 * again, as a router does, and prints "all again" once all are up. On SIGTERM it prints how many
 * had ended.
 */
/* clang-format on */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "exporter.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

static const char *const protocols[PROTOCOLS] = {"netflow5", "netflow9",     "ipfix", "mixed",
						 "sflow",    "telemetry",    "bmp",   "bmp_route",
						 "bgp",	     "telemetry_tcp"};

struct options options = {.exporters = 200,
			  .ports = 5,
			  .datagrams = 4,
			  .rate = 20000,
			  .templates = 30,
			  .train = 1,
			  .sampling = SAMPLING_NONE,
			  .address = 1};
volatile sig_atomic_t stop;

static void on_sigterm(int signum)
{
	(void)signum;
	stop = 1;
}

static int parse_number(const char *word, const char *value)
{
	static const struct {
		const char *key;
		int *value;
	} numbers[] = {{"exporters", &options.exporters}, {"ports", &options.ports},
		       {"datagrams", &options.datagrams}, {"rate", &options.rate},
		       {"templates", &options.templates}, {"period", &options.period_ms},
		       {"first", &options.first_period},  {"keepalive", &options.keepalive},
		       {"train", &options.train},	  {"definitions", &options.definitions},
		       {"address", &options.address}};
	size_t key = value - word;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strlen(numbers[i].key) == key && !strncmp(word, numbers[i].key, key)) {
			*numbers[i].value = atoi(value + 1);
			return 1;
		}

	return 0;
}

static void parse(const char *word)
{
	const char *value = strchr(word, '=');

	if (value && parse_number(word, value))
		return;
	if (!strncmp(word, "report=", 7))
		options.report = value + 1;
	else if (!strncmp(word, "to=", 3))
		options.collector = value + 1;
	else if (!strncmp(word, "sampled=", 8) && find_sampling(value + 1))
		return;
	else if (!strcmp(word, "junk=true"))
		options.junk = 1;
	else if (!strcmp(word, "again=true"))
		options.again = 1;
	else if (!strcmp(word, "zipf=true"))
		options.zipf = 1;
	else {
		fprintf(stderr, "exporter: unknown word %s\n", word);
		exit(2);
	}
}

static enum protocol protocol_of(int exporter)
{
	return options.protocol == MIXED ? (enum protocol)(exporter % 3) : options.protocol;
}

/* That of a session, which would not notice otherwise that its collector is gone, or another one */
static void ask_after_peer(int sock)
{
	int every = 1, times = 3;

	if (setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &every, sizeof(every)) ||
	    setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &options.keepalive,
		       sizeof(options.keepalive)) ||
	    setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every)) ||
	    setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times)))
		die("SO_KEEPALIVE");
}

int open_socket(int family, int type, int port, int i)
{
	struct sockaddr_in6 from6 = {.sin6_family = AF_INET6},
			    to6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in from4 = {.sin_family = AF_INET},
			   to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int sock = socket(family, type, 0), yes = 1, four = family == AF_INET;

	from4.sin_addr.s_addr = htonl(0x0a000000 + options.address + i);
	to4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	inet_pton(AF_INET6, "2001:db8::", &from6.sin6_addr);
	from6.sin6_addr.s6_addr32[3] = htonl(options.address + i);
	if (options.collector &&
	    inet_pton(family, options.collector,
		      four ? (void *)&to4.sin_addr : (void *)&to6.sin6_addr) != 1) {
		fprintf(stderr, "exporter: no IPv%d address: %s\n", four ? 4 : 6,
			options.collector);
		exit(2);
	}

	if (sock < 0)
		die("socket");
	if (type & SOCK_NONBLOCK && options.keepalive)
		ask_after_peer(sock);
	if (!four && setsockopt(sock, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)))
		die("IPV6_FREEBIND");
	if (bind(sock, four ? (void *)&from4 : (void *)&from6,
		 four ? sizeof(from4) : sizeof(from6)))
		die("bind");
	if (connect(sock, four ? (void *)&to4 : (void *)&to6, four ? sizeof(to4) : sizeof(to6)) &&
	    errno != EINPROGRESS)
		die("connect");

	return sock;
}

long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(long long ns)
{
	struct timespec until = {ns / 1000000000, ns % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* ---- flows ---- */

/* Flows sent so far, by period and exporter */
static struct {
	unsigned *flows;
	int periods;
} counts;

static void count_flow(int exporter, int period)
{
	if (period >= counts.periods) {
		int periods = period + 100;
		size_t had = (size_t)counts.periods * options.exporters,
		       has = (size_t)periods * options.exporters;

		counts.flows = realloc(counts.flows, has * sizeof(*counts.flows));
		if (!counts.flows)
			die("realloc");
		memset(counts.flows + had, 0, (has - had) * sizeof(*counts.flows));
		counts.periods = periods;
	}
	counts.flows[period * options.exporters + exporter] +=
		options.sampling == SAMPLING_NONE ? 1 : SAMPLING_RATE;
}

static void report_exporter(FILE *file, int family, int i)
{
	int number = options.address + i;
	char address[32];

	if (family == AF_INET)
		snprintf(address, sizeof(address), "10.0.%d.%d", number >> 8, number & 255);
	else
		snprintf(address, sizeof(address), "2001:db8::%x", number);
	for (int period = 0; period < counts.periods; period++) {
		unsigned flows = counts.flows[period * options.exporters + i];

		if (flows)
			fprintf(file, "%s %s %d %u\n", address, protocols[protocol_of(i)], period,
				flows);
	}
}

static void write_report(int family)
{
	FILE *file = fopen(options.report, "w");

	if (!file)
		die(options.report);
	for (int i = 0; i < options.exporters; i++)
		report_exporter(file, family, i);
	if (fclose(file))
		die(options.report);
}

static int period_at(long long ns)
{
	return options.first_period + (options.period_ms ? ns / 1000000 / options.period_ms : 0);
}

/* Before the flows of a round, for those exporters that have templates */
static void send_template_of(int exporter, int sock, long round)
{
	enum protocol p = protocol_of(exporter);

	if (p != NETFLOW9 && p != IPFIX)
		return;
	send_template(sock, p, exporter, round);
	if (options.sampling != SAMPLING_NONE && !round)
		send_options(sock, p, exporter, round);
}

/* As many datagrams of one exporter as go by one system call */
static void send_train(int family, int sock, int exporter, long round, int period)
{
	for (int i = 0; i < options.train; i++) {
		long sequence = round * options.train + i;

		if (options.junk)
			send_junk(sock, sequence);
		else
			send_flow(sock, protocol_of(exporter), family, exporter, sequence, period);
		count_flow(exporter, period);
	}
	end_train(sock);
}

/* One train from each socket, at the time that the rate gives it; adds to *sent */
static void run_round(int family, const int *socks, long round, int with_templates, long long start,
		      long *sent)
{
	for (int i = 0; i < options.exporters * options.ports; i++) {
		int exporter = i % options.exporters, period = period_at(now_ns() - start);
		int every = options.zipf ? exporter + 1 : 1; /* in one round of so many it sends */

		if (with_templates && i < options.exporters)
			send_template_of(i, socks[i], round);
		if ((round + 1) % every)
			continue;
		send_train(family, socks[i], exporter, (round + 1) / every - 1, period);
		*sent += options.train;
		if (*sent % 20 < options.train)
			sleep_until(start + *sent * 1000000000LL / options.rate);
	}
}

static void run_flows(int family, const int *socks)
{
	long long start = now_ns(), next_templates = start;
	long sent = 0;

	for (long round = 0;
	     (round * options.train < options.datagrams || !options.datagrams) && !stop; round++) {
		int with_templates = options.templates && now_ns() >= next_templates;

		if (with_templates)
			next_templates += options.templates * 1000000000LL;
		run_round(family, socks, round, with_templates, start, &sent);
	}

	if (options.report)
		write_report(family);
	free(counts.flows);
	counts.flows = NULL;
	counts.periods = 0;
	printf("%ld\n", sent);
}

/* With again=true, SIGUSR1 brings as many more */
static void run_exporters(int family, int port)
{
	int n = options.exporters * options.ports, *socks = calloc(n, sizeof(*socks)), asked;
	sigset_t requests;

	if (!socks)
		die("calloc");
	for (int i = 0; i < n; i++)
		socks[i] = open_socket(family, SOCK_DGRAM, port, i % options.exporters);
	sigemptyset(&requests);
	sigaddset(&requests, SIGUSR1);
	sigaddset(&requests, SIGTERM);
	if (options.again)
		sigprocmask(SIG_BLOCK, &requests, NULL);
	do
		run_flows(family, socks);
	while (options.again && !sigwait(&requests, &asked) && asked == SIGUSR1);
}

static void read_words(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: exporter PROTOCOL 4|6 PORT [KEY=VALUE...]\n");
		exit(2);
	}
	while (options.protocol < PROTOCOLS && strcmp(argv[1], protocols[options.protocol]))
		options.protocol++;
	if (options.protocol == PROTOCOLS) {
		fprintf(stderr, "exporter: unknown protocol %s\n", argv[1]);
		exit(2);
	}
	for (int i = 4; i < argc; i++)
		parse(argv[i]);
	if (options.rate < 1 || options.exporters < 1 || options.ports < 1 || options.train < 1 ||
	    options.train > 64) {
		fprintf(stderr,
			"exporter: rate, exporters and ports are at least 1, a train is 1 to 64\n");
		exit(2);
	}
	if (getenv("SLOWER") && atoi(getenv("SLOWER")) > 1)
		options.rate = options.rate / atoi(getenv("SLOWER")) + 1;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int family, port;

	read_words(argc, argv);
	family = atoi(argv[2]) == 4 ? AF_INET : AF_INET6;
	port = atoi(argv[3]);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGTERM, on_sigterm);
	if (has_sessions(options.protocol))
		run_sessions(family, port, options.exporters * options.ports);
	else
		run_exporters(family, port);

	return 0;
}
