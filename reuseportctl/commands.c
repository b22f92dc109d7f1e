// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* The table of commands and that of options: see commands.h. */
#include "commands.h"

const struct option_spec option_specs[] = {
	{
		.id = PIN_PATH,
		.name = "pin-path",
		.value = "DIR",
		.help = "the group's reuseport_pin_path (" RP_DEFAULT_PIN_PATH "); or where\n"
			"pmacct's own nfacctd_rp_ebpf_prog has pinned the maps of our\n"
			"object: " RP_DEFAULT_PIN_PATH "/CLUSTER_NAME/nfacctd",
	},
	{
		.id = LISTENER,
		.name = "listener",
		.value = "NAME",
		.help = "show this listener only",
	},
	{
		.id = JSON,
		.name = "json",
		.help = "print JSON",
	},
	{
		.id = PROMETHEUS,
		.name = "prometheus",
		.help = "print metrics, for node_exporter",
	},
	{
		.id = OPENMETRICS,
		.name = "openmetrics",
		.help = "print the same, as OpenMetrics",
	},
	{
		.id = WATCH,
		.name = "watch",
		.value = "SECONDS",
		.value_is_optional = 1,
		.help = "repeat every SECONDS (2): what came since",
	},
	{
		.id = LOAD,
		.name = "load",
		.value = "FILE",
		.help = "read addresses from FILE, one a line; -: stdin",
	},
	{
		.id = SPREAD,
		.name = "spread",
		.value = "N-N",
		.help = "the first and the last of several buckets",
	},
	{
		.id = BY,
		.name = "by",
		.value = "WHAT",
		.help = "domain (NetFlow v9: source id; IPFIX: observation\n"
			"domain; sFlow: sub-agent; NetFlow v5: engine)\n"
			"or port (source port)",
	},
	{
		.id = PROG,
		.name = "prog",
		.value = "FILE",
		.help = "the selector, reuseport.o",
	},
	{
		.id = COUNT,
		.name = "count",
		.value = "N",
		.help = "number of buckets; a live group's own, or 4",
	},
	{
		.id = INDEX,
		.name = "index",
		.value = "N",
		.help = "join with this bucket only",
	},
	{
		.id = PLAIN,
		.name = "plain",
		.help = "no selector: the kernel selects by address and port",
	},
	{
		.id = TCP,
		.name = "tcp",
		.help = "TCP only",
	},
	{
		.id = UDP,
		.name = "udp",
		.help = "UDP only",
	},
	{
		.id = FROM,
		.name = "from",
		.value = "PREFIX",
		.help = "source addresses (127.0.0.0/8 if ADDRESS is in it,\n"
			"else the host's own)",
	},
	{
		.id = EXPORTERS,
		.name = "exporters",
		.value = "N",
		.help = "number of source addresses (20)",
	},
	{
		.id = PORTS,
		.name = "ports",
		.value = "N",
		.help = "number of source ports of each (3)",
	},
	{
		.id = TOP,
		.name = "top",
		.value = "N",
		.help = "the first N exporters only",
	},
	{
		.id = SORT,
		.name = "sort",
		.value = "KEY",
		.help = "datagrams, bytes, or quiet: longest silent first",
	},
	{
		.id = SECONDS,
		.name = "seconds",
		.value = "S",
		.help = "look twice, S seconds apart: rates are of that time;\n"
			"rebalance: 10, if it is not given",
	},
	{
		.id = LIMIT,
		.name = "limit",
		.value = "N",
		.help = "moves N exporters at most (10)",
	},
	{
		.id = APPLY,
		.name = "apply",
		.help = "do it; without this it is only shown",
	},
	{
		.id = HELP,
		.name = "help",
		.help = "this text; after a command, that command's",
	},
	{
		.id = VERSION,
		.name = "version",
		.help = "the version",
	},
	{},
};

