/* IPV6_ADDRFORM (ipv6(7)): an AF_INET6 socket with an IPv4 peer becomes one of AF_INET. */
#include "check.h"

static struct sockaddr_in6 address6(const char *ip, int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET6, ip, &a.sin6_addr) != 1)
		die(ip);
	return a;
}

static int fresh(int type)
{
	int fd = socket(AF_INET6, type, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static void form(const char *what, int fd, int family)
{
	int value = -1;
	socklen_t length = sizeof value;

	say("%s: %s", what, ok(getsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &value, &length)));
	say("  %d", value);
	say("  set: %s", ok(setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &family, sizeof family)));
}

static void say_name(const char *what, int (*call)(int, struct sockaddr *, socklen_t *), int fd)
{
	struct sockaddr_storage a = { 0 };
	socklen_t length = sizeof a;

	say("%s: %s", what, ok(call(fd, SA(a), &length)));
	say("  family %d, %d bytes", a.ss_family, length);
}

static void names(int fd)
{
	say("SO_DOMAIN: %d", get_int(fd, SOL_SOCKET, SO_DOMAIN));
	say_name("getsockname", getsockname, fd);
	say_name("getpeername", getpeername, fd);
}

/* Every value in turn. */
static void in_turn(const char *what, int fd)
{
	int inet = AF_INET;

	form(what, fd, AF_INET);
	form("  AF_INET6", fd, AF_INET6);
	form("  none", fd, AF_UNSPEC);
	say("  short: %s", ok(setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &inet, 3)));
	say("  SO_DOMAIN: %d", get_int(fd, SOL_SOCKET, SO_DOMAIN));
}

/* What is IPv6's is gone. */
static void options(int fd)
{
	int value = 1;
	socklen_t length = sizeof value;

	form("once more", fd, AF_INET);
	say("IPV6_V6ONLY: %s", ok(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length)));
	say("IPV6_RECVPKTINFO: %s", ok(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &value, sizeof value)));
	say("IP_TTL: %s", ok(setsockopt(fd, IPPROTO_IP, IP_TTL, &(int){ 9 }, sizeof(int))));
	say("  %d", get_int(fd, IPPROTO_IP, IP_TTL));
}

/* Where the socket goes then, and by which addresses. */
static void goes_on(int fd, int port)
{
	struct sockaddr_in6 six = address6("::ffff:" PEER, port);
	struct sockaddr_in four = address(PEER, port);
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	say("connect by IPv6's address: %s", ok(connect(fd, SA(six), sizeof six)));
	say("give up: %s", ok(connect(fd, &none, sizeof none)));
	say_name("getsockname", getsockname, fd);
	say("connect by IPv6's address: %s", ok(connect(fd, SA(six), sizeof six)));
	say("connect: %s", ok(connect(fd, SA(four), sizeof four)));
	names(fd);
}

static int to_peer(int type, int port)
{
	struct sockaddr_in6 to = address6("::ffff:" PEER, port);
	int fd = fresh(type);

	if (connect(fd, SA(to), sizeof to))
		die("connect");
	return fd;
}

static void stream(int listener, int port)
{
	int fd = to_peer(SOCK_STREAM, port), h = peer("accept %d", listener);
	char b[10];

	form("AF_INET6", fd, AF_INET6);
	names(fd);
	form("connected", fd, AF_INET);
	names(fd);
	options(fd);
	say("send: %s", result(send(fd, "text", 4, 0)));
	say("the peer has it: %s", peer_says("recv %d 4", h));
	peer("send %d 5", h);
	say("recv: %s", result(recv(fd, b, 5, MSG_WAITALL)));
	goes_on(fd, port);
	close(fd);
	peer("close %d", h);
	peer("close %d", (int)peer("accept %d", listener));
}

/* Shut by the test (SHUT_RD, SHUT_WR), or by the peer (-1). */
static void closing(const char *what, int how, int listener, int port)
{
	int fd = to_peer(SOCK_STREAM, port), h = peer("accept %d", listener);

	if (how >= 0)
		shutdown(fd, how);
	else if (peer("shutdown %d %d", h, SHUT_WR) || wait_state(fd, TCP_CLOSE_WAIT) != TCP_CLOSE_WAIT)
		die("shutdown");
	in_turn(what, fd);
	close(fd);
	peer("close %d", h);
}

static void accepting(void)
{
	struct sockaddr_in6 any = address6("::", 0);
	int fd = fresh(SOCK_STREAM), h, connection;

	if (bind(fd, SA(any), sizeof any) || listen(fd, 1))
		die("listen");
	in_turn("a listener", fd);
	h = peer("connect %d", port_of(fd));
	connection = accept(fd, NULL, NULL);
	form("accepted", connection, AF_INET);
	names(connection);
	close(connection);
	close(fd);
	peer("close %d", h);
}

