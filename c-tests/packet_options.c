/* IP_PKTOPTIONS: what came with the segment that completed the handshake, of a connection that was accepted. */
#include "check.h"

/* IPV6_2292PKTOPTIONS and its kin of linux/in6.h. */
#define PKTINFO6 2
#define HOPLIMIT6 8
#define PKTOPTIONS6 6
#define RECVTCLASS6 66

/* Its data, but for the interface's index and the addresses of the lab. */
static void say_message(const struct cmsghdr *m)
{
	const unsigned char *data = CMSG_DATA(m);
	struct in_pktinfo info;
	struct in6_pktinfo ends;
	int number = -1;

	if (m->cmsg_level == IPPROTO_IP && m->cmsg_type == IP_PKTINFO && m->cmsg_len >= CMSG_LEN(sizeof info)) {
		char a[16], b[16];

		memcpy(&info, data, sizeof info);
		inet_ntop(AF_INET, &info.ipi_spec_dst, a, sizeof a);
		inet_ntop(AF_INET, &info.ipi_addr, b, sizeof b);
		say("    IP_PKTINFO: interface %s, %s, %s", info.ipi_ifindex ? "known" : "0", a, b);
		return;
	}
	if (m->cmsg_level == IPPROTO_IPV6 && m->cmsg_len == CMSG_LEN(sizeof ends)) {
		char a[INET6_ADDRSTRLEN];

		memcpy(&ends, data, sizeof ends);
		inet_ntop(AF_INET6, &ends.ipi6_addr, a, sizeof a);
		say("    IPv6, type %d: interface %s, %s", m->cmsg_type, ends.ipi6_ifindex ? "known" : "0", a);
		return;
	}
	if (m->cmsg_len >= CMSG_LEN(sizeof number) && (m->cmsg_level != IPPROTO_IP || m->cmsg_type != IP_PKTINFO))
		memcpy(&number, data, sizeof number);
	say("    level %d, type %d, length %zu: %d", m->cmsg_level, m->cmsg_type, (size_t)m->cmsg_len,
	    m->cmsg_len > CMSG_LEN(sizeof number) ? -2 : number);
}

static void say_options(const char *when, int fd, int level, int name, int room)
{
	_Alignas(struct cmsghdr) unsigned char b[256];
	socklen_t length = room;
	int given;

	memset(b, 0xee, sizeof b);
	given = getsockopt(fd, level, name, b, &length);
	say("  %s, room %d: %s, length %d", when, room, ok(given), (int)length);
	for (unsigned at = 0; given == 0 && length <= sizeof b && at + sizeof(struct cmsghdr) <= length;) {
		const struct cmsghdr *m = (const struct cmsghdr *)(b + at);

		say_message(m);
		at += CMSG_ALIGN(m->cmsg_len);
	}
}

static void want(int fd, int on)
{
	static const int names[] = { IP_PKTINFO, IP_RECVTTL, IP_RECVTOS };

	for (size_t i = 0; i < COUNT(names); i++)
		say("  %d: %s", names[i], ok(setsockopt(fd, IPPROTO_IP, names[i], &on, sizeof on)));
}

static void say_all(const char *what, int fd)
{
	static const int rooms[] = { 256, 80, 72, 71, 60, 50, 30, 20, 16, 15, 1, 0, -1 };

	say("%s", what);
	say_options("nothing is wanted", fd, IPPROTO_IP, IP_PKTOPTIONS, 256);
	want(fd, 1);
	for (size_t i = 0; i < COUNT(rooms); i++)
		say_options("all is", fd, IPPROTO_IP, IP_PKTOPTIONS, rooms[i]);
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 0);
	set_int(fd, IPPROTO_IP, IP_RECVTTL, 0);
	say_options("the service is", fd, IPPROTO_IP, IP_PKTOPTIONS, 256);
	say("  set: %s", ok(setsockopt(fd, IPPROTO_IP, IP_PKTOPTIONS, &(int){ 0 }, sizeof(int))));
}

