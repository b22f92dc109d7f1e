// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* The datagrams of the mock exporter: one flow of one packet in each. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "exporter.h"

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

/* The one template that is used, the same in NetFlow v9 (RFC 3954) and IPFIX (RFC 7011), and that
 * of the sampling options */
#define TEMPLATE_ID	    256
#define OPTIONS_TEMPLATE_ID 257
#define UNUSED_TEMPLATE_ID  300

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

struct data_set {
	uint16_t set_id, set_length;
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint32_t packets, octets;
	uint8_t protocol;
	uint8_t sampler[8]; /* as long as the field is, if there is one; then padding */
	uint8_t padding[3];
} __attribute__((packed));

/* How an exporter says that it samples: fields of its options data, with length and value. The
   first one is in its flow records, too, if it is an id. */
struct sampling {
	const char *word;
	int has_id;
	struct {
		uint16_t type, length;
		uint32_t value;
	} fields[4];
};

static const struct sampling samplings[] = {
	{"sampler", 1, {{48, 4, 7}, {49, 1, 1}, {50, 4, SAMPLING_RATE}}},
	{"interval", 0, {{34, 4, SAMPLING_RATE}, {35, 1, 1}}},
	{"space", 0, {{305, 4, 1}, {306, 4, SAMPLING_RATE - 1}}},
	{"selector", 1, {{302, 8, 7}, {304, 2, 1}, {305, 4, 1}, {306, 4, SAMPLING_RATE - 1}}},
};

/* A set that grows */
struct set {
	uint8_t bytes[256];
	size_t size;
};

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

/* Datagrams of one size and one socket that are sent together */
static struct {
	char bytes[65000];
	size_t size, used;
} train;

/* A refusal of an earlier datagram (ICMP) shows up here: that one is lost, not this one */
static void send_message(int sock, const struct msghdr *message)
{
	if (sendmsg(sock, message, 0) < 0 &&
	    (errno != ECONNREFUSED || sendmsg(sock, message, 0) < 0))
		die("sendmsg");
}

void end_train(int sock)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(uint16_t))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(uint16_t)),
				.cmsg_level = SOL_UDP,
				.cmsg_type = UDP_SEGMENT}};
	struct iovec bytes = {train.bytes, train.used};
	struct msghdr message = {.msg_iov = &bytes,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	uint16_t size = train.size;

	if (!train.used)
		return;
	memcpy(CMSG_DATA(&control.header), &size, sizeof(size));
	send_message(sock, &message);
	train.used = 0;
}

static void transmit(int sock, const void *datagram, size_t size)
{
	struct iovec bytes = {(void *)datagram, size};

	if (options.train == 1 || !size) {
		send_message(sock, &(struct msghdr){.msg_iov = &bytes, .msg_iovlen = 1});
		return;
	}
	if (size != train.size || train.used + size > sizeof(train.bytes))
		end_train(sock);
	train.size = size;
	memcpy(train.bytes + train.used, datagram, size);
	train.used += size;
}

void send_junk(int sock, long sent)
{
	static const size_t sizes[] = {0, 1, 3, 23, 47, 71, 4000, 60000};
	static char zeroes[60000];

	*(struct netflow5 *)zeroes = (struct netflow5){.version = htons(5), .count = htons(1)};
	if (sizes[sent % 8] > 1000)
		memset(zeroes, 0, sizeof(struct netflow5));
	transmit(sock, zeroes, sizes[sent % 8]);
}

