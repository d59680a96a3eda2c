/* getsockname(2) and getpeername(2): addresses, short and long buffers, bad pointers. */
#include "check.h"

static void lengths(const char *what, int fd, int (*call)(int, struct sockaddr *, socklen_t *))
{
	static const int given[] = { 0, 1, 2, 4, 8, 15, 16, 17, 28, 100 };

	for (unsigned i = 0; i < COUNT(given); i++) {
		unsigned char b[128];
		socklen_t length = given[i];
		int wrote = 0;

		memset(b, 0xee, sizeof b);
		const char *outcome = ok(call(fd, (struct sockaddr *)b, &length));
		for (int k = 0; k < 128; k++)
			if (b[k] != 0xee)
				wrote = k + 1;
		say("%s %d: %s, length %u, wrote %d", what, given[i], outcome, length, wrote);
	}
	socklen_t negative = (socklen_t)-1, length = 16;
	struct sockaddr_in a;
	say("%s -1: %s", what, ok(call(fd, SA(a), &negative)));
	say("%s bad address: %s", what, ok(call(fd, bad_pointer, &length)));
	say("%s bad length: %s", what, ok(call(fd, SA(a), bad_pointer)));
	say("%s NULL, NULL: %s", what, ok(call(fd, NULL, NULL)));
}

static void print_name(const char *what, int fd, int (*call)(int, struct sockaddr *, socklen_t *), int port)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;

	if (call(fd, SA(a), &length))
		say("%s: %s", what, name_of(errno));
	else
		say("%s: family %d, %s, the port %s", what, a.sin_family, inet_ntoa(a.sin_addr),
		    ntohs(a.sin_port) == port ? "right" : "wrong");
}

int main(void)
{
	int h, fd = tcp();
	struct sockaddr_in a;
	socklen_t length = sizeof a;

	print_name("fresh, own", fd, getsockname, 0);
	print_name("fresh, peer", fd, getpeername, 0);
	bound(fd, TEST, 5000);
	print_name("bound, own", fd, getsockname, 5000);
	lengths("getsockname", fd, getsockname);
	close(fd);
	fd = bound(tcp(), "0.0.0.0", 5001);
	print_name("bound to any, own", fd, getsockname, 5001);
	close(fd);
	fd = connected(&h);
	print_name("connected, own", fd, getsockname, port_of(fd));
	getpeername(fd, SA(a), &length);
	print_name("connected, peer", fd, getpeername, peer("port %d", h));
	lengths("getpeername", fd, getpeername);
	close(fd);
	int listener = listening(5002, 5);
	h = peer("connect 5002");
	fd = accept(listener, NULL, NULL);
	print_name("accepted, own", fd, getsockname, 5002);
	print_name("accepted, peer", fd, getpeername, peer("port %d", h));
	peer("reset %d", h);
	wait_for(fd, POLLIN);
	print_name("reset, own", fd, getsockname, 5002);
	print_name("reset, peer", fd, getpeername, 0);
	say("closed: %s", ok(getsockname(999, SA(a), &length)));
	int ends[2];
	if (pipe(ends))
		die("pipe");
	say("pipe: %s", ok(getsockname(ends[0], SA(a), &length)));
}
