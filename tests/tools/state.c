// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/* Sets of NetFlow v9 and IPFIX, and records in pages, without a daemon: flow_sets.h and
 * state_pages.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "flow_sets.h"
#include "state_pages.h"
#include "tap.h"

/* ---- messages ---- */

/* A message that ends where memory ends, so that what reads beyond it dies */
static __u8 *guarded, *end_of_memory;

struct message {
	__u8 bytes[1500];
	size_t length, set; /* set: where the last set begins */
};

static void put(struct message *m, __u32 value, int length)
{
	while (length--)
		m->bytes[m->length++] = value >> 8 * length;
}

static struct message new_message(int version)
{
	struct message m = {.length = 0};

	put(&m, version, 2);
	m.length = version == FLOW_NETFLOW9 ? 16 : 12;
	put(&m, 7, 4);

	return m;
}

/* words: of 16 bits each, until -1 */
static void add_set(struct message *m, int id, const int *words)
{
	m->set = m->length;
	put(m, id, 2);
	put(m, 0, 2);
	while (*words >= 0)
		put(m, *words++, 2);
	m->bytes[m->set + 2] = (m->length - m->set) >> 8;
	m->bytes[m->set + 3] = m->length - m->set;
}

#define SET(m, id, ...) add_set(m, id, (int[]){__VA_ARGS__, -1})

static int first_set(const struct message *m, struct flow_message *message, struct flow_set *set)
{
	__u8 *place = end_of_memory - m->length;

	memcpy(place, m->bytes, m->length);

	return flow_read_message(place, m->length, message) && flow_next_set(message, set);
}

/* How many definitions the first set of a message has; the last of them */
static int definitions(const struct message *m, struct flow_definition *last)
{
	struct flow_message message;
	struct flow_definition d;
	struct flow_set set;
	int n = 0;

	if (!first_set(m, &message, &set))
		return -1;
	while (flow_next_definition(message.version, &set, &d)) {
		*last = d;
		n++;
	}

	return n;
}

static void headers(void)
{
	struct message m = new_message(FLOW_NETFLOW9);
	struct flow_message message;
	struct flow_set set;

	ok(!first_set(&m, &message, &set), "a header without a set is no message");
	SET(&m, 0, 256, 1, 8, 4);
	ok(first_set(&m, &message, &set) && message.domain == 7 && set.id == 0, "NetFlow v9");
	m = new_message(FLOW_IPFIX);
	SET(&m, 2, 256, 1, 8, 4);
	ok(first_set(&m, &message, &set) && message.domain == 7 && set.id == 2, "IPFIX");
	ok(!flow_next_set(&message, &set), "there is one set in it");
	m.bytes[m.set + 3]++;
	ok(!first_set(&m, &message, &set), "a set that is longer than its message");
	m.bytes[m.set + 3] = 3;
	ok(!first_set(&m, &message, &set), "a set that is shorter than its header");
	m.bytes[1] = 5;
	ok(!first_set(&m, &message, &set), "NetFlow v5");
}

static void check_definitions(const char *name, int version, int set_id, int wanted,
			      const int *words)
{
	struct message m = new_message(version);
	struct flow_definition d;

	add_set(&m, set_id, words);
	ok(definitions(&m, &d) == wanted, "%s: definitions: %d", name, wanted);
}

#define DEFINITIONS(name, version, id, n, ...)                                                     \
	check_definitions(name, version, id, n, (int[]){__VA_ARGS__, -1})

