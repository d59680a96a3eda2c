/* How a process learns what becomes of sockets that another process has made, and closed since: what poll, select and
 * epoll show, and wake for, and what the next calls say. */
#include "check.h"

static char b[100];

/* The child has the socket alone once `gone` is at its end. */
static int have_alone(int fd, int *child)
{
	int ends[2];

	if (pipe(ends))
		die("pipe");
	fflush(stdout);
	*child = fork();
	if (*child) {
		int status;

		close(fd);
		close(ends[0]);
		close(ends[1]);
		if (waitpid(*child, &status, 0) < 0 || status)
			die("the child");
		return -1;
	}
	close(ends[1]);
	if (read(ends[0], b, 1) != 0)
		die("read");
	close(ends[0]);
	return fd;
}

static void end(void)
{
	fflush(stdout);
	_exit(0);
}

static int watching(int fd, unsigned events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
	return set;
}

static const char *told(int set, int timeout)
{
	struct epoll_event event = { 0 };

	return epoll_wait(set, &event, 1, timeout) == 1 ? epoll_flags(event.events) : "nothing";
}

static void *polls(void *fd)
{
	struct pollfd p = { *(int *)fd, POLLIN, 0 };
	long n = poll(&p, 1, 10000);

	say("  woken with %ld: %s", n, poll_flags(p.revents));
	return NULL;
}

/* What a connection shows that has come to an end. */
static void look(int fd, int level, int edge)
{
	fd_set in, out;
	struct timeval none = { 0, 0 };

	say("  poll: %s", poll_flags(events_now(fd)));
	FD_ZERO(&in);
	FD_SET(fd, &in);
	out = in;
	say("  select: %d", select(fd + 1, &in, &out, NULL, &none));
	say("  epoll: %s", told(level, 1000));
	say("  again: %s", told(level, 0));
	say("  edge: %s", told(edge, 1000));
	say("  again: %s", told(edge, 0));
}

static const struct way {
	const char *name;
	int writes, fin, asks;
} ways[] = {
	{ "reset, then recv", 0, 0, 0 }, { "reset, then send", 1, 0, 0 }, { "reset, then SO_ERROR", 0, 0, 1 },
	{ "reset after the end, then recv", 0, 1, 0 }, { "reset after the end, then send", 1, 1, 0 },
	{ "reset after the end, then SO_ERROR", 0, 1, 1 },
};

static void reset(const struct way *way)
{
	int h, child, level, edge, fd = have_alone(connected(&h), &child);
	pthread_t thread;

	if (fd < 0)
		return;
	say("%s", way->name);
	if (way->fin) {
		peer("shutdown %d %d", h, SHUT_WR);
		wait_for(fd, POLLRDHUP);
		say("  the end: %s", poll_flags(events_now(fd)));
	}
	level = watching(fd, EPOLLIN);
	edge = watching(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	say("  before: %s", told(edge, 1000));
	if (!way->fin) {
		pthread_create(&thread, NULL, polls, &fd);
		nap(50);
	}
	peer("reset %d", h);
	if (way->fin)
		wait_for(fd, 0);
	else
		pthread_join(thread, NULL);
	look(fd, level, edge);
	if (way->asks)
		say("  SO_ERROR: %s", name_of(pending_error(fd)));
	else if (way->writes)
		say("  send: %s", result(send(fd, b, 1, 0)));
	else
		say("  recv: %s", result(recv(fd, b, 1, 0)));
	say("  poll: %s", poll_flags(events_now(fd)));
	say("  recv: %s", result(recv(fd, b, 1, 0)));
	say("  send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("  shutdown: %s", ok(shutdown(fd, SHUT_RDWR)));
	end();
}

/* One that both sides have ended in order. */
static void closed(void)
{
	int h, child, fd = have_alone(connected(&h), &child);

	if (fd < 0)
		return;
	say("ended on both sides");
	peer("shutdown %d %d", h, SHUT_WR);
	wait_for(fd, POLLRDHUP);
	say("  shutdown: %s", ok(shutdown(fd, SHUT_WR)));
	wait_for(fd, 0);
	look(fd, watching(fd, EPOLLIN), watching(fd, EPOLLIN | EPOLLET));
	say("  SO_ERROR: %s", name_of(pending_error(fd)));
	say("  recv: %s", result(recv(fd, b, 1, 0)));
	end();
}

static void bound_only(void)
{
	int child, level, edge, fd = have_alone(bound(tcp(), TEST, 0), &child);

	if (fd < 0)
		return;
	say("only bound");
	level = watching(fd, EPOLLIN);
	edge = watching(fd, EPOLLIN | EPOLLOUT | EPOLLET);
	say("  woken: %s", poll_flags(wait_for(fd, 0)));
	look(fd, level, edge);
	end();
}

/* A fresh one is this process's. */
static void fresh(int kind)
{
	int child, fd = have_alone(nonblocking(socket(AF_INET, kind, 0)), &child);

	if (fd < 0)
		return;
	say("fresh: %s", poll_flags(events_now(fd)));
	end();
}

/* Nobody is at the port: an ICMP error. */
static void refused(int reads)
{
	struct sockaddr_in nobody = address(PEER, 81);
	int child, level, edge, fd = bound(udp(), TEST, 0);

	if (connect(fd, SA(nobody), sizeof nobody))
		die("connect");
	fd = have_alone(fd, &child);
	if (fd < 0)
		return;
	say("a datagram that is refused");
	level = watching(fd, EPOLLIN);
	edge = watching(fd, EPOLLIN | EPOLLET);
	say("  send: %s", result(send(fd, b, 1, 0)));
	say("  woken: %s", poll_flags(wait_for(fd, POLLIN)));
	look(fd, level, edge);
	say("  %s: %s", reads ? "recv" : "send", result(reads ? recv(fd, b, 1, 0) : send(fd, b, 1, 0)));
	say("  poll: %s", poll_flags(events_now(fd)));
	say("  epoll: %s", told(level, 0));
	say("  recv: %s", result(recv(fd, b, 1, MSG_DONTWAIT)));
	end();
}

/* A set that is asked for nothing that can be read is told of an error all the same, also where it waits by then. */
static void *sends(void *fd)
{
	nap(60);
	if (send(*(int *)fd, b, 1, 0) != 1)
		die("send");
	return NULL;
}

static void refused_unasked(unsigned events)
{
	struct sockaddr_in nobody = address(PEER, 81);
	int child, set, fd = bound(udp(), TEST, 0);
	pthread_t thread;

	if (connect(fd, SA(nobody), sizeof nobody))
		die("connect");
	fd = have_alone(fd, &child);
	if (fd < 0)
		return;
	say("a datagram that is refused, waiting for %s", epoll_flags(events));
	set = watching(fd, events);
	say("  at first: %s", told(set, 0));
	for (int i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, sends, &fd);
		say("  epoll: %s", told(set, 5000));
		pthread_join(thread, NULL);
		say("  again: %s", told(set, 0));
		say("  SO_ERROR: %s", name_of(pending_error(fd)));
		say("  epoll: %s", told(set, 0));
	}
	end();
}

/* What a connection's error queue has. */
static void sent_unasked(unsigned events)
{
	int h, on = 1, child, set, fd = connected(&h);

	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on))
		die("SO_ZEROCOPY");
	fd = have_alone(fd, &child);
	if (fd < 0)
		return;
	say("sent without a copy, waiting for %s", epoll_flags(events));
	set = watching(fd, events);
	say("  at first: %s", told(set, 0));
	say("  send: %s", result(send(fd, b, 1, MSG_ZEROCOPY)));
	say("  epoll: %s", told(set, 5000));
	say("  recv: %s", result(recv(fd, b, sizeof b, MSG_ERRQUEUE | MSG_DONTWAIT)));
	say("  epoll: %s", told(set, 0));
	peer("close %d", h);
	end();
}

