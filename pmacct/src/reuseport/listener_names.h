/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The names and transports of all listeners that the daemons may have: the one table of them.
 *
 * Free of pmacct's headers, so that reuseportctl uses the same table.
 */
#ifndef REUSEPORT_LISTENER_NAMES_H
#define REUSEPORT_LISTENER_NAMES_H

/* Each listener has a socket array of its own, because the kernel selects among the sockets of one port only. */
enum reuseport_listener {
  REUSEPORT_NFACCTD,
  REUSEPORT_TEMPLATES, /* nfacctd_templates_port */
  REUSEPORT_DTLS,      /* nfacctd_dtls_port */
  REUSEPORT_SFACCTD,
  REUSEPORT_BGP,
  REUSEPORT_BMP,
  REUSEPORT_TELEMETRY_TCP,
  REUSEPORT_TELEMETRY_UDP,
  REUSEPORT_LISTENERS,
};

struct reuseport_listener_name {
  const char *name; /* the directory of its pins, in log lines, and on reuseportctl's command line */
  int protocol;     /* IPPROTO_UDP or IPPROTO_TCP */
};

/* By enum reuseport_listener. */
extern const struct reuseport_listener_name reuseport_listener_names[REUSEPORT_LISTENERS];

/* Finds a listener by its name. Returns: its entry in the table, or NULL. */
extern const struct reuseport_listener_name *reuseport_find_listener_name(const char *name);

#endif