static void templates(void)
{
	DEFINITIONS("two templates", 9, 0, 2, 256, 2, 8, 4, 12, 4, 257, 1, 8, 4);
	DEFINITIONS("a template, padded", 9, 0, 1, 256, 1, 8, 4, 0);
	DEFINITIONS("a field of an enterprise", 10, 2, 2, 256, 1, 0x8001, 4, 0, 9, 257, 1, 8, 4);
	DEFINITIONS("NetFlow v9 has no enterprises", 9, 0, 1, 256, 1, 0x8001, 4, 0, 9);
	DEFINITIONS("a withdrawal, then a template", 10, 2, 2, 256, 0, 257, 1, 8, 4);
	DEFINITIONS("a withdrawal of all", 10, 3, 1, 3, 0);
	DEFINITIONS("a template, padded by 4 zeroes", 10, 2, 1, 256, 1, 8, 4, 0, 0);
	DEFINITIONS("options, padded by 6 zeroes", 10, 3, 1, 257, 2, 1, 149, 4, 48, 4, 0, 0, 0);
	DEFINITIONS("NetFlow v9 has no withdrawals", 9, 0, 0, 256, 0);
	DEFINITIONS("fields that the set has no room for", 9, 0, 0, 256, 3, 8, 4, 12, 4);
	DEFINITIONS("fields of no length", 9, 0, 0, 256, 2, 8, 0, 12, 0);
	DEFINITIONS("lengths whose sum exceeds 16 bits", 9, 0, 0, 256, 2, 8, 40000, 12, 40000);
	DEFINITIONS("an id of a set with definitions", 9, 0, 0, 255, 1, 8, 4);
	DEFINITIONS("65535 fields", 9, 0, 0, 256, 65535, 8, 4);
	DEFINITIONS("NetFlow v9 options", 9, 1, 1, 257, 4, 8, 1, 4, 48, 4, 50, 4);
	DEFINITIONS("the same, padded", 9, 1, 1, 257, 4, 4, 1, 4, 48, 4, 0);
	DEFINITIONS("a scope of 3 bytes", 9, 1, 0, 257, 3, 8, 1, 4, 48, 4, 50, 4);
	DEFINITIONS("IPFIX options", 10, 3, 1, 257, 3, 1, 149, 4, 48, 4, 50, 4);
	DEFINITIONS("a scope with more fields than there are", 10, 3, 0, 257, 1, 2, 149, 4);
	DEFINITIONS("options whose head is cut", 10, 3, 0, 257, 1);
	DEFINITIONS("a field of variable length alone", 10, 2, 1, 256, 1, 82, 65535);
}

/* ---- records ---- */

/* Sampling: scope of 4 bytes, id, rate */
static const int sampler_words[] = {257, 4, 8, 1, 4, 48, 2, 50, 4, -1};

/* A definition that outlives its message */
static struct flow_definition define(int version, int set_id, const int *words)
{
	static __u8 kept[8][256];
	static int n;
	struct message m = new_message(version);
	struct flow_definition d = {.length = 0};

	add_set(&m, set_id, words);
	must(definitions(&m, &d) == 1);
	memcpy(kept[n % 8], d.bytes, d.length);
	d.bytes = kept[n++ % 8];

	return d;
}

/* Records of the definition in that set; lengths of the first two, and a hash of what they are
 * about */
struct found {
	int n;
	size_t length[2];
	__u64 subject[2];
	__u32 rate;
};

static struct found records(const struct flow_definition *d, const int *words)
{
	struct message m = new_message(d->version);
	struct flow_message message;
	struct found found = {.n = 0};
	struct flow_set set;
	const __u8 *record;
	size_t length;

	add_set(&m, d->id, words);
	must(first_set(&m, &message, &set));
	while ((record = flow_next_record(d, &set, &length))) {
		if (found.n < 2) {
			found.length[found.n] = length;
			found.subject[found.n] = flow_hash_subject(d, record, length);
		}
		found.n++;
		found.rate = flow_sampling_rate(d, record, length);
	}

	return found;
}

#define RECORDS(d, ...) records(d, (int[]){__VA_ARGS__, -1})

