/* Sockets that are not Internet sockets, and other descriptors: nothing of theirs changes. */
#include "check.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/eventfd.h>

static void unix_stream(void)
{
	int pair[2], passed = -1, fds[2];
	char b[100] = "", control[CMSG_SPACE(sizeof(int))];
	struct iovec v = { b, 1 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header;
	struct ucred credentials;
	socklen_t length = sizeof credentials;

	say("socketpair: %s", ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)));
	say("send: %s", result(send(pair[0], "hello", 5, 0)));
	say("recv: %s", result(recv(pair[1], b, 100, 0)));
	say("%s", b);
	say("SO_PEERCRED: %s", ok(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &credentials, &length)));
	say("this process: %d", credentials.pid == getpid());
	if (pipe(fds))
		die("pipe");
	header = CMSG_FIRSTHDR(&message);
	*header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fds[1], sizeof(int));
	say("passing a pipe: %s", result(sendmsg(pair[0], &message, 0)));
	say("taking it: %s", result(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC)));
	memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	say("write: %s", result(write(passed, "through", 7)));
	say("read: %s", result(read(fds[0], b, 100)));
	say("a TCP option: %s", ok(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int))));
	close(pair[1]);
	say("send to nobody: %s", result(send(pair[0], b, 1, MSG_NOSIGNAL)));
	close(pair[0]);
}

static void unix_datagrams(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX }, from;
	int one = socket(AF_UNIX, SOCK_DGRAM, 0), two = socket(AF_UNIX, SOCK_DGRAM, 0);
	socklen_t length = sizeof from;
	char b[10];

	strcpy(name.sun_path + 1, "sidestack-check");
	length = offsetof(struct sockaddr_un, sun_path) + 16;
	say("bind: %s", ok(bind(one, SA(name), length)));
	say("bind again: %s", ok(bind(two, SA(name), length)));
	say("sendto: %s", result(sendto(two, "abc", 3, 0, SA(name), length)));
	length = sizeof from;
	say("recvfrom: %s", result(recvfrom(one, b, 10, 0, SA(from), &length)));
	say("listen: %s", ok(listen(one, 1)));
	close(one);
	close(two);
}

static void route_netlink(void)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
	} request = { { sizeof request, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 }, { AF_UNSPEC } };
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	socklen_t length = sizeof name;
	static char b[32768];
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	say("netlink bind: %s", ok(bind(fd, SA(name), sizeof name)));
	say("getsockname: %s", ok(getsockname(fd, SA(name), &length)));
	say("family %d, length %u", name.nl_family, length);
	say("send: %d", send(fd, &request, sizeof request, 0) == sizeof request);
	say("recv: %d", recv(fd, b, sizeof b, 0) > 0);
	close(fd);
}

static void no_sockets(void)
{
	int event = eventfd(0, EFD_CLOEXEC), file = open("/dev/zero", O_RDWR | O_CLOEXEC), fds[2];
	uint64_t one = 1;
	char b[100];
	struct pollfd p[2];

	if (pipe2(fds, O_CLOEXEC))
		die("pipe2");
	say("eventfd: %s", result(write(event, &one, 8)));
	say("read: %s", result(read(event, &one, 8)));
	say("a file: %s", result(read(file, b, 100)));
	say("send: %s", result(send(file, b, 1, 0)));
	say("shutdown: %s", ok(shutdown(fds[0], SHUT_RD)));
	p[0] = (struct pollfd){ fds[0], POLLIN, 0 };
	p[1] = (struct pollfd){ fds[1], POLLOUT, 0 };
	say("poll: %d", poll(p, 2, 0));
	say("%s, %s", poll_flags(p[0].revents), poll_flags(p[1].revents));
	say("write: %s", result(write(fds[1], b, 10)));
	say("splice: %s", result(splice(fds[0], NULL, file, NULL, 10, 0)));
}

static void six(void)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT }, name;
	socklen_t length = sizeof name;
	int listener = socket(AF_INET6, SOCK_STREAM, 0), fd = socket(AF_INET6, SOCK_STREAM, 0), other;
	char b[10];

	say("IPv6 bind: %s", ok(bind(listener, SA(a), sizeof a)));
	say("listen: %s", ok(listen(listener, 5)));
	getsockname(listener, SA(name), &length);
	say("connect: %s", ok(connect(fd, SA(name), sizeof name)));
	other = accept(listener, NULL, NULL);
	say("send: %s", result(send(fd, "six", 3, 0)));
	say("recv: %s", result(recv(other, b, 10, 0)));
	length = sizeof name;
	say("getpeername: %s", ok(getpeername(fd, SA(name), &length)));
	say("family %d, length %u", name.sin6_family, length);
	close(fd);
	close(other);
	close(listener);
}

int main(void)
{
	unix_stream();
	unix_datagrams();
	route_netlink();
	no_sockets();
	six();
}
