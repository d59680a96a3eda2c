/* Reading by other calls than recv(2) and its kin, with readiness from epoll: preadv2(2), and a system call that does
 * not go by the C library. */
#include "check.h"
#include <sys/syscall.h>
#include <sys/uio.h>

static void rounds(const char *what, unsigned events, int raw)
{
	int h, fd = nonblocking(connected(&h)), set = epoll_create1(0), waits = 0, count = 0;
	struct epoll_event event = { .events = events };
	char b[100];
	struct iovec into = { b, sizeof b };

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	for (int i = 0; i < 5; i++) {
		peer("send %d 10", h);
		for (int got = 0; got < 10 && waits < 100; waits++) {
			ssize_t n = -1;

			if (epoll_wait(set, &event, 1, 2000) == 1)
				n = raw ? syscall(SYS_read, fd, b, sizeof b) : preadv2(fd, &into, 1, -1, 0);
			if (n > 0)
				got += n, count += n;
		}
	}
	say("%s: %d bytes, without end: %d", what, count, waits >= 100);
	close(set);
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	rounds("level", EPOLLIN, 0);
	rounds("edge", EPOLLIN | EPOLLET, 0);
	rounds("level, past the library", EPOLLIN, 1);
}