static void options_data(void)
{
	struct flow_definition d = define(FLOW_NETFLOW9, 1, sampler_words);
	struct found f = RECORDS(&d, 0, 1, 5, 0, 1000, 0, 1, 6, 0, 1000, 0), g;

	ok(f.n == 2 && f.length[0] == 10, "two records, padded: %d", f.n);
	ok(f.subject[0] != f.subject[1], "samplers of one scope are two subjects");
	ok(f.rate == 1000, "sampling 1:%u", f.rate);
	g = RECORDS(&d, 0, 1, 5, 0, 100);
	ok(g.subject[0] == f.subject[0], "another rate of a sampler is the same subject");
	g = RECORDS(&d, 0, 2, 5, 0, 1000);
	ok(g.subject[0] != f.subject[0], "another scope is another subject");

	d = define(FLOW_IPFIX, 3, (int[]){258, 3, 1, 149, 4, 305, 4, 306, 4, -1});
	f = RECORDS(&d, 0, 1, 0, 1, 0, 255);
	ok(f.rate == 256, "packet interval 1, space 255: 1:%u", f.rate);
	d = define(FLOW_IPFIX, 3, (int[]){258, 2, 1, 149, 4, 34, 4, -1});
	ok(RECORDS(&d, 0, 1, 0, 64).rate == 64, "sampling interval");
	d = define(FLOW_IPFIX, 3, (int[]){258, 2, 1, 149, 4, 82, 4, -1});
	ok(RECORDS(&d, 0, 1, 0, 64).rate == 0, "no sampling");
}

static void variable_length(void)
{
	struct flow_definition d = define(FLOW_IPFIX, 3, (int[]){259, 2, 1, 10, 2, 82, 65535, -1});
	struct found f;

	f = RECORDS(&d, 7, 0x0361, 0x6263, 8, 0x0161);
	ok(f.n == 2 && f.length[0] == 6 && f.length[1] == 4, "lengths of one byte: %d", f.n);
	f = RECORDS(&d, 7, 0xff00, 0x0361, 0x6263);
	ok(f.n == 1 && f.length[0] == 8, "a length of three bytes: %d", f.n);
	f = RECORDS(&d, 7, 0x0561, 0x6263);
	ok(f.n == 0, "a value that is longer than its set: %d", f.n);
	f = RECORDS(&d, 7, 0xffff);
	ok(f.n == 0, "a length that is cut: %d", f.n);
	d = define(FLOW_NETFLOW9, 0, (int[]){256, 1, 8, 65534, -1});
	ok(RECORDS(&d, 7).n == 0, "a record of 65534 bytes");
}

/* Whatever a message holds, nothing outside of it is read */
static void mutations(void)
{
	struct message m[2] = {new_message(FLOW_NETFLOW9), new_message(FLOW_IPFIX)};
	struct flow_definition d, options = define(FLOW_NETFLOW9, 1, sampler_words);
	struct flow_message message;
	struct flow_set set;
	__u64 state = 1, found = 0;

	SET(&m[0], 0, 256, 2, 8, 4, 12, 4);
	add_set(&m[0], 1, sampler_words);
	SET(&m[0], 257, 0, 1, 5, 0, 1000);
	SET(&m[1], 2, 256, 2, 0x8001, 4, 0, 9, 12, 4);
	SET(&m[1], 3, 257, 3, 1, 149, 4, 82, 65535, 50, 4);
	SET(&m[1], 257, 0, 1, 0x0361, 0x6263, 0, 1000);
	for (int i = 0; i < 500000; i++) {
		struct message mutated = m[i % 2];
		size_t length;

		for (int j = next_random(&state) % 6; j >= 0; j--)
			mutated.bytes[next_random(&state) % mutated.length] =
				next_random(&state) % 3 ? next_random(&state) : 255;
		mutated.length -= next_random(&state) % 8;
		if (!first_set(&mutated, &message, &set))
			continue;
		do {
			while (flow_next_definition(message.version, &set, &d))
				found += d.length;
			while (flow_next_record(&options, &set, &length))
				found += length;
		} while (flow_next_set(&message, &set));
	}
	ok(found > 0, "500000 messages with random changes: %llu bytes of them make sense",
	   (unsigned long long)found);
}

