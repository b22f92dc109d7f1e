// SPDX-License-Identifier: GPL-2.0-or-later
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
 *   ports=N      source ports, or sessions, of each (5)
 *   datagrams=N  from each port (4); 0: until SIGTERM
 *   rate=N       datagrams a second in all (20000); SLOWER in the environment divides it
 *   again=true   flows: when all are sent, SIGUSR1 brings as many more, from the same ports;
 *                until SIGTERM
 *   templates=N  seconds between two templates of an exporter (30), the first of which comes first;
 *                0: never
 *   slot=MS      the flows' destination port counts these since the start; 0, as usual: it does not
 *   first=N      where it begins (0)
 *   report=FILE  what was sent, a line "address protocol slot flows" for each exporter and slot
 *   keepalive=N  seconds without a word after which a session asks whether its peer is still there,
 *                and again, once a second, three times; 0, as usual: never
 *   junk=true    netflow5 only: datagrams that are none instead: empty, truncated, or all zeroes
 *
 * Prints how many flows it sent, when it is done or gets SIGTERM; junk counts as such. With
 * sessions, it prints "N sessions" once all are up, and keeps them: whichever ends, it connects
 * again, as a router does, and prints "all again" once all are up. On SIGTERM it prints how many
 * had ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
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

/* The one template that is used, the same in NetFlow v9 (RFC 3954) and IPFIX (RFC 7011) */
#define TEMPLATE_ID 256

static const uint16_t fields[][2] = {
	{8, 4},	 /* source address */
	{12, 4}, /* destination address */
	{7, 2},	 /* source port */
	{11, 2}, /* destination port */
	{2, 4},	 /* packets */
	{1, 4},	 /* octets */
	{4, 1},	 /* protocol */
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

struct netflow9 {
	uint16_t version, count;
	uint32_t uptime_ms, seconds, sequence, source_id;
} __attribute__((packed));

struct ipfix {
	uint16_t version, length;
	uint32_t seconds, sequence, domain;
} __attribute__((packed));

struct template_set {
	uint16_t set_id, set_length, template_id, field_count, field[FIELDS][2];
} __attribute__((packed));

struct data_set {
	uint16_t set_id, set_length;
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint32_t packets, octets;
	uint8_t protocol, padding[3];
} __attribute__((packed));

/* sFlow version 5 (sflow.org): a flow sample whose one record is the header of a frame */
struct sflow {
	uint32_t version, agent_type;
	uint8_t agent[16];
	uint32_t sub_agent, sequence, uptime_ms, samples;
	uint32_t sample_type, sample_length;
	uint32_t sample_sequence, source_id, rate, pool, drops, input, output, records;
	uint32_t record_type, record_length;
	uint32_t header_protocol, frame_length, stripped, header_length;
	struct {
		uint8_t mac[12];
		uint16_t ethertype;
		uint8_t version, tos;
		uint16_t length, id, fragment;
		uint8_t ttl, protocol;
		uint16_t checksum;
		uint32_t source, destination;
		uint16_t source_port, destination_port, udp_length, udp_checksum;
		uint16_t padding;
	} __attribute__((packed)) header;
} __attribute__((packed));

enum protocol {
	NETFLOW5,
	NETFLOW9,
	IPFIX,
	MIXED,
	SFLOW,
	TELEMETRY,
	/* with sessions */
	BMP,
	BMP_ROUTE,
	BGP,
	TELEMETRY_TCP,
	PROTOCOLS
};
static const char *const protocols[PROTOCOLS] = {"netflow5", "netflow9",     "ipfix", "mixed",
						 "sflow",    "telemetry",    "bmp",   "bmp_route",
						 "bgp",	     "telemetry_tcp"};

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

static volatile sig_atomic_t stop;
static int exporters = 200, ports = 5, datagrams = 4, rate = 20000, templates = 30, slot_ms, junk;
static int keepalive, first_slot, again;
static const char *report, *collector;
static enum protocol protocol;

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
	static const struct {
		const char *key;
		int *value;
	} numbers[] = {{"exporters", &exporters}, {"ports", &ports},
		       {"datagrams", &datagrams}, {"rate", &rate},
		       {"templates", &templates}, {"slot", &slot_ms},
		       {"first", &first_slot},	  {"keepalive", &keepalive}};
	const char *value = strchr(word, '=');
	size_t key = value ? value - word : 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (key && strlen(numbers[i].key) == key && !strncmp(word, numbers[i].key, key)) {
			*numbers[i].value = atoi(value + 1);
			return;
		}
	if (key == 6 && !strncmp(word, "report", key))
		report = value + 1;
	else if (key == 2 && !strncmp(word, "to", key))
		collector = value + 1;
	else if (!strcmp(word, "junk=true"))
		junk = 1;
	else if (!strcmp(word, "again=true"))
		again = 1;
	else {
		fprintf(stderr, "exporter: unknown word %s\n", word);
		exit(2);
	}
}

