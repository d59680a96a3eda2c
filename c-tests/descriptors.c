/* dup(2), dup2(2), dup3(2), fcntl(2) and close_range(2): a socket is one thing under many numbers. */
#include "check.h"

#include <linux/close_range.h>

static const char *alive(int fd, int h)
{
	static char text[64];
	ssize_t n = send(fd, "x", 1, MSG_NOSIGNAL);

	if (n != 1)
		return name_of(errno);
	snprintf(text, sizeof text, "the peer hears %ld byte", peer("recv %d 1", h));
	return text;
}

int main(void)
{
	int h, h2, fd = connected(&h), copy, v = 0, other, later;
	struct sockaddr_in a;
	socklen_t length = sizeof a;

	copy = dup(fd);
	say("dup: %s", alive(copy, h));
	nonblocking(fd);
	say("flags are shared: %#x", fcntl(copy, F_GETFL));
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	say("options are shared: %d", get_int(copy, SOL_SOCKET, SO_KEEPALIVE));
	close(fd);
	say("after close of the first: %s", alive(copy, h));
	say("getpeername: %s", ok(getpeername(copy, SA(a), &length)));
	say("dup2 to 100: %d", dup2(copy, 100));
	say("%s", alive(100, h));
	say("dup2 onto itself: %d", dup2(copy, copy) == copy);
	say("dup2 of nothing: %s", ok(dup2(999, 101)));
	say("dup2 to a negative number: %s", ok(dup2(copy, -1)));
	say("dup3: %d", dup3(copy, 101, O_CLOEXEC));
	say("close-on-exec: %d", fcntl(101, F_GETFD));
	say("dup3 onto itself: %s", ok(dup3(copy, copy, 0)));
	say("dup3 with an unknown flag: %s", ok(dup3(copy, 102, 1)));
	say("F_DUPFD from 110: %d", fcntl(copy, F_DUPFD, 110));
	say("F_DUPFD_CLOEXEC from 110: %d", fcntl(copy, F_DUPFD_CLOEXEC, 110));
	say("close-on-exec: %d", fcntl(111, F_GETFD));
	say("%s", alive(111, h));
	other = open("/dev/null", O_RDWR);
	say("a file over 100: %d", dup2(other, 100));
	say("100 is no socket: %s", result(send(100, "x", 1, 0)));
	say("the connection: %s", alive(copy, h));
	say("the connection over the file: %d", dup2(copy, other) == other);
	say("%s", alive(other, h));
	say("FIONREAD: %s", ok(ioctl(111, FIONREAD, &v)));
	say("close_range from 100: %s", ok(close_range(100, 299, 0)));
	say("111 is closed: %s", ok(fcntl(111, F_GETFD)));
	say("the connection: %s", alive(copy, h));
	say("close_range of nothing: %s", ok(close_range(200, 199, 0)));
	dup2(copy, 120);
	say("close_range with UNSHARE: %s", ok(close_range(100, 299, CLOSE_RANGE_UNSHARE)));
	say("120 is closed: %s", ok(fcntl(120, F_GETFD)));
	later = accepted(&h2);
	say("one that came later: %s", alive(later, h2));
	close(later);
	say("close_range with flags there are not: %s", ok(close_range(copy, copy, 128)));
	say("the connection: %s", alive(copy, h));
	say("close_range with CLOEXEC: %s", ok(close_range(copy, copy, CLOSE_RANGE_CLOEXEC)));
	say("close-on-exec: %d", fcntl(copy, F_GETFD));
	say("close: %s", ok(close(copy)));
	say("the last: %s", alive(other, h));
	say("close: %s", ok(close(other)));
	say("the peer hears the end: %s", peer_says("drain %d", h));
	/* The lowest free number is the next one's. */
	fd = tcp();
	say("numbers are reused: %d", fd == (other < copy ? other : copy) || fd < 10);
	copy = fd;
	close(fd);
	fd = udp();
	say("the same again: %d", fd == copy);
}