static void shut_datagrams(void)
{
	int child, h = peer("udp 0"), level, fd = bound(udp(), TEST, 0);
	struct sockaddr_in to = address(PEER, peer("port %d", h));

	if (connect(fd, SA(to), sizeof to))
		die("connect");
	fd = have_alone(fd, &child);
	if (fd < 0)
		return;
	say("datagrams, shut");
	level = watching(fd, EPOLLIN | EPOLLRDHUP);
	say("  shutdown RD: %s", ok(shutdown(fd, SHUT_RD)));
	say("  poll: %s", poll_flags(events_now(fd)));
	say("  epoll: %s", told(level, 0));
	say("  recv: %s", result(recv(fd, b, 1, MSG_DONTWAIT)));
	fcntl(fd, F_SETFL, 0);
	say("  waits: %s", result(recv(fd, b, 1, 0)));
	say("  poll: %s", poll_flags(events_now(fd)));
	say("  shutdown WR: %s", ok(shutdown(fd, SHUT_WR)));
	say("  poll: %s", poll_flags(events_now(fd)));
	say("  epoll: %s", told(level, 0));
	end();
}

static void take_what_is_left(int from)
{
	int fd = take_passed(from), port = peer("port %ld", peer("listen 0 1"));
	struct sockaddr_in to = address(PEER, port);

	say("  poll: %s", poll_flags(events_now(fd)));
	say("  SO_ERROR: %s", name_of(pending_error(fd)));
	say("  SO_ERROR: %s", name_of(pending_error(fd)));
	say("  recv: %s", result(recv(fd, b, 1, MSG_DONTWAIT)));
	fcntl(fd, F_SETFL, 0);
	say("  connect: %s", ok(connect(fd, SA(to), sizeof to)));
	say("  recv: %s", result(recv(fd, b, 1, MSG_DONTWAIT)));
	say("  poll: %s", poll_flags(events_now(fd)));
	end();
}

/* What a connection has left goes along with a socket that has none. */
static void left(const char *title, int shuts)
{
	struct sockaddr_in silent = address(PEER, BLACKHOLE);
	struct sockaddr nobody = { AF_UNSPEC, "" };
	int ends[2], fd, status;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	say("%s", title);
	fflush(stdout);
	child = fork();
	if (!child)
		take_what_is_left(ends[0]);
	fd = nonblocking(tcp());
	connect(fd, SA(silent), sizeof silent);
	if (shuts < 0)
		connect(fd, &nobody, sizeof nobody);
	else
		shutdown(fd, shuts);
	pass(ends[1], fd);
	close(fd);
	if (waitpid(child, &status, 0) < 0 || status)
		die("the child");
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(ways); i++)
		reset(&ways[i]);
	closed();
	bound_only();
	fresh(SOCK_STREAM);
	fresh(SOCK_DGRAM);
	refused(1);
	refused(0);
	refused_unasked(0);
	refused_unasked(EPOLLET);
	refused_unasked(EPOLLPRI | EPOLLONESHOT);
	sent_unasked(0);
	sent_unasked(EPOLLET);
	shut_datagrams();
	left("given up, and passed on", -1);
	left("shut while it connects, and passed on", SHUT_RDWR);
	left("shut for reading, and passed on", SHUT_RD);
	return 0;
}
