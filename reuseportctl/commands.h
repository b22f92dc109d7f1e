/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * The table of commands and that of options. main.c takes the command line apart by them, and
 * --help is made from them; the completion and the manual page have to have the same.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "reuseportctl.h"

#define MAX_OPTIONS 32	    /* entries of the table of options */
#define ANY_NUMBER  1000000 /* of arguments */

enum option_id {
	PIN_PATH = 'p',
	LISTENER = 'l',
	HELP = 'h',
	VERSION = 'V',
	JSON = 256,
	PROMETHEUS,
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
	TOP,
	SORT,
	SECONDS,
	LIMIT,
	APPLY,
	SPREAD,
	BY,
};

/* An option; its letter, if it has one, is its id */
struct option_spec {
	enum option_id id;
	const char *name;
	const char *value; /* what --help calls its value; NULL: it takes none */
	int value_is_optional;
	const char *help; /* one line, or several */
};

/* A command */
struct command {
	const char *section; /* that it begins in --help, or NULL */
	const char *name;    /* one word, or two */
	const char *arguments;
	int min_arguments, max_arguments;
	enum option_id options[8]; /* beside --pin-path and --help, which all commands take */
	int (*handler)(struct options *o, char **arguments); /* arguments end with NULL */
	const char *help;				     /* one line */
	const char *details;				     /* more lines, or NULL */
};

/* Both end with an entry without a name */
extern const struct option_spec option_specs[];
extern const struct command commands[];

/* Whether a command takes an option */
int takes_option(const struct command *command, int option);

/* help.c: everything; one command as a line of that; one command with its options */
void print_help(void);
void print_command_line(const struct command *command);
void print_command_help(const struct command *command);

int command_status(struct options *o, char **arguments);
int command_where(struct options *o, char **arguments);
int command_exporters(struct options *o, char **arguments);
int command_forget(struct options *o, char **arguments);
int command_override_add(struct options *o, char **arguments);
int command_override_delete(struct options *o, char **arguments);
int command_override_list(struct options *o, char **arguments);
int command_override_load(struct options *o, char **arguments);
int command_rebalance(struct options *o, char **arguments);
int command_weight(struct options *o, char **arguments);
int command_drain(struct options *o, char **arguments);
int command_undrain(struct options *o, char **arguments);
int command_resize(struct options *o, char **arguments);
int command_evict(struct options *o, char **arguments);
int command_failover(struct options *o, char **arguments);
int command_sflow(struct options *o, char **arguments);
int command_reset(struct options *o, char **arguments);
int command_preload(struct options *o, char **arguments);
int command_listen(struct options *o, char **arguments);
int command_connect(struct options *o, char **arguments);

#endif
