/* Datagrams joined and cut (udp(7)): UDP_SEGMENT and UDP_GRO, UDP_CORK and MSG_MORE; and SO_RXQ_OVFL. */
#include "check.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif

static void receive(const char *what, int fd)
{
	char b[2000], control[128];
	struct iovec part = { b, sizeof b };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &m, 0);
	int value = 0;

	say("%s: %s, hash %016llx", what, result(n), (unsigned long long)fnv(FNV_START, b, n > 0 ? n : 0));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); n >= 0 && c; c = CMSG_NXTHDR(&m, c)) {
		memcpy(&value, CMSG_DATA(c), sizeof value);
		say("  message %d %d of %zu: %d", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len, value);
	}
}

static int receiver(void)
{
	struct timeval limit = { 0, 300000 };
	int fd = bound(udp(), TEST, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

static void cut_by_the_peer(void)
{
	int fd = receiver(), h = peer("udp 0");

	peer("option %d %d %d 100", h, IPPROTO_UDP, UDP_SEGMENT);
	peer("to %d %d 350", h, port_of(fd));
	for (int i = 0; i < 5; i++)
		receive("a piece", fd);
	say("UDP_GRO fresh: %d", get_int(fd, IPPROTO_UDP, UDP_GRO));
	set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
	say("UDP_GRO reads %d", get_int(fd, IPPROTO_UDP, UDP_GRO));
	peer("to %d %d 350", h, port_of(fd));
	receive("joined", fd);
	peer("option %d %d %d 0", h, IPPROTO_UDP, UDP_SEGMENT);
	peer("to %d %d 50", h, port_of(fd));
	receive("alone", fd);
	receive("no more", fd);
	close(fd);
	peer("close %d", h);
}

static int from(int h)
{
	return atoi(peer_says("from %d", h));
}

static void held_back(void)
{
	int fd = udp(), h = peer("udp 0"), other = peer("udp 0");
	struct sockaddr_in a = address(PEER, peer("port %d", h)), b = address(PEER, peer("port %d", other));
	static char big[65000];

	say("MORE: %s", result(sendto(fd, "abc", 3, MSG_MORE, SA(a), sizeof a)));
	say("elsewhere: %s", result(sendto(fd, "defg", 4, MSG_MORE, SA(b), sizeof b)));
	say("the last: %s", result(send(fd, "hi", 2, 0)));
	say("the first peer has %d", from(h));
	say("CORK fresh: %d", get_int(fd, IPPROTO_UDP, UDP_CORK));
	set_int(fd, IPPROTO_UDP, UDP_CORK, 5);
	say("CORK reads %d", get_int(fd, IPPROTO_UDP, UDP_CORK));
	connect(fd, SA(b), sizeof b);
	for (int i = 0; i < 3; i++)
		say("held: %s", result(send(fd, "0123456789", 10, 0)));
	set_int(fd, IPPROTO_UDP, UDP_CORK, 0);
	say("the second peer has %d", from(other));
	say("64 KiB held: %s", result(send(fd, big, sizeof big, MSG_MORE)));
	say("too much: %s", result(send(fd, big, 1000, MSG_MORE)));
	say("then: %s", result(send(fd, "x", 1, 0)));
	say("the second peer has %d", from(other));
	say("nothing held: %s", result(send(fd, "", 0, MSG_MORE)));
	say("and sent: %s", result(send(fd, "", 0, 0)));
	say("the second peer has %d", from(other));
	say("MORE: %s", result(sendto(fd, "abc", 3, MSG_MORE, SA(a), sizeof a)));
	say("connect to the other: %s", ok(connect(fd, SA(b), sizeof b)));
	say("the last: %s", result(send(fd, "hi", 2, 0)));
	say("the second peer has %d", from(other));
	close(fd);
	peer("close %d", h);
	peer("close %d", other);
}

static void overflow(void)
{
	int fd = receiver(), h = peer("udp 0");
	char b[2000];

	set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	set_int(fd, SOL_SOCKET, SO_RCVBUF, 2304);
	peer("to %d %d 10", h, port_of(fd));
	receive("none lost", fd);
	for (int i = 0; i < 2000; i++)
		peer("to %d %d 500", h, port_of(fd));
	nap(100);
	while (recv(fd, b, sizeof b, MSG_DONTWAIT) > 0)
		;
	peer("to %d %d 20", h, port_of(fd));
	struct iovec part = { b, sizeof b };
	char control[64];
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &m, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	unsigned lost = 0;

	if (n > 0 && c)
		memcpy(&lost, CMSG_DATA(c), sizeof lost);
	say("some lost: %s, message %d %d, %d", result(n), c ? c->cmsg_level : 0, c ? c->cmsg_type : 0,
	    lost > 0 && lost < 2000);
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	cut_by_the_peer();
	held_back();
	overflow();
}
