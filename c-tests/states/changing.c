/* The calls that change a socket: addresses, shutdown, close, options. */
#include "states.h"

static long connects(struct scene *s, long port, long b)
{
	struct sockaddr_in to = address(PEER, port ? port : 81);
	long rc = connect(s->fd, SA(to), sizeof to);

	(void)b;
	if (errno == EINPROGRESS)
		s->stuck = port == BLACKHOLE;
	return rc;
}

static long connects_family(struct scene *s, long family, long length)
{
	struct sockaddr_in to = address(PEER, 81);

	to.sin_family = family;
	return connect(s->fd, SA(to), length);
}

static long binds(struct scene *s, long a, long b)
{
	struct sockaddr_in here = address(TEST, 0);

	(void)a, (void)b;
	return bind(s->fd, SA(here), sizeof here);
}

static long binds_elsewhere(struct scene *s, long a, long b)
{
	struct sockaddr_in there = address(ABSENT, 0);

	(void)a, (void)b;
	return bind(s->fd, SA(there), sizeof there);
}

static long listens(struct scene *s, long backlog, long b)
{
	(void)b;
	return listen(s->fd, backlog);
}

static long accepts(struct scene *s, long flags, long b)
{
	struct sockaddr_in from = { 0 };
	socklen_t length = sizeof from;
	int fd = accept4(s->fd, SA(from), &length, flags);

	(void)b;
	if (fd < 0)
		return -1;
	note(" family %d, %u, %s, flags %x", from.sin_family, length, state_name(fd), fcntl(fd, F_GETFL));
	note(", SO_ERROR %s", name_of(pending_error(fd)));
	close(fd);
	return 0;
}

/* What the peer hears of it in the end. */
static void note_ending(struct scene *s)
{
	if (s->peer < 0 || s->unheard || s->peer == datagram_peer())
		return;
	note(", the peer hears %s", peer_says("ending %d", s->peer));
}

static long shuts(struct scene *s, long how, long told)
{
	int ends = told && strcmp(state_name(s->fd), "LISTEN");
	long rc = shutdown(s->fd, how);

	if (rc == 0 && ends && !s->stuck)
		note_ending(s);
	return rc;
}

static long closes(struct scene *s, long linger, long b)
{
	struct linger none = { 1, 0 };
	long rc;

	(void)b;
	if (linger)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	rc = close(s->fd);
	s->fd = -1;
	note_ending(s);
	return rc;
}

static long closes_a_copy(struct scene *s, long a, long b)
{
	(void)a, (void)b;
	return close(dup(s->fd));
}

static long sets(struct scene *s, long level, long option)
{
	int one = 1;

	return setsockopt(s->fd, level, option, &one, sizeof one);
}

static long asks_error(struct scene *s, long a, long b)
{
	int error = -1;
	socklen_t length = sizeof error;
	long rc = getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &length);

	(void)a, (void)b;
	if (rc == 0)
		note(" %s", name_of(error));
	return rc;
}

static long sets_flags(struct scene *s, long how, long b)
{
	int on = 1, off = 0;
	long rc = how == 0 ? fcntl(s->fd, F_SETFL, O_NONBLOCK | O_APPEND) :
		  ioctl(s->fd, FIONBIO, how == 1 ? &on : &off);

	(void)b;
	note(" %x", fcntl(s->fd, F_GETFL));
	return rc;
}

const struct call changing[] = {
	{ "connect", connects, 0, 0 },
	{ "connect to the black hole", connects, BLACKHOLE, 0 },
	{ "connect AF_UNSPEC", connects_family, AF_UNSPEC, sizeof(struct sockaddr_in) },
	{ "connect AF_UNSPEC, 2 bytes", connects_family, AF_UNSPEC, 2 },
	{ "connect AF_INET6", connects_family, AF_INET6, sizeof(struct sockaddr_in) },
	{ "connect, a short address", connects_family, AF_INET, 8 },
	{ "bind", binds, 0, 0 },
	{ "bind to another's address", binds_elsewhere, 0, 0 },
	{ "listen", listens, 5, 0 },
	{ "accept", accepts, 0, 0 },
	{ "accept4 NONBLOCK", accepts, SOCK_NONBLOCK, 0 },
	{ "accept4 bad", accepts, 1 << 20, 0 },
	{ "shutdown RD", shuts, SHUT_RD, 0 },
	{ "shutdown WR", shuts, SHUT_WR, 1 },
	{ "shutdown RDWR", shuts, SHUT_RDWR, 1 },
	{ "shutdown 3", shuts, 3, 0 },
	{ "close", closes, 0, 0 },
	{ "close, linger 0", closes, 1, 0 },
	{ "close a copy", closes_a_copy, 0, 0 },
	{ "SO_ERROR", asks_error, 0, 0 },
	{ "set SO_REUSEADDR", sets, SOL_SOCKET, SO_REUSEADDR },
	{ "set SO_KEEPALIVE", sets, SOL_SOCKET, SO_KEEPALIVE },
	{ "set SO_RCVBUF", sets, SOL_SOCKET, SO_RCVBUF },
	{ "set SO_OOBINLINE", sets, SOL_SOCKET, SO_OOBINLINE },
	{ "set SO_BROADCAST", sets, SOL_SOCKET, SO_BROADCAST },
	{ "set SO_ZEROCOPY", sets, SOL_SOCKET, SO_ZEROCOPY },
	{ "set TCP_NODELAY", sets, IPPROTO_TCP, TCP_NODELAY },
	{ "set TCP_CORK", sets, IPPROTO_TCP, TCP_CORK },
	{ "set TCP_MAXSEG", sets, IPPROTO_TCP, TCP_MAXSEG },
	{ "set TCP_DEFER_ACCEPT", sets, IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ "set TCP_QUICKACK", sets, IPPROTO_TCP, TCP_QUICKACK },
	{ "set IP_TTL", sets, IPPROTO_IP, IP_TTL },
	{ "set IP_RECVERR", sets, IPPROTO_IP, IP_RECVERR },
	{ "set IP_FREEBIND", sets, IPPROTO_IP, IP_FREEBIND },
	{ "set IP_BIND_ADDRESS_NO_PORT", sets, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	{ "set UDP_SEGMENT", sets, IPPROTO_UDP, UDP_SEGMENT },
	{ "F_SETFL", sets_flags, 0, 0 },
	{ "FIONBIO on", sets_flags, 1, 0 },
	{ "FIONBIO off", sets_flags, 2, 0 },
	{ NULL, NULL, 0, 0 },
};