const struct command commands[] = {
	{
		.section = "Show a group",
		.name = "status",
		.options = {LISTENER, JSON, PROMETHEUS, OPENMETRICS, WATCH},
		.handler = command_status,
		.help = "each bucket: its instance, its traffic, what is wrong",
	},
	{
		.name = "where",
		.arguments = "[ADDRESS...]",
		.max_arguments = ANY_NUMBER,
		.options = {LISTENER, JSON, LOAD},
		.handler = command_where,
		.help = "the bucket and the live instance of each exporter",
		.details = "The address '-' reads addresses from stdin, one a line.",
	},
	{
		.name = "exporters",
		.arguments = "[ADDRESS...]",
		.max_arguments = ANY_NUMBER,
		.options = {LISTENER, JSON, PROMETHEUS, OPENMETRICS, WATCH, TOP, SORT, SECONDS},
		.handler = command_exporters,
		.help = "who sends how much, who fell silent; templates, sampling",
		.details =
			"Rates are estimates, by samples; without --seconds or --watch, they are "
			"means since\nthe exporter was first seen. Templates, options and sampling "
			"are "
			"what the group keeps\nof exporters of NetFlow v9 and IPFIX. Of one "
			"listener; metrics: of each that\nreceives datagrams, unless "
			"--listener or an ADDRESS is given.",
	},
	{
		.name = "override list",
		.handler = command_override_list,
		.help = "the overrides, a line 'PREFIX BUCKET' each, and the weights",
		.details = "Exporters that have brought instances down come first, as comments.",
	},
	{
		.section = "Change a group while it runs",
		.name = "override add",
		.arguments = "PREFIX [BUCKET]",
		.min_arguments = 1,
		.max_arguments = 2,
		.options = {SPREAD, BY},
		.handler = command_override_add,
		.help = "these exporters belong to that bucket, at once",
		.details =
			"The longest prefix that has an exporter decides. ::/0 has IPv4 too.\n"
			"With --spread and --by, an exporter that sends more than one instance "
			"bears has\nseveral. By domain, templates stay with their data; an "
			"exporter "
			"with one domain is\nnot spread. By port is for what needs no templates, "
			"such "
			"as NetFlow v5 and sFlow.\nBGP, BMP and telemetry sessions go to the first "
			"bucket: instances of the others\nhave no routes of that router, so that "
			"what they take from BGP or BMP is missing in\nthe flows that they count.",
	},
	{
		.name = "override delete",
		.arguments = "PREFIX",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_override_delete,
		.help = "the hash decides again for these exporters",
		.details = "An exporter in quarantine is released from it.",
	},
	{
		.name = "override load",
		.arguments = "FILE",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_override_load,
		.help = "the overrides in FILE (-: stdin) replace all others",
		.details =
			"FILE is as 'override list' prints it; '#' begins a comment. If it has a "
			"mistake,\nnothing is changed. Lines 'weight BUCKET WEIGHT' or 'drain "
			"BUCKET', if there are\nany, replace all weights.",
	},
	{
		.name = "rebalance",
		.options = {LISTENER, SECONDS, LIMIT, APPLY},
		.handler = command_rebalance,
		.help = "what to move for an even load; --apply does it",
		.details =
			"Measures, and shows which exporters it would move so that no bucket gets "
			"much more\nthan its share: few of them, and those with BGP, BMP or "
			"telemetry sessions only if no\nothers will do. With --apply, the moves "
			"become overrides, which 'override list' shows\nas 'rebalanced'.",
	},
	{
		.name = "resize",
		.arguments = "N",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_resize,
		.help = "sets the number of buckets",
		.details = "To grow: resize, then start the new instances with "
			   "reuseport_hashbucket_count: N.\n"
			   "To shrink: stop the instances beyond N, then resize. Change the "
			   "configs\nof the others within a day. With failover on, no datagram "
			   "is lost.",
	},
	{
		.name = "weight",
		.arguments = "BUCKET WEIGHT",
		.min_arguments = 2,
		.max_arguments = 2,
		.handler = command_weight,
		.help = "a bucket's share of the exporters, by default 100",
		.details = "0 to 1000, in proportion to the others' weights. 0 is 'drain'.",
	},
	{
		.name = "drain",
		.arguments = "BUCKET",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_drain,
		.help = "its exporters go to the other buckets; it runs on",
		.details = "It keeps those of overrides, and serves others by failover only if no "
			   "other bucket\nis live. A bucket that the group does not have yet is "
			   "drained when it gets it.",
	},
	{
		.name = "reserve",
		.arguments = "BUCKET",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_drain,
		.help = "the same, for an instance that is to serve overrides alone",
		.details =
			"To give an exporter an instance of its own in a group of four: reserve "
			"4, resize 5,\nstart that instance, override add EXPORTER 4. No exporter "
			"but that one moves.",
	},
	{
		.name = "undrain",
		.arguments = "BUCKET",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_undrain,
		.help = "a drained bucket takes exporters again, as before",
	},
	{
		.name = "forget",
		.arguments = "ADDRESS",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_forget,
		.help = "deletes templates and options kept of an exporter",
		.details = "For example a sampling rate that is out of date. pmacct itself forgets "
			   "it when\nthe exporter's instance is started again.",
	},
	{
		.name = "failover",
		.arguments = "on|off",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_failover,
		.help = "whether live instances serve an empty bucket's exporters",
	},
	{
		.name = "sflow",
		.arguments = "agent|sender",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_sflow,
		.help = "by whose address sFlow is placed; sender, at first",
		.details = "sfacctd takes the agent whose address is in the datagram for the "
			   "exporter, "
			   "whoever\nhas sent it. Where the two differ, place it by the agent: "
			   "then it "
			   "meets the BGP or\nBMP session of the router with that address. It "
			   "lasts until\na reboot or 'reset'.",
	},
	{
		.name = "evict",
		.arguments = "BUCKET",
		.min_arguments = 1,
		.max_arguments = 1,
		.handler = command_evict,
		.help = "takes the sockets of a dead instance out of a bucket",
		.details = "systemd keeps the sockets of an instance that is killed; without them "
			   "its exporters\nfail over at once: the units call it. If no other "
			   "instance reads, they stay, and "
			   "queue, until the next\nstart.",
	},
	{
		.section = "Before a group starts, and after its end",
		.name = "preload",
		.arguments = "LISTENER...",
		.min_arguments = 1,
		.max_arguments = ANY_NUMBER,
		.options = {PROG},
		.handler = command_preload,
		.help = "pins selector and maps, for daemons without CAP_BPF",
	},
	{
		.name = "reset",
		.handler = command_reset,
		.help = "removes what a group has left in its pin path",
		.details = "It is refused while the group is live.",
	},
	{
		.section = "Try it without a daemon",
		.name = "listen",
		.arguments = "[ADDRESS] PORT",
		.min_arguments = 1,
		.max_arguments = 2,
		.options = {PROG, COUNT, INDEX, PLAIN, TCP, UDP},
		.handler = command_listen,
		.help = "joins a group on any port; prints what each bucket gets",
		.details = "It joins with all buckets, or with that of --index.",
	},
	{
		.name = "connect",
		.arguments = "ADDRESS PORT",
		.min_arguments = 2,
		.max_arguments = 2,
		.options = {FROM, EXPORTERS, PORTS, TCP, UDP},
		.handler = command_connect,
		.help = "connects and sends from many addresses; prints the results",
	},
	{},
};

int takes_option(const struct command *command, int option)
{
	for (int i = 0; command->options[i]; i++)
		if ((int)command->options[i] == option)
			return 1;

	return option == PIN_PATH || option == HELP;
}
