// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* --help, made from the tables in commands.c and the daemons' table of listeners. */
#include <stdio.h>
#include <string.h>
#include "commands.h"
#include "listener_names.h"

#define COMMAND_WIDTH 31 /* columns before the help of a command */
#define OPTION_WIDTH  27 /* columns before the help of an option */

/* Prints lines, each but the first after so many columns */
static void print_lines(const char *text, int indent)
{
	for (const char *end; (end = strchr(text, '\n')); text = end + 1)
		printf("%.*s\n%*s", (int)(end - text), text, indent, "");
	fputs(text, stdout);
}

void print_command_line(const struct command *command)
{
	int used = printf("  %s%s%s", command->name, command->arguments ? " " : "",
			  command->arguments ? command->arguments : "");

	printf("%*s%s\n", used < COMMAND_WIDTH ? COMMAND_WIDTH - used : 2, "", command->help);
}

static void print_option(const struct option_spec *option)
{
	char value[32] = "";
	int used;

	if (option->value)
		snprintf(value, sizeof(value), option->value_is_optional ? "[=%s]" : " %s",
			 option->value);
	if (option->id < JSON)
		used = printf("  -%c, ", (int)option->id);
	else
		used = printf("      ");
	used += printf("--%s%s", option->name, value);
	printf("%*s", used < OPTION_WIDTH ? OPTION_WIDTH - used : 2, "");
	print_lines(option->help, OPTION_WIDTH);
}

/* " (status, where)": the commands that take an option, unless all of them do */
static void print_takers(const struct option_spec *option)
{
	const char *before = " (";

	if (option->id == PIN_PATH || option->id == HELP || option->id == VERSION)
		return;
	for (const struct command *c = commands; c->name; c++) {
		if (!takes_option(c, option->id))
			continue;
		printf("%s%s", before, c->name);
		before = ", ";
	}
	printf(")");
}

/* As many names on a line as fit a terminal */
static void print_listener_names(void)
{
	int used = printf("Listeners:");

	for (int i = 0; i < REUSEPORT_LISTENERS; i++) {
		const char *name = reuseport_listener_names[i].name;

		if (used + strlen(name) > 76)
			used = printf("\n          ");
		used += printf(" %s%s", name, i + 1 < REUSEPORT_LISTENERS ? "," : "");
	}
	printf("\n");
}

void print_help(void)
{
	printf("usage: reuseportctl [OPTION...] COMMAND [ARGUMENT...]\n"
	       "       reuseportctl COMMAND --help\n");
	for (const struct command *c = commands; c->name; c++) {
		if (c->section)
			printf("\n%s:\n", c->section);
		print_command_line(c);
	}
	printf("\nOptions:\n");
	for (const struct option_spec *o = option_specs; o->name; o++) {
		print_option(o);
		print_takers(o);
		printf("\n");
	}
	printf("\n");
	print_listener_names();
	printf("\nExit status: 0 done; 1 refused or failed, one line says why; 2 not understood;\n"
	       "3 done, and status, where or connect has marked something as wrong.\n");
}

void print_command_help(const struct command *command)
{
	printf("usage: reuseportctl [OPTION...] %s%s%s\n\n%s\n", command->name,
	       command->arguments ? " " : "", command->arguments ? command->arguments : "",
	       command->help);
	if (command->details)
		printf("\n%s\n", command->details);
	if (command->handler == command_preload) {
		printf("\n");
		print_listener_names();
	}
	printf("\n");
	for (const struct option_spec *o = option_specs; o->name; o++) {
		if (!takes_option(command, o->id))
			continue;
		print_option(o);
		printf("\n");
	}
}
