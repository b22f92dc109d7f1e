// SPDX-License-Identifier: GPL-2.0-or-later OR ISC
/*
 * A library to preload into a daemon: one with a lock, as librdkafka, libcurl and syslog(3) have.
 *
 * In another thread than the main one, listen() takes 8 s, as on a busy machine: longer than the
 * 5 s that the core of nfacctd waits between the start of that thread and the start of its plugins.
 * fopen() of the file HELD_FILE, in such a thread, then holds the lock for 3 s. A child takes the
 * lock before it polls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LATE_SECONDS 8
#define HELD_SECONDS 3

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t core;

__attribute__((constructor)) static void begin(void)
{
	core = getpid();
}

static int in_thread(void)
{
	return getpid() == core && syscall(SYS_gettid) != core;
}

int listen(int fd, int backlog)
{
	int (*next)(int, int) = dlsym(RTLD_NEXT, "listen");

	if (in_thread())
		sleep(LATE_SECONDS);
	return next(fd, backlog);
}

FILE *fopen(const char *path, const char *mode)
{
	FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, "fopen");

	if (in_thread() && !strcmp(path, getenv("HELD_FILE"))) {
		pthread_mutex_lock(&lock);
		sleep(HELD_SECONDS);
		pthread_mutex_unlock(&lock);
	}
	return next(path, mode);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	int (*next)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");

	if (getpid() != core) {
		pthread_mutex_lock(&lock);
		pthread_mutex_unlock(&lock);
	}
	return next(fds, n, timeout);
}
