/* poll(2), ppoll(2), select(2) and pselect(2) of a TCP socket in each of its states. */
#include "check.h"

static void show(const char *what, int fd)
{
	fd_set in, out, except;
	struct timeval none = { 0, 0 };
	struct pollfd nothing = { fd, 0, 0 };
	int n;

	say("%s: poll %s", what, poll_flags(events_now(fd)));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&except);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	FD_SET(fd, &except);
	n = select(fd + 1, &in, &out, &except, &none);
	say("  select %d:%s%s%s", n, FD_ISSET(fd, &in) ? " readable" : "", FD_ISSET(fd, &out) ? " writable" : "",
	    FD_ISSET(fd, &except) ? " exceptional" : "");
	n = poll(&nothing, 1, 0);
	say("  asked for nothing: %d, %s", n, poll_flags(nothing.revents));
}

static void waiting(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 }, bad[2] = { { -1, POLLIN, 7 }, { 999, POLLIN, 0 } };
	struct timespec limit = { 0, 200000000 }, none = { 0, 0 };
	fd_set set;
	struct timeval short_limit = { 0, 200000 };
	long long start = milliseconds();

	say("poll for 200 ms: %d", poll(&p, 1, 200));
	say("%s", elapsed(start, 200));
	start = milliseconds();
	say("ppoll for 200 ms: %d", ppoll(&p, 1, &limit, NULL));
	say("%s", elapsed(start, 200));
	FD_ZERO(&set);
	FD_SET(fd, &set);
	start = milliseconds();
	say("select for 200 ms: %d", select(fd + 1, &set, NULL, NULL, &short_limit));
	say("%s", elapsed(start, 200));
	say("time left: %ld", short_limit.tv_sec * 1000000 + short_limit.tv_usec);
	FD_SET(fd, &set);
	start = milliseconds();
	say("pselect for 200 ms: %d", pselect(fd + 1, &set, NULL, NULL, &limit, NULL));
	say("%s", elapsed(start, 200));
	say("poll of bad descriptors: %d", poll(bad, 2, 0));
	say("%s, %s", poll_flags(bad[0].revents), poll_flags(bad[1].revents));
	say("poll of nothing: %d", poll(NULL, 0, 10));
	say("poll of a bad pointer: %s", result(poll(bad_pointer, 1, 0)));
	say("ppoll at once: %d", ppoll(&p, 1, &none, NULL));
	FD_ZERO(&set);
	FD_SET(250, &set);
	say("select of a bad descriptor: %s", result(select(251, &set, NULL, NULL, &short_limit)));
	say("select of -1: %s", result(select(-1, NULL, NULL, NULL, &short_limit)));
}

int main(void)
{
	int h, fd = tcp(), listener;
	char b[10];

	show("fresh", fd);
	bound(fd, TEST, 0);
	show("bound", fd);
	close(fd);
	listener = listening(5000, 5);
	show("listening", listener);
	h = peer("connect 5000");
	wait_for(listener, POLLIN);
	show("listening, one waits", listener);
	fd = accept(listener, NULL, NULL);
	show("accepted", fd);
	waiting(fd);
	peer("send %d 1", h);
	wait_for(fd, POLLIN);
	show("data", fd);
	recv(fd, b, 10, 0);
	show("read", fd);
	peer("shutdown %d 1", h);
	wait_for(fd, POLLIN);
	show("peer's FIN", fd);
	recv(fd, b, 10, 0);
	show("end read", fd);
	shutdown(fd, SHUT_WR);
	nap(50);
	show("both FINs", fd);
	close(fd);
	peer("close %d", h);

	fd = connected(&h);
	shutdown(fd, SHUT_WR);
	nap(50);
	show("our FIN", fd);
	peer("send %d 1", h);
	wait_for(fd, POLLIN);
	show("our FIN, data", fd);
	close(fd);
	peer("close %d", h);

	fd = connected(&h);
	shutdown(fd, SHUT_RD);
	show("shut for reading", fd);
	close(fd);
	peer("close %d", h);

	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLHUP);
	show("reset", fd);
	pending_error(fd);
	show("reset, error read", fd);
	close(fd);

	fd = connected(&h);
	peer("urgent %d", h);
	wait_for(fd, POLLPRI);
	show("urgent", fd);
	close(fd);

	fd = udp();
	show("udp fresh", fd);
	bound(fd, TEST, 5001);
	show("udp bound", fd);
	h = peer("udp 7000");
	peer("to %d 5001 0", h);
	wait_for(fd, POLLIN);
	show("udp, an empty datagram", fd);
	say("recv: %s", result(recv(fd, b, 10, 0)));
	show("udp, read", fd);
}
