/* How much a queue with little room takes, and when it is said to have room: what is taken is taken in whole buffers, and
 * a connection that poll(2) calls writable has room for more than a few bytes. */
#include "check.h"

static char block[1 << 20];

/* A connection whose peer does not read; its window does not grow. */
static int unread(int *handle, int buffer)
{
	int listener = peer("listen 0 5"), fd = tcp();
	struct sockaddr_in to = address(PEER, peer("port %d", listener));

	peer("option %d %d %d 100000", listener, SOL_SOCKET, SO_RCVBUF);
	if (buffer)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, buffer);
	if (connect(fd, SA(to), sizeof to))
		die("connect");
	*handle = peer("accept %d", listener);
	peer("close %d", listener);
	return fd;
}

static void done(int fd, int h)
{
	peer("reset %d", h);
	close(fd);
}

/* Until nothing more is taken, though the peer's window was given time to fill: the last of it may wait for a timer. */
static void fill_up(int fd, size_t count)
{
	for (int quiet = 0; quiet < 3; quiet++) {
		while (send(fd, block, count, MSG_DONTWAIT) > 0)
			quiet = 0;
		nap(100);
	}
}

/* Who sends only when he is told that there is room never has to wait. */
static void told_of_room(const char *how, int (*has_room)(int))
{
	int h, fd = unread(&h, 0), refused = 0, sent = 0;

	while (has_room(fd) && sent < 10000) {
		refused += send(fd, block, 1000, MSG_DONTWAIT) != 1000;
		sent++;
	}
	say("%s calls it full: %d", how, sent < 10000);
	say("  and has lied %d times", refused);
	say("  more is taken: %s", result(send(fd, block, 1000, MSG_DONTWAIT)));
	done(fd, h);
}

static int by_poll(int fd)
{
	struct pollfd p = { fd, POLLOUT, 0 };

	return poll(&p, 1, 0);
}

static int by_select(int fd)
{
	struct timeval none = { 0, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, NULL, &set, NULL, &none);
}

static int by_epoll(int fd)
{
	struct epoll_event event = { .events = EPOLLOUT };
	int set = epoll_create1(0), count;

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
	count = epoll_wait(set, &event, 1, 0);
	close(set);
	return count;
}

/* A bound that is small does not cut what is sent into small pieces. */
static void beyond_the_bound(void)
{
	int h, fd = unread(&h, 4096);
	ssize_t taken;

	/* The window and what may be in flight have grown by then. */
	send_all(fd, 40000);
	say("the peer hears: %s", peer_says("recv %d 40000", h));
	taken = send(fd, block, sizeof block, MSG_DONTWAIT);
	say("with SO_SNDBUF 4096 a send takes more: %d", taken > 3 * 4096);
	done(fd, h);
}

/* As the peer reads little by little, nothing or a good deal is taken. */
static void little_by_little(void)
{
	int h, fd = unread(&h, 0), taken_at_all = 0, few = 0;

	fill_up(fd, 10007);
	for (int i = 0; i < 200; i++) {
		ssize_t taken;

		peer("recv %d 2000", h);
		taken = send(fd, block, sizeof block, MSG_DONTWAIT);
		taken_at_all += taken > 0;
		few += taken > 0 && taken < 1000;
	}
	say("something is taken: %d", taken_at_all > 0);
	say("a few bytes: %d times", few);
	done(fd, h);
}

/* Of TCP_NOTSENT_LOWAT half has to be sent until there is room again. */
static void low_water(void)
{
	int h, fd = unread(&h, 0), unsent = 0;

	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 20000);
	fill_up(fd, 7000);
	if (ioctl(fd, SIOCOUTQNSD, &unsent))
		die("SIOCOUTQNSD");
	say("beyond the mark: %d", unsent >= 20000);
	while (!by_poll(fd))
		peer("recv %d 1000", h);
	if (ioctl(fd, SIOCOUTQNSD, &unsent))
		die("SIOCOUTQNSD");
	say("room again below half of it: %d", unsent < 10000);
	done(fd, h);
}

/* All that was taken, and is not acknowledged, waits. */
static void counted(void)
{
	int h, fd = unread(&h, 0), unacknowledged = 0, unsent = 0;
	long taken = 0;
	struct {
		char before[120];
		long long bytes_acked;
		char between[16];
		int notsent_bytes;
	} info; /* linux/tcp.h */
	socklen_t length = sizeof info;

	for (int quiet = 0; quiet < 3; quiet++, nap(100))
		while (by_poll(fd)) {
			taken += send(fd, block, 1000, 0);
			quiet = 0;
		}
	if (ioctl(fd, SIOCOUTQ, &unacknowledged) || ioctl(fd, SIOCOUTQNSD, &unsent) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		die("SIOCOUTQ");
	say("taken, and neither acknowledged nor waiting: %lld", taken - info.bytes_acked - unacknowledged);
	say("sent without a window: %d", unacknowledged - unsent);
	say("not waiting by TCP_INFO: %d", unsent - info.notsent_bytes);
	done(fd, h);
}

int main(void)
{
	told_of_room("poll", by_poll);
	told_of_room("select", by_select);
	told_of_room("epoll", by_epoll);
	beyond_the_bound();
	little_by_little();
	low_water();
	counted();
}
