/* What a call that sends, or connects, leaves of a UDP socket when it fails: a port, as if it had not; what is refused
 * before; port 0 as a peer; control messages that take too much. */
#include "check.h"

static char b[70000];

static void named(const char *what, const char *came_of_it, int fd)
{
	struct sockaddr_in name = { 0 };
	socklen_t length = sizeof name;
	char text[INET_ADDRSTRLEN];

	getsockname(fd, SA(name), &length);
	inet_ntop(AF_INET, &name.sin_addr, text, sizeof text);
	say("%s: %s, then %s has %s port", what, came_of_it, text, name.sin_port ? "a" : "no");
}

static void both(const char *what, int prepared(void), struct sockaddr_in to, size_t count, int flags)
{
	int fd = prepared();

	named(what, result(sendto(fd, b, count, flags, SA(to), sizeof to)), fd);
	close(fd);
	fd = prepared();
	named("  connect", ok(connect(fd, SA(to), sizeof to)), fd);
	named("  send", result(send(fd, b, count, flags)), fd);
	close(fd);
}

static int whole(void)
{
	int fd = udp();

	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	return fd;
}

static int shut(void)
{
	int fd = udp();

	shutdown(fd, SHUT_RDWR);
	return fd;
}

static int without_port(void)
{
	int fd = udp();

	set_int(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, 1);
	return bound(fd, TEST, 0);
}

static struct sockaddr_in of_family(int family)
{
	struct sockaddr_in a = address(PEER, 80);

	a.sin_family = family;
	return a;
}

/* What is refused before the socket is looked at. */
static void refused_before(void)
{
	struct sockaddr_in to = address(PEER, 80);
	struct iovec v = { b, 10 };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = bad_pointer, .msg_iovlen = 1 };
	int fd = udp();

	named("bad iovec", result(sendmsg(fd, &message, 0)), fd);
	message.msg_iov = &v;
	message.msg_iovlen = 1025;
	named("too many", result(sendmsg(fd, &message, 0)), fd);
	message.msg_iovlen = 1;
	message.msg_name = bad_pointer;
	named("bad name", result(sendmsg(fd, &message, 0)), fd);
	named("no room for a family", ok(connect(fd, SA(to), 1)), fd);
	named("too long an address", result(sendto(fd, b, 10, 0, SA(to), 200)), fd);
	named("and too many bytes", result(sendto(fd, b, 65536, 0, SA(to), 200)), fd);
	v.iov_base = bad_pointer;
	message.msg_name = &to;
	named("bad bytes", result(sendmsg(fd, &message, 0)), fd);
	close(fd);
}

/* IPv4's call looks at the length before it looks at the address, IPv6's after. */
static void which_is_first(int family)
{
	struct sockaddr_in to = address(PEER, 80);
	int fd = socket(family, SOCK_DGRAM, 0);

	named("half an address", result(sendto(fd, b, 10, 0, SA(to), 8)), fd);
	named("and too many bytes", result(sendto(fd, b, 65536, 0, SA(to), 8)), fd);
	named("urgent ones", result(sendto(fd, b, 65536, MSG_OOB, SA(to), 8)), fd);
	to.sin_family = 77;
	named("of another family", result(sendto(fd, b, 65536, 0, SA(to), sizeof to)), fd);
	close(fd);
}

static void control_messages(int fd, struct sockaddr_in *to)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr header;
	} control = { .header = { CMSG_LEN(sizeof(int)), IPPROTO_IP, IP_TTL } };
	struct iovec v = { b, 10 };
	struct msghdr message = { to, sizeof *to, &v, 1, &control, CMSG_SPACE(sizeof(int)), 0 };

	memcpy(CMSG_DATA(&control.header), &(int){ 300 }, sizeof(int));
	named("too long a life", result(sendmsg(fd, &message, 0)), fd);
	close(fd);
}

/* It is any port of that host. */
static void port_zero(int h)
{
	struct sockaddr_in to = address(PEER, 0), name;
	socklen_t length = sizeof name;
	int fd = udp();

	say("connect to port 0: %s", ok(connect(fd, SA(to), sizeof to)));
	say("getpeername: %s", ok(getpeername(fd, SA(name), &length)));
	peer("to %d %d 7", h, port_of(fd));
	wait_for(fd, POLLIN);
	say("from any port there: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("sendto: %s", result(sendto(fd, b, 10, 0, SA(to), sizeof to)));
	say("send: %s", result(send(fd, b, 10, 0)));
	close(fd);
}

static void room_for_control(const char *what, int fd, struct sockaddr_in *to, size_t most)
{
	char *control = calloc(1, most);
	struct cmsghdr *header = (struct cmsghdr *)control;
	struct iovec v = { b, 1 };
	struct msghdr message = { to, to ? sizeof *to : 0, &v, 1, control, most - 1, 0 };

	*header = (struct cmsghdr){ most - 1, 77, 1 };
	say("%s, as much as there may be: %s", what, result(sendmsg(fd, &message, MSG_NOSIGNAL)));
	message.msg_controllen = header->cmsg_len = most;
	say("%s, one more: %s", what, result(sendmsg(fd, &message, MSG_NOSIGNAL)));
	message.msg_control = NULL;
	say("%s, nowhere: %s", what, result(sendmsg(fd, &message, MSG_NOSIGNAL)));
	message.msg_controllen = (size_t)INT_MAX + 1;
	say("%s, more than an integer: %s", what, result(sendmsg(fd, &message, MSG_NOSIGNAL)));
	message.msg_iov = bad_pointer;
	say("%s, and a bad iovec: %s", what, result(sendmsg(fd, &message, MSG_NOSIGNAL)));
	close(fd);
	free(control);
}

/* net.core.optmem_max */
static size_t most_control(void)
{
	FILE *file = fopen("/proc/sys/net/core/optmem_max", "r");
	long most = 0;

	if (!file || fscanf(file, "%ld", &most) != 1)
		die("optmem_max");
	fclose(file);
	return most;
}

int main(void)
{
	int h = peer("udp 0");
	struct sockaddr_in to = address(PEER, peer("port %d", h));

	both("to all, without leave", udp, address(EVERYBODY, 80), 10, 0);
	both("longer than a datagram", udp, to, 66000, 0);
	both("longer than the path takes", whole, to, 5000, 0);
	both("urgent", udp, to, 10, MSG_OOB);
	both("shut down", shut, to, 10, 0);
	both("no port bound", without_port, address(EVERYBODY, 80), 10, 0);
	both("of another family", udp, of_family(77), 10, 0);
	refused_before();
	which_is_first(AF_INET);
	which_is_first(AF_INET6);
	control_messages(udp(), &to);
	port_zero(h);
	room_for_control("UDP", udp(), &to, most_control());
	room_for_control("UDP without a peer", udp(), NULL, most_control());
	room_for_control("a connection", connected(&h), NULL, most_control());
	room_for_control("fresh TCP", tcp(), NULL, most_control());
}
