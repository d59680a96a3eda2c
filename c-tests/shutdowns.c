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
	say("state %d", tcp_state(fd));
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
	nap(50);
	say("poll %s", poll_flags(events_now(fd)));
	say("state %d", tcp_state(fd));
	say("again: %s", ok(shutdown(fd, SHUT_RDWR)));
	close(fd);
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
	nap(50);
	say("poll %s", poll_flags(events_now(fd)));
	say("state %d", tcp_state(fd));
	close(fd);
}

int main(void)
{
	write_side();
	read_side();
	both_sides();
	by_the_peer();
}
