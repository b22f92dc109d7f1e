// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The companion: shows a group of instances, steers it, and demonstrates one. Here is its command
 * line; what the commands do is in status.c, steer.c and pair.c, and what a group is in group.c,
 * which the daemons share.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include "reuseportctl.h"

static const char help[] =
	"usage: reuseportctl [OPTION...] COMMAND [ARGUMENT...]\n"
	"\n"
	"See:\n"
	"  status              each listener and bucket: who has it, what it gets, what is wrong\n"
	"  where ADDRESS...    the bucket and the live instance of each exporter; -: from stdin\n"
	"  pins                the overrides, a line PREFIX BUCKET each\n"
	"\n"
	"Steer, while it runs:\n"
	"  pin PREFIX BUCKET   these exporters go to that bucket, at once\n"
	"  unpin PREFIX        they go by the hash again\n"
	"  pins --load FILE    the overrides are those of FILE, and no others; all or nothing\n"
	"  resize N            N buckets. To grow: resize, then start the new instances with\n"
	"                      reuseport_hashbucket_count: N. To shrink: stop the instances\n"
	"                      beyond, then resize. Change the others' configs before they\n"
	"                      start again. With failover on nobody loses a datagram.\n"
	"  failover on|off     whether live instances stand in for an empty bucket\n"
	"  reset               removes what a group has left behind; not while it is live\n"
	"  load LISTENER...    pins selector and maps, for daemons that have no CAP_BPF: nfacctd,\n"
	"                      nfacctd_templates, nfacctd_dtls, sfacctd, bgp, bmp, telemetry_tcp,\n"
	"                      telemetry_udp\n"
	"\n"
	"Try it:\n"
	"  listen [ADDRESS] PORT    joins a group, all its buckets or --index, on any port, and\n"
	"                           prints who arrives at which\n"
	"  connect ADDRESS PORT     connects, or sends, from many addresses, and prints what\n"
	"                           became of each\n"
	"\n"
	"  -p, --pin-path DIR  the group's reuseport_pin_path (" RP_DEFAULT_PIN_PATH "); or where\n"
	"                      pmacct's own nfacctd_rp_ebpf_prog has pinned the maps of our "
	"object:\n"
	"                      /sys/fs/bpf/pmacct/CLUSTER_NAME/nfacctd\n"
	"  -l, --listener NAME only this one: nfacctd, bmp, ... (status, where)\n"
	"      --json          for programs (status, where)\n"
	"      --openmetrics   for Prometheus (status)\n"
	"      --watch[=N]     again every N seconds (2), with what came in between (status)\n"
	"      --load FILE     reads FILE; -: stdin (pins, where)\n"
	"      --prog FILE     the selector (load, listen), " RP_PROG " of reuseport.o\n"
	"      --count N       buckets (listen; 4), if nobody is live yet\n"
	"      --index N       only this bucket (listen)\n"
	"      --plain         without selector: the kernel scatters by port (listen)\n"
	"      --tcp, --udp    only that (listen, connect)\n"
	"      --from PREFIX   source addresses (connect; 127.0.0.0/8 or none)\n"
	"      --exporters N   how many of them (connect; 20)\n"
	"      --ports N       source ports of each (connect; 3)\n"
	"  -h, --help          this text\n"
	"\n"
	"Exit status: 0 done; 1 refused or failed, with one line that says why; 2 not understood;\n"
	"3 done, and something is marked: status, where, connect.\n";

