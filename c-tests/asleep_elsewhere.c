/* Calls that sleep on a socket in one process while another one shuts it: what they come to, and what is left. The one that
 * sleeps has been forked; the one that shuts is its parent, or another child. */
#include "check.h"

#include <sys/mman.h>

static char b[65536];

static long do_recv(int fd) { return recv(fd, b, 10, 0); }
static long do_recv_all(int fd) { return recv(fd, b, 10, MSG_WAITALL); }
static long do_peek(int fd) { return recv(fd, b, 10, MSG_PEEK); }
static long do_read(int fd) { return read(fd, b, 10); }
static long do_splice(int fd)
{
	int ends[2];

	return pipe(ends) ? -1 : splice(fd, NULL, ends[1], NULL, 10, 0);
}
static long do_accept(int fd) { return accept(fd, NULL, NULL); }
static long do_send(int fd)
{
	long n;

	while ((n = send(fd, b, sizeof b, MSG_NOSIGNAL)) > 0)
		;
	return n;
}
static long do_write(int fd)
{
	long n;

	while ((n = write(fd, b, sizeof b)) > 0)
		;
	return n;
}
static long do_sendfile(int fd)
{
	int file = memfd_create("zeros", 0);
	off_t offset = 0;
	long n;

	if (ftruncate(file, 1 << 26))
		die("ftruncate");
	while ((n = sendfile(fd, file, &offset, 1 << 26)) > 0)
		;
	return n;
}
static long do_poll(int fd)
{
	struct pollfd p = { fd, POLLIN | POLLRDHUP, 0 };

	return poll(&p, 1, 8000) == 1 ? p.revents : -1;
}
static long do_poll_out(int fd)
{
	struct pollfd p = { fd, POLLOUT, 0 };

	while (send(fd, b, sizeof b, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	return poll(&p, 1, 8000) == 1 ? p.revents : -1;
}
static long do_select(int fd)
{
	struct timeval limit = { 8, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &limit);
}
static long epoll(int fd, unsigned edge)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | edge };
	int set = epoll_create1(0);

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
	return epoll_wait(set, &event, 1, 8000) == 1 ? (long)event.events : -1;
}
static long do_epoll(int fd) { return epoll(fd, 0); }
static long do_epoll_edge(int fd) { return epoll(fd, EPOLLET); }

#define BIT(how) (1 << (how))
static const struct call {
	const char *name;
	long (*make)(int);
	int kinds, ends;        /* of sockets; the ways of shutting that end it */
} calls[] = {
#define CONNECTION 1
#define DATAGRAMS 2
#define LISTENER 4
#define READING (BIT(SHUT_RD) | BIT(SHUT_RDWR))
#define WRITING (BIT(SHUT_WR) | BIT(SHUT_RDWR))
	{ "recv", do_recv, CONNECTION | DATAGRAMS, READING }, { "recv WAITALL", do_recv_all, CONNECTION, READING },
	{ "recv PEEK", do_peek, CONNECTION | DATAGRAMS, READING }, { "read", do_read, CONNECTION | DATAGRAMS, READING },
	{ "splice", do_splice, CONNECTION, READING }, { "send", do_send, CONNECTION, WRITING },
	{ "write", do_write, CONNECTION, WRITING }, { "sendfile", do_sendfile, CONNECTION, WRITING },
	{ "poll OUT", do_poll_out, CONNECTION, WRITING }, { "accept", do_accept, LISTENER, READING },
	{ "poll", do_poll, CONNECTION | DATAGRAMS | LISTENER, READING }, { "select", do_select, CONNECTION | DATAGRAMS, READING },
	{ "epoll", do_epoll, CONNECTION | DATAGRAMS | LISTENER, READING },
	{ "epoll, edges", do_epoll_edge, CONNECTION | DATAGRAMS | LISTENER, READING },
};

static int made(int kind, int *h)
{
	struct sockaddr_in a;
	int fd;

	*h = -1;
	if (kind == LISTENER)
		return listening(0, 5);
	if (kind == CONNECTION)
		return connected(h);
	*h = peer("udp 0");
	a = address(PEER, peer("port %d", *h));
	fd = udp();
	if (connect(fd, SA(a), sizeof a))
		die("connect");
	return fd;
}

static pid_t sleeping(const struct call *call, int fd, int *told)
{
	char line[64];
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		die("pipe");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		/* The first use of what a process has inherited may take a while. */
		get_int(fd, SOL_SOCKET, SO_TYPE);
		if (write(ends[1], "", 1) != 1)
			die("write");
		snprintf(line, sizeof line, "%s", result(call->make(fd)));
		snprintf(line + strlen(line), sizeof line - strlen(line), "%s", signals_seen ? " SIGPIPE" : "");
		if (write(ends[1], line, strlen(line)) < 0)
			die("write");
		_exit(0);
	}
	close(ends[1]);
	*told = ends[0];
	if (read(*told, line, 1) != 1)
		die("the child");
	/* It sleeps by then, as a rule. */
	nap(100);
	return pid;
}

static int shut(int fd, int how, int elsewhere)
{
	int status;
	pid_t pid;

	if (!elsewhere)
		return shutdown(fd, how) ? errno : 0;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(shutdown(fd, how) ? errno : 0);
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void end(const struct call *call, int kind, int how, int elsewhere)
{
	static const char *const kinds[] = { [CONNECTION] = "connection", [DATAGRAMS] = "datagrams", [LISTENER] = "listener" };
	static const char *const hows[] = { "RD", "WR", "RDWR" };
	char line[64] = "";
	int h, told, fd = made(kind, &h), error;
	pid_t pid = sleeping(call, fd, &told);
	struct pollfd p = { told, POLLIN, 0 };

	error = shut(fd, how, elsewhere);
	say("%s, %s, %s %s: %s", kinds[kind], call->name, hows[how], elsewhere ? "by a child" : "by the parent", name_of(error));
	if (poll(&p, 1, 8000) == 1 && read(told, line, sizeof line - 1) < 0)
		die("read");
	say("  it got: %s", *line ? line : "nothing");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	say("  poll: %s", poll_flags(events_now(fd)));
	close(told);
	close(fd);
	if (h >= 0)
		peer("close %d", h);
}

int main(void)
{
	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(calls); i++)
		for (int kind = CONNECTION; kind <= LISTENER; kind *= 2)
			for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
				for (int elsewhere = 0; elsewhere < 2; elsewhere++)
					if (calls[i].kinds & kind && calls[i].ends & BIT(how))
						end(&calls[i], kind, how, elsewhere);
}
