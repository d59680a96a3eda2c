/* Options that are set once a socket has its address or peer, and still count; calls of the C library that set some
 * themselves. */
#include "check.h"

#include <net/if.h>
#include <net/route.h>

static struct sockaddr_in any_group(void) { return address(GROUP, 7710); }

static struct ip_mreqn membership(void)
{
	struct ip_mreqn m = { .imr_multiaddr = any_group().sin_addr };

	m.imr_ifindex = if_nametoindex("lab0");
	return m;
}

/* Whether another may have the port depends on what is set, not on when. */
static void reuse(int type)
{
	int first = bound(socket(AF_INET, type, 0), TEST, 0), second = socket(AF_INET, type, 0);
	struct sockaddr_in here = address(TEST, port_of(first));

	set_int(second, SOL_SOCKET, SO_REUSEADDR, 1);
	say("only the second wants to share: %s", ok(bind(second, SA(here), sizeof here)));
	set_int(first, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(first, SOL_SOCKET, SO_REUSEADDR, 0);
	say("the first did for a while: %s", ok(bind(second, SA(here), sizeof here)));
	set_int(first, SOL_SOCKET, SO_REUSEADDR, 1);
	say("both do: %s", ok(bind(second, SA(here), sizeof here)));
	close(first);
	close(second);
}

/* Whether a second socket may share the port of a first that wants to share it before it is bound, or after. */
static void share(int type, int early, int listens)
{
	int first = socket(AF_INET, type, 0), second = socket(AF_INET, type, 0), handle;
	struct sockaddr_in here = address(TEST, 0);
	struct pollfd p[2] = { { first, POLLIN, 0 }, { second, POLLIN, 0 } };

	set_int(first, SOL_SOCKET, SO_REUSEPORT, early);
	if (bind(first, SA(here), sizeof here) || (listens && listen(first, 3)))
		die("bind");
	here = address(TEST, port_of(first));
	set_int(first, SOL_SOCKET, SO_REUSEPORT, !early);
	set_int(second, SOL_SOCKET, SO_REUSEPORT, 1);
	say("%s, %s: %s", early ? "not any more" : "late", listens ? "listening" : "bound", ok(bind(second, SA(here), sizeof here)));
	if (listens) {
		say("listen: %s", ok(listen(second, 3)));
		handle = peer("connect %d", ntohs(here.sin_port));
		say("who has the client: %d", poll(p, 2, 3000));
		peer("close %d", handle);
	}
	close(first);
	close(second);
}

/* A socket that joins a group keeps its peer. */
static void joins(int h)
{
	int fd = bound(udp(), TEST, 0);
	struct sockaddr_in to = address(PEER, peer("port %d", h)), name;
	struct ip_mreqn group = membership();
	socklen_t length = sizeof name;
	char text[INET_ADDRSTRLEN];

	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	say("join: %s", ok(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group)));
	say("its name: %s", ok(getpeername(fd, SA(name), &length)));
	say("%s, the port: %d", inet_ntop(AF_INET, &name.sin_addr, text, sizeof text), name.sin_port == to.sin_port);
	close(fd);
}

static int heard(int fd)
{
	char b[100];
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 500) == 1 ? (int)recv(fd, b, sizeof b, MSG_DONTWAIT) : -1;
}

