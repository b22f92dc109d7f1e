// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* A snapshot as JSON: the keys are those of reuseportctl(8). */
#include <stdio.h>
#include <stdlib.h>
#include "json.h"
#include "snapshot.h"
#include "text.h"

/* 13 digits: the time, with its milliseconds */
void write_json(json_t *value, int compact)
{
	char *text = json_dumps(value, (compact ? JSON_COMPACT : JSON_INDENT(2)) |
					       JSON_REAL_PRECISION(13));

	if (!text)
		exit(report_error(FAILED, "no memory for JSON"));
	puts(text);
	free(text);
	json_decref(value);
}

/* The last fault of the bucket's instance */
static json_t *fault_json(const struct rp_instance *r, __u64 boot_time)
{
	return json_pack("{s:s, s:i, s:i, s:I}", "kind", fault_name(r->fault), "pid",
			 (int)r->fault_pid, "signal", (int)r->signal, "seconds_ago",
			 (json_int_t)(boot_time - r->fault_at));
}

static json_t *bucket_json(const struct snapshot *s, const struct listener *l, __u32 i)
{
	const struct bucket *b = &l->bucket[i];
	json_t *object =
		json_pack("{s:i, s:b, s:i, s:i}", "bucket", (int)i, "live", b->owner.cookie != 0,
			  "weight", (int)rp_get_weight(&s->weights, i), "slots", (int)s->slots[i]);

	if (b->owner.pid)
		json_object_update_new(
			object,
			json_pack("{s:i, s:s, s:I, s:s}", "pid", (int)b->owner.pid, "process",
				  b->owner.comm, "since",
				  (json_int_t)wall_time(CLOCK_BOOTTIME, b->owner.since), "state",
				  b->owner.state == RP_READY ? "ready" : "starting"));
	if (l->has_counters)
		json_object_update_new(
			object,
			json_pack("{s:I, s:I, s:I, s:f}", "received", (json_int_t)received_by(b),
				  "failover", (json_int_t)b->counters.n[RP_FAILOVER], "refused",
				  (json_int_t)b->counters.n[RP_REFUSED], "share", share_of(l, b)));
	if (l->has_counters)
		json_object_set_new(object, "other_group",
				    json_integer(b->counters.n[RP_OTHER_GROUP]));
	if (l->instances[i].alive)
		json_object_set_new(object, "disallowed", json_integer(l->instances[i].disallowed));
	if (b->sock)
		json_object_update_new(object, json_pack("{s:I, s:I, s:I}", "queue",
							 (json_int_t)b->sock->queue, "queue_max",
							 (json_int_t)b->sock->queue_max, "drops",
							 (json_int_t)b->sock->drops));

	if (l->counts_sessions)
		json_object_set_new(object, "sessions_refused",
				    json_integer(l->instances[i].refused));
	if (l->instances[i].fault != RP_NO_FAULT)
		json_object_set_new(object, "fault", fault_json(&l->instances[i], s->boot_time));

	return object;
}

static json_t *foreign_json(const struct foreign_socket *f)
{
	char text[80];

	endpoint_text(f->sock->addr, f->sock->port, text, sizeof(text));

	return json_pack("{s:s, s:i, s:s, s:I, s:b}", "address", text, "pid", f->pid, "process",
			 f->comm, "uid", (json_int_t)f->sock->uid, "takes_traffic",
			 f->takes_traffic);
}

static json_t *listener_json(const struct snapshot *s, const struct listener *l)
{
	json_t *buckets = json_array(), *foreign = json_array(), *object;
	char text[80];

	for (__u32 i = 0; i < l->n_buckets; i++)
		json_array_append_new(buckets, bucket_json(s, l, i));
	for (size_t i = 0; i < l->n_foreign; i++)
		json_array_append_new(foreign, foreign_json(&l->foreign[i]));
	object = json_pack("{s:s, s:s, s:o, s:o}", "name", l->name, "protocol",
			   protocol_text(l->protocol), "buckets", buckets, "foreign_sockets",
			   foreign);
	if (l->endpoint.port) {
		endpoint_text(l->endpoint.addr, l->endpoint.port, text, sizeof(text));
		json_object_set_new(object, "address", json_string(text));
	}
	if (l->has_counters)
		json_object_update_new(object, json_pack("{s:I, s:I, s:I, s:I}", "received",
							 (json_int_t)l->received, "refused",
							 (json_int_t)l->refused, "unreadable",
							 (json_int_t)l->unreadable, "quarantined",
							 (json_int_t)l->quarantined));

	return object;
}

static json_t *state_json(const struct rp_state_changes *state)
{
	return json_pack("{s:I, s:i, s:I, s:I, s:I}", "pages", (json_int_t)state->pages,
			 "max_pages", RP_STATE_PAGES, "evicted", (json_int_t)state->evicted,
			 "refused", (json_int_t)state->refused, "too_large",
			 (json_int_t)state->too_large);
}

static json_t *quarantine_json(const struct snapshot *s)
{
	json_t *list = json_array();
	char who[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < s->n_convicts; i++) {
		const struct rp_conviction *c = &s->convicts[i].conviction;
		__u64 rest = c->active && c->until > s->boot_time ? c->until - s->boot_time : 0;

		rp_format_addr(&s->convicts[i].exporter, who, sizeof(who));
		json_array_append_new(list,
				      json_pack("{s:s, s:b, s:I, s:i, s:i, s:i}", "exporter", who,
						"active", c->active, "seconds_left",
						(json_int_t)rest, "times", (int)c->times, "signal",
						(int)c->signal, "bucket", (int)c->instance));
	}

	return list;
}

void print_json(const struct snapshot *s)
{
	json_t *listeners = json_array(), *warnings = json_array(), *object;

	for (size_t i = 0; i < s->n_listeners; i++)
		json_array_append_new(listeners, listener_json(s, s->listeners[i]));
	for (size_t i = 0; i < s->n_warnings; i++)
		json_array_append_new(warnings, json_string(s->warnings[i]));
	object = json_pack("{s:f, s:s, s:I, s:I, s:b, s:b, s:I, s:o, s:o}", "time", s->time,
			   "pin_path", s->options->config.pin_path, "size", (json_int_t)s->size,
			   "nonce", (json_int_t)s->nonce, "failover", s->failover, "sflow_by_agent",
			   s->by_agent, "overrides", (json_int_t)s->n_overrides, "listeners",
			   listeners, "warnings", warnings);
	if (s->keeps_exporters)
		json_object_set_new(object, "exporter_state", state_json(&s->state));
	if (s->has_quarantine)
		json_object_set_new(object, "quarantine", quarantine_json(s));
	write_json(object, s->options->watch != 0);
}
