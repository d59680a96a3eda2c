/* A UDP socket bound to :: hears both families (ipv6(7)): what comes by IPv6, what is told of it, and answers. */
#include "check.h"

#ifndef IPV6_RECVHOPLIMIT
#define IPV6_RECVHOPLIMIT 51
#endif

static struct sockaddr_in6 within(int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	return a;
}

static int socket6(void)
{
	struct timeval limit = { 2, 0 };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

static int port6(int fd)
{
	struct sockaddr_in6 a;
	socklen_t length = sizeof a;

	if (getsockname(fd, SA(a), &length))
		die("getsockname");
	return ntohs(a.sin6_port);
}

static int server(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int fd = socket6();

	set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	say("bind to ::: %s", ok(bind(fd, SA(any), sizeof any)));
	return fd;
}

static int client(int port)
{
	struct sockaddr_in6 to = within(port);
	int fd = socket6();

	set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 7);
	set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
	say("connect to ::1: %s", ok(connect(fd, SA(to), sizeof to)));
	return fd;
}

static void say_address(const char *what, const struct sockaddr_in6 *a, int port)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof text);
	say("  %s %s, port %d, scope %u", what, text, ntohs(a->sin6_port) == port, a->sin6_scope_id);
}

/* Receives a datagram from `port`, and says what is told of it. */
static struct sockaddr_in6 receive(const char *what, int fd, int port)
{
	char b[100], control[256], text[INET6_ADDRSTRLEN];
	struct sockaddr_in6 from = { 0 };
	struct iovec part = { b, sizeof b };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &m, 0);

	say("%s: %s", what, result(n));
	if (n < 0)
		return from;
	say("  \"%.*s\", name of %u", (int)n, b, (unsigned)m.msg_namelen);
	say_address("from", &from, port);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof info);
			inet_ntop(AF_INET6, &info.ipi6_addr, text, sizeof text);
			say("  to %s, by lo: %d", text, info.ipi6_ifindex == 1);
			continue;
		}
		int value;

		memcpy(&value, CMSG_DATA(c), sizeof value);
		say("  message %d %d of %zu: %d", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len, value);
	}
	return from;
}

static void answer(int fd, int client)
{
	struct sockaddr_in6 to = within(port6(client)), from = { 0 };
	socklen_t length = sizeof from;
	char b[10], control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = "";
	struct iovec part = { "yes", 3 };
	struct msghdr m = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof control };
	struct in6_pktinfo info = { .ipi6_addr = to.sin6_addr };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	say("sendto: %s", result(sendto(fd, "no", 2, 0, SA(to), sizeof to)));
	say("arrives: %s", result(recvfrom(client, b, sizeof b, 0, SA(from), &length)));
	say_address("from", &from, port6(fd));
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO };
	memcpy(CMSG_DATA(c), &info, sizeof info);
	say("from ::1: %s", result(sendmsg(fd, &m, 0)));
	say("arrives: %s", result(recv(client, b, sizeof b, 0)));
	info.ipi6_addr.s6_addr[0] = 0x20;
	memcpy(CMSG_DATA(c), &info, sizeof info);
	say("from an address of nobody's: %s", result(sendmsg(fd, &m, 0)));
	to.sin6_port = 0;
	say("to port 0: %s", result(sendto(fd, "no", 2, 0, SA(to), sizeof to)));
}

static void by_peer(int fd)
{
	int h = peer("udp 0"), port = peer("port %d", h);
	char text[40];
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	peer("to %d %d 5", h, port6(fd));
	say("by IPv4: %s", poll_flags(wait_for(fd, POLLIN)));
	say("  %s", result(recv(fd, text, sizeof text, 0)));
	inet_pton(AF_INET6, "::ffff:" PEER, &to.sin6_addr);
	say("sendto: %s", result(sendto(fd, "four", 4, 0, SA(to), sizeof to)));
	say("the peer has %d", atoi(peer_says("from %d", h)));
	peer("close %d", h);
}