static enum protocol protocol_of(int exporter)
{
	return protocol == MIXED ? (enum protocol)(exporter % 3) : protocol;
}

/* That of a session, which would not notice otherwise that its collector is gone, or another one */
static void ask_after_peer(int sock)
{
	int every = 1, times = 3;

	if (setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &every, sizeof(every)) ||
	    setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive, sizeof(keepalive)) ||
	    setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every)) ||
	    setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times)))
		die("SO_KEEPALIVE");
}

/* A socket of exporter i, connected to the collector */
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
	if (collector && inet_pton(family, collector,
				   four ? (void *)&to4.sin_addr : (void *)&to6.sin6_addr) != 1) {
		fprintf(stderr, "exporter: no IPv%d address: %s\n", four ? 4 : 6, collector);
		exit(2);
	}

	if (sock < 0)
		die("socket");
	if (type & SOCK_NONBLOCK && keepalive)
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

static long long now_ns(void)
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

/* A refusal of an earlier datagram (ICMP) shows up here: that one is lost, not this one */
static void transmit(int sock, const void *datagram, size_t size)
{
	if (send(sock, datagram, size, 0) < 0 &&
	    (errno != ECONNREFUSED || send(sock, datagram, size, 0) < 0))
		die("send");
}

static void send_junk(int sock, long sent)
{
	static const size_t sizes[] = {0, 1, 3, 23, 47, 71, 4000, 60000};
	static char zeroes[60000];

	*(struct netflow5 *)zeroes = (struct netflow5){.version = htons(5), .count = htons(1)};
	if (sizes[sent % 8] > 1000)
		memset(zeroes, 0, sizeof(struct netflow5));
	transmit(sock, zeroes, sizes[sent % 8]);
}

static void send_netflow5(int sock, uint32_t sequence, int slot)
{
	struct netflow5 d = {.version = htons(5), .count = htons(1)};

	d.seconds = htonl(time(NULL));
	d.sequence = htonl(sequence);
	d.flow.source = htonl(0xc0000201);
	d.flow.destination = htonl(0xc6336401);
	d.flow.destination_port = htons(slot);
	d.flow.packets = htonl(1);
	d.flow.bytes = htonl(100);
	d.flow.protocol = IPPROTO_UDP;
	transmit(sock, &d, sizeof(d));
}

/* One set, under the header of either protocol */
static void send_set(int sock, enum protocol p, uint32_t sequence, const void *set, size_t size)
{
	struct netflow9 v9 = {.version = htons(9),
			      .count = htons(1),
			      .seconds = htonl(time(NULL)),
			      .sequence = htonl(sequence)};
	struct ipfix ipfix = {.version = htons(10),
			      .length = htons(sizeof(ipfix) + size),
			      .seconds = htonl(time(NULL)),
			      .sequence = htonl(sequence)};
	size_t header = p == NETFLOW9 ? sizeof(v9) : sizeof(ipfix);
	char d[256];

	memcpy(d, p == NETFLOW9 ? (void *)&v9 : (void *)&ipfix, header);
	memcpy(d + header, set, size);
	transmit(sock, d, header + size);
}

static void send_template(int sock, enum protocol p, uint32_t sequence)
{
	struct template_set t = {.set_id = htons(p == NETFLOW9 ? 0 : 2),
				 .set_length = htons(sizeof(t)),
				 .template_id = htons(TEMPLATE_ID),
				 .field_count = htons(FIELDS)};

	for (size_t i = 0; i < FIELDS; i++)
		for (int j = 0; j < 2; j++)
			t.field[i][j] = htons(fields[i][j]);
	send_set(sock, p, sequence, &t, sizeof(t));
}

