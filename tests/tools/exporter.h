/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/* What the parts of the mock exporter share: see exporter.c. */
#ifndef EXPORTER_H
#define EXPORTER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>

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

/* The words of the command line, see exporter.c for their meaning */
extern struct options {
	enum protocol protocol;
	const char *report, *collector;
	int exporters, ports, datagrams, rate, templates, period_ms, first_period;
	int keepalive, junk, again, zipf, train, definitions, address;
	int sampling; /* which kind, or one of the next two */
} options;

#define SAMPLING_NONE  -1
#define SAMPLING_MIXED -2
#define SAMPLING_RATE  1000 /* packets for which one is counted */

extern volatile sig_atomic_t stop; /* set by SIGTERM */

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A socket of exporter i, connected to the collector */
int open_socket(int family, int type, int port, int i);

/* CLOCK_MONOTONIC */
long long now_ns(void);

/* ---- exporter_flows.c ---- */

/* One datagram with one flow of that period, by exporter i. p: not MIXED */
void send_flow(int sock, enum protocol p, int family, int i, uint32_t sequence, int period);

/* The templates of exporter i, for NetFlow v9 or IPFIX */
void send_template(int sock, enum protocol p, int i, uint32_t sequence);

/* What exporter i says of its sampling, in options data: their template, and the data */
void send_options(int sock, enum protocol p, int i, uint32_t sequence);

/* Sets options.sampling. Returns whether there is one of that name. */
int find_sampling(const char *word);

/* A datagram that is no NetFlow v5; another kind each time */
void send_junk(int sock, long sent);

/* Sends what waits for its train to be complete. To be called before another socket is used. */
void end_train(int sock);

/* ---- exporter_sessions.c ---- */

/* Whether that protocol has sessions */
int has_sessions(enum protocol p);

/* Keeps n sessions up until SIGTERM */
void run_sessions(int family, int port, int n);

#endif
