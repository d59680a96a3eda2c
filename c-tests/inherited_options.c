/* What an accepted socket has of its listener's options: what was set when the connection came, whatever is set while it
 * waits to be accepted. */
#include "check.h"

static const struct option {
	int level, name;
	const char *what;
	int set, again;
} options[] = {
	{ SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 1, 0 },
	{ SOL_SOCKET, SO_OOBINLINE, "SO_OOBINLINE", 1, 0 },
	{ SOL_SOCKET, SO_RCVLOWAT, "SO_RCVLOWAT", 77, 3 },
	{ SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", 20000, 30000 },
	{ SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF", 20000, 30000 },
	{ SOL_SOCKET, SO_MARK, "SO_MARK", 5, 6 },
	{ SOL_SOCKET, SO_PRIORITY, "SO_PRIORITY", 3, 2 },
	{ SOL_SOCKET, SO_BROADCAST, "SO_BROADCAST", 1, 0 },
	{ SOL_SOCKET, SO_TIMESTAMP, "SO_TIMESTAMP", 1, 0 },
	{ SOL_SOCKET, SO_PEEK_OFF, "SO_PEEK_OFF", 3, 5 },
	{ SOL_SOCKET, SO_ZEROCOPY, "SO_ZEROCOPY", 1, 0 },
	{ SOL_SOCKET, SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE", 1000000, 2000000 },
	{ IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", 1, 0 },
	{ IPPROTO_TCP, TCP_CORK, "TCP_CORK", 1, 0 },
	{ IPPROTO_TCP, TCP_QUICKACK, "TCP_QUICKACK", 0, 1 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", 50, 60 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", 20, 30 },
	{ IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", 4, 5 },
	{ IPPROTO_TCP, TCP_SYNCNT, "TCP_SYNCNT", 4, 5 },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT", 9999, 8888 },
	{ IPPROTO_TCP, TCP_LINGER2, "TCP_LINGER2", 30, 40 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT", 0, 3 },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT", 1000, 2000 },
	{ IPPROTO_TCP, TCP_INQ, "TCP_INQ", 1, 0 },
	{ IPPROTO_IP, IP_TTL, "IP_TTL", 33, 44 },
	{ IPPROTO_IP, IP_TOS, "IP_TOS", 16, 8 },
	{ IPPROTO_IP, IP_MTU_DISCOVER, "IP_MTU_DISCOVER", 2, 0 },
	{ IPPROTO_IP, IP_RECVERR, "IP_RECVERR", 1, 0 },
	{ IPPROTO_IP, IP_RECVTTL, "IP_RECVTTL", 1, 0 },
	{ IPPROTO_IP, IP_MULTICAST_TTL, "IP_MULTICAST_TTL", 1, 1 },
};

static void wait_for_clients(int listener, unsigned count)
{
	struct tcp_info info;
	socklen_t length = sizeof info;
	long long since = milliseconds();

	do {
		nap(1);
		if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length))
			die("TCP_INFO");
	} while (info.tcpi_unacked < count && milliseconds() - since < 3000);
}

static const char *read_back(int fd, const struct option *option)
{
	int value = -77;
	socklen_t length = sizeof value;

	return result(getsockopt(fd, option->level, option->name, &value, &length) ? -1 : value);
}

static int next(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept");
	return fd;
}

/* Clients come when nothing is set, then two when it is, then one when it is set anew. */
static void inherits(const struct option *option)
{
	int listener = listening(0, 5), port = port_of(listener), h[4];
	const char *first = option->name == SO_SNDBUF || option->name == SO_RCVBUF ? "tuned" : NULL;

	for (int i = 0; i < 4; i++) {
		h[i] = peer("connect %d", port);
		wait_for_clients(listener, i + 1);
		if (i == 0)
			setsockopt(listener, option->level, option->name, &option->set, sizeof option->set);
		if (i == 2)
			setsockopt(listener, option->level, option->name, &option->again, sizeof option->again);
	}
	say("%s: the listener's %s", option->what, read_back(listener, option));
	for (int i = 0; i < 4; i++) {
		int fd = next(listener);

		say("  client %d: %s", i, i == 0 && first && option->level == SOL_SOCKET ? first : read_back(fd, option));
		close(fd);
		peer("close %d", h[i]);
	}
	close(listener);
}

/* A look begins where the listener's would. */
static void peeks(void)
{
	int listener = listening(0, 5), h, fd;
	char b[10] = "";

	set_int(listener, SOL_SOCKET, SO_PEEK_OFF, 3);
	h = peer("connect %d", port_of(listener));
	fd = next(listener);
	peer("send %d 8", h);
	nap(50);
	say("peek: %s", result(recv(fd, b, sizeof b, MSG_PEEK)));
	say("the fourth byte: %d", (unsigned char)b[0] == pattern(3));
	close(fd);
	close(listener);
}

int main(void)
{
	for (size_t i = 0; i < COUNT(options); i++)
		inherits(&options[i]);
	peeks();
}
