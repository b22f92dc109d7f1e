// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * reuseportctl shows a group of instances, changes it, and demonstrates one. This file is its
 * command line; each command has a file of its own, and the library of the daemons, group.h, knows
 * what a group is.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "reuseport_version.h"
#include "text.h"

static const struct option_spec *find_option(int id)
{
	const struct option_spec *spec = option_specs;

	while (spec->name && (int)spec->id != id)
		spec++;

	return spec;
}

/* The table of options as getopt_long() wants it */
static void make_getopt_tables(struct option longs[MAX_OPTIONS], char letters[2 * MAX_OPTIONS])
{
	for (const struct option_spec *spec = option_specs; spec->name; spec++, longs++) {
		*longs = (struct option){.name = spec->name,
					 .has_arg = !spec->value	      ? no_argument
						    : spec->value_is_optional ? optional_argument
									      : required_argument,
					 .val = spec->id};
		if (spec->id >= JSON)
			continue;
		*letters++ = spec->id;
		if (spec->value)
			*letters++ = ':';
	}
	*longs = (struct option){};
	*letters = '\0';
}

static unsigned long number_or_exit(int option, unsigned long min, unsigned long max)
{
	unsigned long number;

	if (!parse_number(optarg, min, max, &number))
		exit(report_error(NOT_UNDERSTOOD, "--%s takes a number from %lu to %lu, not '%s'",
				  find_option(option)->name, min, max, optarg));

	return number;
}

/* Without the slashes at its end, which completion adds */
static const char *without_slashes(char *path)
{
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';

	return path;
}

/* Those that take no value */
static void take_switch(struct options *o, int option)
{
	switch (option) {
	case JSON:
		o->json = 1;
		break;
	case PROMETHEUS:
		o->metrics = PROMETHEUS_TEXT;
		break;
	case OPENMETRICS:
		o->metrics = OPENMETRICS_TEXT;
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
	case APPLY:
		o->apply = 1;
		break;
	}
}

static void take_word(struct options *o, int option)
{
	switch (option) {
	case PIN_PATH:
		o->config.pin_path = without_slashes(optarg);
		break;
	case LISTENER:
		o->listener = optarg;
		break;
	case LOAD:
		o->addresses_file = optarg;
		break;
	case PROG:
		o->config.prog = optarg;
		break;
	case FROM:
		o->from = optarg;
		break;
	case SORT:
		o->sort = optarg;
		break;
	case SPREAD:
		o->spread = optarg;
		break;
	case BY:
		o->by = optarg;
		break;
	}
}

static void take_number(struct options *o, int option)
{
	switch (option) {
	case WATCH:
		o->watch = optarg ? number_or_exit(option, 1, 86400) : 2;
		break;
	case COUNT:
		o->config.count = number_or_exit(option, 1, RP_MAX_BUCKETS);
		break;
	case INDEX:
		o->config.index = number_or_exit(option, 0, RP_MAX_BUCKETS - 1);
		o->has_index = 1;
		break;
	case EXPORTERS:
		o->exporters = number_or_exit(option, 1, 1000000);
		break;
	case PORTS:
		o->ports = number_or_exit(option, 1, 1000);
		break;
	case TOP:
		o->top = number_or_exit(option, 1, 1000000);
		break;
	case SECONDS:
		o->seconds = number_or_exit(option, 1, 86400);
		break;
	case LIMIT:
		o->limit = number_or_exit(option, 1, RP_MAX_OVERRIDES);
		break;
	}
}

/* given[]: 1 for each option that the command line has, by its place in the table of options */
static void take_options(struct options *o, int argc, char **argv, int given[MAX_OPTIONS])
{
	struct option longs[MAX_OPTIONS];
	char letters[2 * MAX_OPTIONS];
	int option;

	make_getopt_tables(longs, letters);
	opterr = 0;
	while ((option = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (option == '?')
			exit(report_error(NOT_UNDERSTOOD,
					  "unknown option, or one without its value: %s",
					  argv[optind - 1]));
		/* each knows its own */
		take_switch(o, option);
		take_word(o, option);
		take_number(o, option);
		given[find_option(option) - option_specs] = 1;
	}
}

/* How many of the words name the command, all or the first of them; 0: they name another one */
static int match_name(const struct command *command, char **words)
{
	const char *name = command->name, *second = strchr(name, ' ');
	size_t len = second ? (size_t)(second - name) : strlen(name);

	if (!words[0] || strlen(words[0]) != len || strncmp(words[0], name, len))
		return 0;

	return second && words[1] && !strcmp(words[1], second + 1) ? 2 : 1;
}

static int words_in(const char *name)
{
	return strchr(name, ' ') ? 2 : 1;
}

/* Returns NULL if there is no such command */
static const struct command *find_command(char **words)
{
	for (const struct command *command = commands; command->name; command++)
		if (match_name(command, words) == words_in(command->name))
			return command;

	return NULL;
}

static int is_first_word(char **words)
{
	for (const struct command *command = commands; command->name; command++)
		if (match_name(command, words))
			return 1;

	return 0;
}

static int report_unknown(char **words)
{
	if (!is_first_word(words))
		return report_error(NOT_UNDERSTOOD, "unknown command '%s'", words[0]);
	if (!words[1])
		return report_error(NOT_UNDERSTOOD, "'%s' alone is not a command", words[0]);

	return report_error(NOT_UNDERSTOOD, "unknown command '%s %s'", words[0], words[1]);
}

/* Help for the command, or all commands that begin with this word, or everything */
static int show_help(char **words)
{
	const struct command *command = find_command(words);

	if (command)
		print_command_help(command);
	else if (words[0] && !is_first_word(words))
		return report_unknown(words);
	else if (!words[0])
		print_help();
	for (const struct command *c = commands; !command && c->name; c++)
		if (match_name(c, words))
			print_command_line(c);

	return DONE;
}

static void check_options(const struct command *command, const int given[MAX_OPTIONS])
{
	for (const struct option_spec *spec = option_specs; spec->name; spec++)
		if (given[spec - option_specs] && !takes_option(command, spec->id))
			exit(report_error(NOT_UNDERSTOOD, "%s does not take --%s", command->name,
					  spec->name));
}

static int run(int argc, char **argv)
{
	struct options o = {.config = {.pin_path = RP_DEFAULT_PIN_PATH, .failover = RP_UNSET},
			    .exporters = 20,
			    .ports = 3,
			    .limit = 10};
	const struct command *command;
	int given[MAX_OPTIONS] = {};

	take_options(&o, argc, argv, given);
	argv += optind;
	argc -= optind;
	if (given[find_option(HELP) - option_specs])
		return show_help(argv);
	if (given[find_option(VERSION) - option_specs]) {
		printf("reuseportctl %s\n", REUSEPORT_VERSION);
		return DONE;
	}
	if (!argc)
		return report_error(NOT_UNDERSTOOD, "no command");
	command = find_command(argv);
	if (!command)
		return report_unknown(argv);
	check_options(command, given);
	argv += words_in(command->name);
	argc -= words_in(command->name);
	if (argc < command->min_arguments || argc > command->max_arguments)
		return report_error(NOT_UNDERSTOOD, "wrong number of arguments: %s takes %s",
				    command->name,
				    command->arguments ? command->arguments : "none");
	if (o.config.pin_path[0] != '/')
		return report_error(NOT_UNDERSTOOD, "the pin path '%s' is not absolute",
				    o.config.pin_path);

	return command->handler(&o, argv);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv), err = flush_output();

	return err ? report_error(FAILED, "cannot write the output (%s)", strerror(err)) : status;
}
