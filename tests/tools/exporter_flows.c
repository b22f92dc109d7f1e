// SPDX-License-Identifier: GPL-2.0-or-later
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

void send_template(int sock, enum protocol p, uint32_t sequence)
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

static void send_data(int sock, enum protocol p, uint32_t sequence, int period)
{
	struct data_set d = {.set_id = htons(TEMPLATE_ID),
			     .set_length = htons(sizeof(d)),
			     .source = htonl(0xc0000201),
			     .destination = htonl(0xc6336401),
			     .destination_port = htons(period),
			     .packets = htonl(1),
			     .octets = htonl(100),
			     .protocol = IPPROTO_UDP};

	send_set(sock, p, sequence, &d, sizeof(d));
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
		send_data(sock, p, sequence, period);
}
