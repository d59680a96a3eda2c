/* AF_INET6 sockets and IPv4's addresses in IPv6's clothes: which are refused, what a connection tells of itself. */
#include "check.h"

static struct sockaddr_in6 address6(const char *ip, int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET6, ip, &a.sin6_addr) != 1)
		die(ip);
	return a;
}

static void say_name(const char *what, int fd)
{
	struct sockaddr_in6 a;
	socklen_t length = sizeof a;
	char text[INET6_ADDRSTRLEN];

	getsockname(fd, SA(a), &length);
	say("%s: %s, a port: %d", what, inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof text), a.sin6_port != 0);
}

static int fresh(int type)
{
	int fd = socket(AF_INET6, type, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static void only_six(int type, int port)
{
	int fd = fresh(type), second = fresh(type);
	struct sockaddr_in6 to = address6("::ffff:" PEER, port), here = address6("::ffff:" TEST, 0), any = address6("::", 0);

	set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	set_int(second, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	say("sendto: %s", result(sendto(fd, "x", 1, MSG_NOSIGNAL, SA(to), sizeof to)));
	say("bind: %s", ok(bind(second, SA(here), sizeof here)));
	say("bind to all: %s", ok(bind(second, SA(any), sizeof any)));
	say("connect: %s", ok(connect(second, SA(to), sizeof to)));
	close(fd);
	close(second);
}

/* One that listens without an address leaves its port to IPv4. */
static void listens_to_six(void)
{
	int fd = fresh(SOCK_STREAM), other = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any;

	set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	say("listen: %s", ok(listen(fd, 1)));
	say_name("name", fd);
	any = address("0.0.0.0", port_of(fd));
	say("another one to all of IPv4's: %s", ok(bind(other, SA(any), sizeof any)));
	close(fd);
	close(other);
}

static void only_four(int type)
{
	int fd = fresh(type), other = fresh(type);
	struct sockaddr_in6 here = address6("::ffff:0.0.0.0", 0);

	say("bind to all of IPv4's: %s", ok(bind(fd, SA(here), sizeof here)));
	say_name("name", fd);
	if (type == SOCK_STREAM) {
		say("listen: %s", ok(listen(fd, 1)));
		say_name("name", fd);
	}
	set_int(other, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	here = address6("::", port_of(fd));
	say("another one to all of IPv6's: %s", ok(bind(other, SA(here), sizeof here)));
	close(fd);
	close(other);
}

static void option(const char *what, int fd, int name)
{
	unsigned char value[64];
	socklen_t length = sizeof value;
	int last;

	memset(value, 0xee, sizeof value);
	if (getsockopt(fd, IPPROTO_IPV6, name, value, &length)) {
		say("%s: %s", what, name_of(errno));
		return;
	}
	memcpy(&last, value + length - sizeof last, sizeof last);
	say("%s: %d bytes, the last %d", what, length, last);
}

/* Of an AF_INET6 socket that has an address it is not asked whether another one is the host's. */
static void bound_again(void)
{
	struct sockaddr_in6 here = address6("::ffff:" TEST, 0), absent = address6("::ffff:" ABSENT, 0);
	int fd = fresh(SOCK_STREAM);

	say("bind to another's: %s", ok(bind(fd, SA(absent), sizeof absent)));
	say("bind: %s", ok(bind(fd, SA(here), sizeof here)));
	say("bind to another's: %s", ok(bind(fd, SA(absent), sizeof absent)));
	close(fd);
}

static void tells(const char *what, int fd)
{
	say("%s", what);
	option("  IPV6_MTU", fd, IPV6_MTU);
	option("  IPV6_PATHMTU", fd, IPV6_PATHMTU);
	option("  IPV6_ADDRFORM", fd, IPV6_ADDRFORM);
}

/* Whether a socket is for IPv6 alone is settled by its port: one that was refused has given up a port that was chosen for it. */
static void settled_by_a_port(const char *what, int asks, int port)
{
	struct sockaddr_in6 here = address6("::ffff:" TEST, port), to = address6("::ffff:" PEER, 1);
	int fd = fresh(SOCK_STREAM);

	if (asks)
		bind(fd, SA(here), sizeof here);
	say("%s: %s", what, ok(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int))));
	say("  refused: %s", ok(connect(fd, SA(to), sizeof to)));
	say("  then: %s", ok(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int))));
	close(fd);
}

int main(void)
{
	int listener = peer("listen 0 5"), port = peer("port %d", listener), fd;
	struct sockaddr_in6 to = address6("::ffff:" PEER, port);

	only_six(SOCK_STREAM, port);
	only_six(SOCK_DGRAM, port);
	listens_to_six();
	only_four(SOCK_STREAM);
	only_four(SOCK_DGRAM);
	bound_again();
	settled_by_a_port("fresh", 0, 0);
	settled_by_a_port("bound to any port", 1, 0);
	settled_by_a_port("bound to a port", 1, 5291);
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		fd = fresh(type);
		tells("fresh", fd);
		say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
		tells("connected", fd);
		close(fd);
	}
}
