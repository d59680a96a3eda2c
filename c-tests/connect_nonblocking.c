/* connect(2) on a non-blocking socket: in progress, done, refused; the one report of an error. */
#include "check.h"

static void in_progress(void)
{
	struct sockaddr_in dark = address(PEER, BLACKHOLE);
	struct sockaddr_in name;
	socklen_t length = sizeof name;
	int fd = nonblocking(tcp());
	char b[4] = "";

	say("black hole: %s", ok(connect(fd, SA(dark), sizeof dark)));
	say("state %d", tcp_state(fd));
	say("poll %s", poll_flags(events_now(fd)));
	say("SO_ERROR %s", name_of(pending_error(fd)));
	say("connect again: %s", ok(connect(fd, SA(dark), sizeof dark)));
	say("send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("recv: %s", result(recv(fd, b, 1, 0)));
	say("write: %s", result(write(fd, b, 1)));
	say("read: %s", result(read(fd, b, 1)));
	say("getsockname: %s", ok(getsockname(fd, SA(name), &length)));
	say("has a port: %d", name.sin_port != 0);
	say("getpeername: %s", ok(getpeername(fd, SA(name), &length)));
	say("listen: %s", ok(listen(fd, 5)));
	say("shutdown: %s", ok(shutdown(fd, SHUT_RDWR)));
	say("state %d", tcp_state(fd));
	say("poll %s", poll_flags(events_now(fd)));
	say("SO_ERROR %s", name_of(pending_error(fd)));
	close(fd);
}

static void refused(int report)
{
	struct sockaddr_in no = address(PEER, 81);
	int fd = nonblocking(tcp());
	char b[4] = "";

	say("refused: %s", ok(connect(fd, SA(no), sizeof no)));
	say("poll: %s", poll_flags(wait_for(fd, POLLOUT)));
	say("all events: %s", poll_flags(events_now(fd)));
	switch (report) {
	case 0:
		say("SO_ERROR: %s", name_of(pending_error(fd)));
		break;
	case 1:
		say("connect: %s", ok(connect(fd, SA(no), sizeof no)));
		close(fd);
		return;
	case 2:
		say("recv: %s", result(recv(fd, b, 1, 0)));
		break;
	case 3:
		say("send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
		break;
	case 4:
		say("read: %s", result(read(fd, b, 1)));
		break;
	case 5:
		signal(SIGPIPE, SIG_IGN);
		say("write: %s", result(write(fd, b, 1)));
		break;
	}
	say("SO_ERROR then: %d", pending_error(fd));
	say("all events then: %s", poll_flags(events_now(fd)));
	say("recv then: %s", result(recv(fd, b, 1, 0)));
	say("send then: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	close(fd);
}

/* What ends an attempt by ICMP is told by the error queue, too, though nobody has asked for that. (Linux tries again
 * after an error that comes while the call has yet to return, and tells of both.) */
static void unreachable(void)
{
	struct sockaddr_in to = address(PEER, UNREACHABLE + 13);
	int fd = nonblocking(tcp());
	long long since = milliseconds();
	char b[100];
	int entries = 0;

	say("unreachable: %s", ok(connect(fd, SA(to), sizeof to)));
	while (!(events_now(fd) & POLLHUP) && milliseconds() - since < 3000)
		nap(1);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	say("all events then: %s", poll_flags(events_now(fd)));
	while (recv(fd, b, sizeof b, MSG_ERRQUEUE) >= 0)
		entries++;
	say("the error queue has something: %d", entries > 0);
	say("all events then: %s", poll_flags(events_now(fd)));
	close(fd);
}

int main(void)
{
	long listener = peer("listen 7000 5");
	struct sockaddr_in a = address(PEER, 7000), no = address(PEER, 81);
	int fd = nonblocking(tcp()), h;

	say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
	say("poll: %s", poll_flags(wait_for(fd, POLLOUT)));
	say("SO_ERROR: %d, state %d", pending_error(fd), tcp_state(fd));
	say("connect again: %s", ok(connect(fd, SA(a), sizeof a)));
	say("connect once more: %s", ok(connect(fd, SA(a), sizeof a)));
	h = peer("accept %ld", listener);
	peer("close %d", h);
	close(fd);
	for (int report = 0; report < 6; report++)
		refused(report);
	fd = nonblocking(tcp());
	say("refused: %s", ok(connect(fd, SA(no), sizeof no)));
	wait_for(fd, POLLOUT);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	say("tried again: %s", ok(connect(fd, SA(a), sizeof a)));
	say("and again: %s", ok(connect(fd, SA(a), sizeof a)));
	say("poll: %s", poll_flags(wait_for(fd, POLLOUT)));
	say("state %d", tcp_state(fd));
	close(fd);
	in_progress();
	unreachable();
}
