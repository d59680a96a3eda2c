/* Client and server of the benchmarks: ordinary socket calls, one figure a run.
 *
 *   bench serve                            echo at port 7001, sink at 7002, source at 7003
 *   bench round-trip IP SIZE SECS recv     one connection, blocking: median microseconds
 *   bench round-trip IP SIZE SECS epoll    the same, non-blocking with epoll_wait
 *   bench round-trip IP SIZE SECS poll     the same with poll
 *   bench connect IP CLIENTS SECS          connect, 64 bytes there and back, close: a second
 *   bench many IP CONNECTIONS SIZE SECS    a request in flight on each connection: requests a second
 *   bench send IP CONNECTIONS SECS         to the sink: Gbit/s
 *   bench receive IP CONNECTIONS SECS      from the source: Gbit/s
 *   bench wait-receive IP SIZE SECS epoll  the same on one connection, with epoll_wait (poll) before each recv
 *   bench udp-send IP SIZE SECS            datagrams to port 7004
 *   bench udp-receive SECS                 what arrives at port 7004: thousands a second
 *
 * A run ends with the line "RESULT figure operations"; operations are requests, connections, bytes or datagrams. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ECHO_PORT = 7001, SINK_PORT, SOURCE_PORT, UDP_PORT };
enum { MOST_FDS = 16384, BULK = 131072, MOST_BULK = 262144, MOST_EVENTS = 1024, MOST_TIMES = 4000000 };

static unsigned char buffer[MOST_BULK];
static int poller;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void result(double figure, double operations)
{
	printf("RESULT %.3f %.0f\n", figure, operations);
	fflush(stdout);
}

static struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = ip ? inet_addr(ip) : INADDR_ANY;
	return a;
}

static void set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof value))
		die("setsockopt");
}

static void nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int dial(const char *ip, int port)
{
	struct sockaddr_in a = address(ip, port);
	int fd = tcp();

	if (connect(fd, (struct sockaddr *)&a, sizeof a))
		die("connect");
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

static void watch(int operation, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(poller, operation, fd, &event))
		die("epoll_ctl");
}

static int would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* How one waits for what recv is to find. */
enum waiting { BY_RECV, BY_EPOLL, BY_POLL };

static enum waiting waiting(const char *name)
{
	return !strcmp(name, "epoll") ? BY_EPOLL : !strcmp(name, "poll") ? BY_POLL : BY_RECV;
}

static void prepare(int fd, enum waiting how)
{
	if (how != BY_RECV)
		nonblocking(fd);
	if (how == BY_EPOLL)
		watch(EPOLL_CTL_ADD, fd, EPOLLIN);
}

static void await(int fd, enum waiting how)
{
	struct epoll_event event;
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	int n = how == BY_RECV ? 1 : how == BY_EPOLL ? epoll_wait(poller, &event, 1, 5000) : poll(&polled, 1, 5000);

	if (n != 1)
		die("nothing comes");
}

/* ---- the server */

static enum { NONE, ECHO, SINK, SOURCE } kinds[MOST_FDS];
static int listens[MOST_FDS];

static void take_clients(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		kinds[fd] = kinds[listener];
		if (kinds[fd] == ECHO)
			set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		watch(EPOLL_CTL_ADD, fd, EPOLLIN | (kinds[fd] == SOURCE ? EPOLLOUT : 0));
	}
}

/* 0 when the client is gone. */
static int echo(int fd)
{
	ssize_t n = recv(fd, buffer, BULK, 0);

	if (n <= 0)
		return would_block(n);
	for (ssize_t sent = 0, step; sent < n; sent += step) {
		step = send(fd, buffer + sent, n - sent, MSG_NOSIGNAL);
		if (step < 0 && !would_block(step))
			return 0;
		step = step < 0 ? 0 : step;
	}
	return 1;
}

static int serve_client(int fd, uint32_t events)
{
	ssize_t n;

	if (kinds[fd] == ECHO)
		return echo(fd);
	if (kinds[fd] == SINK || events & EPOLLIN) {
		n = recv(fd, buffer, BULK, 0);
		return n > 0 || would_block(n);
	}
	n = send(fd, buffer, BULK, MSG_NOSIGNAL);
	return n > 0 || would_block(n);
}

static void serve(void)
{
	struct epoll_event events[MOST_EVENTS];

	for (int kind = ECHO; kind <= SOURCE; kind++) {
		struct sockaddr_in a = address(NULL, ECHO_PORT + kind - ECHO);
		int fd = tcp();

		set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 2048))
			die("listen");
		nonblocking(fd);
		kinds[fd] = kind;
		listens[fd] = 1;
		watch(EPOLL_CTL_ADD, fd, EPOLLIN);
	}
	puts("READY");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(poller, events, MOST_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (listens[fd])
				take_clients(fd);
			else if (!serve_client(fd, events[i].events))
				close(fd);
		}
	}
}