/* Datagrams are told of as AF_INET's are. */
static void told(int fd)
{
	char b[100], control[256];
	struct sockaddr_storage from = { 0 };
	struct iovec part = { b, sizeof b };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof control };

	say("recvmsg: %s", result(recvmsg(fd, &m, 0)));
	say("  family %d, %u bytes", from.ss_family, (unsigned)m.msg_namelen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		say("  message %d %d of %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
}

static void datagrams(void)
{
	int h = peer("udp 0"), port = peer("port %d", h), fd = to_peer(SOCK_DGRAM, port), inet = AF_INET;
	struct sockaddr_in6 six = address6("::ffff:" PEER, port);
	struct sockaddr_in four = address(PEER, port);

	set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	peer("to %d %d 5", h, port_of(fd));
	wait_for(fd, POLLIN);
	form("connected", fd, inet);
	names(fd);
	told(fd);
	options(fd);
	say("sendto by IPv6's address: %s", result(sendto(fd, "six", 3, 0, SA(six), sizeof six)));
	say("sendto: %s", result(sendto(fd, "four", 4, 0, SA(four), sizeof four)));
	say("the peer has %d", atoi(peer_says("from %d", h)));
	goes_on(fd, port);
	close(fd);
	fd = to_peer(SOCK_DGRAM, port);
	say("held back: %s", result(send(fd, "held", 4, MSG_MORE)));
	form("held back", fd, inet);
	say("send: %s", result(send(fd, " back", 5, 0)));
	say("the peer has %d", atoi(peer_says("from %d", h)));
	shutdown(fd, SHUT_RDWR);
	close(fd);
	fd = to_peer(SOCK_DGRAM, port);
	shutdown(fd, SHUT_RDWR);
	form("shut", fd, inet);
	close(fd);
	peer("close %d", h);
}

static void unconnected(void)
{
	struct sockaddr_in6 to = address6("::ffff:" PEER, 1), any = address6("::", 0);
	struct sockaddr_in6 away = address6("::ffff:" PEER, BLACKHOLE);
	int fd = fresh(SOCK_STREAM);

	in_turn("fresh", fd);
	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	in_turn("refused", fd);
	close(fd);
	fd = nonblocking(fresh(SOCK_STREAM));
	say("connect: %s", ok(connect(fd, SA(away), sizeof away)));
	in_turn("connecting", fd);
	close(fd);
	fd = fresh(SOCK_DGRAM);
	in_turn("fresh", fd);
	say("bind: %s", ok(bind(fd, SA(any), sizeof any)));
	in_turn("bound", fd);
	close(fd);
}

/* One that another process has changed: whose names are looked up is known as what it is. */
static void in_a_child(int port)
{
	int fd = to_peer(SOCK_DGRAM, port);
	struct sockaddr_in six = address(PEER, port);
	pid_t child = fork();

	if (!child) {
		form("in a child", fd, AF_INET);
		names(fd);
		say("sendto: %s", result(sendto(fd, "four", 4, 0, SA(six), sizeof six)));
		_exit(0);
	}
	waitpid(child, NULL, 0);
	names(fd);
	child = fork();
	if (!child) {
		names(fd);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	close(fd);
}

static void in_a_parent(int listener, int port)
{
	int fd = to_peer(SOCK_STREAM, port), h = peer("accept %d", listener), go[2];
	char b;
	pid_t child;

	if (pipe(go))
		die("pipe");
	child = fork();
	if (!child) {
		names(fd);
		say("changed: %s", result(read(go[0], &b, 1)));
		names(fd);
		_exit(0);
	}
	nap(100);
	form("in a parent", fd, AF_INET);
	if (write(go[1], "", 1) != 1)
		die("write");
	waitpid(child, NULL, 0);
	close(fd);
	peer("close %d", h);
}

/* One that came from a process that has ended since. */
static void left(int port)
{
	struct sockaddr_in6 six = address6("::ffff:" PEER, port);
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int ends[2], fd;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	child = fork();
	if (!child) {
		fd = to_peer(SOCK_DGRAM, port);
		form("before it is left", fd, AF_INET);
		pass(ends[1], fd);
		_exit(0);
	}
	fd = take_passed(ends[0]);
	waitpid(child, NULL, 0);
	names(fd);
	say("connect by IPv6's address: %s", ok(connect(fd, SA(six), sizeof six)));
	say("give up: %s", ok(connect(fd, &none, sizeof none)));
	say_name("getsockname", getsockname, fd);
	close(fd);
	close(ends[0]);
	close(ends[1]);
}

/* Its port is IPv4's then. */
static void beside(int port)
{
	struct sockaddr_in6 any = address6("::", 0), to = address6("::ffff:" PEER, port);
	int fd = fresh(SOCK_DGRAM), other = fresh(SOCK_DGRAM);

	set_int(other, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind(fd, SA(any), sizeof any) || connect(fd, SA(to), sizeof to))
		die("connect");
	form("bound to all", fd, AF_INET);
	any.sin6_port = htons(port_of(fd));
	say("another to IPv6's: %s", ok(bind(other, SA(any), sizeof any)));
	close(fd);
	close(other);
}

int main(void)
{
	int listener = peer("listen 0 5"), port = peer("port %d", listener), h;

	setvbuf(stdout, NULL, _IOLBF, 0);
	stream(listener, port);
	closing("shut by the peer", -1, listener, port);
	closing("shut for writing", SHUT_WR, listener, port);
	closing("shut for reading", SHUT_RD, listener, port);
	accepting();
	datagrams();
	unconnected();
	h = peer("udp 0");
	in_a_child(peer("port %d", h));
	left(peer("port %d", h));
	beside(peer("port %d", h));
	in_a_parent(listener, port);
}
