/* shutdown(2) in both directions, by us and by the peer. */
#include "check.h"

static char b[100];

static void write_side(void)
{
	int h, fd = connected(&h);

	send_all(fd, 1000);
	say("shutdown WR: %s", ok(shutdown(fd, SHUT_WR)));
	say("poll %s", poll_flags(events_now(fd)));
	count_signal(SIGPIPE, 0);
	say("send: %s", result(send(fd, "x", 1, 0)));
	say("SIGPIPE %d", (int)signals_seen);
	say("send of nothing: %s", result(send(fd, "x", 0, MSG_NOSIGNAL)));
	say("write: %s", result(write(fd, "x", 1)));
	say("SIGPIPE %d", (int)signals_seen);
	say("again: %s", ok(shutdown(fd, SHUT_WR)));
	say("the peer hears all: %s", peer_says("drain %d", h));
	peer("send %d 50", h);
	say("recv still: %s", result(recv(fd, b, 100, 0)));
	say("state %d", wait_state(fd, TCP_FIN_WAIT2));
	peer("close %d", h);
	say("end: %s", result(recv(fd, b, 100, 0)));
	say("poll %s", poll_flags(events_now(fd)));
	say("state %d", tcp_state(fd));
	say("shutdown RD: %s", ok(shutdown(fd, SHUT_RD)));
	say("getpeername: %s", ok(getpeername(fd, (struct sockaddr *)b, &(socklen_t){ 16 })));
	close(fd);
}

static void read_side(void)
{
	int h, fd = connected(&h), n;

	peer("send %d 10", h);
	wait_for(fd, POLLIN);
	say("shutdown RD: %s", ok(shutdown(fd, SHUT_RD)));
	say("poll %s", poll_flags(events_now(fd)));
	say("what was queued: %s", result(recv(fd, b, 100, 0)));
	say("then: %s", result(recv(fd, b, 100, 0)));
	say("the peer can send: %ld", peer("send %d 10", h));
	for (int i = 0; i < 100 && !ioctl(fd, FIONREAD, &n) && n == 0; i++)
		nap(10);
	say("and it is received: %s", result(recv(fd, b, 100, 0)));
	say("send: %s", result(send(fd, "x", 1, 0)));
	say("the peer hears: %s", peer_says("recv %d 1", h));
	close(fd);
	say("the peer hears the end: %s", peer_says("drain %d", h));
	peer("close %d", h);
}

static void both_sides(void)
{
	int h, fd = connected(&h);

	say("shutdown RDWR: %s", ok(shutdown(fd, SHUT_RDWR)));
	say("poll %s", poll_flags(events_now(fd)));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	say("send: %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("the peer hears the end: %s", peer_says("drain %d", h));
	peer("close %d", h);
	wait_state(fd, TCP_CLOSE);
	say("poll %s", poll_flags(events_now(fd)));
	say("state %d", tcp_state(fd));
	say("again: %s", ok(shutdown(fd, SHUT_RDWR)));
	close(fd);
}

/* What comes when nobody expects it any more. */
static void data_after_both(void)
{
	int h, fd = connected(&h);

	shutdown(fd, SHUT_RD);
	shutdown(fd, SHUT_WR);
	say("shut one after the other: state %d", wait_state(fd, TCP_FIN_WAIT2));
	say("the peer can send: %ld", peer("send %d 10", h));
	wait_state(fd, TCP_CLOSE);
	say("poll %s", poll_flags(events_now(fd)));
	say("state %d", tcp_state(fd));
	say("SO_ERROR %s", name_of(pending_error(fd)));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	say("the peer hears: %s", peer_says("ending %d", h));
	close(fd);
	peer("close %d", h);
}

/* One process shuts both sides down and closes, another still has the socket. */
static void both_sides_of_two(void)
{
	int h, fd = connected(&h), gone[2], status;
	pid_t other;

	if (pipe(gone))
		die("pipe");
	fflush(stdout);
	other = fork();
	if (other == 0) {
		close(gone[1]);
		if (read(gone[0], b, 1) != 0)
			die("read");
		wait_state(fd, TCP_FIN_WAIT2);
		say("another has shut both sides: poll %s", poll_flags(events_now(fd)));
		say("state %d", tcp_state(fd));
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		say("TCP_NODELAY: %d", get_int(fd, IPPROTO_TCP, TCP_NODELAY));
		say("the peer can send: %ld", peer("send %d 10", h));
		say("state %d", wait_state(fd, TCP_CLOSE));
		say("the peer hears: %s", peer_says("ending %d", h));
		close(fd);
		exit(0);
	}
	shutdown(fd, SHUT_RDWR);
	close(fd);
	close(gone[0]);
	close(gone[1]);
	waitpid(other, &status, 0);
	peer("close %d", h);
}

/* It counts for what is connected after it, but only one of a connection is told to the peer. */
static void before_connecting(void)
{
	long listener = peer("listen 0 5"), h;
	struct sockaddr_in a = address(PEER, peer("port %ld", listener));
	int fd = tcp();

	say("fresh, shutdown WR: %s", ok(shutdown(fd, SHUT_WR)));
	say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
	h = peer("accept %ld", listener);
	say("send: %s", result(send(fd, b, 10, MSG_NOSIGNAL)));
	say("state %d", tcp_state(fd));
	say("shutdown WR: %s", ok(shutdown(fd, SHUT_WR)));
	say("the peer hears: %s", peer_says("ending %ld", h));
	say("again: %s", ok(shutdown(fd, SHUT_WR)));
	peer("send %ld 10", h);
	wait_for(fd, POLLIN);
	say("recv: %s", result(recv(fd, b, 100, 0)));
	close(fd);
	peer("close %ld", listener);
}

static void by_the_peer(void)
{
	int h, fd = connected(&h);

	peer("send %d 10", h);
	peer("shutdown %d 1", h);
	wait_for(fd, POLLRDHUP);
	say("the peer has shut down: poll %s, state %d", poll_flags(events_now(fd)), tcp_state(fd));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	say("poll %s", poll_flags(events_now(fd)));
	send_all(fd, 100000);
	say("shutdown WR: %s", ok(shutdown(fd, SHUT_WR)));
	say("the peer hears: %s", peer_says("drain %d", h));
	wait_state(fd, TCP_CLOSE);
	say("poll %s", poll_flags(events_now(fd)));
	say("state %d", tcp_state(fd));
	close(fd);
}

/* What was shut stays so when the socket gets a peer by another interface. */
static void by_another_way(int how)
{
	struct sockaddr_in far = address(PEER, BLACKHOLE), near = address("127.0.0.1", 9);
	int fd = bound(udp(), "0.0.0.0", 0), idle = udp();
	char c;

	connect(fd, SA(far), sizeof far);
	say("shutdown %d: %s", how, ok(shutdown(fd, how)));
	say("  connect: %s", ok(connect(fd, SA(near), sizeof near)));
	say("  poll %s", poll_flags(events_now(fd)));
	if (how != SHUT_RD)
		say("  send: %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));
	say("  recv: %s", result(recv(fd, &c, 1, MSG_DONTWAIT)));
	close(fd);

	say("shutdown %d without a peer: %s", how, ok(shutdown(idle, how)));
	say("  connect: %s", ok(connect(idle, SA(near), sizeof near)));
	say("  poll %s", poll_flags(events_now(idle)));
	close(idle);
}

int main(void)
{
	write_side();
	read_side();
	both_sides();
	data_after_both();
	both_sides_of_two();
	by_the_peer();
	before_connecting();
	by_another_way(SHUT_RD);
	by_another_way(SHUT_WR);
	by_another_way(SHUT_RDWR);
}