/* ---- round trips */

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void exchange(int fd, int size, enum waiting how)
{
	if (send(fd, buffer, size, MSG_NOSIGNAL) != size)
		die("send");
	for (int got = 0; got < size;) {
		ssize_t n;

		await(fd, how);
		n = recv(fd, buffer, size - got, 0);
		if (n <= 0 && !would_block(n))
			die("recv");
		got += n > 0 ? n : 0;
	}
}

static void round_trip(const char *ip, int size, double seconds, enum waiting how)
{
	static float times[MOST_TIMES];
	int fd = dial(ip, ECHO_PORT), count = 0;
	double start = now(), before = start, after;

	prepare(fd, how);
	while (before < start + seconds && count < MOST_TIMES) {
		exchange(fd, size, how);
		after = now();
		times[count++] = (after - before) * 1e6;
		before = after;
	}
	qsort(times, count, sizeof *times, compare);
	result(times[count / 2], count);
}

/* ---- connections */

static void connect_one_by_one(const char *ip, double seconds)
{
	double start = now();
	long count = 0;

	for (; now() < start + seconds; count++) {
		int fd = dial(ip, ECHO_PORT);

		exchange(fd, 64, BY_RECV);
		close(fd);
	}
	result(count / (now() - start), count);
}

static void start_client(const char *ip)
{
	struct sockaddr_in a = address(ip, ECHO_PORT);
	int fd = tcp();

	nonblocking(fd);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)
		die("connect");
	kinds[fd] = NONE;
	watch(EPOLL_CTL_ADD, fd, EPOLLOUT);
}

static void connect_side_by_side(const char *ip, int clients, double seconds)
{
	static int received[MOST_FDS];
	struct epoll_event events[MOST_EVENTS];
	double start = now();
	long count = 0;

	for (int i = 0; i < clients; i++)
		start_client(ip);
	while (now() < start + seconds) {
		int n = epoll_wait(poller, events, MOST_EVENTS, 5000);

		if (n <= 0)
			die("nothing happens");
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t got;

			if (kinds[fd] == NONE) {
				if (send(fd, buffer, 64, MSG_NOSIGNAL) != 64)
					die("send");
				kinds[fd] = ECHO;
				received[fd] = 0;
				watch(EPOLL_CTL_MOD, fd, EPOLLIN);
				continue;
			}
			got = recv(fd, buffer, 64, 0);
			if (got <= 0 && !would_block(got))
				die("recv");
			received[fd] += got > 0 ? got : 0;
			if (received[fd] == 64) {
				close(fd);
				count++;
				start_client(ip);
			}
		}
	}
	result(count / (now() - start), count);
}

/* One answered: the next is asked. Half a second to warm up does not count. */
static void many(const char *ip, int connections, int size, double seconds)
{
	static int received[MOST_FDS];
	struct epoll_event events[MOST_EVENTS];
	double start, t;
	long count = 0;
	int warm = 0;

	for (int i = 0; i < connections; i++) {
		int fd = dial(ip, ECHO_PORT);

		nonblocking(fd);
		watch(EPOLL_CTL_ADD, fd, EPOLLIN);
		kinds[fd] = ECHO;
	}
	for (int fd = 0; fd < MOST_FDS; fd++)
		if (kinds[fd] == ECHO && send(fd, buffer, size, MSG_NOSIGNAL) != size)
			die("send");
	for (start = now(); (t = now()) < start + (warm ? seconds : 1e9);) {
		int n = epoll_wait(poller, events, MOST_EVENTS, 5000);

		if (n <= 0)
			die("nothing happens");
		if (!warm && t > start + 0.5) {
			warm = 1;
			start = t;
			count = 0;
		}
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			ssize_t got = recv(fd, buffer, size - received[fd], 0);

			if (got <= 0 && !would_block(got))
				die("recv");
			received[fd] += got > 0 ? got : 0;
			if (received[fd] < size)
				continue;
			received[fd] = 0;
			count++;
			if (send(fd, buffer, size, MSG_NOSIGNAL) != size)
				die("send");
		}
	}
	result(count / (t - start), count);
}

/* ---- bulk */

