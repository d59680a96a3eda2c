/* Connections that nobody answers. */
#include "check.h"

static void heard(int fd)
{
	say("heard of anybody: %d", get_int(fd, SOL_SOCKET, SO_INCOMING_CPU) >= 0);
}

static void attempt(const char *what, int fd, const char *ip, int port, int ms)
{
	struct sockaddr_in a = address(ip, port);
	long long start = milliseconds();
	const char *outcome = ok(connect(fd, SA(a), sizeof a));

	say("%s: %s, %s", what, outcome, elapsed(start, ms));
	say("SO_ERROR %s", name_of(pending_error(fd)));
}

int main(void)
{
	struct timeval half = { 0, 500000 };
	struct sockaddr_in dark = address(PEER, BLACKHOLE);
	int fd = tcp();

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &half, sizeof half);
	attempt("SO_SNDTIMEO", fd, PEER, BLACKHOLE, 500);
	say("then: %s", ok(connect(fd, SA(dark), sizeof dark)));
	close(fd);
	fd = tcp();
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
	attempt("TCP_USER_TIMEOUT", fd, PEER, BLACKHOLE, 1500);
	close(fd);
	fd = tcp();
	attempt("nobody has the address", fd, ABSENT, 80, 3000);
	attempt("nobody still", fd, ABSENT, 80, 3000);
	heard(fd);
	close(fd);
	fd = nonblocking(tcp());
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 500);
	say("an attempt that nobody waits for: %s", ok(connect(fd, SA(dark), sizeof dark)));
	heard(fd);
	wait_for(fd, POLLERR);
	say("in the end: %s", name_of(pending_error(fd)));
	heard(fd);
	say("once more: %s", ok(connect(fd, SA(dark), sizeof dark)));
	heard(fd);
	close(fd);
}
