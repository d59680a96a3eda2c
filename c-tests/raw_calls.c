/* syscall(2): what it carries to a socket does what the call by its name does. */
#include "check.h"

#include <sys/syscall.h>

static void connection(void)
{
	struct sockaddr_in to, a;
	socklen_t length = sizeof a;
	int one = 1, fd, listener = peer("listen 0 5"), h;
	struct pollfd p;
	struct timespec none = { 0, 0 };
	struct { const sigset_t *set; size_t size; } mask = { NULL, 8 };
	char b[100];
	fd_set set;

	to = address(PEER, peer("port %d", listener));
	a = address(TEST, 0);
	fd = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	say("bind: %s", ok(syscall(SYS_bind, fd, &a, sizeof a)));
	say("connect: %s", ok(syscall(SYS_connect, fd, &to, sizeof to)));
	h = peer("accept %d", listener);
	say("getsockname: %s", syscall(SYS_getsockname, fd, &a, &length) ? name_of(errno) : inet_ntoa(a.sin_addr));
	say("getpeername: %s", syscall(SYS_getpeername, fd, &a, &length) ? name_of(errno) : inet_ntoa(a.sin_addr));
	say("setsockopt: %s", ok(syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)));
	say("nodelay: %d", get_int(fd, IPPROTO_TCP, TCP_NODELAY));
	say("write: %s", result(syscall(SYS_write, fd, "abc", 3)));
	say("sendto: %s", result(syscall(SYS_sendto, fd, "defg", 4, MSG_NOSIGNAL, NULL, 0)));
	say("the peer hears: %s", peer_says("recv %d 7", h));
	peer("send %d 30", h);
	p = (struct pollfd){ fd, POLLIN, 0 };
	say("ppoll: %s", result(syscall(SYS_ppoll, &p, 1, NULL, NULL, 8)));
	say("ppoll with a wrong mask: %s", result(syscall(SYS_ppoll, &p, 1, &none, &set, 3)));
	FD_ZERO(&set);
	FD_SET(fd, &set);
	say("pselect6: %s", result(syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, NULL, &mask)));
	say("read: %s", result(syscall(SYS_read, fd, b, 10)));
	say("recvfrom: %s", result(syscall(SYS_recvfrom, fd, b, 10, MSG_PEEK, NULL, NULL)));
	say("readv: %s", result(syscall(SYS_readv, fd, &(struct iovec){ b, 5 }, 1)));
	say("preadv2: %s", result(syscall(SYS_preadv2, fd, &(struct iovec){ b, 5 }, 1, -1L, -1L, 0)));
	say("ioctl: %s", ok(syscall(SYS_ioctl, fd, FIONREAD, &one)));
	say("unread: %d", one);
	say("fcntl: %s", result(syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK)));
	say("recvfrom: %s", result(syscall(SYS_recvfrom, fd, b, 100, 0, NULL, NULL)));
	say("again: %s", result(syscall(SYS_recvfrom, fd, b, 100, 0, NULL, NULL)));
	say("shutdown: %s", ok(syscall(SYS_shutdown, fd, SHUT_WR)));
	say("the peer hears the end: %s", peer_says("drain %d", h));
	say("close: %s", ok(syscall(SYS_close, fd)));
	say("again: %s", ok(syscall(SYS_close, fd)));
}

/* The kernel says how much of the time was left, which the C library keeps to itself. */
static void left_of(const char *what, long got, const struct timespec *left)
{
	say("%s: %s", what, result(got));
	say("an hour is left: %d, nothing: %d", left->tv_sec == 3599 || (left->tv_sec == 3600 && left->tv_nsec == 0), !left->tv_sec && !left->tv_nsec);
}

static void limited(int fd)
{
	struct pollfd p = { fd, POLLOUT, 0 };
	struct timespec left = { 3600, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	left_of("ppoll, ready", syscall(SYS_ppoll, &p, 1, &left, NULL, 8), &left);
	say("less than before: %d", left.tv_sec < 3600);
	left = (struct timespec){ 3600, 0 };
	left_of("pselect6, ready", syscall(SYS_pselect6, fd + 1, NULL, &set, NULL, &left, NULL), &left);
	say("less than before: %d", left.tv_sec < 3600);
	p.events = POLLIN;
	left = (struct timespec){ 0, 1000000 };
	left_of("ppoll, not ready", syscall(SYS_ppoll, &p, 1, &left, NULL, 8), &left);
	left = (struct timespec){ 0, 1000000 };
	left_of("pselect6, not ready", syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, &left, NULL), &left);
	left = (struct timespec){ 3600, 1000000000 };
	left_of("ppoll, no time", syscall(SYS_ppoll, &p, 1, &left, NULL, 8), &left);
	left = (struct timespec){ 3600, 0 };
	left_of("by the C library", ppoll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, &left, NULL), &left);
	say("ppoll, a time astray: %s", result(syscall(SYS_ppoll, &p, 1, bad_pointer, NULL, 8)));
	say("pselect6, a time astray: %s", result(syscall(SYS_pselect6, 0, NULL, NULL, NULL, bad_pointer, NULL)));
}

static void waiting(void)
{
	int h, fd = connected(&h), copy = syscall(SYS_dup, fd), set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };

	limited(fd);
	say("epoll_ctl: %s", ok(syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, fd, &event)));
	say("epoll_pwait: %s", result(syscall(SYS_epoll_pwait, set, &event, 1, 50, NULL, 8)));
	peer("send %d 3", h);
	say("epoll_pwait: %s", result(syscall(SYS_epoll_pwait, set, &event, 1, -1, NULL, 8)));
	say("close: %s", ok(syscall(SYS_close, fd)));
	say("the other descriptor: state %d", tcp_state(copy));
	say("close_range: %s", ok(syscall(SYS_close_range, copy, copy, 0)));
	say("the peer hears: %s", peer_says("drain %d", h));
	close(set);
}

static void others(void)
{
	int fd = listening(6400, 5), word = 1;

	peer("connect 6400");
	say("accept4: %d", syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC) > fd);
	say("futex: %s", ok(syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 2, NULL, NULL, 0)));
	say("getpid: %d", syscall(SYS_getpid) == getpid());
	say("no such call: %s", ok(syscall(100000)));
}

/* A child without the C library's help sees the sockets as any. */
static void forks(void)
{
	int h, fd = connected(&h), status;
	pid_t child;

	fflush(stdout);
	child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
	if (child == 0) {
		int sent = send(fd, "child", 5, 0) == 5 && tcp_state(fd) == TCP_ESTABLISHED;

		syscall(SYS_exit_group, sent ? 0 : 1);
	}
	waitpid(child, &status, 0);
	say("clone: the child exited with %d", WEXITSTATUS(status));
	say("send: %s", result(send(fd, "parent", 6, 0)));
	say("the peer hears: %s", peer_says("recv %d 11", h));
}

int main(void)
{
	connection();
	waiting();
	others();
	forks();
}