static void accepted_with(const char *what, int listener, int time_to_live, int service)
{
	int h = peer("connect %d %d %d", port_of(listener), time_to_live, service);
	int fd = accept(listener, NULL, NULL);
	char b[16];

	say_all(what, fd);
	say("  MULTICAST_TTL %d", get_int(fd, IPPROTO_IP, IP_MULTICAST_TTL));
	/* What comes later changes nothing. */
	peer("option %d %d %d %d", h, IPPROTO_IP, IP_TOS, 0x48);
	peer("option %d %d %d %d", h, IPPROTO_IP, IP_TTL, 77);
	peer("send %d 10", h);
	say("  recv: %s", result(recv(fd, b, sizeof b, 0)));
	want(fd, 1);
	say_options("after data", fd, IPPROTO_IP, IP_PKTOPTIONS, 256);
	peer("close %d", h);
	wait_for(fd, POLLIN);
	say_options("after its end", fd, IPPROTO_IP, IP_PKTOPTIONS, 256);
	close(fd);
}

/* A connection by IPv4 of a socket for both. */
static void by_mapped_addresses(void)
{
	int listener = socket(AF_INET6, SOCK_STREAM, 0), fd, one = 1;
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	int h;

	say("bind: %s", ok(bind(listener, SA(a), sizeof a)));
	say("listen: %s", ok(listen(listener, 5)));
	h = peer("connect %d %d %d", port_of(listener), 41, 0x30);
	fd = accept(listener, NULL, NULL);
	say_all("mapped", fd);
	say_options("nothing is wanted", fd, IPPROTO_IPV6, PKTOPTIONS6, 256);
	say("  HOPLIMIT: %s", ok(setsockopt(fd, IPPROTO_IPV6, HOPLIMIT6, &one, sizeof one)));
	say_options("the limit is", fd, IPPROTO_IPV6, PKTOPTIONS6, 256);
	say("  RECVTCLASS: %s", ok(setsockopt(fd, IPPROTO_IPV6, RECVTCLASS6, &one, sizeof one)));
	say_options("the class is, too", fd, IPPROTO_IPV6, PKTOPTIONS6, 256);
	say("  RECVHOPLIMIT: %s", ok(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof one)));
	say_options("the limit again", fd, IPPROTO_IPV6, PKTOPTIONS6, 256);
	say_options("the limit again", fd, IPPROTO_IPV6, PKTOPTIONS6, 60);
	say("  2292PKTINFO: %s", ok(setsockopt(fd, IPPROTO_IPV6, PKTINFO6, &one, sizeof one)));
	say("  RECVPKTINFO: %s", ok(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one)));
	say_options("the ends", fd, IPPROTO_IPV6, PKTOPTIONS6, 256);
	close(fd);
	close(listener);
	peer("close %d", h);
}

int main(void)
{
	int h, fd = tcp(), listener;

	say_all("fresh", fd);
	close(fd);
	fd = udp();
	say_options("UDP", fd, IPPROTO_IP, IP_PKTOPTIONS, 256);
	close(fd);
	fd = bound(tcp(), TEST, 0);
	say_all("bound", fd);
	close(fd);
	fd = connected(&h);
	say_all("connected", fd);
	close(fd);
	peer("close %d", h);

	listener = listening(0, 5);
	say_all("listening", listener);
	set_int(listener, IPPROTO_IP, IP_RECVTOS, 0);
	accepted_with("accepted", listener, 33, 0x28);
	accepted_with("accepted, of a peer with no wishes", listener, 0, 0);
	want(listener, 1);
	h = peer("connect %d %d %d", port_of(listener), 99, 0xb8);
	fd = accept(listener, NULL, NULL);
	say_options("what its listener wanted", fd, IPPROTO_IP, IP_PKTOPTIONS, 256);
	close(fd);
	close(listener);
	peer("close %d", h);
	by_mapped_addresses();
}
