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

/* What is written makes room again, which is no news. */
static void writes(void)
{
	int h, fd = connected(&h);
	char b[100];

	add(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	send(fd, "x", 1, 0);
	nap(50);
	waited("written before the first look", 1000);
	waited("no news", 50);
	for (int i = 0; i < 3; i++) {
		send(fd, "some words", 10, 0);
		waited("written, no news", 100);
	}
	peer("send %d 10", h);
	waited("data", 1000);
	recv(fd, b, sizeof b, 0);
	send(fd, "some words", 10, 0);
	waited("read and written, no news", 100);
	close(fd);
	peer("close %d", h);

	fd = connected(&h);
	add(fd, EPOLLOUT | EPOLLET);
	waited("room is asked for alone", 1000);
	send(fd, "x", 1, 0);
	waited("written, no news", 100);
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

/* Events carry a value, and not which of two sockets that have it. */
static void two_of_one_value(void)
{
	struct sockaddr_in nobody = address(PEER, 81);
	int h, fd = connected(&h), fresh = tcp(), refused = udp(), other = bound(udp(), "0.0.0.0", 0), n;
	struct epoll_event events[4];
	unsigned flags[2];

	add(fd, EPOLLIN);
	add(fresh, EPOLLIN);
	peer("send %d 1", h);
	wait_for(fd, POLLIN);
	n = epoll_wait(epoll, events, COUNT(events), 1000);
	for (int i = 0; i < 2; i++)
		flags[i] = i < n ? events[i].events : 0;
	n = flags[0] > flags[1];
	say("a fresh one: %s", epoll_flags(flags[!n]));
	say("one with data: %s", epoll_flags(flags[n]));
	close(fd);
	close(fresh);
	peer("close %d", h);

	add(refused, EPOLLIN | EPOLLET);
	add(other, EPOLLIN | EPOLLET);
	connect(refused, SA(nobody), sizeof nobody);
	send(refused, "x", 1, 0);
	waited("refused", 1000);
	waited("not asked of", 50);
	h = peer("udp 0");
	peer("to %d %d 10", h, port_of(other));
	waited("a datagram for the other", 1000);
	say("SO_ERROR %s", name_of(pending_error(refused)));
	close(refused);
	close(other);
	peer("close %d", h);
}

int main(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	arrivals();
	writes();
	room();
	resets();
	listeners();
	two_of_one_value();
}
