// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* where: the bucket and the instance that the selector chooses for an exporter now. Takes no lock
 * and writes nothing. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "json.h"
#include "snapshot.h"
#include "text.h"

struct query {
	const struct options *options;
	union rp_addr exporter;
	json_t *answers; /* NULL: print a table */
	int n_answers, n_refused;
};

/* Whether the datagrams go to several buckets, and not to this one alone */
static int is_spread(const struct rp_member *m, const struct rp_route *route)
{
	return route->by && m->protocol == IPPROTO_UDP;
}

static json_t *answer_json(const struct query *q, const struct rp_member *m,
			   const struct rp_route *route, const struct rp_bucket *owner)
{
	int live = route->receiver != RP_NO_BUCKET;
	char exporter[64], name[1024];
	json_t *answer;

	rp_format_addr(&q->exporter, exporter, sizeof(exporter));
	answer = json_pack("{s:s, s:s, s:i, s:s, s:b}", "exporter", exporter, "listener",
			   printable(listener_name(m), name, sizeof(name)), "bucket",
			   (int)route->bucket, "by",
			   route->quarantined  ? "quarantine"
			   : route->rebalanced ? "rebalance"
			   : route->overridden ? "override"
					       : "hash",
			   "live", live);
	if (is_spread(m, route))
		json_object_set_new(answer, "spread_by", json_string(spread_text(route->by)));
	if (is_by_agent(m))
		json_object_set_new(answer, "as_agent", json_true());
	if (live)
		json_object_update_new(answer, json_pack("{s:i, s:b, s:i, s:s}", "served_by",
							 (int)route->receiver, "failover",
							 route->receiver != route->bucket, "pid",
							 (int)owner->pid, "process", owner->comm));

	return answer;
}

static void print_answer(const struct query *q, const struct rp_member *m,
			 const struct rp_route *route, const struct rp_bucket *owner)
{
	const char *by = route->rebalanced ? "rebalance" : route->overridden ? "override" : "hash";
	char exporter[64], instance[64] = "refused", how[64], name[1024];
	int live = route->receiver != RP_NO_BUCKET;

	if (q->n_answers == 1)
		printf("%-25s %6s  %-13s %-18s %s\n", "exporter", "bucket", "listener", "instance",
		       "by");
	rp_format_addr(&q->exporter, exporter, sizeof(exporter));
	if (live)
		snprintf(instance, sizeof(instance), owner->pid ? "%s %u" : "live", owner->comm,
			 owner->pid);
	if (route->quarantined)
		snprintf(how, sizeof(how), "quarantine");
	else if (!live)
		snprintf(how, sizeof(how), "%s; it is empty", by);
	else if (route->receiver != route->bucket)
		snprintf(how, sizeof(how), "failover for %u", route->bucket);
	else
		snprintf(how, sizeof(how), "%s", by);
	printf("%-25s %6u  %-13s %-18s %s%s%s%s\n", exporter,
	       live ? route->receiver : route->bucket,
	       printable(listener_name(m), name, sizeof(name)), instance, how,
	       is_spread(m, route) ? ", spread by " : "",
	       is_spread(m, route) ? spread_text(route->by) : "",
	       is_by_agent(m) ? ", as sFlow's agent" : "");
}

static void answer(struct query *q, const struct rp_member *m, const struct rp_route *route)
{
	struct rp_bucket owner = {};

	q->n_answers++;
	if (route->receiver == RP_NO_BUCKET)
		q->n_refused++;
	else
		rp_read_bucket(m, route->receiver, &owner);
	if (q->answers)
		json_array_append_new(q->answers, answer_json(q, m, route, &owner));
	else
		print_answer(q, m, route, &owner);
}

/* An answer for each bucket, if an override spreads the exporter's datagrams over several */
static int ask_listener(struct rp_member *m, void *arg)
{
	struct query *q = arg;
	struct rp_route route;
	__u32 number = 0;

	if (!is_asked_for(q->options, m))
		return 0;
	do {
		rp_find_route_in_range(m, &q->exporter, number, &route);
		answer(q, m, &route);
	} while (is_spread(m, &route) && ++number < route.range);

	return 0;
}

static int ask(struct query *q, const char *word)
{
	struct rp_member m;

	if (!parse_address(word, &q->exporter))
		return report_error(NOT_UNDERSTOOD, "'%s' is not an IP address", word);
	rp_init(&m);
	if (rp_each_listener(&m, &q->options->config, ask_listener, q) < 0)
		return report_error(FAILED, "%s", m.error);

	return DONE;
}

/* Asks for each address of a file, one a line; "-" is stdin */
static int ask_file(struct query *q, const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char word[128], *line = NULL;
	int status = DONE;
	size_t room = 0;

	if (!file)
		return report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	while (!status && getline(&line, &room, file) >= 0)
		if (sscanf(line, "%127s", word) == 1)
			status = ask(q, word);
	if (!status && !feof(file))
		status = report_error(FAILED, "cannot read %s (%s)", path, strerror(errno));
	free(line);
	if (file != stdin)
		fclose(file);

	return status;
}

int command_where(struct options *o, char **arguments)
{
	struct query q = {.options = o, .answers = o->json ? json_array() : NULL};
	struct rp_member m;
	int status = DONE;

	if (!arguments[0] && !o->addresses_file)
		return report_error(NOT_UNDERSTOOD, "where takes addresses, or --load FILE");
	if (o->addresses_file)
		status = ask_file(&q, o->addresses_file);
	for (; !status && *arguments; arguments++)
		status = strcmp(*arguments, "-") ? ask(&q, *arguments) : ask_file(&q, "-");
	if (!status && !q.n_answers) {
		fail_no_listener(&m, o);
		status = report_error(FAILED, "%s", m.error);
	}
	if (status)
		return status;
	if (q.answers)
		write_json(q.answers, 0);

	return q.n_refused ? MARKED : DONE;
}
