/* IP_RECVERR and MSG_ERRQUEUE (ip(7)): what ICMP and the socket itself report, who hears of it, and how poll(2) and
 * epoll(7) tell. */
#include "check.h"

#include <ctype.h>
#include <linux/errqueue.h>

struct report {
	char payload[64];
	struct sockaddr_in name;
	char control[256];
};

static void say_extended(const struct cmsghdr *c)
{
	const struct sock_extended_err *e = (const void *)CMSG_DATA(c);
	const struct sockaddr_in *offender = (const void *)(e + 1);
	char from[32] = "none";

	if (offender->sin_family == AF_INET)
		inet_ntop(AF_INET, &offender->sin_addr, from, sizeof from);
	say("  %s, origin %d, type %d, code %d, info %u, data %u, offender %s, length %zu", name_of(e->ee_errno),
	    e->ee_origin, e->ee_type, e->ee_code, e->ee_info, e->ee_data, from, (size_t)c->cmsg_len);
}

/* Takes one entry off the queue and tells all about it. */
static void take(const char *what, int fd, size_t room, int flags)
{
	struct report r = { .name = { 0 } };
	struct iovec part = { r.payload, room };
	struct msghdr m = { .msg_name = &r.name, .msg_namelen = sizeof r.name, .msg_iov = &part, .msg_iovlen = 1,
			    .msg_control = r.control, .msg_controllen = sizeof r.control };
	ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE | flags);

	say("%s: %s", what, result(n));
	if (n < 0)
		return;
	say("  flags%s%s%s, name of %u, port %d, %s", m.msg_flags & MSG_ERRQUEUE ? " ERRQUEUE" : "",
	    m.msg_flags & MSG_TRUNC ? " TRUNC" : "", m.msg_flags & MSG_CTRUNC ? " CTRUNC" : "", m.msg_namelen,
	    m.msg_namelen ? ntohs(r.name.sin_port) : 0, m.msg_namelen ? inet_ntoa(r.name.sin_addr) : "-");
	if (isprint(r.payload[0]))
		say("  payload \"%.*s\"", (int)n, r.payload);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		say("  message %d %d", c->cmsg_level, c->cmsg_type);
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
			say_extended(c);
	}
}

static const char *send_to(int fd, int port, const char *text)
{
	struct sockaddr_in a = address(PEER, port);

	return result(sendto(fd, text, strlen(text), 0, SA(a), sizeof a));
}

static int with_errors(int fd)
{
	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	return fd;
}

