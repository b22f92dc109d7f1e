// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * Fuzzes the decoders of nfacctd and sfacctd with libFuzzer: 'make fuzz'. The daemon's own main()
 * runs in a thread, with its config, its handlers of packets and its maps; what it calls to read a
 * datagram gets them from the fuzzer. So all is as the daemon sets it up.
 *
 * An input is a row of datagrams, a template and its data, say. Each one begins with its length,
 * two bytes, and the number of its exporter, one byte. What an input has taught the daemon is
 * forgotten after it: a crash needs nothing but its input.
 *
 * Linked with --wrap for what is __wrap_ here. FUZZ_ARGUMENTS: the daemon's, with blanks between.
 */
#include "pmacct.h"
#ifdef FUZZ_NETFLOW
#include "nfacctd.h"
#endif
#include <pthread.h>
#include <semaphore.h>

#define SLACK 64 /* behind the end, as a record's last field may be read as if it were longer */

extern int daemon_main(int argc, char **argv, char **envp);
extern char **environ;

static sem_t given, taken; /* an input for the daemon; the daemon wants the next one */
static const uint8_t *input;
static size_t left;

/* libFuzzer's timer interrupts sem_wait(3). */
static void await(sem_t *semaphore)
{
	while (sem_wait(semaphore) && errno == EINTR)
		continue;
}

/* ---- what the daemon calls ---- */

/* Takes the next datagram of the input. Returns: its length, or -1 if there is none. */
static ssize_t next_datagram(void *buf, size_t len, struct sockaddr_storage *from)
{
	struct sockaddr_in *sender = (struct sockaddr_in *)from;
	size_t length;

	if (left < 3)
		return -1;
	length = input[0] << 8 | input[1];
	memset(from, 0, sizeof(*from));
	sender->sin_family = AF_INET;
	sender->sin_addr.s_addr = htonl(0x0a000000 + input[2] % 4);
	input += 3;
	left -= 3;
	if (length > left)
		length = left;
	if (length > len)
		length = len;
	memcpy(buf, input, length);
	memset((char *)buf + length, 0, len - length < SLACK ? len - length : SLACK);
	input += length;
	left -= length;

	return length;
}

ssize_t __wrap_recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *from,
			socklen_t *from_len)
{
	ssize_t length;

	(void)sock, (void)flags;
	*from_len = sizeof(struct sockaddr_in);
	while ((length = next_datagram(buf, len, (struct sockaddr_storage *)from)) < 0) {
		sem_post(&taken);
		await(&given);
	}

	return length;
}

/* Plugins are there for the core alone: no process reads their rings. */
pid_t __wrap_fork(void)
{
	return 0x7fffffff;
}

int __wrap_bind(int sock, const struct sockaddr *address, socklen_t len)
{
	(void)sock, (void)address, (void)len;
	return 0;
}

/* ---- forgetting ---- */

static void forget_exporters(void)
{
	int i;

	for (i = 0; i < XFLOW_STATUS_TABLE_SZ; i++) {
		struct xflow_status_entry *entry, *next;

		for (entry = xflow_status_table.t[i]; entry; entry = next) {
			next = entry->next;
			free(entry);
		}
		xflow_status_table.t[i] = NULL;
	}
	xflow_status_table.entries = 0;
}

static void forget_templates(void)
{
#ifdef FUZZ_NETFLOW
	int i;

	for (i = 0; i < TEMPLATE_CACHE_ENTRIES; i++) {
		struct template_cache_entry *entry, *next;

		for (entry = tpl_cache.c[i]; entry; entry = next) {
			next = entry->next;
			free(entry);
		}
		tpl_cache.c[i] = NULL;
	}
#endif
}

/* ---- the fuzzer's side ---- */

static void *run_daemon(void *unused)
{
	char *words = strdup(getenv("FUZZ_ARGUMENTS")), *argv[64] = {strdup("daemon")};
	int argc = 1;

	for (words = strtok(words, " "); words && argc < 63; words = strtok(NULL, " "))
		argv[argc++] = words;
	daemon_main(argc, argv, environ);

	return unused;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	pthread_attr_t attributes;
	pthread_t thread;

	(void)argc, (void)argv;
	sem_init(&given, 0, 0);
	sem_init(&taken, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 20);
	pthread_create(&thread, &attributes, run_daemon, NULL);
	await(&taken);

	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = data;
	left = size;
	sem_post(&given);
	await(&taken);
	forget_exporters();
	forget_templates();

	return 0;
}
