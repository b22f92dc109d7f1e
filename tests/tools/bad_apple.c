/* SPDX-License-Identifier: GPL-2.0-or-later OR ISC */
/*
 * A mock, to be preloaded into a daemon: a fault of its decoder that nobody knows yet. A datagram,
 * or what a session begins with, that begins with one of these words has it
 *
 *   CRSH   write to address 0
 *   LOOP   never come to an end
 *   WAIT   wait for 12 seconds, or BAD_APPLE_WAIT, as for a disk that does not answer
 *   FORK   fork a child that stays, whatever it would be for
 *
 * when the daemon copies the datagram, or reads the session: that is when it has it in hand.
 *
 * With BAD_APPLE_STOP in the environment, a process that raises a signal in itself stops first,
 * until SIGCONT: what it was to do before can be looked at.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void bite(const char *data)
{
	volatile int endless = 1;
	const char *seconds;

	switch (data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3]) {
	case 'C' << 24 | 'R' << 16 | 'S' << 8 | 'H':
		*(volatile int *)0 = 0;
		break;
	case 'L' << 24 | 'O' << 16 | 'O' << 8 | 'P':
		while (endless)
			continue;
		break;
	case 'W' << 24 | 'A' << 16 | 'I' << 8 | 'T':
		seconds = getenv("BAD_APPLE_WAIT");
		poll(0, 0, (seconds ? atoi(seconds) : 12) * 1000);
		break;
	case 'F' << 24 | 'O' << 16 | 'R' << 8 | 'K':
		if (!fork())
			for (;;)
				pause();
		break;
	}
}

void *memcpy(void *to, const void *from, size_t n)
{
	char *p = to;
	const char *q = from;

	/* as long as what the test sends, so that no other copy of the word counts */
	if (n == 8)
		bite(q);
	__asm__ volatile("rep movsb" : "+D"(p), "+S"(q), "+c"(n) : : "memory");

	return to;
}

ssize_t recv(int sock, void *buf, size_t len, int flags)
{
	ssize_t (*real)(int, void *, size_t, int) = dlsym(RTLD_NEXT, "recv");
	ssize_t got = real(sock, buf, len, flags);

	if (got >= 4)
		bite(buf);

	return got;
}

ssize_t recvfrom(int sock, void *buf, size_t len, int flags, __SOCKADDR_ARG from,
		 socklen_t *from_len)
{
	ssize_t (*real)(int, void *, size_t, int, __SOCKADDR_ARG, socklen_t *) =
		dlsym(RTLD_NEXT, "recvfrom");
	ssize_t got = real(sock, buf, len, flags, from, from_len);

	if (got >= 4)
		bite(buf);

	return got;
}

int raise(int signum)
{
	if (getenv("BAD_APPLE_STOP"))
		kill(getpid(), SIGSTOP);

	return syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signum);
}
