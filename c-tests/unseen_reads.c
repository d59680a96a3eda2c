/* Reading by a call that is not among the socket calls (preadv2(2)), with readiness from epoll. */
#include "check.h"
#include <sys/uio.h>

static void rounds(const char *what, unsigned events)
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
				n = preadv2(fd, &into, 1, -1, 0);
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
	rounds("level", EPOLLIN);
	rounds("edge", EPOLLIN | EPOLLET);
}