/* ---- pages ---- */

static int add_record(struct rp_pages *pages, __u64 subject, int length, int fill)
{
	struct rp_state_record record = {.subject = subject,
					 .id = 257,
					 .version = 9,
					 .kind = RP_STATE_OPTIONS_DATA,
					 .length = length};
	__u8 bytes[RP_STATE_PAGE_BYTES + 8];

	memset(bytes, fill, sizeof(bytes));

	return rp_pages_put(pages, &record, bytes);
}

static int count_records(const struct rp_pages *pages)
{
	struct rp_pages_walk walk = {};
	int n = 0;

	while (rp_pages_next(pages, &walk))
		n++;

	return n;
}

static int condemn_odd(const struct rp_state_record *record, const void *unused)
{
	(void)unused;

	return record->subject % 2;
}

static void pages(void)
{
	struct rp_state_record wanted = {
		.subject = 3, .id = 257, .version = 9, .kind = RP_STATE_OPTIONS_DATA, .length = 20};
	struct rp_pages p = {};
	__u8 bytes[20];
	int n = 0, err;

	for (int i = 0; i < 100; i++)
		must(!add_record(&p, i, 20, 1));
	ok(count_records(&p) == 100 && p.count > 1 && p.page[0].pages == p.count,
	   "100 records in %u pages", p.count);
	p.unsaved = 0;
	must(!add_record(&p, 3, 20, 2));
	memset(bytes, 2, sizeof(bytes));
	ok(count_records(&p) == 100 && rp_pages_have(&p, &wanted, bytes), "one is replaced");
	ok(p.unsaved == 1, "and its page alone is to be written");
	wanted.subject = 100;
	ok(!rp_pages_find(&p, &wanted), "one that is not there is not found");
	rp_pages_remove(&p, condemn_odd, NULL);
	ok(count_records(&p) == 50, "half of them are removed");
	ok(add_record(&p, 1, RP_STATE_PAGE_BYTES, 1) == -E2BIG, "one that is larger than a page");
	while (!(err = add_record(&p, 1000 + n, 500, 1)))
		n++;
	ok(err == -E2BIG && p.count == RP_STATE_PAGES_EACH, "%d more, until all pages are full", n);
	rp_pages_free(&p);
	ok(!p.count && !count_records(&p), "none are left");
}

/* What two options templates say of one thing: the order in which it came */
static void orders(void)
{
	struct rp_state_record first = {.subject = 3,
					.id = 257,
					.version = 9,
					.kind = RP_STATE_OPTIONS_DATA,
					.length = 4},
			       second = first, other = first;
	struct rp_pages p = {};

	second.id = 258;
	other.subject = 4;
	must(!rp_pages_put(&p, &first, "1:7") && !rp_pages_put(&p, &other, "4:4") &&
	     !rp_pages_put(&p, &second, "1:9"));
	ok(rp_pages_overrule(&p, rp_pages_find(&p, &first)),
	   "the later one overrules the earlier one");
	ok(!rp_pages_overrule(&p, rp_pages_find(&p, &second)), "and not the other way round");
	ok(!rp_pages_overrule(&p, rp_pages_find(&p, &other)), "nor another subject");
	must(!rp_pages_put(&p, &first, "1:7"));
	ok(!rp_pages_overrule(&p, rp_pages_find(&p, &first)) &&
		   rp_pages_overrule(&p, rp_pages_find(&p, &second)),
	   "put again, as it was, the earlier one is the later one");
	rp_pages_free(&p);
}

int main(void)
{
	size_t page = getpagesize();

	guarded = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(guarded != MAP_FAILED && !munmap(guarded + page, page));
	end_of_memory = guarded + page;
	headers();
	templates();
	options_data();
	variable_length();
	mutations();
	pages();
	orders();

	return tap_done();
}
