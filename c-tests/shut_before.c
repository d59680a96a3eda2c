/* shutdown(2) of a TCP socket that is not connected: refused, and remembered when it is connected. */
#include "check.h"

static char b[10];

static int unread(int fd)
{
	int n = -1;

	ioctl(fd, FIONREAD, &n);
	return n;
}

static const char *epolled(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };
	int set = epoll_create1(0), count;

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
	count = epoll_wait(set, &event, 1, 0);
	close(set);
	return count ? epoll_flags(event.events) : "none";
}

static void looks(const char *when, int fd)
{
	say("%s: poll %s, state %d", when, poll_flags(events_now(fd)), tcp_state(fd));
	say("  epoll %s", epolled(fd));
}

static int connected_after(int how, int *h)
{
	int listener = peer("listen 0 5"), fd = tcp();
	struct sockaddr_in to = address(PEER, peer("port %d", listener));

	say("shutdown %d: %s", how, ok(shutdown(fd, how)));
	say("  poll %s", poll_flags(events_now(fd)));
	say("  connect: %s", ok(connect(fd, SA(to), sizeof to)));
	*h = peer("accept %d", listener);
	peer("close %d", listener);
	looks("  connected", fd);
	return fd;
}

static void ended(int fd, int h)
{
	peer("start drain %d", h);
	close(fd);
	say("  the peer hears: %s", peer_says("join %d", h));
	peer("close %d", h);
}

/* The peer sends, and ends. */
static void ended_by_peer(int how)
{
	int h, fd = connected_after(how, &h);

	say("  send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	say("  recv: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	peer("send %d 3", h);
	for (int i = 0; i < 600 && unread(fd) < 3; i++)
		nap(5);
	looks("  data", fd);
	say("  recv: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	peer("shutdown %d 1", h);
	wait_state(fd, TCP_CLOSE_WAIT);
	looks("  the end", fd);
	say("  recv: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	say("  send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	ended(fd, h);
}

/* The other side is shut by us. */
static void ended_by_us(int how, int other)
{
	int h, fd = connected_after(how, &h);

	say("  shutdown %d: %s", other, ok(shutdown(fd, other)));
	if (other != SHUT_RD)
		wait_state(fd, TCP_FIN_WAIT2);
	looks("  shut", fd);
	say("  recv: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	say("  send: %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	ended(fd, h);
}

/* While it is being connected nothing of this is seen. */
static void on_its_way(int how)
{
	int fd = nonblocking(tcp());
	struct sockaddr_in to = address(PEER, BLACKHOLE);

	shutdown(fd, how);
	say("shutdown %d, on its way: %s", how, ok(connect(fd, SA(to), sizeof to)));
	looks("  on its way", fd);
	close(fd);
}

int main(void)
{
	for (int how = SHUT_RD; how <= SHUT_RDWR; how++) {
		ended_by_peer(how);
		on_its_way(how);
	}
	ended_by_us(SHUT_RD, SHUT_WR);
	ended_by_us(SHUT_WR, SHUT_RD);
	ended_by_us(SHUT_WR, SHUT_WR);
	ended_by_us(SHUT_WR, SHUT_RDWR);
}