/* Who is bound to all addresses hears what this host has joined, whoever joined. */
static void overhears(int h)
{
	int member = udp(), bystander = udp();
	struct sockaddr_in group = any_group(), everywhere = address("0.0.0.0", 7710);
	struct ip_mreqn joined = membership();

	set_int(member, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(bystander, SOL_SOCKET, SO_REUSEADDR, 1);
	say("bind to the group: %s", ok(bind(member, SA(group), sizeof group)));
	say("join: %s", ok(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &joined, sizeof joined)));
	say("bind to all addresses: %s", ok(bind(bystander, SA(everywhere), sizeof everywhere)));
	for (int i = 5; i < 8; i++) {
		peer("multicast %d 7710 %d", h, i);
		say("the member hears %d", heard(member));
		say("the other hears %d", heard(bystander));
		if (i == 6)
			set_int(bystander, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	}
	close(member);
	close(bystander);
}

/* Who was allowed to speak to all hosts when it connected to them may go on. */
static void to_everybody(int h)
{
	int fd = udp();
	struct sockaddr_in to = address(EVERYBODY, peer("port %d", h));

	set_int(fd, SOL_SOCKET, SO_BROADCAST, 1);
	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	set_int(fd, SOL_SOCKET, SO_BROADCAST, 0);
	say("send: %s", result(send(fd, "hello", 5, 0)));
	say("the peer: %.1s", peer_says("from %d", h));
	say("sendto: %s", result(sendto(fd, "hello", 5, 0, SA(to), sizeof to)));
	close(fd);
}

static void reserved(int type)
{
	int fd = socket(AF_INET, type, 0);
	struct sockaddr_in here = { .sin_family = AF_INET }, six = { .sin_family = AF_INET6 };

	say("bindresvport of another family: %s", ok(bindresvport(fd, &six)));
	say("bindresvport: %s", ok(bindresvport(fd, &here)));
	say("it says which: %d", port_of(fd) == ntohs(here.sin_port));
	say("it is one: %d", port_of(fd) >= 512 && port_of(fd) < 1024);
	say("again: %s", ok(bindresvport(fd, NULL)));
	close(fd);
}

static void filters(void)
{
	int fd = udp();
	struct ip_mreqn group = membership();
	struct in_addr any = { 0 }, source, known[2] = { { 0 } };
	struct sockaddr_in name = any_group();
	struct sockaddr_storage sources[2];
	uint32_t mode = 9, count = 2;

	inet_pton(AF_INET, PEER, &source);
	say("getipv4sourcefilter: %s", ok(getipv4sourcefilter(fd, any, group.imr_multiaddr, &mode, &count, known)));
	say("setipv4sourcefilter: %s", ok(setipv4sourcefilter(fd, any, group.imr_multiaddr, MCAST_INCLUDE, 1, &source)));
	say("getsourcefilter: %s", ok(getsourcefilter(fd, group.imr_ifindex, SA(name), sizeof name, &mode, &count, sources)));
	name.sin_family = AF_UNIX;
	say("of another family: %s", ok(getsourcefilter(fd, group.imr_ifindex, SA(name), sizeof name, &mode, &count, sources)));
	close(fd);
}

/* What a listener has not: a state to be repaired, pages to be received. */
static void of_a_listener(int fd)
{
	static const int values[] = { -1, 0, 1, 2 };
	struct tcp_zerocopy_receive pages = { 0 };
	socklen_t length = sizeof pages;

	for (unsigned i = 0; i < COUNT(values); i++)
		say("TCP_REPAIR: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &values[i], sizeof values[i])));
	say("TCP_ZEROCOPY_RECEIVE: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &pages, &length)));
	close(fd);
}

/* What is asked about a group is in the value: one the socket is not in, one of an interface that is not there, and what is
 * none. */
static void groups(int fd)
{
	static const char *const asked[][2] = {
		{ "239.1.2.3", TEST }, { "239.1.2.3", "0.0.0.0" }, { "239.1.2.3", "192.0.2.77" }, { TEST, TEST },
	};

	for (unsigned i = 0; i < COUNT(asked); i++) {
		struct ip_msfilter f = {
			.imsf_multiaddr = address(asked[i][0], 0).sin_addr, .imsf_interface = address(asked[i][1], 0).sin_addr,
		};
		socklen_t length = sizeof f;

		say("sources of %s at %s: %s", asked[i][0], asked[i][1], ok(getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &f, &length)));
	}
	close(fd);
}

/* Requests that are about the host, and can be made on any socket. */
static void requests(int fd)
{
	struct rtentry route = { 0 };
	struct ifreq request = { .ifr_name = "lab0" };

	say("SIOCADDRT: %s", ok(ioctl(fd, SIOCADDRT, &route)));
	say("SIOCDELRT: %s", ok(ioctl(fd, SIOCDELRT, &route)));
	say("SIOCGIFTXQLEN: %s", ok(ioctl(fd, SIOCGIFTXQLEN, &request)));
	say("SIOCPROTOPRIVATE: %s", ok(ioctl(fd, SIOCPROTOPRIVATE, &request)));
	close(fd);
}

int main(void)
{
	int h = peer("udp 0");

	reuse(SOCK_STREAM);
	reuse(SOCK_DGRAM);
	for (int early = 0; early < 2; early++) {
		share(SOCK_STREAM, early, 0);
		share(SOCK_STREAM, early, 1);
		share(SOCK_DGRAM, early, 0);
	}
	joins(h);
	overhears(h);
	to_everybody(h);
	reserved(SOCK_STREAM);
	reserved(SOCK_DGRAM);
	filters();
	groups(tcp());
	groups(bound(udp(), TEST, 0));
	of_a_listener(listening(0, 5));
	requests(tcp());
	requests(bound(udp(), TEST, 0));
	peer("close %d", h);
}