static void ways_to_wait(int fd, int client)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(0), count;
	char b[10];

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	say("poll: %s", poll_flags(events_now(fd)));
	say("send: %s", result(send(client, "12345", 5, 0)));
	say("poll: %s", poll_flags(wait_for(fd, POLLIN)));
	say("FIONREAD: %s", ok(ioctl(fd, FIONREAD, &count)));
	say("  %d", count);
	say("epoll: %s", result(epoll_wait(set, &event, 1, 2000)));
	say("peek: %s", result(recv(fd, b, 2, MSG_PEEK | MSG_TRUNC)));
	say("recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	say("recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	close(set);
	/* While a call sleeps. */
	pid_t child = fork();

	if (!child) {
		nap(150);
		_exit(send(client, "later", 5, 0) != 5);
	}
	receive("asleep", fd, port6(client));
	waitpid(child, NULL, 0);
}

static void in_a_child(int fd, int client)
{
	char b[10];
	pid_t child = fork();

	if (!child) {
		struct sockaddr_in6 from = receive("in a child", fd, port6(client));

		say("sendto: %s", result(sendto(fd, "child", 5, 0, SA(from), sizeof from)));
		_exit(0);
	}
	send(client, "for it", 6, 0);
	waitpid(child, NULL, 0);
	say("its answer: %s", result(recv(client, b, sizeof b, 0)));
}

static void with_a_peer(int fd, int client)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(BLACKHOLE) };
	char b[10];

	inet_pton(AF_INET6, "::ffff:" PEER, &to.sin6_addr);
	say("connect to an IPv4 peer: %s", ok(connect(fd, SA(to), sizeof to)));
	say("send: %s", result(send(client, "unheard", 7, 0)));
	nap(50);
	say("recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
}

static int reusing(int fd)
{
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	return fd;
}

static int bound6(int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = reusing(socket6());

	if (bind(fd, SA(any), sizeof any))
		die("bind");
	return fd;
}

/* Two sockets have the port, one of each family: who hears what comes by IPv4? */
static void who_hears(const char *order, int four, int six)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	int h = peer("udp 0"), port = port_of(four);

	peer("to %d %d 5", h, port);
	say("%s: %s", order, poll_flags(wait_for(four, POLLIN)));
	say("  that of IPv6: %s", poll_flags(events_now(six)));
	inet_pton(AF_INET6, "::ffff:" PEER, &to.sin6_addr);
	to.sin6_port = htons(peer("port %d", h));
	say("  connects: %s", ok(connect(six, SA(to), sizeof to)));
	peer("to %d %d 5", h, port);
	say("  that of IPv6: %s", poll_flags(wait_for(six, POLLIN)));
	close(four);
	close(six);
	peer("close %d", h);
}

static void beside_one_of_ipv4(void)
{
	int four = bound(reusing(udp()), "0.0.0.0", 0), six = bound6(port_of(four));

	who_hears("IPv4 came first", four, six);
	six = bound6(0);
	four = bound(reusing(udp()), "0.0.0.0", port6(six));
	who_hears("IPv6 came first", four, six);
}

/* SO_RCVMARK and SO_RCVPRIORITY, which older kernels do not have. */
static void marked(int fd, int client)
{
	static const int names[] = { 75, 82 };
	int port = port6(fd), h = peer("udp 0");

	for (size_t i = 0; i < COUNT(names); i++)
		say("option %d: %s", names[i], ok(setsockopt(fd, SOL_SOCKET, names[i], &(int){ 1 }, sizeof(int))));
	peer("to %d %d 5", h, port);
	receive("with a mark, from the peer", fd, peer("port %d", h));
	say("send: %s", result(send(client, "six", 3, 0)));
	receive("with a mark, by IPv6", fd, port6(client));
	for (size_t i = 0; i < COUNT(names); i++)
		set_int(fd, SOL_SOCKET, names[i], 0);
	peer("close %d", h);
}

int main(void)
{
	int fd = server(), c = client(port6(fd));
	struct sockaddr_in6 own;
	socklen_t length = sizeof own;

	setvbuf(stdout, NULL, _IOLBF, 0);
	say("send: %s", result(send(c, "six", 3, 0)));
	receive("received", fd, port6(c));
	marked(fd, c);
	answer(fd, c);
	by_peer(fd);
	ways_to_wait(fd, c);
	in_a_child(fd, c);
	getsockname(fd, SA(own), &length);
	say_address("still bound to", &own, port6(fd));
	with_a_peer(fd, c);
	close(fd);
	close(c);
	beside_one_of_ipv4();
}
