// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* Numbers, addresses and prefixes: from the words of a command line or file, and back to text. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "reuseportctl.h"
#include "text.h"

int parse_number(const char *word, unsigned long min, unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(word, &end, 10);

	return word[0] >= '0' && word[0] <= '9' && !*end && !errno && *number >= min &&
	       *number <= max;
}

int parse_prefix(const char *word, struct rp_prefix *prefix)
{
	char ip[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(word, '/');
	size_t len = slash ? (size_t)(slash - word) : strlen(word);
	unsigned long bits;
	union rp_addr addr;
	struct in_addr v4;
	int is_v4;

	if (len >= sizeof(ip))
		return 0;
	memcpy(ip, word, len);
	ip[len] = '\0';
	is_v4 = inet_pton(AF_INET, ip, &v4) == 1;
	if (is_v4)
		rp_addr_v4(&addr, v4.s_addr);
	else if (inet_pton(AF_INET6, ip, &addr) != 1)
		return 0;

	bits = is_v4 ? 32 : 128;
	if (slash && !parse_number(slash + 1, 0, bits, &bits))
		return 0;
	prefix->bits = is_v4 ? 96 + bits : bits;
	memcpy(prefix->addr, addr.b, sizeof(prefix->addr));
	for (__u32 bit = prefix->bits; bit < 128; bit++)
		if (prefix->addr[bit / 8] & 0x80 >> bit % 8)
			return 0;

	return 1;
}

int parse_address(const char *word, union rp_addr *address)
{
	struct rp_prefix prefix;

	if (!parse_prefix(word, &prefix) || prefix.bits != 128)
		return 0;
	memcpy(address->b, prefix.addr, sizeof(prefix.addr));

	return 1;
}

int parse_socket_address(const char *address, const char *port, struct sockaddr_storage *to,
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

int is_v4_prefix(const struct rp_prefix *prefix)
{
	union rp_addr addr;

	memcpy(addr.b, prefix->addr, sizeof(addr.b));

	/* ::ffff:0:0/90 looks v4-mapped, but is larger than IPv4 */
	return prefix->bits >= 96 && rp_addr_is_v4(&addr);
}

void prefix_text(const struct rp_prefix *prefix, char *text, size_t len)
{
	int is_v4 = is_v4_prefix(prefix);
	union rp_addr addr;
	size_t used;

	memcpy(addr.b, prefix->addr, sizeof(addr.b));
	if (is_v4)
		rp_format_addr(&addr, text, len);
	else
		inet_ntop(AF_INET6, &addr, text, len);
	used = strlen(text);
	snprintf(text + used, len - used, "/%u", is_v4 ? prefix->bits - 96 : prefix->bits);
}

void endpoint_text(const __u8 addr[16], __u32 port, char *text, size_t len)
{
	char ip[INET6_ADDRSTRLEN];
	union rp_addr a;

	memcpy(a.b, addr, sizeof(a.b));
	rp_format_addr(&a, ip, sizeof(ip));
	snprintf(text, len, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
}

const char *spread_text(__u32 by)
{
	return by == RP_SPREAD_DOMAIN ? "domain" : by == RP_SPREAD_PORT ? "port" : NULL;
}

const char *protocol_text(int protocol)
{
	return protocol == IPPROTO_TCP ? "tcp" : "udp";
}
