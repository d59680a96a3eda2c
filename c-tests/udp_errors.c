/* ICMP errors, and to whom UDP tells them. */
#include "check.h"

static char b[100];

static void nothing_there(const char *what, int port)
{
	struct sockaddr_in to = address(PEER, port);
	int fd = udp();

	connect(fd, SA(to), sizeof to);
	say("%s: send %s", what, result(send(fd, b, 10, 0)));
	wait_for(fd, POLLIN | POLLERR);
	say("  poll %s", poll_flags(events_now(fd)));
	say("  recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("  recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("  send: %s", result(send(fd, b, 10, 0)));
	wait_for(fd, POLLERR);
	say("  the next send: %s", result(send(fd, b, 10, 0)));
	say("  SO_ERROR %s", name_of(pending_error(fd)));
	close(fd);
}

int main(void)
{
	struct sockaddr_in to = address(PEER, 81), dark = address(PEER, BLACKHOLE), absent = address(ABSENT, 80);
	int fd = udp();

	nothing_there("nobody at the port", 81);
	nothing_there("port unreachable", UNREACHABLE + 3);
	nothing_there("administratively prohibited", UNREACHABLE + 13);
	say("not connected: %s", result(sendto(fd, b, 10, 0, SA(to), sizeof to)));
	nap(100);
	say("poll %s", poll_flags(events_now(fd)));
	say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("black hole: %s", result(sendto(fd, b, 10, 0, SA(dark), sizeof dark)));
	say("nobody has the address: %s", result(sendto(fd, b, 10, 0, SA(absent), sizeof absent)));
	nap(100);
	say("poll %s", poll_flags(events_now(fd)));
	close(fd);
	fd = udp();
	connect(fd, SA(to), sizeof to);
	send(fd, b, 10, 0);
	wait_for(fd, POLLERR);
	say("SO_ERROR %s", name_of(pending_error(fd)));
	say("then %s", name_of(pending_error(fd)));
	say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	close(fd);
}