int report_error(int status, const char *format, ...)
{
	va_list args;

	fputs("reuseportctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(status == NOT_UNDERSTOOD ? "; see 'reuseportctl --help'\n" : "\n", stderr);

	return status;
}

int parse_number(const char *word, unsigned long min, unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(word, &end, 10);

	return word[0] >= '0' && word[0] <= '9' && !*end && !errno && *number >= min &&
	       *number <= max;
}

/* ---- addresses ---- */

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

void addr_text(const union rp_addr *addr, char *text, size_t len)
{
	union rp_addr v4;

	memcpy(&v4, addr, sizeof(v4));
	rp_addr_v4(&v4, addr->w[3]);
	if (!memcmp(&v4, addr, sizeof(v4)))
		inet_ntop(AF_INET, &addr->w[3], text, len);
	else
		inet_ntop(AF_INET6, addr, text, len);
}

void prefix_text(const struct rp_prefix *prefix, char *text, size_t len)
{
	union rp_addr addr;
	size_t used;
	int is_v4;

	memcpy(addr.b, prefix->addr, sizeof(addr.b));
	addr_text(&addr, text, len);
	is_v4 = prefix->bits >= 96 && !strchr(text, ':');
	/* ::ffff:0:0/90 and the like */
	if (!is_v4)
		inet_ntop(AF_INET6, &addr, text, len);
	used = strlen(text);
	snprintf(text + used, len - used, "/%u", is_v4 ? prefix->bits - 96 : prefix->bits);
}

/* ---- the command line ---- */

enum option_id {
	PIN_PATH = 'p',
	LISTENER = 'l',
	HELP = 'h',
	JSON = 256,
	OPENMETRICS,
	WATCH,
	LOAD,
	PROG,
	COUNT,
	INDEX,
	PLAIN,
	TCP,
	UDP,
	FROM,
	EXPORTERS,
	PORTS,
};

static const struct option long_options[] = {{"pin-path", required_argument, NULL, PIN_PATH},
					     {"listener", required_argument, NULL, LISTENER},
					     {"help", no_argument, NULL, HELP},
					     {"json", no_argument, NULL, JSON},
					     {"openmetrics", no_argument, NULL, OPENMETRICS},
					     {"watch", optional_argument, NULL, WATCH},
					     {"load", required_argument, NULL, LOAD},
					     {"prog", required_argument, NULL, PROG},
					     {"count", required_argument, NULL, COUNT},
					     {"index", required_argument, NULL, INDEX},
					     {"plain", no_argument, NULL, PLAIN},
					     {"tcp", no_argument, NULL, TCP},
					     {"udp", no_argument, NULL, UDP},
					     {"from", required_argument, NULL, FROM},
					     {"exporters", required_argument, NULL, EXPORTERS},
					     {"ports", required_argument, NULL, PORTS},
					     {}};

#define MANY 1000000 /* arguments */

/* Which options a command takes, beside -p and -h */
struct command {
	const char *name;
	int min, max; /* arguments */
	const enum option_id options[12];
};

static const struct command commands[] = {{"status", 0, 0, {LISTENER, JSON, OPENMETRICS, WATCH}},
					  {"where", 0, MANY, {LISTENER, JSON, LOAD}},
					  {"pins", 0, 0, {LOAD}},
					  {"pin", 2, 2, {}},
					  {"unpin", 1, 1, {}},
					  {"resize", 1, 1, {}},
					  {"failover", 1, 1, {}},
					  {"reset", 0, 0, {}},
					  {"load", 1, MANY, {PROG}},
					  {"listen", 1, 2, {PROG, COUNT, INDEX, PLAIN, TCP, UDP}},
					  {"connect", 2, 2, {FROM, EXPORTERS, PORTS, TCP, UDP}},
					  {}};

static unsigned long number_or_exit(const char *option, unsigned long min, unsigned long max)
{
	unsigned long number;

	if (!parse_number(optarg, min, max, &number))
		exit(report_error(NOT_UNDERSTOOD, "--%s takes a number from %lu to %lu, not '%s'",
				  option, min, max, optarg));

	return number;
}

static void take_option(struct options *o, int option, const char *name)
{
	switch (option) {
	case PIN_PATH:
		o->config.pin_path = optarg;
		break;
	case LISTENER:
		o->listener = optarg;
		break;
	case JSON:
		o->json = 1;
		break;
	case OPENMETRICS:
		o->openmetrics = 1;
		break;
	case WATCH:
		o->watch = optarg ? number_or_exit(name, 1, 86400) : 2;
		break;
	case LOAD:
		o->load = optarg;
		break;
	case PROG:
		o->config.prog = optarg;
		break;
	case COUNT:
		o->config.count = number_or_exit(name, 1, RP_MAX_BUCKETS);
		break;
	case INDEX:
		o->config.index = number_or_exit(name, 0, RP_MAX_BUCKETS - 1);
		o->has_index = 1;
		break;
	case PLAIN:
		o->plain = 1;
		break;
	case TCP:
		o->protocol = IPPROTO_TCP;
		break;
	case UDP:
		o->protocol = IPPROTO_UDP;
		break;
	case FROM:
		o->from = optarg;
		break;
	case EXPORTERS:
		o->exporters = number_or_exit(name, 1, 1000000);
		break;
	case PORTS:
		o->ports = number_or_exit(name, 1, 1000);
		break;
	}
}

static const struct command *find_command(const char *name)
{
	const struct command *command = commands;

	while (command->name && strcmp(command->name, name))
		command++;

	return command->name ? command : NULL;
}

static int takes_option(const struct command *command, int option)
{
	for (int i = 0; command->options[i]; i++)
		if ((int)command->options[i] == option)
			return 1;

	return option == PIN_PATH;
}

static int run(const char *name, struct options *o, char **argv, int argc)
{
	if (!strcmp(name, "status"))
		return show_status(o);
	if (!strcmp(name, "where"))
		return where(o, argv);
	if (!strcmp(name, "pins"))
		return pins(o);
	if (!strcmp(name, "pin"))
		return pin(o, argv[0], argv[1]);
	if (!strcmp(name, "unpin"))
		return unpin(o, argv[0]);
	if (!strcmp(name, "resize"))
		return resize(o, argv[0]);
	if (!strcmp(name, "failover"))
		return failover(o, argv[0]);
	if (!strcmp(name, "reset"))
		return reset(o);
	if (!strcmp(name, "load"))
		return load(o, argv);
	if (!strcmp(name, "listen"))
		return listen_at(o, argc == 2 ? argv[0] : NULL, argv[argc - 1]);

	return connect_to(o, argv[0], argv[1]);
}

int main(int argc, char **argv)
{
	struct options o = {.config = {.pin_path = RP_DEFAULT_PIN_PATH, .failover = RP_UNSET},
			    .exporters = 20,
			    .ports = 3};
	int option, given[32], n = 0, long_index = -1;
	const struct command *command;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "p:l:h", long_options, &long_index)) != -1) {
		if (option == HELP) {
			fputs(help, stdout);
			return DONE;
		}
		if (option == '?')
			return report_error(NOT_UNDERSTOOD,
					    "unknown option, or one without its value: %s",
					    argv[optind - 1]);
		take_option(&o, option, long_index >= 0 ? long_options[long_index].name : "");
		if (n < 32)
			given[n++] = option;
	}
	argv += optind;
	argc -= optind;
	if (!argc)
		return report_error(NOT_UNDERSTOOD, "no command");
	command = find_command(argv[0]);
	if (!command)
		return report_error(NOT_UNDERSTOOD, "unknown command '%s'", argv[0]);
	for (int i = 0; i < n; i++)
		if (!takes_option(command, given[i]))
			return report_error(NOT_UNDERSTOOD, "%s does not take all of these options",
					    command->name);
	if (argc - 1 < command->min || argc - 1 > command->max)
		return report_error(NOT_UNDERSTOOD, "%s takes other arguments", command->name);
	if (!strcmp(command->name, "where") && argc == 1 && !o.load)
		return report_error(NOT_UNDERSTOOD, "where takes addresses, or --load FILE");
	if (o.openmetrics && o.json)
		return report_error(NOT_UNDERSTOOD, "--json or --openmetrics, not both");
	if (o.openmetrics && o.watch)
		return report_error(NOT_UNDERSTOOD, "--watch or --openmetrics, not both");
	if (o.config.pin_path[0] != '/')
		return report_error(NOT_UNDERSTOOD, "the pin path '%s' is not absolute",
				    o.config.pin_path);

	return run(argv[0], &o, argv + 1, argc - 1);
}
