/* A thread blocked in a call is woken by what another thread does to the socket. */
#include "check.h"

struct sleeper {
	int fd;
	long (*call)(int fd);
	const char *outcome;
};

static void *sleep_in_call(void *argument)
{
	struct sleeper *s = argument;

	s->outcome = result(s->call(s->fd));
	return NULL;
}

static char b[10];

static long do_recv(int fd) { return recv(fd, b, 10, 0); }
static long do_accept(int fd) { return accept(fd, NULL, NULL); }
static long do_poll(int fd) { struct pollfd p = { fd, POLLIN, 0 }; return poll(&p, 1, 3000) > 0 ? p.revents : 0; }
static long do_connect(int fd)
{
	struct sockaddr_in a = address(PEER, BLACKHOLE);

	return connect(fd, SA(a), sizeof a);
}

/* Shut down before it has begun, an attempt to connect would wait at a host that never answers. */
static int has_begun(int fd, long (*call)(int))
{
	return call != do_connect || tcp_state(fd) == TCP_SYN_SENT;
}

static void woken(const char *what, int fd, long (*call)(int), int how)
{
	struct sleeper s = { fd, call, "" };
	long long start;
	pthread_t thread;

	pthread_create(&thread, NULL, sleep_in_call, &s);
	do
		nap(200);
	while (!has_begun(fd, call));
	start = milliseconds();
	say("%s, then shutdown: %s", what, ok(shutdown(fd, how)));
	pthread_join(thread, NULL);
	say("  woken %s with %s", elapsed(start, 0), s.outcome);
}

static void woken_by_peer(const char *what, long (*call)(int), const char *request)
{
	int h, fd = connected(&h);
	struct sleeper s = { fd, call, "" };
	long long start;
	pthread_t thread;

	pthread_create(&thread, NULL, sleep_in_call, &s);
	nap(200);
	start = milliseconds();
	peer(request, h, 3);
	pthread_join(thread, NULL);
	say("%s: woken %s with %s", what, elapsed(start, 0), s.outcome);
	close(fd);
}

int main(void)
{
	int h, fd = connected(&h);

	woken("recv", fd, do_recv, SHUT_RD);
	close(fd);
	fd = connected(&h);
	woken("recv", fd, do_recv, SHUT_RDWR);
	close(fd);
	fd = connected(&h);
	woken("poll", fd, do_poll, SHUT_RD);
	close(fd);
	fd = listening(0, 5);
	woken("accept", fd, do_accept, SHUT_RD);
	close(fd);
	fd = tcp();
	woken("connect", fd, do_connect, SHUT_RDWR);
	close(fd);
	woken_by_peer("recv, data", do_recv, "send %d %d");
	woken_by_peer("recv, the end", do_recv, "shutdown %d 1");
	woken_by_peer("recv, a reset", do_recv, "reset %d");
	woken_by_peer("poll, data", do_poll, "send %d %d");
	woken_by_peer("poll, a reset", do_poll, "reset %d");
}
