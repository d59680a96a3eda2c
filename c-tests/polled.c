/* What poll(2) or select(2) has told of is there for everybody who looks, in whatever way, and for whoever waits
 * besides. */
#include "check.h"
#include <dlfcn.h>

/* Whatever was put before the C library. */
static void *past_all(const char *name)
{
	return dlsym(dlopen("libc.so.6", RTLD_NOW), name);
}

/* A connection on which bytes wait that poll has told of. */
static int told(int *h, int count)
{
	int fd = nonblocking(connected(h));

	peer("send %d %d", *h, count);
	if (wait_for(fd, POLLIN) != POLLIN)
		die("poll");
	return fd;
}

static void done(int h, int fd)
{
	close(fd);
	peer("close %d", h);
}

static void looked_at(void)
{
	int (*libc_poll)(struct pollfd *, nfds_t, int);
	int h, fd = told(&h, 5), count = -1, n;
	struct pollfd p = { fd, POLLIN, 0 };
	char b[10];

	*(void **)&libc_poll = past_all("poll");
	ioctl(fd, FIONREAD, &count);
	say("FIONREAD: %d", count);
	say("again: %s", poll_flags(events_now(fd)));
	n = libc_poll(&p, 1, 2000);
	say("past the library: %d", n);
	say("peek: %s", result(recv(fd, b, sizeof b, MSG_PEEK)));
	say("read: %s", result(recv(fd, b, 3, 0)));
	say("the rest: %s", poll_flags(events_now(fd)));
	say("read: %s", result(recv(fd, b, sizeof b, 0)));
	say("nothing: %s", poll_flags(events_now(fd)));
	peer("send %d 2", h);
	peer("shutdown %d 1", h);
	nap(100);
	say("and the end: %s", poll_flags(events_now(fd)));
	say("read: %s", result(recv(fd, b, sizeof b, 0)));
	say("the end: %s", result(recv(fd, b, sizeof b, 0)));
	done(h, fd);
}

static void in_a_set(const char *what, unsigned events)
{
	int h, fd = told(&h, 5), set = epoll_create1(0);
	struct epoll_event event = { .events = events };
	char b[10];

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	say("%s: %s", what, result(epoll_wait(set, &event, 1, 2000)));
	say("  read: %s", result(recv(fd, b, sizeof b, 0)));
	say("  no more: %s", result(epoll_wait(set, &event, 1, 0)));
	close(set);
	done(h, fd);
}

static void elsewhere(void)
{
	ssize_t (*libc_read)(int, void *, size_t);
	int h, fd = told(&h, 5), status, got = 0;
	struct pollfd p = { fd, POLLIN, 0 };
	char b[10];
	pid_t child = fork();

	*(void **)&libc_read = past_all("read");
	if (child == 0)
		_exit(recv(fd, b, sizeof b, 0));
	waitpid(child, &status, 0);
	say("a forked process reads: %d", WEXITSTATUS(status));
	for (int waits = 0; got < 50 && waits < 100; waits++) {
		ssize_t n = -1;

		peer("send %d 5", h);
		if (poll(&p, 1, 2000) == 1)
			n = libc_read(fd, b, sizeof b);
		got += n > 0 ? n : 0;
	}
	say("read past the library: %d", got >= 50);
	done(h, fd);
}

static void *sleep_in_poll(void *fd)
{
	struct pollfd p = { *(int *)fd, POLLIN, 0 };

	return (void *)(long)poll(&p, 1, 3000);
}

static void *sleep_in_select(void *fd)
{
	struct timeval limit = { 3, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(*(int *)fd, &set);
	return (void *)(long)select(*(int *)fd + 1, &set, NULL, NULL, &limit);
}

/* All who sleep in a socket are told. */
static void side_by_side(void)
{
	void *(*const how[])(void *) = { sleep_in_poll, sleep_in_select, sleep_in_poll };
	int h, fd = nonblocking(connected(&h));
	pthread_t threads[3];
	void *told;

	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, how[i], &fd);
	nap(100);
	peer("send %d 20000", h);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &told);
		say("sleeper %d: %ld", i, (long)told);
	}
	done(h, fd);
}

static void little(void)
{
	int h, fd = nonblocking(connected(&h));
	char b[20];

	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 10);
	peer("send %d 5", h);
	nap(100);
	say("below the low water mark: %s", poll_flags(events_now(fd)));
	peer("send %d 5", h);
	say("at it: %s", poll_flags(wait_for(fd, POLLIN)));
	say("read: %s", result(recv(fd, b, sizeof b, 0)));
	done(h, fd);
}

static void to_accept(void)
{
	int listener = nonblocking(listening(5000, 5)), h[2], fd[2];

	h[0] = peer("connect 5000");
	h[1] = peer("connect 5000");
	say("two wait: %s", poll_flags(wait_for(listener, POLLIN)));
	fd[0] = accept(listener, NULL, NULL);
	say("one waits: %s", poll_flags(wait_for(listener, POLLIN)));
	fd[1] = accept(listener, NULL, NULL);
	say("none: %s", poll_flags(events_now(listener)));
	say("accept: %s", result(accept(listener, NULL, NULL)));
	for (int i = 0; i < 2; i++)
		done(h[i], fd[i]);
	close(listener);
}

/* Much, through small buffers and large ones. */
static void bulk(void)
{
	int h, fd = nonblocking(connected(&h));
	struct pollfd p = { fd, POLLIN, 0 };
	static unsigned char b[300000];
	uint64_t hash = FNV_START, want = FNV_START;
	size_t got = 0, size = 1;

	peer("start send %d 3000000", h);
	while (got < 3000000 && poll(&p, 1, 3000) == 1) {
		ssize_t n = recv(fd, b, size, 0);

		if (n <= 0)
			break;
		hash = fnv(hash, b, n);
		got += n;
		size = size * 7 % sizeof b + 1;
	}
	for (size_t i = 0; i < 3000000; i += sizeof b) {
		fill(b, sizeof b, i);
		want = fnv(want, b, sizeof b);
	}
	say("bulk: %zu, %s", got, hash == want ? "as sent" : "WRONG");
	peer("join %d", h);
	done(h, fd);
}

int main(void)
{
	looked_at();
	in_a_set("added to a set, level", EPOLLIN);
	in_a_set("added to a set, edge", EPOLLIN | EPOLLET);
	in_a_set("added to a set, once", EPOLLIN | EPOLLONESHOT);
	elsewhere();
	side_by_side();
	little();
	to_accept();
	bulk();
}