static void send_netflow5(int sock, uint32_t sequence, int period)
{
	struct netflow5 d = {.version = htons(5), .count = htons(1)};

	d.seconds = htonl(time(NULL));
	d.sequence = htonl(sequence);
	if (options.sampling != SAMPLING_NONE)
		d.sampling = htons(1 << 14 | SAMPLING_RATE);
	d.flow.source = htonl(0xc0000201);
	d.flow.destination = htonl(0xc6336401);
	d.flow.destination_port = htons(period);
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

#define KINDS ((int)(sizeof(samplings) / sizeof(samplings[0])))

int find_sampling(const char *word)
{
	options.sampling = SAMPLING_MIXED;
	if (!strcmp(word, "mixed"))
		return 1;
	for (options.sampling = 0; options.sampling < KINDS; options.sampling++)
		if (!strcmp(samplings[options.sampling].word, word))
			return 1;

	return 0;
}

/* Returns how exporter i says that it samples, or NULL. All protocols of mixed exporters have all
 * kinds. */
static const struct sampling *sampling_of(int i)
{
	if (options.sampling == SAMPLING_NONE)
		return NULL;

	return &samplings[options.sampling == SAMPLING_MIXED ? i / 3 % KINDS : options.sampling];
}

static void put(struct set *set, uint32_t value, size_t length)
{
	while (length--)
		set->bytes[set->size++] = length < 4 ? value >> 8 * length : 0;
}

/* With its id and its length, padded */
static void send_grown_set(int sock, enum protocol p, uint32_t sequence, struct set *set,
			   uint16_t id)
{
	struct set whole = {.size = 0};

	put(&whole, id, 2);
	put(&whole, (4 + set->size + 3) / 4 * 4, 2);
	memcpy(whole.bytes + 4, set->bytes, set->size);
	send_set(sock, p, sequence, whole.bytes, (4 + set->size + 3) / 4 * 4);
}

static void define(int sock, enum protocol p, int id, const struct sampling *sampling,
		   uint32_t sequence)
{
	struct set set = {.size = 0};

	put(&set, id, 2);
	put(&set, FIELDS + (sampling && sampling->has_id), 2);
	for (size_t field = 0; field < FIELDS; field++) {
		put(&set, fields[field][0], 2);
		put(&set, fields[field][1], 2);
	}
	if (sampling && sampling->has_id) {
		put(&set, sampling->fields[0].type, 2);
		put(&set, sampling->fields[0].length, 2);
	}
	send_grown_set(sock, p, sequence, &set, p == NETFLOW9 ? 0 : 2);
}

void send_template(int sock, enum protocol p, int i, uint32_t sequence)
{
	define(sock, p, TEMPLATE_ID, sampling_of(i), sequence);
	for (int more = 1; more < options.definitions; more++)
		define(sock, p, UNUSED_TEMPLATE_ID + more, NULL, sequence);
}

/* The scope: of NetFlow v9 the system, of IPFIX the metering process; both of 4 bytes */
static void send_options_template(int sock, enum protocol p, const struct sampling *sampling,
				  uint32_t sequence)
{
	struct set set = {.size = 0};
	int n = 0;

	while (n < 4 && sampling->fields[n].type)
		n++;
	put(&set, OPTIONS_TEMPLATE_ID, 2);
	put(&set, p == NETFLOW9 ? 4 : 1 + n, 2);
	put(&set, p == NETFLOW9 ? 4 * n : 1, 2);
	put(&set, p == NETFLOW9 ? 1 : 143, 2);
	put(&set, 4, 2);
	for (int i = 0; i < n; i++) {
		put(&set, sampling->fields[i].type, 2);
		put(&set, sampling->fields[i].length, 2);
	}
	send_grown_set(sock, p, sequence, &set, p == NETFLOW9 ? 1 : 3);
}

void send_options(int sock, enum protocol p, int i, uint32_t sequence)
{
	const struct sampling *sampling = sampling_of(i);
	struct set set = {.size = 0};

	send_options_template(sock, p, sampling, sequence);
	put(&set, 0x0a000001, 4);
	for (int field = 0; field < 4 && sampling->fields[field].type; field++)
		put(&set, sampling->fields[field].value, sampling->fields[field].length);
	send_grown_set(sock, p, sequence, &set, OPTIONS_TEMPLATE_ID);
}

static void send_data(int sock, enum protocol p, int i, uint32_t sequence, int period)
{
	const struct sampling *sampling = sampling_of(i);
	int id_length = sampling && sampling->has_id ? sampling->fields[0].length : 0;
	size_t size = sizeof(struct data_set) - 8 + id_length;
	struct data_set d = {.set_id = htons(TEMPLATE_ID),
			     .set_length = htons(size),
			     .source = htonl(0xc0000201),
			     .destination = htonl(0xc6336401),
			     .destination_port = htons(period),
			     .packets = htonl(1),
			     .octets = htonl(100),
			     .protocol = IPPROTO_UDP};

	if (id_length)
		d.sampler[id_length - 1] = sampling->fields[0].value;
	send_set(sock, p, sequence, &d, size);
}

static void send_sflow(int sock, int family, int exporter, uint32_t sequence, int period)
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
	d.header.destination_port = htons(period);
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

static void send_telemetry(int sock, int period)
{
	char d[64];

	transmit(sock, d, snprintf(d, sizeof(d), "{\"period\": %d}", period));
}

void send_flow(int sock, enum protocol p, int family, int i, uint32_t sequence, int period)
{
	if (p == NETFLOW5)
		send_netflow5(sock, sequence, period);
	else if (p == SFLOW)
		send_sflow(sock, family, i, sequence, period);
	else if (p == TELEMETRY)
		send_telemetry(sock, period);
	else
		send_data(sock, p, i, sequence, period);
}
