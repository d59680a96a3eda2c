/* Datagrams to all hosts of a network: who hears them, what is told of them, and sockets bound to such an address. */
#include "check.h"

static int patient(int fd)
{
	struct timeval limit = { 0, 300000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	return fd;
}

static void receive(const char *what, int fd)
{
	char b[100], control[128], to[INET_ADDRSTRLEN], ours[INET_ADDRSTRLEN];
	struct iovec part = { b, sizeof b };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &m, 0);

	say("%s: %s", what, result(n));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); n >= 0 && c; c = CMSG_NXTHDR(&m, c)) {
		struct in_pktinfo info;

		memcpy(&info, CMSG_DATA(c), sizeof info);
		inet_ntop(AF_INET, &info.ipi_addr, to, sizeof to);
		inet_ntop(AF_INET, &info.ipi_spec_dst, ours, sizeof ours);
		say("  to %s, which is %s here", to, ours);
	}
}

static void say_name(const char *what, int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	char text[INET_ADDRSTRLEN];

	getsockname(fd, SA(a), &length);
	say("%s: %s", what, inet_ntop(AF_INET, &a.sin_addr, text, sizeof text));
}

static void hearing(int h)
{
	int any = patient(bound(udp(), "0.0.0.0", 0)), one = patient(bound(udp(), TEST, 0));

	set_int(any, IPPROTO_IP, IP_PKTINFO, 1);
	set_int(one, IPPROTO_IP, IP_PKTINFO, 1);
	peer("broadcast %d %d 10", h, port_of(any));
	receive("bound to all addresses", any);
	peer("broadcast %d %d 10", h, port_of(one));
	receive("bound to one", one);
	peer("to %d %d 20", h, port_of(any));
	receive("to one host", any);
	close(any);
	close(one);
}

static void bound_to_everybody(int h)
{
	struct sockaddr_in here = address(EVERYBODY, 0), to = address(PEER, peer("port %d", h));
	int fd = patient(udp()), second = patient(udp());

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(second, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	say("bind: %s", ok(bind(fd, SA(here), sizeof here)));
	say_name("name", fd);
	here.sin_port = htons(port_of(fd));
	here.sin_addr.s_addr = INADDR_ANY;
	say("bind of another to all addresses: %s", ok(bind(second, SA(here), sizeof here)));
	peer("broadcast %d %d 10", h, port_of(fd));
	receive("bound to everybody", fd);
	receive("bound to all addresses", second);
	say("sendto: %s", result(sendto(fd, "hello", 5, 0, SA(to), sizeof to)));
	say("the peer has %d", atoi(peer_says("from %d", h)));
	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	say_name("name", fd);
	peer("broadcast %d %d 7", h, port_of(fd));
	receive("connected", fd);
	say("send: %s", result(send(fd, "hi", 2, 0)));
	say("the peer has %d", atoi(peer_says("from %d", h)));
	close(fd);
	close(second);
}

static void sending(int h)
{
	struct sockaddr_in to = address(EVERYBODY, peer("port %d", h));
	int fd = udp();

	say("without leave: %s", result(sendto(fd, "hello", 5, 0, SA(to), sizeof to)));
	set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
	say("with leave: %s", result(sendto(fd, "hello", 5, 0, SA(to), sizeof to)));
	say("the peer has %d", atoi(peer_says("from %d", h)));
	close(fd);
	fd = patient(bound(udp(), "0.0.0.0", 0));
	set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	to.sin_port = htons(port_of(fd));
	say("to one's own port: %s", result(sendto(fd, "myself", 6, 0, SA(to), sizeof to)));
	receive("which hears it", fd);
	close(fd);
}

static void by_tcp(void)
{
	struct sockaddr_in here = address(EVERYBODY, 0);
	int fd = tcp();

	say("bind: %s", ok(bind(fd, SA(here), sizeof here)));
	say_name("name", fd);
	close(fd);
}

int main(void)
{
	int h = peer("udp 0");

	hearing(h);
	bound_to_everybody(h);
	sending(h);
	by_tcp();
	peer("close %d", h);
}
