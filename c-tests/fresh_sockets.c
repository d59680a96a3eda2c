/* What a socket answers before anything was done with it. */
#include "check.h"

static void fresh(const char *what, int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	int n = -1;
	char b[4];

	say("%s poll: %s", what, poll_flags(events_now(fd)));
	say("%s getsockname: %s", what, ok(getsockname(fd, SA(a), &length)));
	say("%s name: family %d, %s:%d, length %u", what, a.sin_family, inet_ntoa(a.sin_addr), ntohs(a.sin_port), length);
	length = sizeof a;
	say("%s getpeername: %s", what, ok(getpeername(fd, SA(a), &length)));
	say("%s SO_ERROR: %d", what, pending_error(fd));
	say("%s recv: %s", what, result(recv(fd, b, 1, MSG_DONTWAIT)));
	say("%s recv of nothing: %s", what, result(recv(fd, b, 0, MSG_DONTWAIT | MSG_PEEK)));
	count_signal(SIGPIPE, 0);
	say("%s send: %s", what, result(send(fd, b, 1, 0)));
	say("%s SIGPIPE: %d", what, (int)signals_seen);
	say("%s send NOSIGNAL: %s", what, result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("%s SIGPIPE: %d", what, (int)signals_seen);
	say("%s shutdown RD: %s", what, ok(shutdown(fd, SHUT_RD)));
	say("%s shutdown WR: %s", what, ok(shutdown(fd, SHUT_WR)));
	say("%s shutdown 3: %s", what, ok(shutdown(fd, 3)));
	say("%s accept: %s", what, ok(accept(fd, NULL, NULL)));
	say("%s FIONREAD: %s", what, ok(ioctl(fd, FIONREAD, &n)));
	say("%s FIONREAD value: %d", what, n);
	say("%s SIOCOUTQ: %s", what, ok(ioctl(fd, SIOCOUTQ, &n)));
	say("%s SIOCOUTQ value: %d", what, n);
}

int main(void)
{
	int fd = tcp(), other = udp();

	fresh("tcp", fd);
	say("tcp state: %d", tcp_state(fd));
	fresh("udp", other);
	say("udp listen: %s", ok(listen(other, 1)));
	say("tcp sendfile: %s", ok(sendfile(fd, fd, NULL, 1)));
	close(fd);
	close(other);
}
