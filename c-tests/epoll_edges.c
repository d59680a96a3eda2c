/* epoll(7), edge-triggered: every arrival is one event, read or not. */
#include "check.h"

static int epoll;

static void add(int fd, unsigned events)
{
	struct epoll_event event = { .events = events };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void waited(const char *what, int ms)
{
	struct epoll_event event = { 0 };
	int n = epoll_wait(epoll, &event, 1, ms);

	say("%s: %s", what, n > 0 ? epoll_flags(event.events) : result(n));
}

static void arrivals(void)
{
	int h, fd = connected(&h), copy;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	char b[100];

	add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	waited("added", 1000);
	waited("no news", 50);
	peer("send %d 10", h);
	waited("data", 1000);
	waited("unread, no news", 50);
	recv(fd, b, 5, 0);
	waited("half read, no news", 50);
	peer("send %d 10", h);
	waited("more data", 1000);
	recv(fd, b, 100, 0);
	waited("all read, no news", 50);
	event.events |= EPOLLOUT;
	epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
	waited("after MOD", 1000);
	waited("no news", 50);
	peer("send %d 1", h);
	waited("data", 1000);
	copy = dup(fd);
	add(copy, EPOLLIN | EPOLLET);
	waited("a copy added", 1000);
	epoll_ctl(epoll, EPOLL_CTL_DEL, copy, NULL);
	close(copy);
	peer("shutdown %d 1", h);
	waited("FIN", 1000);
	close(fd);
	peer("close %d", h);
}

static void room(void)
{
	int h, fd = nonblocking(connected(&h));
	static char big[65536];
	long total = 0, n;

	add(fd, EPOLLOUT | EPOLLET);
	waited("room", 1000);
	for (int i = 0; i < 15; i++, nap(20))
		while ((n = send(fd, big, sizeof big, 0)) > 0)
			total += n;
	while (epoll_wait(epoll, &(struct epoll_event){ 0 }, 1, 50) > 0)
		;
	waited("full", 50);
	peer("start recv %d %ld", h, total);
	waited("drained", 3000);
	peer("join %d", h);
	close(fd);
	peer("close %d", h);
}

static void resets(void)
{
	int h, fd = connected(&h);

	add(fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
	peer("reset %d", h);
	waited("reset", 1000);
	close(fd);
}

static void listeners(void)
{
	int fd = nonblocking(listening(5000, 16)), h[3], n = 0;

	add(fd, EPOLLIN | EPOLLET);
	waited("listening", 50);
	h[0] = peer("connect 5000");
	waited("one waits", 1000);
	h[1] = peer("connect 5000");
	waited("two wait", 1000);
	h[2] = peer("connect 5000");
	nap(100);
	for (int one; (one = accept(fd, NULL, NULL)) >= 0; n++)
		close(one);
	say("accepted %d", n);
	for (int i = 0; i < 3; i++)
		peer("close %d", h[i]);
	close(fd);
}

int main(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	arrivals();
	room();
	resets();
	listeners();
}