static void send_data(int sock, enum protocol p, uint32_t sequence, int slot)
{
	struct data_set d = {.set_id = htons(TEMPLATE_ID),
			     .set_length = htons(sizeof(d)),
			     .source = htonl(0xc0000201),
			     .destination = htonl(0xc6336401),
			     .destination_port = htons(slot),
			     .packets = htonl(1),
			     .octets = htonl(100),
			     .protocol = IPPROTO_UDP};

	send_set(sock, p, sequence, &d, sizeof(d));
}

static void send_sflow(int sock, int family, int exporter, uint32_t sequence, int slot)
{
	struct sflow d = {
		.version = htonl(5),
		.agent_type = htonl(family == AF_INET ? 1 : 2),
		.sequence = htonl(sequence),
		.samples = htonl(1),
		.sample_type = htonl(1),
		.sample_length = htonl(sizeof(d) - offsetof(struct sflow, sample_sequence)),
		.sample_sequence = htonl(sequence),
		.rate = htonl(1),
		.records = htonl(1),
		.record_type = htonl(1),
		.record_length = htonl(sizeof(d) - offsetof(struct sflow, header_protocol)),
		.header_protocol = htonl(1),
		.frame_length = htonl(100),
		.header_length = htonl(sizeof(d.header) - sizeof(d.header.padding)),
	};

	d.header.ethertype = htons(0x0800);
	d.header.version = 0x45;
	d.header.length = htons(86);
	d.header.ttl = 64;
	d.header.protocol = IPPROTO_UDP;
	d.header.source = htonl(0xc0000201);
	d.header.destination = htonl(0xc6336401);
	d.header.destination_port = htons(slot);
	d.header.udp_length = htons(66);
	if (family == AF_INET6) {
		inet_pton(AF_INET6, "2001:db8::", d.agent);
		memcpy(d.agent + 12, &(uint32_t){htonl(exporter + 1)}, 4);
		transmit(sock, &d, sizeof(d));
		return;
	}
	/* the address has 4 bytes only: what follows moves up */
	memcpy(d.agent, &(uint32_t){htonl(0x0a000001 + exporter)}, 4);
	memmove(d.agent + 4, &d.sub_agent, sizeof(d) - offsetof(struct sflow, sub_agent));
	transmit(sock, &d, sizeof(d) - 12);
}

static void send_telemetry(int sock, int slot)
{
	char d[64];

	transmit(sock, d, snprintf(d, sizeof(d), "{\"slot\": %d}", slot));
}

static void write_report(int family, const unsigned *flows, int slots)
{
	FILE *file = fopen(report, "w");
	char address[32];

	if (!file)
		die(report);
	for (int i = 0; i < exporters; i++) {
		if (family == AF_INET)
			snprintf(address, sizeof(address), "10.0.%d.%d", (i + 1) >> 8,
				 (i + 1) & 255);
		else
			snprintf(address, sizeof(address), "2001:db8::%x", i + 1);
		for (int slot = 0; slot < slots; slot++)
			if (flows[slot * exporters + i])
				fprintf(file, "%s %s %d %u\n", address, protocols[protocol_of(i)],
					slot, flows[slot * exporters + i]);
	}
	if (fclose(file))
		die(report);
}

static void run_flows(int family, const int *socks)
{
	long long start = now_ns(), next_templates = start, now = start;
	unsigned *flows = NULL; /* by slot and exporter */
	int slots = 0, slot = first_slot;
	long sent = 0;

	for (long round = 0; (round < datagrams || !datagrams) && !stop; round++) {
		int templates_due = templates && now >= next_templates;

		if (templates_due)
			next_templates += templates * 1000000000LL;
		for (int i = 0; i < exporters * ports; i++) {
			enum protocol p = protocol_of(i % exporters);

			if (templates_due && (p == NETFLOW9 || p == IPFIX) && i < exporters)
				send_template(socks[i], p, round);
			if (slot_ms)
				slot = first_slot + (now - start) / 1000000 / slot_ms;
			if (slot >= slots) {
				flows = realloc(flows, (slot + 100) * exporters * sizeof(*flows));
				if (!flows)
					die("realloc");
				memset(flows + slots * exporters, 0,
				       (slot + 100 - slots) * exporters * sizeof(*flows));
				slots = slot + 100;
			}

			if (junk)
				send_junk(socks[i], sent);
			else if (p == NETFLOW5)
				send_netflow5(socks[i], round, slot);
			else if (p == SFLOW)
				send_sflow(socks[i], family, i % exporters, round, slot);
			else if (p == TELEMETRY)
				send_telemetry(socks[i], slot);
			else
				send_data(socks[i], p, round, slot);
			flows[slot * exporters + i % exporters]++;
			if (++sent % 20 == 0)
				sleep_until(start + sent * 1000000000LL / rate);
			now = now_ns();
		}
	}

	if (report)
		write_report(family, flows, slots);
	free(flows);
	printf("%ld\n", sent);
}

