/* epoll(7), level-triggered, one-shot and nested; registered before the connection; and its refusals. */
#include "check.h"

static int epoll;

static const char *change(int operation, int fd, unsigned events)
{
	struct epoll_event event = { .events = events, .data.u64 = UINT64_C(0x123456789abcdef0) };

	return ok(epoll_ctl(epoll, operation, fd, &event));
}

static void waited(const char *what, int in, int ms)
{
	struct epoll_event event = { 0 };
	int n = epoll_wait(in, &event, 1, ms);

	say("%s: %s, %s%s", what, result(n), n > 0 ? epoll_flags(event.events) : "-",
	    n > 0 && event.data.u64 != UINT64_C(0x123456789abcdef0) ? ", the data are wrong" : "");
}

static void refusals(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int regular = open("/etc/hostname", O_RDONLY | O_CLOEXEC);

	say("added twice: %s", change(EPOLL_CTL_ADD, fd, EPOLLIN));
	say("changed, never added: %s", change(EPOLL_CTL_MOD, 0, EPOLLIN));
	say("a file: %s", change(EPOLL_CTL_ADD, regular, EPOLLIN));
	say("itself: %s", change(EPOLL_CTL_ADD, epoll, EPOLLIN));
	say("nothing: %s", change(EPOLL_CTL_ADD, 999, EPOLLIN));
	say("unknown operation: %s", change(9, fd, EPOLLIN));
	say("no event: %s", ok(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, NULL)));
	say("of a socket: %s", ok(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &event)));
	say("no room: %s", result(epoll_wait(epoll, &event, 0, 0)));
	say("a bad pointer: %s", result(epoll_wait(epoll, bad_pointer, 1, 0)));
	close(regular);
}

static void levels(void)
{
	int h, fd = connected(&h);
	char b[10];

	say("add: %s", change(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP));
	waited("quiet", epoll, 0);
	peer("send %d 2", h);
	waited("data", epoll, 2000);
	waited("still", epoll, 0);
	recv(fd, b, 1, 0);
	waited("half read", epoll, 0);
	recv(fd, b, 1, 0);
	waited("all read", epoll, 0);
	say("to OUT: %s", change(EPOLL_CTL_MOD, fd, EPOLLOUT));
	waited("writable", epoll, 0);
	refusals(fd);
	say("one-shot: %s", change(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT));
	peer("send %d 1", h);
	waited("first", epoll, 2000);
	waited("second", epoll, 50);
	say("armed again: %s", change(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT));
	waited("third", epoll, 0);
	say("deleted: %s", change(EPOLL_CTL_DEL, fd, 0));
	waited("after", epoll, 0);
	say("deleted again: %s", change(EPOLL_CTL_DEL, fd, 0));
	say("added: %s", change(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP));
	recv(fd, b, 1, 0);
	peer("shutdown %d 1", h);
	waited("FIN", epoll, 2000);
	peer("close %d", h);
	close(fd);
	waited("closed", epoll, 0);

	fd = connected(&h);
	say("nothing asked: %s", change(EPOLL_CTL_ADD, fd, 0));
	waited("quiet", epoll, 0);
	peer("reset %d", h);
	waited("reset", epoll, 2000);
	close(fd);
}

static void datagrams(void)
{
	int h = peer("udp 7100"), fd = nonblocking(bound(udp(), "0.0.0.0", 5100)), unread = -1;
	char b[100];

	say("datagrams: %s", change(EPOLL_CTL_ADD, fd, EPOLLIN));
	waited("quiet", epoll, 0);
	peer("to %d 5100 3", h);
	waited("one", epoll, 2000);
	peer("to %d 5100 4", h);
	nap(50);
	waited("two", epoll, 0);
	say("FIONREAD: %s, %d", ok(ioctl(fd, FIONREAD, &unread)), unread);
	say("peek: %s", result(recv(fd, b, sizeof b, MSG_PEEK)));
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	waited("one left", epoll, 0);
	say("writable, too: %s", change(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT));
	waited("both", epoll, 0);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	waited("none", epoll, 0);
	say("edges: %s", change(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET));
	peer("to %d 5100 5", h);
	waited("an edge", epoll, 2000);
	waited("told already", epoll, 50);
	peer("to %d 5100 6", h);
	waited("another", epoll, 2000);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	waited("all read", epoll, 50);
	say("one-shot: %s", change(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT));
	peer("to %d 5100 7", h);
	waited("first", epoll, 2000);
	waited("second", epoll, 50);
	say("levels again: %s", change(EPOLL_CTL_MOD, fd, EPOLLIN));
	waited("third", epoll, 0);
	say("shutdown: %s", ok(shutdown(fd, SHUT_RD)));
	close(fd);
	waited("closed", epoll, 0);
	peer("close %d", h);
}

