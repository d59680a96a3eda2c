/* MSG_ZEROCOPY and its notifications (the kernel's msg_zerocopy.rst): that the bytes arrive, that every send is
 * told of, and how poll(2) shows it. */
#include "check.h"

#include <linux/errqueue.h>

static void say_done(const char *what, int fd)
{
	char control[128];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	say("%s: %s", what, result(n));
	if (n < 0 || !c)
		return;
	const struct sock_extended_err *e = (const void *)CMSG_DATA(c);
	say("  message %d %d, flags ERRQUEUE %d, name of %u", c->cmsg_level, c->cmsg_type, !!(m.msg_flags & MSG_ERRQUEUE),
	    m.msg_namelen);
	say("  %s, origin %d, type %d, code %d, %u to %u", name_of(e->ee_errno), e->ee_origin, e->ee_type, e->ee_code,
	    e->ee_info, e->ee_data);
}

static void wait_done(int fd, unsigned first, unsigned last)
{
	unsigned next = first;

	for (int i = 0; i < 100 && next <= last; i++, nap(10)) {
		char control[128];
		struct msghdr m = { .msg_control = control, .msg_controllen = sizeof control };

		if (recvmsg(fd, &m, MSG_ERRQUEUE) < 0)
			continue;
		const struct sock_extended_err *e = (const void *)CMSG_DATA(CMSG_FIRSTHDR(&m));
		if (e->ee_info != next)
			say("a gap: %u after %u", e->ee_info, next);
		next = e->ee_data + 1;
	}
	say("all told: %d", next == last + 1);
}

static void settings(void)
{
	int fd = tcp(), other = udp();

	say("fresh: %d, %d", get_int(fd, SOL_SOCKET, SO_ZEROCOPY), get_int(other, SOL_SOCKET, SO_ZEROCOPY));
	say("2: %s", ok(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 2 }, sizeof(int))));
	say("1: %s", ok(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 1 }, sizeof(int))));
	say("reads %d", get_int(fd, SOL_SOCKET, SO_ZEROCOPY));
	close(fd);
	close(other);
}

static void on_tcp(void)
{
	int h, fd = connected(&h);
	static unsigned char data[40000];

	fill(data, sizeof data, 0);
	say("not enabled: %s", result(send(fd, data, 1000, MSG_ZEROCOPY)));
	say("recv %s", peer_says("recv %d 1000", h));
	say_done("nothing is told", fd);
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	say("send: %s", result(send(fd, data + 1000, 19000, MSG_ZEROCOPY)));
	say("recv %s", peer_says("recv %d 19000", h));
	say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
	say("poll: %s", poll_flags(events_now(fd)));
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	say("recv: %s", result(recv(fd, data, 10, MSG_DONTWAIT)));
	say_done("told", fd);
	say("poll: %s", poll_flags(events_now(fd)));
	say_done("once", fd);
	for (int i = 0; i < 4; i++)
		if (send(fd, data + 20000 + i * 5000, 5000, MSG_ZEROCOPY) != 5000)
			die("send");
	say("send without data: %s", result(send(fd, data, 0, MSG_ZEROCOPY)));
	say("recv %s", peer_says("recv %d 20000", h));
	say("an ordinary send: %s", result(send(fd, data, 1, 0)));
	for (int i = 0; i < 100 && !(events_now(fd) & POLLERR); i++)
		nap(10);
	wait_done(fd, 1, 4);
	peer("close %d", h);
	close(fd);
}

static void by_epoll(void)
{
	int h, fd = connected(&h), set = epoll_create1(0), n;
	struct epoll_event e = { .events = EPOLLIN }, got;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	say("send: %s", result(send(fd, "0123456789", 10, MSG_ZEROCOPY)));
	say("recv %s", peer_says("recv %d 10", h));
	for (int i = 0; i < 2; i++) {
		n = epoll_wait(set, &got, 1, 3000);
		say("epoll %d: %s", n, epoll_flags(n > 0 ? got.events : 0));
	}
	say_done("told", fd);
	say("epoll after it: %d", epoll_wait(set, &got, 1, 50));
	e.events = EPOLLIN | EPOLLET;
	epoll_ctl(set, EPOLL_CTL_MOD, fd, &e);
	say("send: %s", result(send(fd, "0123456789", 10, MSG_ZEROCOPY)));
	say("recv %s", peer_says("recv %d 10", h));
	n = epoll_wait(set, &got, 1, 3000);
	say("edge %d: %s", n, epoll_flags(n > 0 ? got.events : 0));
	say("and no more: %d", epoll_wait(set, &got, 1, 50));
	close(set);
	peer("close %d", h);
	close(fd);
}

static void on_udp(void)
{
	int fd = udp(), h = peer("udp 0");
	struct sockaddr_in a = address(PEER, peer("port %d", h));
	static unsigned char data[1000];

	fill(data, sizeof data, 0);
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	say("sendto: %s", result(sendto(fd, data, sizeof data, MSG_ZEROCOPY, SA(a), sizeof a)));
	say("the peer has %d bytes", atoi(peer_says("from %d", h)));
	say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
	say_done("told", fd);
	say_done("once", fd);
	say("poll: %s", poll_flags(events_now(fd)));
	peer("close %d", h);
	close(fd);
}

/* The count is the socket's, whatever becomes of its connections. */
static void connected_anew(void)
{
	int fd = tcp(), listener = peer("listen 0 5"), h;
	struct sockaddr_in a = address(PEER, peer("port %d", listener)), nobody = { .sin_family = AF_UNSPEC };

	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	for (int i = 0; i < 3; i++) {
		say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
		h = peer("accept %d", listener);
		say("send: %s", result(send(fd, "0123456789", 10, MSG_ZEROCOPY)));
		say("recv %s", peer_says("recv %d 10", h));
		wait_for(fd, POLLERR);
		if (i < 2)
			say_done("told", fd);
		say("given up: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
		peer("close %d", h);
	}
	say_done("told afterwards", fd);
	peer("close %d", listener);
	close(fd);
}

int main(void)
{
	settings();
	on_tcp();
	by_epoll();
	on_udp();
	connected_anew();
}
