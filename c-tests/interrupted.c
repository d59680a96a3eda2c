/* Blocking calls and signals: EINTR, SA_RESTART, timeouts. */
#include "check.h"

static char b[100];

static void interrupt(const char *what, int flags, long (*call)(int), int fd)
{
	long long start = milliseconds();
	const char *outcome;

	count_signal(SIGUSR1, flags);
	signal_later(SIGUSR1, 150);
	outcome = result(call(fd));
	say("%s: %s, %s, %d signal", what, outcome, elapsed(start, 150), (int)signals_seen);
}

static long do_recv(int fd) { return recv(fd, b, 10, 0); }
static long do_read(int fd) { return read(fd, b, 10); }
static long do_accept(int fd) { return accept(fd, NULL, NULL); }
static long do_recvmsg(int fd)
{
	struct iovec v = { b, 10 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(fd, &message, 0);
}
static long do_connect(int fd)
{
	struct sockaddr_in a = address(PEER, BLACKHOLE);

	return connect(fd, SA(a), sizeof a);
}
static long do_poll(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 2000);
}
static long do_select(int fd)
{
	fd_set set;
	struct timeval limit = { 2, 0 };

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &limit);
}
static long do_epoll(int fd)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	long n;

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	n = epoll_wait(epoll, &event, 1, 2000);
	close(epoll);
	return n;
}
static char big[1 << 20];

static long do_send(int fd)
{
	ssize_t n = send(fd, big, sizeof big, 0);

	return n < 0 ? -1 : 0;
}

/* Until there has been no room for a second: probes of its window may find some at the peer. */
static void fill_queues(int fd)
{
	long long full_since = milliseconds();

	while (milliseconds() - full_since < 1000) {
		if (send(fd, big, sizeof big, MSG_DONTWAIT) > 0)
			full_since = milliseconds();
		nap(20);
	}
}

struct writer {
	int h, ms;
};

/* Sends after the signal, which may come late on a busy machine. */
static void *peer_sends(void *argument)
{
	struct writer *w = argument;

	nap(w->ms);
	for (int i = 0; i < 600 && !signals_seen; i++)
		nap(5);
	peer("send %d 5", w->h);
	return NULL;
}

static void restarted(const char *what, long (*call)(int), int fd, int h)
{
	struct writer writer = { h, 300 };
	pthread_t thread;
	sigset_t set;
	long long start = milliseconds();
	const char *outcome;

	count_signal(SIGUSR1, SA_RESTART);
	sigemptyset(&set);
	signal_later(SIGUSR1, 100);
	pthread_create(&thread, NULL, peer_sends, &writer);
	outcome = result(call(fd));
	say("%s with SA_RESTART: %s, %s, %d signal", what, outcome, elapsed(start, 300), (int)signals_seen);
	pthread_join(thread, NULL);
}

static void *drains(void *fd)
{
	static char much[1 << 16];
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	while (recv(*(int *)fd, much, sizeof much, 0) > 0)
		;
	return NULL;
}

/* A handler ends a call whenever it runs, also while much else arrives. */
static void amid_traffic(void)
{
	int h, k, fd = connected(&h), busy = connected(&k), ended = 0;
	struct timeval limit = { 3, 0 };
	struct itimerval timer = { { 0, 0 }, { 0, 2000 } };
	pthread_t thread;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	count_signal(SIGALRM, 0);
	pthread_create(&thread, NULL, drains, &busy);
	peer("start send %d 200000000", k);
	for (int i = 0; i < 40; i++) {
		setitimer(ITIMER_REAL, &timer, NULL);
		ended += recv(fd, b, 10, 0) < 0 && errno == EINTR;
	}
	/* One that comes before the call does not end it. */
	say("amid traffic: most calls were ended: %d", ended > 30);
	shutdown(busy, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(busy);
	close(fd);
}

int main(void)
{
	int h, fd = connected(&h), listener = listening(5000, 5), other = bound(udp(), TEST, 5001);
	struct timeval limit = { 2, 0 };

	interrupt("recv", 0, do_recv, fd);
	interrupt("read", 0, do_read, fd);
	interrupt("recvmsg", 0, do_recvmsg, fd);
	interrupt("udp recv", 0, do_recv, other);
	interrupt("accept", 0, do_accept, listener);
	interrupt("poll", 0, do_poll, fd);
	interrupt("poll with SA_RESTART", SA_RESTART, do_poll, fd);
	interrupt("select with SA_RESTART", SA_RESTART, do_select, fd);
	interrupt("epoll_wait with SA_RESTART", SA_RESTART, do_epoll, fd);
	restarted("recv", do_recv, fd, h);
	restarted("read", do_read, fd, h);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	interrupt("recv with a timeout and SA_RESTART", SA_RESTART, do_recv, fd);
	close(fd);
	fd = tcp();
	interrupt("connect", 0, do_connect, fd);
	say("connect again: %s", result(do_connect(nonblocking(fd))));
	close(fd);
	fd = connected(&h);
	fill_queues(fd);
	interrupt("send", 0, do_send, fd);
	amid_traffic();
}
