/* connect(2) on a blocking socket, and after it. */
#include "check.h"

static void attempt(const char *what, const char *ip, int port)
{
	struct sockaddr_in a = address(ip, port);
	long long start = milliseconds();
	int fd = tcp();
	const char *outcome = ok(connect(fd, SA(a), sizeof a));

	say("%s: %s, %s", what, outcome, elapsed(start, 0));
	say("  poll %s", poll_flags(events_now(fd)));
	say("  SO_ERROR %s", name_of(pending_error(fd)));
	close(fd);
}

static void icmp(void)
{
	static const int codes[] = { 0, 1, 2, 3, 9, 10, 13 };

	for (unsigned i = 0; i < COUNT(codes); i++) {
		struct sockaddr_in a = address(PEER, UNREACHABLE + codes[i]);
		int fd = tcp();

		/* An answer that comes before the kernel's connect() sleeps waits there for the next SYN: no time here. */
		say("unreachable, code %d: %s", codes[i], ok(connect(fd, SA(a), sizeof a)));
		close(fd);
	}
}

/* From the same port to the same peer, while the last connection is in TIME-WAIT. */
static void in_time_wait(long listener)
{
	struct sockaddr_in a = address(PEER, 7000);
	int fd, h;
	char b[4];

	for (int round = 0; round < 3; round++) {
		fd = tcp();
		set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		bound(fd, TEST, 5001);
		say("round %d: %s", round, ok(connect(fd, SA(a), sizeof a)));
		h = peer("accept %ld", listener);
		shutdown(fd, SHUT_WR);
		say("  the peer hears %s", peer_says("ending %d", h));
		peer("close %d", h);
		say("  recv: %s", result(recv(fd, b, sizeof b, 0)));
		close(fd);
	}
}

/* An attempt that another call has begun: one that may wait waits for its end, whatever address it names. */
static void joined(void)
{
	static const char *const ends[] = { "accepted", "refused", "no answer in time", "interrupted", "no answer, not waiting" };
	struct timeval soon = { 0, 100000 };

	for (size_t end = 0; end < COUNT(ends); end++) {
		long listener = peer("listen 0 5");
		struct sockaddr_in a = address(PEER, peer("port %ld", listener));
		int fd = nonblocking(tcp());

		peer("deafen %ld", listener);
		say("begun, and %s: %s", ends[end], ok(connect(fd, SA(a), sizeof a)));
		fcntl(fd, F_SETFL, end == 4 ? O_NONBLOCK : 0);
		if (end == 0)
			peer("option %ld %d %d 0", listener, SOL_SOCKET, SO_DETACH_FILTER);
		if (end == 1)
			peer("close %ld", listener);
		if (end == 2)
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
		if (end == 3) {
			count_signal(SIGUSR1, 0);
			signal_later(SIGUSR1, 100);
		}
		a.sin_port = htons(1);
		say("  joined: %s", ok(connect(fd, SA(a), end == 0 ? 3 : sizeof a)));
		say("  poll: %s", poll_flags(events_now(fd)));
		say("  SO_ERROR: %s", name_of(pending_error(fd)));
		say("  send: %s", result(send(fd, "a", 1, MSG_NOSIGNAL | MSG_DONTWAIT)));
		close(fd);
		if (end != 1)
			peer("close %ld", listener);
	}
}

int main(void)
{
	long listener = peer("listen 7000 5");
	struct sockaddr_in a = address(PEER, 7000), no = address(PEER, 81), any = address("0.0.0.0", 0);
	int fd = tcp(), h;
	char b[4];

	say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
	say("state %d", tcp_state(fd));
	say("poll: %s", poll_flags(events_now(fd)));
	say("again: %s", ok(connect(fd, SA(a), sizeof a)));
	say("bind after: %s", ok(bind(fd, SA(any), sizeof any)));
	say("listen after: %s", ok(listen(fd, 5)));
	say("accept after: %s", ok(accept(fd, NULL, NULL)));
	h = peer("accept %ld", listener);
	close(fd);
	peer("close %d", h);
	attempt("refused", PEER, 81);
	fd = tcp();
	say("refused: %s", ok(connect(fd, SA(no), sizeof no)));
	say("recv: %s", result(recv(fd, b, 1, MSG_DONTWAIT)));
	say("send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("and then accepted: %s", ok(connect(fd, SA(a), sizeof a)));
	close(fd);
	peer("close %ld", peer("accept %ld", listener));
	attempt("port 0", PEER, 0);
	attempt("broadcast", "255.255.255.255", 80);
	icmp();
	fd = tcp();
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	bound(fd, TEST, 5000);
	say("bound first: %s", ok(connect(fd, SA(a), sizeof a)));
	say("port %d", port_of(fd));
	h = peer("accept %ld", listener);
	peer("reset %d", h);
	close(fd);
	fd = bound(tcp(), "127.0.0.1", 0);
	say("bound to loopback: %s", ok(connect(fd, SA(a), sizeof a)));
	close(fd);
	fd = tcp();
	a.sin_family = AF_INET6;
	say("family AF_INET6: %s", ok(connect(fd, SA(a), sizeof a)));
	a.sin_family = AF_INET;
	say("length 15: %s", ok(connect(fd, SA(a), 15)));
	say("bad pointer: %s", ok(connect(fd, bad_pointer, 16)));
	say("not a descriptor: %s", ok(connect(999, SA(a), sizeof a)));
	say("connect at last: %s", ok(connect(fd, SA(a), sizeof a)));
	close(fd);
	peer("close %ld", peer("accept %ld", listener));
	in_time_wait(listener);
	joined();
}