static void every_code(void)
{
	static const int codes[] = { 0, 1, 2, 3, 9, 10, 13 };

	for (unsigned i = 0; i < COUNT(codes); i++) {
		int fd = with_errors(udp());
		char b[8];

		say("code %d: sent %s", codes[i], send_to(fd, UNREACHABLE + codes[i], "question"));
		say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
		say("recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
		say("poll: %s", poll_flags(events_now(fd)));
		take("queue", fd, 64, 0);
		say("poll: %s", poll_flags(events_now(fd)));
		take("queue", fd, 64, 0);
		say("SO_ERROR: %s", name_of(pending_error(fd)));
		close(fd);
	}
}

static void unasked(void)
{
	int fd = udp();

	say("without IP_RECVERR: sent %s", send_to(fd, UNREACHABLE + 3, "x"));
	nap(100);
	say("poll: %s", poll_flags(events_now(fd)));
	take("queue", fd, 64, 0);
	close(fd);
}

static void order(void)
{
	int fd = with_errors(udp()), h = peer("udp 0");
	char b[16];

	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	say("first: %s", send_to(fd, UNREACHABLE + 3, "first"));
	wait_for(fd, POLLERR);
	say("second takes the error: %s", send_to(fd, UNREACHABLE + 1, "second"));
	say("and is sent then: %s", send_to(fd, UNREACHABLE + 1, "second"));
	nap(100);
	peer("to %d %d 4", h, port_of(fd));
	nap(100);
	say("poll: %s", poll_flags(wait_for(fd, POLLIN)));
	take("a buffer of 3", fd, 3, 0);
	say("poll: %s", poll_flags(events_now(fd)));
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	take("peeked", fd, 64, MSG_PEEK);
	take("the end", fd, 64, 0);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	say("poll: %s", poll_flags(events_now(fd)));
	say("the datagram: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	say("poll: %s", poll_flags(events_now(fd)));
	peer("close %d", h);
	close(fd);
}

static void too_long(void)
{
	int fd = with_errors(udp());
	struct sockaddr_in a = address(PEER, 4321);
	static char big[3000];

	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	say("3000 bytes whole: %s", result(sendto(fd, big, sizeof big, 0, SA(a), sizeof a)));
	say("poll: %s", poll_flags(events_now(fd)));
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	take("queue", fd, 64, 0);
	say("poll: %s", poll_flags(events_now(fd)));
	connect(fd, SA(a), sizeof a);
	say("connected: %s", result(send(fd, big, sizeof big, 0)));
	take("queue", fd, 64, 0);
	set_int(fd, IPPROTO_IP, IP_RECVERR, 0);
	say("not asked: %s", result(send(fd, big, sizeof big, 0)));
	take("queue", fd, 64, 0);
	close(fd);
}

/* Longer than any datagram: what is looked at before all else (65536) is not told of. */
static void longer_than_any(void)
{
	int fd = with_errors(udp());
	struct sockaddr_in a = address(PEER, BLACKHOLE);
	static char big[65536];

	for (size_t length = 65508; length <= sizeof big; length++) {
		if (length == 65510)
			length = 65535;
		say("%zu bytes: %s", length, result(sendto(fd, big, length, 0, SA(a), sizeof a)));
		take("queue", fd, 64, 0);
	}
	say("held back: %s", result(sendto(fd, big, 65507, MSG_MORE, SA(a), sizeof a)));
	say("and more: %s", result(send(fd, big, 3000, 0)));
	say("poll: %s", poll_flags(events_now(fd)));
	take("queue", fd, 64, 0);
	say("the rest is lost: %s", result(send(fd, big, 10, 0)));
	connect(fd, SA(a), sizeof a);
	say("connected: %s", result(send(fd, big, 65508, 0)));
	take("queue", fd, 64, 0);
	close(fd);
}

static void turned_off(void)
{
	int fd = with_errors(udp());

	say("sent: %s", send_to(fd, UNREACHABLE + 3, "x"));
	wait_for(fd, POLLERR);
	set_int(fd, IPPROTO_IP, IP_RECVERR, 0);
	take("after turning it off", fd, 64, 0);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	say("poll: %s", poll_flags(events_now(fd)));
	close(fd);
}

static void by_epoll(void)
{
	int fd = with_errors(udp()), set = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN }, got;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
	say("sent: %s", send_to(fd, UNREACHABLE + 3, "x"));
	for (int i = 0; i < 2; i++) {
		int n = epoll_wait(set, &got, 1, 3000);

		say("epoll %d: %s", n, epoll_flags(n > 0 ? got.events : 0));
	}
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	say("epoll after it: %d", epoll_wait(set, &got, 1, 0));
	take("queue", fd, 64, 0);
	say("epoll after that: %d", epoll_wait(set, &got, 1, 50));
	close(set);
	close(fd);
}

/* What is sent within the host is refused by the host itself. */
static void within_the_host(int fd, const struct sockaddr *nobody, socklen_t length)
{
	char b[8];

	with_errors(fd);
	say("to nobody here: %s", result(sendto(fd, "first", 5, 0, nobody, length)));
	say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
	say("second takes the error: %s", result(sendto(fd, "second", 6, 0, nobody, length)));
	take("queue", fd, 64, 0);
	take("queue", fd, 64, 0);
	say("second: %s", result(sendto(fd, "second", 6, 0, nobody, length)));
	wait_for(fd, POLLERR);
	say("recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	take("queue", fd, 64, 0);
	say("poll: %s", poll_flags(events_now(fd)));
	set_int(fd, IPPROTO_IP, IP_RECVERR, 0);
	say("not asked: %s", result(sendto(fd, "third", 5, 0, nobody, length)));
	nap(100);
	say("poll: %s", poll_flags(events_now(fd)));
	say("not asked: %s", result(sendto(fd, "third", 5, 0, nobody, length)));
	close(fd);
}

static void within_the_host_by_both(void)
{
	struct sockaddr_in nobody = address("127.0.0.1", 9);
	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(9) }, all = { .sin6_family = AF_INET6 };
	int fd = bound(udp(), "0.0.0.0", 0), both = socket(AF_INET6, SOCK_DGRAM, 0);

	set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	within_the_host(fd, SA(nobody), sizeof nobody);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	say("both families: %s", ok(bind(both, SA(all), sizeof all)));
	within_the_host(both, SA(mapped), sizeof mapped);
}

static void of_tcp(void)
{
	int fd = tcp();

	take("fresh TCP", fd, 64, 0);
	close(fd);
}

/* What ICMP says of an attempt to connect is an entry, with the segment's beginning. It is the second SYN that is
 * answered: within the call that sends the first Linux would not end the attempt. */
static void of_an_attempt(void)
{
	struct sockaddr_in a = address(PEER, BLACKHOLE);
	int fd = nonblocking(with_errors(tcp()));

	say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
	peer("obstruct %d", BLACKHOLE);
	say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
	peer("obstruct 0");
	take("queue", fd, 64, 0);
	say("poll: %s", poll_flags(events_now(fd)));
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	take("empty", fd, 64, 0);
	close(fd);
}

/* Of a connection it is an error at once, told once, and the connection goes on. */
static void of_a_connection(void)
{
	int h, fd = with_errors(connected(&h));
	char b[8];
	struct sockaddr_in a;
	socklen_t length = sizeof a;

	getpeername(fd, SA(a), &length);
	peer("obstruct %d", ntohs(a.sin_port));
	say("send: %s", result(send(fd, "abc", 3, 0)));
	say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
	take("queue", fd, 64, 0);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	say("poll: %s", poll_flags(events_now(fd)));
	peer("obstruct 0");
	say("the peer has %s", peer_says("recv %d 3", h));
	peer("send %d 2", h);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	every_code();
	unasked();
	order();
	too_long();
	longer_than_any();
	turned_off();
	by_epoll();
	within_the_host_by_both();
	of_tcp();
	of_an_attempt();
	of_a_connection();
}
