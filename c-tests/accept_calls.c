/* accept(2) and accept4(2): flags, the peer's address, what an accepted socket inherits. */
#include "check.h"

static void flags_of(const char *what, int listener, int flags)
{
	int h = peer("connect %d", port_of(listener)), fd;

	wait_for(listener, POLLIN);
	fd = accept4(listener, NULL, NULL, flags);
	if (fd < 0)
		say("%s: %s", what, name_of(errno));
	else
		say("%s: F_GETFL %#x, F_GETFD %d, poll %s", what, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD),
		    poll_flags(events_now(fd)));
	if (fd >= 0)
		close(fd);
	peer("close %d", h);
}

static void short_address(int listener, int given)
{
	unsigned char b[64];
	socklen_t length = given;
	int h = peer("connect %d", port_of(listener)), fd, wrote = 0;

	memset(b, 0xee, sizeof b);
	fd = accept(listener, (struct sockaddr *)b, &length);
	for (int k = 0; k < 64; k++)
		if (b[k] != 0xee)
			wrote = k + 1;
	say("address of length %d: %s, length %u, at most %d written", given, ok(fd), length,
	    wrote <= given ? given : wrote);
	close(fd);
	peer("close %d", h);
}

static void inherited(void)
{
	int listener = tcp(), h, fd;
	struct linger linger = { 1, 7 };
	socklen_t length = sizeof linger;

	set_int(listener, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(listener, SOL_SOCKET, SO_RCVBUF, 50000);
	set_int(listener, SOL_SOCKET, SO_SNDBUF, 60000);
	set_int(listener, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(listener, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set_int(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
	set_int(listener, IPPROTO_IP, IP_TTL, 33);
	set_int(listener, IPPROTO_IP, IP_TOS, 16);
	set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 2);
	set_int(listener, IPPROTO_TCP, TCP_FASTOPEN, 5);
	setsockopt(listener, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	nonblocking(listener);
	bound(listener, "0.0.0.0", 0);
	listen(listener, 5);
	h = peer("connect %d", port_of(listener));
	peer("send %d 1", h);
	wait_for(listener, POLLIN);
	fd = accept(listener, NULL, NULL);
	memset(&linger, 0, sizeof linger);
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length);
	say("inherited: KEEPALIVE %d, RCVBUF %d, SNDBUF %d, NODELAY %d, KEEPIDLE %d, USER_TIMEOUT %d",
	    get_int(fd, SOL_SOCKET, SO_KEEPALIVE), get_int(fd, SOL_SOCKET, SO_RCVBUF), get_int(fd, SOL_SOCKET, SO_SNDBUF),
	    get_int(fd, IPPROTO_TCP, TCP_NODELAY), get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE),
	    get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT));
	say("inherited: TTL %d, TOS %d, LINGER %d %d, F_GETFL %#x", get_int(fd, IPPROTO_IP, IP_TTL),
	    get_int(fd, IPPROTO_IP, IP_TOS), linger.l_onoff, linger.l_linger, fcntl(fd, F_GETFL));
	say("not: DEFER_ACCEPT %d, FASTOPEN %d", get_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), get_int(fd, IPPROTO_TCP, TCP_FASTOPEN));
	peer("close %d", h);
	close(fd);
	close(listener);
}

int main(void)
{
	int listener = listening(5000, 16), h, fd, one, two;
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	unsigned char b[8];

	flags_of("no flags", listener, 0);
	flags_of("NONBLOCK", listener, SOCK_NONBLOCK);
	flags_of("CLOEXEC", listener, SOCK_CLOEXEC);
	flags_of("both", listener, SOCK_CLOEXEC | SOCK_NONBLOCK);
	say("unknown flag: %s", ok(accept4(listener, NULL, NULL, 0x40000000)));
	h = peer("connect 5000");
	fd = accept(listener, SA(a), &length);
	say("address: family %d, %s, the port %s, length %u", a.sin_family, inet_ntoa(a.sin_addr),
	    ntohs(a.sin_port) == peer("port %d", h) ? "right" : "wrong", length);
	peer("close %d", h);
	close(fd);
	short_address(listener, 0);
	short_address(listener, 7);
	short_address(listener, 16);
	short_address(listener, 40);
	nonblocking(listener);
	say("none waiting: %s, poll %s", ok(accept(listener, NULL, NULL)), poll_flags(events_now(listener)));
	one = peer("connect 5000");
	two = peer("connect 5000");
	peer("send %d 1", one);
	peer("send %d 2", two);
	say("one waits: %s", poll_flags(wait_for(listener, POLLIN)));
	fd = accept(listener, NULL, NULL);
	wait_for(fd, POLLIN);
	say("in order: %s", result(recv(fd, b, 8, 0)));
	close(fd);
	wait_for(listener, POLLIN);
	fd = accept(listener, NULL, NULL);
	wait_for(fd, POLLIN);
	say("in order: %s", result(recv(fd, b, 8, 0)));
	close(fd);
	say("none waiting: %s", ok(accept(listener, NULL, NULL)));
	h = peer("connect 5000");
	peer("send %d 3", h);
	peer("reset %d", h);
	wait_for(listener, POLLIN);
	nap(50);
	fd = accept(listener, NULL, NULL);
	say("reset before accept: %s", ok(fd));
	say("its data: %s", result(recv(fd, b, 8, MSG_DONTWAIT)));
	say("then: %s", result(recv(fd, b, 8, MSG_DONTWAIT)));
	say("then: %s", result(recv(fd, b, 8, MSG_DONTWAIT)));
	close(fd);
	inherited();
	h = peer("connect 5000");
	wait_for(listener, POLLIN);
	close(listener);
	say("the unaccepted one hears: %s", peer_says("drain %d", h));
}
