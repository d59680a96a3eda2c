/* UDP: binding, connecting, names, sizes, truncation, peeking. */
#include "check.h"

static unsigned char b[70000];

static void wait_datagram(int fd)
{
	if (!(wait_for(fd, POLLIN) & POLLIN))
		die("no datagram came");
}

static void names(int h)
{
	struct sockaddr_in to = address(PEER, 7000), a;
	socklen_t length = sizeof a;
	int fd = udp();

	fill(b, 10, 0);
	say("sendto: %s", result(sendto(fd, b, 10, 0, SA(to), sizeof to)));
	getsockname(fd, SA(a), &length);
	say("bound by it to %s, a port %d", inet_ntoa(a.sin_addr), a.sin_port != 0);
	int port = 0, count = 0;
	sscanf(peer_says("from %d", h), "%d %*s %d", &count, &port);
	say("the peer hears %d from %s", count, port == ntohs(a.sin_port) ? "it" : "another");
	peer("to %d %d 20", h, port);
	wait_datagram(fd);
	length = sizeof a;
	say("recvfrom: %s", result(recvfrom(fd, b, 100, 0, SA(a), &length)));
	say("from %s:%d, length %u", inet_ntoa(a.sin_addr), ntohs(a.sin_port), length);
	say("send without an address: %s", result(send(fd, b, 1, 0)));
	say("sendto port 0: %s", result((to.sin_port = 0, sendto(fd, b, 1, 0, SA(to), sizeof to))));
	to = address("255.255.255.255", 7000);
	say("broadcast: %s", result(sendto(fd, b, 1, 0, SA(to), sizeof to)));
	to = address("10.23.7.255", 7000);
	say("network broadcast: %s", result(sendto(fd, b, 1, 0, SA(to), sizeof to)));
	to = address(PEER, 7000);
	say("length 15: %s", result(sendto(fd, b, 1, 0, SA(to), 15)));
	to.sin_family = AF_INET6;
	say("family AF_INET6: %s", result(sendto(fd, b, 1, 0, SA(to), sizeof to)));
	close(fd);
}