static void nested(void)
{
	int h, fd = connected(&h), outer = epoll_create1(EPOLL_CLOEXEC), n;
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = UINT64_C(0x123456789abcdef0) };
	struct pollfd p = { epoll, POLLIN, 0 };

	change(EPOLL_CTL_ADD, fd, EPOLLIN);
	epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &event);
	waited("nested, quiet", outer, 0);
	n = poll(&p, 1, 0);
	say("poll of an epoll: %d, %s", n, poll_flags(p.revents));
	peer("send %d 1", h);
	waited("nested, data", outer, 2000);
	n = poll(&p, 1, 2000);
	say("poll of an epoll: %d, %s", n, poll_flags(p.revents));
	waited("inner", epoll, 0);
	close(outer);
	close(fd);
	peer("close %d", h);
}

static void early(void)
{
	long listener = peer("listen 7000 5");
	struct sockaddr_in a = address(PEER, 7000), no = address(PEER, 81), local = address("127.0.0.1", 0);
	socklen_t length = sizeof local;
	int fd = nonblocking(tcp()), h, server;

	say("registered first: %s", change(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP));
	waited("fresh", epoll, 0);
	say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
	waited("connected", epoll, 2000);
	h = peer("accept %ld", listener);
	peer("send %d 1", h);
	wait_for(fd, POLLIN);
	waited("data", epoll, 0);
	close(fd);
	peer("close %d", h);
	waited("closed", epoll, 0);

	fd = nonblocking(tcp());
	change(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT);
	say("connect to nobody: %s", ok(connect(fd, SA(no), sizeof no)));
	waited("refused", epoll, 2000);
	say("SO_ERROR %s", name_of(pending_error(fd)));
	close(fd);

	/* A socket that turns out to be loopback's keeps its registration. */
	server = tcp();
	bind(server, SA(local), sizeof local);
	listen(server, 1);
	getsockname(server, SA(local), &length);
	fd = nonblocking(tcp());
	change(EPOLL_CTL_ADD, fd, EPOLLOUT);
	say("connect to loopback: %s", ok(connect(fd, SA(local), sizeof local)));
	waited("connected", epoll, 2000);
	say("SO_ERROR %s", name_of(pending_error(fd)));
	close(fd);
	close(server);

	fd = nonblocking(tcp());
	change(EPOLL_CTL_ADD, fd, EPOLLIN);
	bound(fd, "0.0.0.0", 5000);
	listen(fd, 5);
	waited("listening", epoll, 0);
	h = peer("connect 5000");
	waited("one waits", epoll, 2000);
	close(accept(fd, NULL, NULL));
	waited("none waits", epoll, 0);
	close(fd);
	peer("close %d", h);
}

/* Who is ready first is told first. */
static void order(void)
{
	static const int turns[] = { 2, 0, 3, 1 };
	struct epoll_event events[4];
	int h[4], fd[4], n;

	for (int i = 0; i < 4; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		fd[i] = connected(&h[i]);
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd[i], &event);
	}
	for (int i = 0; i < 4; i++)
		peer("send %d 1", h[turns[i]]);
	for (int at = 0; at < 4; at += n) {
		n = epoll_wait(epoll, events, at ? 4 - at : 2, 2000);
		if (n <= 0)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			say("ready: %u", events[i].data.u32);
			recv(fd[events[i].data.u32], &(char){ 0 }, 1, 0);
		}
	}
	for (int i = 0; i < 4; i++) {
		close(fd[i]);
		peer("close %d", h[i]);
	}
}

/* An array without room for all: the rest is told next, by whoever looks. */
static void little_room(void)
{
	struct epoll_event event;
	int h[3], fd[3];

	for (int i = 0; i < 3; i++) {
		event = (struct epoll_event){ .events = EPOLLIN, .data.u32 = i };
		fd[i] = connected(&h[i]);
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd[i], &event);
	}
	for (int i = 0; i < 3; i++)
		peer("send %d 1", h[i]);
	say("room for one: %s", result(epoll_wait(epoll, &event, 1, 2000)));
	for (int i = 0; i < 3; i++)
		say("%d: poll %s", i, poll_flags(wait_for(fd[i], POLLIN)));
	for (int i = 0; i < 3; i++) {
		close(fd[i]);
		peer("close %d", h[i]);
	}
}

/* Answers arrive before the wait for them, again and again, whatever timers run meanwhile. */
static void rounds(const char *what, int polls)
{
	long long start = milliseconds();
	int h, fd = nonblocking(connected(&h)), n = 1;
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd p = { fd, POLLIN, 0 };
	char b[10] = { 0 };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	for (int i = 0; n == 1 && milliseconds() < start + 1500; i++) {
		send(fd, b, 1, 0);
		peer("send %d 1", h);
		n = polls && i % 2 ? poll(&p, 1, 2000) : epoll_wait(epoll, &event, 1, 2000);
		recv(fd, b, sizeof b, 0);
	}
	say("%s, the last: %d", what, n);
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	say("epoll_create1 of an unknown flag: %s", ok(epoll_create1(1)));
	say("epoll_create of 0: %s", ok(epoll_create(0)));
	levels();
	datagrams();
	nested();
	early();
	order();
	little_room();
	rounds("epoll_wait", 0);
	rounds("and poll", 1);
}
