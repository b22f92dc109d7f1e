/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* Numbers, addresses and prefixes: from the words of a command line or file, and back to text. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <sys/socket.h>
#include "group.h"

/* A whole decimal number from min to max. Returns 0 if the word is something else. */
int parse_number(const char *word, unsigned long min, unsigned long max, unsigned long *number);

/* "ADDRESS" or "ADDRESS/LENGTH", IPv4 as v4-mapped. Returns 0 if the word is something else, or has
 * bits set beyond its length. */
int parse_prefix(const char *word, struct rp_prefix *prefix);

/* An IP address, IPv4 as v4-mapped. Returns 0 if the word is something else. */
int parse_address(const char *word, union rp_addr *address);

/* An IP address and a port; address NULL: "::". Returns DONE, or reports the error and returns
 * NOT_UNDERSTOOD. */
int parse_socket_address(const char *address, const char *port, struct sockaddr_storage *to,
			 socklen_t *len);

/* Whether all of its addresses are IPv4, as v4-mapped ones */
int is_v4_prefix(const struct rp_prefix *prefix);

/* "192.0.2.0/24" */
void prefix_text(const struct rp_prefix *prefix, char *text, size_t len);

/* "192.0.2.1:2100" or "[2001:db8::1]:2100" */
void endpoint_text(const __u8 addr[16], __u32 port, char *text, size_t len);

/* "domain" or "port"; NULL: the number is neither */
const char *spread_text(__u32 by);

/* "tcp" or "udp" */
const char *protocol_text(int protocol);

#endif
