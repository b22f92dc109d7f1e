// SPDX-License-Identifier: GPL-2.0-or-later
/* The companion: steers a running group of instances. What it does is group.c's, as in daemons. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "group.h"

static const char help[] =
	"usage: reuseportctl [--pin-path DIR] COMMAND\n"
	"\n"
	"  resize N   gives the running group N buckets, 1 to 128. With failover on, nobody\n"
	"             loses a datagram, and only 1 in N exporters moves. To grow: resize, then\n"
	"             start the new instances with reuseport_hashbucket_count: N. To shrink:\n"
	"             stop the instances beyond, then resize. The others run on as they are;\n"
	"             change the key in their configs before they start again.\n"
	"\n"
	"  --pin-path DIR   the group's reuseport_pin_path (" RP_DEFAULT_PIN_PATH "); or where\n"
	"                   pmacct's own nfacctd_rp_ebpf_prog has pinned the maps of our object:\n"
	"                   /sys/fs/bpf/pmacct/CLUSTER_NAME/nfacctd\n"
	"  --help           this text\n"
	"\n"
	"Exit status: 0 done; 1 refused or failed, with one line that says why; 2 not "
	"understood.\n";

static int usage_error(const char *what, const char *word)
{
	fprintf(stderr, "reuseportctl: %s%s; see 'reuseportctl --help'\n", what, word);

	return 2;
}

static int resize(struct rp_config *config, const char *word)
{
	struct rp_member m;
	unsigned long n;
	char *end;
	__u32 was;

	errno = 0;
	n = strtoul(word, &end, 10);
	if (*end || errno || word[0] < '0' || word[0] > '9' || n < 1 || n > RP_MAX_BUCKETS)
		return usage_error("not a number of buckets from 1 to 128: ", word);

	config->count = n;
	rp_init(&m);
	if (rp_resize(&m, config, &was)) {
		fprintf(stderr, "reuseportctl: %s\n", m.error);
		return 1;
	}
	printf("%s: %u buckets, %u before\n", config->pin_path, config->count, was);

	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"pin-path", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {}};
	struct rp_config config = {.pin_path = RP_DEFAULT_PIN_PATH};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			config.pin_path = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return 0;
		default:
			return usage_error("unknown option, or one without its value: ",
					   argv[optind - 1]);
		}
	}
	if (optind == argc)
		return usage_error("no command", "");
	if (strcmp(argv[optind], "resize"))
		return usage_error("unknown command ", argv[optind]);
	if (optind + 2 != argc)
		return usage_error("resize takes one number", "");

	return resize(&config, argv[optind + 1]);
}
