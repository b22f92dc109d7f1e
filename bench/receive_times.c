// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * A library to preload into nfacctd: how long a datagram waits between the kernel, which has
 * received it, and pmacct, which has handed it to its plugins. That is taken to be when the process
 * sleeps, or reads its next datagram or batch: a little late.
 *
 * Asks the kernel for the time at which each datagram came (SO_TIMESTAMPNS), in place of recvfrom()
 * and recvmmsg(). At the end it writes the time, in microseconds, that 99 of 100 datagrams waited
 * less than, and the longest, to the file RECEIVE_TIMES.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	64
#define MOST_US 1000000
#define CONTROL 128 /* bytes, of one timestamp */

static unsigned waited[MOST_US + 1]; /* datagrams, by microseconds */
static struct timespec came[BATCH];
static int in_hand;
static pid_t owner;

static void note_times(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (int i = 0; i < in_hand; i++) {
		long us = (now.tv_sec - came[i].tv_sec) * 1000000 +
			  (now.tv_nsec - came[i].tv_nsec) / 1000;

		waited[us < 0 ? 0 : us > MOST_US ? MOST_US : us]++;
	}
	in_hand = 0;
}

static void note_arrival(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&came[in_hand++], CMSG_DATA(c), sizeof(*came));
}

static void ask_for_times(int sock)
{
	static int asked = -1;
	int yes = 1;

	if (asked == sock)
		return;
	asked = sock;
	setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes));
}

int recvmmsg(int sock, struct mmsghdr *messages, unsigned n, int flags, struct timespec *timeout)
{
	static int (*next)(int, struct mmsghdr *, unsigned, int, struct timespec *);
	static char control[BATCH][CONTROL];
	int got;

	if (!next)
		next = dlsym(RTLD_NEXT, "recvmmsg");
	note_times();
	ask_for_times(sock);
	for (unsigned i = 0; i < n && i < BATCH; i++) {
		messages[i].msg_hdr.msg_control = control[i];
		messages[i].msg_hdr.msg_controllen = CONTROL;
	}
	got = next(sock, messages, n < BATCH ? n : BATCH, flags, timeout);
	for (int i = 0; i < got; i++)
		note_arrival(&messages[i].msg_hdr);

	return got;
}

ssize_t recvfrom(int sock, void *buf, size_t len, int flags, struct sockaddr *from,
		 socklen_t *from_len)
{
	char control[CONTROL];
	struct iovec place = {buf, len};
	struct msghdr message = {.msg_name = from,
				 .msg_namelen = from_len ? *from_len : 0,
				 .msg_iov = &place,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	ssize_t got;

	note_times();
	ask_for_times(sock);
	got = recvmsg(sock, &message, flags);
	if (got >= 0 && from_len)
		*from_len = message.msg_namelen;
	if (got >= 0)
		note_arrival(&message);

	return got;
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
	static int (*next)(const struct timespec *, struct timespec *);

	if (!next)
		next = dlsym(RTLD_NEXT, "nanosleep");
	note_times();

	return next(time, left);
}

__attribute__((constructor)) static void begin(void)
{
	owner = getpid();
}

/* In the core alone: its plugins are forked from it */
__attribute__((destructor)) static void report(void)
{
	const char *path = getenv("RECEIVE_TIMES");
	unsigned long all = 0, below = 0;
	int us = 0, longest = 0;
	FILE *file;

	if (getpid() != owner || !path || !(file = fopen(path, "w")))
		return;
	for (int i = 0; i <= MOST_US; i++) {
		all += waited[i];
		if (waited[i])
			longest = i;
	}
	while (us < MOST_US && (below += waited[us]) * 100 < all * 99)
		us++;
	fprintf(file, "%d %d\n", us, longest);
	fclose(file);
}