static void connections(int h)
{
	struct sockaddr_in to = address(PEER, 7000), other = address(PEER, 7001), a, nobody = { .sin_family = AF_UNSPEC };
	socklen_t length = sizeof a;
	int fd = bound(udp(), "0.0.0.0", 5000), second = peer("udp 7001");

	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	getsockname(fd, SA(a), &length);
	say("own %s:%d", inet_ntoa(a.sin_addr), ntohs(a.sin_port));
	getpeername(fd, SA(a), &length);
	say("peer %s:%d", inet_ntoa(a.sin_addr), ntohs(a.sin_port));
	say("send: %s", result(send(fd, b, 5, 0)));
	say("the peer hears: %s", peer_says("from %d", h));
	say("write: %s", result(write(fd, b, 6)));
	say("the peer hears: %s", peer_says("from %d", h));
	say("sendto another: %s", result(sendto(fd, b, 7, 0, SA(other), sizeof other)));
	say("the other hears: %s", peer_says("from %d", second));
	peer("to %d 5000 11", second);
	peer("to %d 5000 12", h);
	wait_datagram(fd);
	say("only the peer is heard: %s", result(recv(fd, b, 100, 0)));
	nap(50);
	say("no more: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("connect to another: %s", ok(connect(fd, SA(other), sizeof other)));
	peer("to %d 5000 13", second);
	wait_datagram(fd);
	say("it is heard: %s", result(read(fd, b, 100)));
	say("disconnect: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	say("getpeername: %s", ok(getpeername(fd, SA(a), &length)));
	getsockname(fd, SA(a), &length);
	say("own %s:%d", inet_ntoa(a.sin_addr), ntohs(a.sin_port));
	peer("to %d 5000 14", h);
	wait_datagram(fd);
	say("anybody is heard: %s", result(recv(fd, b, 100, 0)));
	say("send: %s", result(send(fd, b, 1, 0)));
	say("shutdown: %s", ok(shutdown(fd, SHUT_RDWR)));
	connect(fd, SA(to), sizeof to);
	say("shutdown WR, connected: %s", ok(shutdown(fd, SHUT_WR)));
	count_signal(SIGPIPE, 0);
	say("send: %s", result(send(fd, b, 1, 0)));
	say("SIGPIPE %d", (int)signals_seen);
	close(fd);
}

static void sizes(int h)
{
	static const int tried[] = { 0, 1, 1000, 1472, 1473, 65507, 65508, 70000 };
	struct sockaddr_in to = address(PEER, 7000);
	int fd = bound(udp(), "0.0.0.0", 5001), do_not_fragment = IP_PMTUDISC_DO, n;

	fill(b, sizeof b, 0);
	for (unsigned i = 0; i < COUNT(tried); i++) {
		say("%d bytes: %s", tried[i], result(sendto(fd, b, tried[i], 0, SA(to), sizeof to)));
		if (tried[i] <= 65507)
			say("the peer hears: %s", peer_says("from %d", h));
	}
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &do_not_fragment, sizeof do_not_fragment);
	say("1473 bytes, not to be fragmented: %s", result(sendto(fd, b, 1473, 0, SA(to), sizeof to)));
	memset(b, 0, sizeof b);
	peer("to %d 5001 100", h);
	peer("to %d 5001 0", h);
	peer("to %d 5001 200", h);
	peer("to %d 5001 300", h);
	peer("to %d 5001 400", h);
	peer("to %d 5001 500", h);
	wait_datagram(fd);
	nap(50);
	ioctl(fd, FIONREAD, &n);
	say("FIONREAD: %d", n);
	say("peek: %s", result(recv(fd, b, 1000, MSG_PEEK)));
	say("peek of 10: %s", result(recv(fd, b, 10, MSG_PEEK)));
	say("peek of 10, TRUNC: %s", result(recv(fd, b, 10, MSG_PEEK | MSG_TRUNC)));
	say("10 of 100: %s", result(recv(fd, b, 10, 0)));
	ioctl(fd, FIONREAD, &n);
	say("FIONREAD: %d", n);
	say("poll %s", poll_flags(events_now(fd)));
	say("the empty one: %s", result(recv(fd, b, 10, 0)));
	say("10 of 200, TRUNC: %s", result(recv(fd, b, 10, MSG_TRUNC)));
	struct iovec v[2] = { { b, 100 }, { b + 100, 50 } };
	struct msghdr message = { .msg_iov = v, .msg_iovlen = 2 };
	say("recvmsg of 150: %s", result(recvmsg(fd, &message, 0)));
	say("flags %#x, hash %016llx", message.msg_flags, (unsigned long long)fnv(FNV_START, b, 150));
	say("length 0: %s", result(recv(fd, b, 0, 0)));
	say("the last: %s", result(readv(fd, v, 2)));
	say("none: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	say("into a bad pointer: %s", result((peer("to %d 5001 9", h), wait_datagram(fd), recv(fd, bad_pointer, 9, 0))));
	nap(20);
	say("from a bad pointer: %s", result(sendto(fd, bad_pointer, 9, 0, SA(to), sizeof to)));
	close(fd);
}

static void blocking(int h)
{
	struct timeval limit = { 0, 200000 };
	int fd = bound(udp(), TEST, 5002);
	long long start = milliseconds();

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	say("SO_RCVTIMEO: %s", result(recv(fd, b, 10, 0)));
	say("%s", elapsed(start, 200));
	for (int i = 0; i < 50; i++)
		peer("to %d 5002 %d", h, 500 + i);
	nap(50);
	int count = 0, in_order = 1;
	for (long n; (n = recv(fd, b, 2000, MSG_DONTWAIT)) > 0; count++)
		in_order &= n == 500 + count;
	say("50 in order: %d, %d", count, in_order);
	close(fd);
}

/* Two that share a port join a group of loopback's: they go on sharing it. */
static void a_group(void)
{
	struct ip_mreq group = { address("225.0.0.250", 0).sin_addr, address("127.0.0.1", 0).sin_addr };
	struct timeval limit = { 2, 0 };
	int fds[2], port = 0;
	struct sockaddr_in a;
	char b[10];

	for (int i = 0; i < 2; i++) {
		fds[i] = udp();
		set_int(fds[i], SOL_SOCKET, SO_REUSEADDR, 1);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		port = port_of(bound(fds[i], "0.0.0.0", port));
	}
	for (int i = 0; i < 2; i++) {
		say("joined: %s", ok(setsockopt(fds[i], IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group)));
		say("the same port: %d", port_of(fds[i]) == port);
	}
	setsockopt(fds[0], IPPROTO_IP, IP_MULTICAST_IF, &group.imr_interface, sizeof group.imr_interface);
	a = address("225.0.0.250", port);
	say("to the group: %s", result(sendto(fds[0], "abc", 3, 0, SA(a), sizeof a)));
	for (int i = 0; i < 2; i++) {
		say("received: %s", result(recv(fds[i], b, sizeof b, 0)));
		close(fds[i]);
	}
}

/* A bound of what waits, not of a datagram. */
static void a_small_buffer(int h)
{
	static const int lengths[] = { 3000, 7425, 12000, 100 };
	struct timeval limit = { 3, 0 };
	int fd = udp(), port = port_of(bound(fd, TEST, 0));
	static char b[20000];

	set_int(fd, SOL_SOCKET, SO_RCVBUF, 4000);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	for (unsigned i = 0; i < COUNT(lengths); i++) {
		peer("to %d %d %d", h, port, lengths[i]);
		wait_for(fd, POLLIN);
		say("of %d: %s", lengths[i], result(recv(fd, b, sizeof b, i % 2 ? MSG_DONTWAIT : 0)));
	}
	close(fd);
}

int main(void)
{
	int h = peer("udp 7000");

	names(h);
	connections(h);
	sizes(h);
	blocking(h);
	a_small_buffer(h);
	a_group();
}