/* ---- sessions ---- */

static int say_hello(int sock, int family, int session)
{
	size_t size = sessions_say[protocol].size;
	uint8_t hello[512];

	memcpy(bmp_route.as, &(uint16_t){htons(64512 + session % exporters)}, 2);
	memcpy(hello, sessions_say[protocol].hello, size);
	/* each has a BGP identifier of its own */
	if (protocol == BGP)
		memcpy(hello + 24, &(uint32_t){htonl((family << 24) + session)}, 4);

	return send(sock, hello, size, MSG_NOSIGNAL) > 0;
}

/* Everybody connects, and again after half a second whenever a session has ended */
static void run_sessions(int family, int port, int n)
{
	struct pollfd *sessions = calloc(n, sizeof(*sessions));
	long long *retry = calloc(n, sizeof(*retry));
	int up = 0, all = 0, ended = 0, error;
	socklen_t len = sizeof(error);
	char drop[512];

	if (!sessions || !retry)
		die("calloc");
	for (int i = 0; i < n; i++)
		sessions[i].fd = -1;

	while (!stop) {
		for (int i = 0; i < n; i++) {
			if (sessions[i].fd >= 0 || now_ns() < retry[i])
				continue;
			sessions[i].fd = open_socket(family, SOCK_STREAM | SOCK_NONBLOCK, port,
						     i % exporters);
			sessions[i].events = POLLOUT;
		}
		poll(sessions, n, 100);
		for (int i = 0; i < n; i++) {
			struct pollfd *s = &sessions[i];
			int was_up = s->events == POLLIN;

			if (s->fd < 0 || !s->revents)
				continue;
			if (s->revents & POLLOUT && !was_up &&
			    !getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) && !error &&
			    say_hello(s->fd, family, i)) {
				s->events = POLLIN;
				up++;
				continue;
			}
			if (was_up && !(s->revents & (POLLERR | POLLHUP)) &&
			    recv(s->fd, drop, sizeof(drop), 0) > 0)
				continue;
			close(s->fd);
			s->fd = -1;
			retry[i] = now_ns() + 500 * 1000000LL;
			if (was_up) {
				up--;
				ended++;
			}
		}
		if (up == n && !all) {
			if (ended)
				printf("all again\n");
			else
				printf("%d sessions\n", n);
			fflush(stdout);
		}
		all = up == n;
	}
	printf("%d ended\n", ended);
	free(sessions);
	free(retry);
}

int main(int argc, char **argv)
{
	int family, port, n, *socks, asked;
	struct rlimit files;
	sigset_t requests;

	if (argc < 4) {
		fprintf(stderr, "usage: exporter PROTOCOL 4|6 PORT [KEY=VALUE...]\n");
		return 2;
	}
	for (protocol = 0; protocol < PROTOCOLS && strcmp(argv[1], protocols[protocol]);)
		protocol++;
	if (protocol == PROTOCOLS) {
		fprintf(stderr, "exporter: unknown protocol %s\n", argv[1]);
		return 2;
	}
	family = atoi(argv[2]) == 4 ? AF_INET : AF_INET6;
	port = atoi(argv[3]);
	for (int i = 4; i < argc; i++)
		parse(argv[i]);
	if (getenv("SLOWER") && atoi(getenv("SLOWER")) > 1)
		rate = rate / atoi(getenv("SLOWER")) + 1;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGTERM, on_sigterm);

	n = exporters * ports;
	if (sessions_say[protocol].hello) {
		run_sessions(family, port, n);
		return 0;
	}
	socks = calloc(n, sizeof(*socks));
	if (!socks)
		die("calloc");
	for (int i = 0; i < n; i++)
		socks[i] = open_socket(family, SOCK_DGRAM, port, i % exporters);
	sigemptyset(&requests);
	sigaddset(&requests, SIGUSR1);
	sigaddset(&requests, SIGTERM);
	if (again)
		sigprocmask(SIG_BLOCK, &requests, NULL);
	do
		run_flows(family, socks);
	while (again && !sigwait(&requests, &asked) && asked == SIGUSR1);

	return 0;
}