static double move(int fd, int out)
{
	ssize_t n = out ? send(fd, buffer, BULK, MSG_NOSIGNAL) : recv(fd, buffer, BULK, 0);

	if (n <= 0 && !would_block(n))
		die(out ? "send" : "recv");
	return n > 0 ? n : 0;
}

/* Until the sink has taken all: what it has not is not sent. */
static void drain(const int *fds, int connections)
{
	for (int i = 0; i < connections; i++) {
		struct timeval limit = { 10, 0 };

		fcntl(fds[i], F_SETFL, 0);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		shutdown(fds[i], SHUT_WR);
		if (recv(fds[i], buffer, 1, 0) != 0)
			die("the sink has not taken all");
	}
}

static void bulk(const char *ip, int connections, double seconds, int out)
{
	struct epoll_event events[64];
	int fds[64];
	double start, bytes = 0;

	if (connections > 64)
		die("too many connections");
	for (int i = 0; i < connections; i++) {
		fds[i] = dial(ip, out ? SINK_PORT : SOURCE_PORT);
		if (connections == 1)
			continue;
		nonblocking(fds[i]);
		watch(EPOLL_CTL_ADD, fds[i], out ? EPOLLOUT : EPOLLIN);
	}
	start = now();
	while (now() < start + seconds) {
		int n = connections == 1 ? 0 : epoll_wait(poller, events, 64, 5000);

		if (connections == 1)
			bytes += move(fds[0], out);
		else if (n <= 0)
			die("nothing moves");
		for (int i = 0; i < n; i++)
			bytes += move(events[i].data.fd, out);
	}
	if (out)
		drain(fds, connections);
	result(bytes * 8e-9 / (now() - start), bytes);
}

static void wait_and_receive(const char *ip, size_t size, double seconds, enum waiting how)
{
	int fd = dial(ip, SOURCE_PORT);
	double start = now(), bytes = 0;

	if (size > sizeof buffer)
		die("too large");
	prepare(fd, how);
	while (now() < start + seconds) {
		ssize_t n;

		await(fd, how);
		n = recv(fd, buffer, size, 0);
		if (n <= 0 && !would_block(n))
			die("recv");
		bytes += n > 0 ? n : 0;
	}
	result(bytes * 8e-9 / (now() - start), bytes);
}

/* ---- datagrams */

static void udp_send(const char *ip, int size, double seconds)
{
	struct sockaddr_in a = address(ip, UDP_PORT);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	double start = now();
	long count = 0;

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		die("connect");
	while (now() < start + seconds)
		for (int i = 0; i < 64; i++)
			count += send(fd, buffer, size, 0) == size;
	result(count / (now() - start) / 1000, count);
}

static void udp_receive(double seconds)
{
	struct sockaddr_in a = address(NULL, UDP_PORT);
	struct timeval limit = { 5, 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	double start = 0, t = 0;
	long count = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a))
		die("bind");
	set(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	puts("READY");
	fflush(stdout);
	while (recv(fd, buffer, BULK, 0) > 0) {
		if (count++ == 0)
			start = now();
		if (count % 16 == 0 && (t = now()) > start + seconds)
			break;
	}
	if (count < 32)
		die("nothing arrived");
	result(count / (t - start) / 1000, count);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (!strcmp(mode, "serve") && argc == 2)
		serve();
	else if (!strcmp(mode, "round-trip") && argc == 6)
		round_trip(argv[2], atoi(argv[3]), atof(argv[4]), waiting(argv[5]));
	else if (!strcmp(mode, "wait-receive") && argc == 6)
		wait_and_receive(argv[2], atoi(argv[3]), atof(argv[4]), waiting(argv[5]));
	else if (!strcmp(mode, "connect") && argc == 5 && atoi(argv[3]) == 1)
		connect_one_by_one(argv[2], atof(argv[4]));
	else if (!strcmp(mode, "connect") && argc == 5)
		connect_side_by_side(argv[2], atoi(argv[3]), atof(argv[4]));
	else if (!strcmp(mode, "many") && argc == 6)
		many(argv[2], atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
	else if (!strcmp(mode, "send") && argc == 5)
		bulk(argv[2], atoi(argv[3]), atof(argv[4]), 1);
	else if (!strcmp(mode, "receive") && argc == 5)
		bulk(argv[2], atoi(argv[3]), atof(argv[4]), 0);
	else if (!strcmp(mode, "udp-send") && argc == 5)
		udp_send(argv[2], atoi(argv[3]), atof(argv[4]));
	else if (!strcmp(mode, "udp-receive") && argc == 3)
		udp_receive(atof(argv[2]));
	else
		return fprintf(stderr, "usage: see the top of bench.c\n"), 2;
	return 0;
}
