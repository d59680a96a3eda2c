/* close(2): clean, with unread data, with linger; what the peer hears, and what a reset leaves. */
#include "check.h"

static char b[100];

static void closed_with(const char *what, int unread, int linger_on, int linger_for)
{
	int h, fd = connected(&h);
	struct linger linger = { linger_on, linger_for };
	long long start;

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	if (unread) {
		peer("send %d %d", h, unread);
		wait_for(fd, POLLIN);
	}
	send_all(fd, 1000);
	nap(20);
	start = milliseconds();
	say("%s: close %s", what, ok(close(fd)));
	say("  %s", elapsed(start, 0));
	say("  the peer hears: %s", peer_says("drain %d", h));
	peer("close %d", h);
}

/* What is unread is answered by a reset before close(2) is over. */
static void reset_at_once(void)
{
	int late = 0;

	for (int i = 0; i < 100; i++) {
		int h, fd = connected(&h);

		peer("send %d 10", h);
		wait_for(fd, POLLIN);
		close(fd);
		late += peer("state %d", h) != TCP_CLOSE;
		peer("close %d", h);
	}
	say("unread: resets that are late: %d", late);
}

/* A connection with more to send than the peer, which does not read, has room for. */
static int lingering(int *h)
{
	int fd = connected(h);
	struct linger linger = { 1, 1 };
	static unsigned char big[1 << 16];

	set_int(fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	do
		while (send(fd, big, sizeof big, MSG_DONTWAIT) > 0)
			;
	while (poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, 300) > 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	return fd;
}

static void lingers(void)
{
	int h, fd = lingering(&h);
	long long start = milliseconds();

	say("linger of 1 s: close %s", ok(close(fd)));
	say("  %s", elapsed(start, 1000));
	peer("close %d", h);
}

/* Who is not the last to close does not wait. */
static void lingers_in_another(void)
{
	int h, fd = lingering(&h), gone[2];
	long long start;
	pid_t other;

	if (pipe(gone))
		die("pipe");
	fflush(stdout);
	other = fork();
	if (other == 0) {
		close(gone[1]);
		_exit(read(gone[0], b, 1) != 0);
	}
	close(gone[0]);
	start = milliseconds();
	say("linger of 1 s, another has it: close %s", ok(close(fd)));
	say("  %s", elapsed(start, 0));
	close(gone[1]);
	waitpid(other, NULL, 0);
	peer("close %d", h);
}

/* Who does not linger throws away what is not sent, at once. */
static void throws_away(const char *what, int shut)
{
	int h, fd = lingering(&h);
	struct linger none = { 1, 0 };
	/* The last is tcpi_bytes_acked (linux/tcp.h). */
	unsigned long long info[16] = { 0 }, received = 0;
	socklen_t length = sizeof info;
	const char *heard;

	if (shut)
		shutdown(fd, SHUT_WR);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	close(fd);
	heard = peer_says("drain %d", h);
	sscanf(heard, "%llu", &received);
	say("linger 0, %s: nothing more is sent %d, but a reset %d", what,
	    received <= info[15], strstr(heard, "ECONNRESET") != NULL);
	peer("close %d", h);
}

static void everything_sent_arrives(void)
{
	int h, fd = connected(&h);

	peer("start drain %d", h);
	send_all(fd, 3000000);
	say("close after 3 MB: %s", ok(close(fd)));
	say("  the peer hears: %s", peer_says("join %d", h));
}

static void last_descriptor(void)
{
	int h, fd = connected(&h), copy = dup(fd);

	say("close of one of two: %s", ok(close(fd)));
	say("  send by the other: %s", result(send(copy, "x", 1, 0)));
	say("  the peer hears: %s", peer_says("recv %d 1", h));
	close(copy);
	say("  the peer hears: %s", peer_says("drain %d", h));
}

static void reset_by_peer(void)
{
	int h, fd = connected(&h);

	peer("send %d 10", h);
	wait_for(fd, POLLIN);
	peer("reset %d", h);
	wait_for(fd, POLLHUP);
	say("reset: poll %s", poll_flags(events_now(fd)));
	say("  recv: %s", result(recv(fd, b, 100, 0)));
	say("  recv: %s", result(recv(fd, b, 100, 0)));
	say("  recv: %s", result(recv(fd, b, 100, 0)));
	say("  poll %s", poll_flags(events_now(fd)));
	count_signal(SIGPIPE, 0);
	say("  send: %s", result(send(fd, b, 1, 0)));
	say("  SIGPIPE %d", (int)signals_seen);
	say("  SO_ERROR %d, state %d", pending_error(fd), tcp_state(fd));
	say("  shutdown: %s", ok(shutdown(fd, SHUT_RDWR)));
	say("  close: %s", ok(close(fd)));

	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLHUP);
	say("reset: send %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("  send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("  recv: %s", result(recv(fd, b, 1, 0)));
	close(fd);

	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLHUP);
	say("reset: SO_ERROR %s", name_of(pending_error(fd)));
	say("  poll %s", poll_flags(events_now(fd)));
	say("  read: %s", result(read(fd, b, 1)));
	close(fd);

	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLHUP);
	say("reset: read %s", result(read(fd, b, 1)));
	say("  read: %s", result(read(fd, b, 1)));
	signal(SIGPIPE, SIG_IGN);
	say("  write: %s", result(write(fd, b, 1)));
	close(fd);
}

static void closed_by_peer(void)
{
	int h, fd = connected(&h);

	signal(SIGPIPE, SIG_IGN);
	peer("close %d", h);
	wait_for(fd, POLLRDHUP);
	say("the peer closed: recv %s", result(recv(fd, b, 1, 0)));
	say("  the first send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	wait_for(fd, POLLHUP);
	say("  poll %s", poll_flags(events_now(fd)));
	say("  the second: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("  recv: %s", result(recv(fd, b, 1, 0)));
	say("  the third: %s", result(write(fd, b, 1)));
	close(fd);
}

int main(void)
{
	closed_with("clean", 0, 0, 0);
	closed_with("with unread data", 10, 0, 0);
	closed_with("linger 0", 0, 1, 0);
	closed_with("linger 5, all acknowledged", 0, 1, 5);
	reset_at_once();
	lingers();
	lingers_in_another();
	throws_away("a full queue", 0);
	throws_away("and shut for writing", 1);
	everything_sent_arrives();
	last_descriptor();
	reset_by_peer();
	closed_by_peer();
}
