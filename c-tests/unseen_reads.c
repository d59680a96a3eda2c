/* Reading by other calls than recv(2) and its kin, with readiness from epoll: preadv2(2), syscall(2), and the C
 * library's own read(2), whatever was put before it. */
#include "check.h"
#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static ssize_t by_vector(int fd, void *b, size_t size)
{
	struct iovec into = { b, size };

	return preadv2(fd, &into, 1, -1, 0);
}

static ssize_t by_number(int fd, void *b, size_t size)
{
	return syscall(SYS_read, fd, b, size);
}

static ssize_t past_all(int fd, void *b, size_t size)
{
	static ssize_t (*libc_read)(int, void *, size_t);

	if (!libc_read)
		*(void **)&libc_read = dlsym(dlopen("libc.so.6", RTLD_NOW), "read");
	return libc_read(fd, b, size);
}

static void rounds(const char *what, unsigned events, ssize_t (*by)(int, void *, size_t))
{
	int h, fd = nonblocking(connected(&h)), set = epoll_create1(0), waits = 0, count = 0;
	struct epoll_event event = { .events = events };
	char b[100];

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	for (int i = 0; i < 5; i++) {
		peer("send %d 10", h);
		for (int got = 0; got < 10 && waits < 100; waits++) {
			ssize_t n = -1;

			if (epoll_wait(set, &event, 1, 2000) == 1)
				n = by(fd, b, sizeof b);
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
	rounds("level", EPOLLIN, by_vector);
	rounds("edge", EPOLLIN | EPOLLET, by_vector);
	rounds("level, by number", EPOLLIN, by_number);
	rounds("edge, by number", EPOLLIN | EPOLLET, by_number);
	rounds("level, past the library", EPOLLIN, past_all);
}
