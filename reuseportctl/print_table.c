// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A snapshot as a table, 80 columns wide. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "snapshot.h"
#include "text.h"

/* Escape sequences of the terminal, or empty strings */
struct colours {
	const char *bold, *red, *plain;
};

/* A number in at most 7 characters */
static const char *scaled(__u64 number, char text[16])
{
	static const char units[] = "kMGTPE";
	double value = number;
	int unit = -1;

	snprintf(text, 16, "%llu", (unsigned long long)number);
	if (number < 100000)
		return text;
	while (value >= 1000) {
		value /= 1000;
		unit++;
	}
	snprintf(text, 16, "%.1f%c", value, units[unit]);

	return text;
}

/* The time of day, or the date too if that is long ago; of an instance that does not read yet, its
 * state */
static void since_text(const struct rp_bucket *owner, __u64 now, char text[16])
{
	time_t t = wall_time(CLOCK_BOOTTIME, owner->since);
	struct tm tm;

	snprintf(text, 16, owner->pid && owner->state == RP_STARTING ? "STARTING" : "-");
	if (owner->state != RP_STARTING && owner->since && localtime_r(&t, &tm))
		strftime(text, 16, now - owner->since < 20 * 3600 ? "%H:%M:%S" : "%m-%d %H:%M",
			 &tm);
}

static void instance_text(const struct rp_bucket *owner, char text[40])
{
	if (owner->pid)
		snprintf(text, 40, "%.12s %u", owner->comm, owner->pid);
	else
		snprintf(text, 40, owner->cookie ? "live" : "empty");
}

static void print_bucket(const struct snapshot *s, const struct listener *l, __u32 i,
			 const struct colours *c)
{
	const struct bucket *b = &l->bucket[i];
	char instance[40], since[16], received[16] = "-", share[16] = "-", failover[16] = "-",
				      queue[16] = "-", drops[16] = "-";
	int bad = !b->owner.cookie || b->recent_drops;

	instance_text(&b->owner, instance);
	since_text(&b->owner, s->boot_time, since);
	if (l->has_counters) {
		scaled(b->recent, received);
		scaled(b->recent_failover, failover);
		snprintf(share, sizeof(share), "%.0f%%", 100 * share_of(l, b));
	}
	if (b->sock) {
		snprintf(queue, sizeof(queue), "%.0f%%", 100 * queue_fill(b->sock));
		scaled(b->recent_drops, drops);
	}
	printf("%s%6u  %-20s %-11s %11s %5s %8s %5s %6s%s\n", bad ? c->red : "", i, instance, since,
	       received, share, failover, queue, drops, bad ? c->plain : "");
}

static void print_listener(const struct snapshot *s, const struct listener *l,
			   const struct colours *c)
{
	char text[80] = "no instance is live";

	if (l->endpoint.port)
		endpoint_text(l->endpoint.addr, l->endpoint.port, text, sizeof(text));
	printf("\n%s%s, %s, %s%s\n", c->bold, l->name, l->protocol == IPPROTO_TCP ? "TCP" : "UDP",
	       text, c->plain);
	printf("%6s  %-20s %-11s %11s %5s %8s %5s %6s\n", "bucket", "instance", "since", unit_of(l),
	       "share", "failover", "queue", "drops");
	for (__u32 i = 0; i < l->n_buckets; i++)
		print_bucket(s, l, i, c);
	for (size_t i = 0; i < l->n_foreign; i++)
		if (!l->foreign[i].takes_traffic)
			printf("        %s %d: at this port, in no bucket, gets nothing (it "
			       "starts, "
			       "drains,\n        or has no keys)\n",
			       l->foreign[i].comm, l->foreign[i].pid);
	if (l->refused && !refuses_now(s, l))
		printf("        refused so far: %s\n", scaled(l->refused, text));
	if (l->disallowed)
		printf("        discarded so far, because an allow file does not list their "
		       "exporters: %s\n",
		       scaled(l->disallowed, text));
}

/* The buckets that have another weight than usual, and their share of the slots */
static void print_weights(const struct snapshot *s)
{
	int used = 0;
	char text[64];

	for (__u32 i = 0; i < s->size && i < RP_MAX_BUCKETS; i++) {
		__u32 weight = rp_get_weight(&s->weights, i);

		if (weight == RP_DEFAULT_WEIGHT)
			continue;
		if (weight)
			snprintf(text, sizeof(text), "%u has %u (%.1f%%)", i, weight,
				 100 * slots_share(s, i));
		else
			snprintf(text, sizeof(text), "%u is drained", i);
		if (!used)
			used = printf("weights: bucket %s", text);
		else if (used + strlen(text) + 2 <= 79)
			used += printf(", %s", text);
		else
			used = printf(",\n%s", text);
	}
	if (used)
		printf("\n");
}

static void print_exporter_state(const struct rp_state_changes *state)
{
	printf("exporter state: %llu of %d pages", (unsigned long long)state->pages,
	       RP_STATE_PAGES);
	if (state->evicted)
		printf(", %llu exporters deleted", (unsigned long long)state->evicted);
	if (state->refused)
		printf(", %llu times no room", (unsigned long long)state->refused);
	if (state->too_large)
		printf(", %llu records too large", (unsigned long long)state->too_large);
	printf("; 'reuseportctl exporters' lists it\n");
}

void print_table(const struct snapshot *s, double seconds)
{
	int on_terminal = isatty(STDOUT_FILENO);
	struct colours c = {"", "", ""};
	char path[4 * PATH_MAX];

	if (on_terminal && !getenv("NO_COLOR"))
		c = (struct colours){"\033[1m", "\033[31m", "\033[0m"};
	if (seconds > 0)
		printf("%sthe last %.1f s of ", on_terminal ? "\033[H\033[2J" : "\n", seconds);
	printf("%s: %u bucket%s, nonce %u, failover %s, %u override%s%s",
	       printable(s->options->config.pin_path, path, sizeof(path)), s->size,
	       s->size == 1 ? "" : "s", s->nonce, s->failover ? "on" : "off", s->n_overrides,
	       s->n_overrides == 1 ? "" : "s", s->by_agent ? ", sFlow by agent" : "");
	if (s->watched)
		printf(", samples of 1 in %d", RP_SAMPLED_WATCHED);
	printf("\n");
	print_weights(s);
	if (s->keeps_exporters && s->state.pages)
		print_exporter_state(&s->state);
	for (size_t n = 0; n < s->n_listeners; n++)
		print_listener(s, s->listeners[n], &c);
	if (s->n_warnings)
		printf("\n");
	for (size_t i = 0; i < s->n_warnings; i++)
		printf("%s! %s%s\n", c.red, s->warnings[i], c.plain);
}
