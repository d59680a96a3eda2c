/* The calls that leave a socket as it was. */
#include "states.h"

#define ALL (POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND)

/* check.h's names, and the bands'. */
static void note_flags(int flags)
{
	note(" %s", poll_flags(flags));
	note("%s%s%s%s", flags & POLLRDNORM ? "|RDNORM" : "", flags & POLLRDBAND ? "|RDBAND" : "",
	     flags & POLLWRNORM ? "|WRNORM" : "", flags & POLLWRBAND ? "|WRBAND" : "");
}

static long polled(struct scene *s, long interest, long b)
{
	struct pollfd p = { s->fd, interest, 0 };
	long n = poll(&p, 1, 0);

	(void)b;
	note_flags(p.revents);
	return n;
}

static long selected(struct scene *s, long a, long b)
{
	struct timeval none = { 0, 0 };
	fd_set in, out, except;
	long n;

	(void)a, (void)b;
	FD_ZERO(&in);
	FD_SET(s->fd, &in);
	out = except = in;
	n = select(s->fd + 1, &in, &out, &except, &none);
	note("%s%s%s", FD_ISSET(s->fd, &in) ? " in" : "", FD_ISSET(s->fd, &out) ? " out" : "",
	     FD_ISSET(s->fd, &except) ? " except" : "");
	return n;
}

/* Two waits without a pause, then one after the interest was set again. */
static long epolled(struct scene *s, long interest, long again)
{
	struct epoll_event event = { .events = interest };
	int set = epoll_create1(EPOLL_CLOEXEC);
	long n, rc = epoll_ctl(set, EPOLL_CTL_ADD, s->fd, &event);

	for (int wait = 0; wait < (again ? 3 : 2); wait++) {
		if (wait == 2) {
			event.events = interest;
			epoll_ctl(set, EPOLL_CTL_MOD, s->fd, &event);
		}
		event.events = 0;
		n = epoll_wait(set, &event, 1, 0);
		note("%s %s", wait ? "," : "", n == 1 ? epoll_flags(event.events) : result(n));
	}
	close(set);
	return rc;
}

static void note_name(const struct sockaddr_in *name, socklen_t length)
{
	char text[INET_ADDRSTRLEN] = "";

	inet_ntop(AF_INET, &name->sin_addr, text, sizeof text);
	note(" %u bytes, family %d, %s, %s", length, name->sin_family, text, name->sin_port ? "a port" : "no port");
}

static long own_name(struct scene *s, long a, long b)
{
	struct sockaddr_in name = { 0 };
	socklen_t length = sizeof name;
	long rc = getsockname(s->fd, SA(name), &length);

	(void)a, (void)b;
	note_name(&name, length);
	return rc;
}

static long peer_name(struct scene *s, long a, long b)
{
	struct sockaddr_in name = { 0 };
	socklen_t length = sizeof name;
	long rc = getpeername(s->fd, SA(name), &length);

	(void)a, (void)b;
	if (rc == 0)
		note_name(&name, length);
	return rc;
}

static long number(struct scene *s, long level, long option)
{
	int value = -1;
	socklen_t length = sizeof value;
	long rc = getsockopt(s->fd, level, option, &value, &length);

	if (rc == 0)
		note(" %d", value);
	return rc;
}

static long peer_option(struct scene *s, long a, long b)
{
	struct sockaddr_in name = { 0 };
	socklen_t length = sizeof name;

	(void)a, (void)b;
	return getsockopt(s->fd, SOL_SOCKET, SO_PEERNAME, &name, &length);
}

static long info(struct scene *s, long a, long b)
{
	struct tcp_info info;
	socklen_t length = sizeof info;
	long rc = getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &length);

	(void)a, (void)b;
	if (rc == 0 && info.tcpi_state == TCP_CLOSE)
		note(" CLOSE");
	else if (rc == 0)
		note(" %s, backoff %d, retransmits %d, options %x", state_name(s->fd), info.tcpi_backoff > 0,
		     info.tcpi_retransmits > 0, info.tcpi_options);
	return rc;
}

/* How much is queued, but not how much the peer's buffers take of what is sent; nothing of a connection that is
 * over, of which Linux shows what was left in its variables. */
static long queued(struct scene *s, long request, long exact)
{
	int count = -1;
	long rc = ioctl(s->fd, request, &count);

	if (rc == 0 && (exact || strcmp(state_name(s->fd), "CLOSE")))
		note(" %s", exact || count <= 0 ? result(count) : "some");
	return rc;
}

static long at_mark(struct scene *s, long a, long b)
{
	(void)a, (void)b;
	return sockatmark(s->fd);
}

static long flags(struct scene *s, long command, long b)
{
	(void)b;
	return fcntl(s->fd, command);
}

static long mode(struct scene *s, long a, long b)
{
	struct stat file;
	long rc = fstat(s->fd, &file);

	(void)a, (void)b;
	note(" %o, %ld bytes", file.st_mode, (long)file.st_size);
	return rc;
}

static long seek(struct scene *s, long whence, long b)
{
	(void)b;
	return lseek(s->fd, 0, whence);
}

static long at_position(struct scene *s, long writes, long b)
{
	char byte = 0;

	(void)b;
	return writes ? pwrite(s->fd, &byte, 1, 0) : pread(s->fd, &byte, 1, 0);
}

#define EVENTS (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP)
#define SHARED_LOOKS \
	{ "poll all", polled, ALL, 0 }, \
	{ "poll IN", polled, POLLIN, 0 }, \
	{ "poll PRI", polled, POLLPRI, 0 }, \
	{ "poll OUT", polled, POLLOUT, 0 }, \
	{ "poll RDHUP", polled, POLLRDHUP, 0 }, \
	{ "poll RDNORM", polled, POLLRDNORM, 0 }, \
	{ "poll WRNORM", polled, POLLWRNORM, 0 }, \
	{ "poll bands", polled, POLLRDBAND | POLLWRBAND, 0 }, \
	{ "poll nothing", polled, 0, 0 }, \
	{ "select", selected, 0, 0 }, \
	{ "epoll", epolled, EVENTS, 0 }, \
	{ "epoll ET", epolled, EVENTS | EPOLLET, 1 }, \
	{ "epoll IN ET", epolled, EPOLLIN | EPOLLET, 1 }, \
	{ "epoll OUT ET", epolled, EPOLLOUT | EPOLLET, 1 }, \
	{ "epoll IN", epolled, EPOLLIN, 0 }, \
	{ "epoll RDHUP", epolled, EPOLLRDHUP, 0 }, \
	{ "epoll nothing", epolled, 0, 0 }, \
	{ "epoll ONESHOT", epolled, EVENTS | EPOLLONESHOT, 1 }, \
	{ "epoll EXCLUSIVE", epolled, EPOLLIN | EPOLLOUT | EPOLLEXCLUSIVE, 0 }, \
	{ "getsockname", own_name, 0, 0 }, \
	{ "getpeername", peer_name, 0, 0 }, \
	{ "SO_PEERNAME", peer_option, 0, 0 }, \
	{ "SO_ACCEPTCONN", number, SOL_SOCKET, SO_ACCEPTCONN }, \
	{ "SO_TYPE", number, SOL_SOCKET, SO_TYPE }, \
	{ "SO_PROTOCOL", number, SOL_SOCKET, SO_PROTOCOL }, \
	{ "SO_DOMAIN", number, SOL_SOCKET, SO_DOMAIN }, \
	{ "IP_TTL", number, IPPROTO_IP, IP_TTL }, \
	{ "IP_MTU", number, IPPROTO_IP, IP_MTU }, \
	{ "FIONREAD", queued, FIONREAD, 1 }, \
	{ "SIOCOUTQ", queued, SIOCOUTQ, 0 }, \
	{ "SIOCOUTQNSD", queued, SIOCOUTQNSD, 0 }, \
	{ "sockatmark", at_mark, 0, 0 }, \
	{ "F_GETFL", flags, F_GETFL, 0 }, \
	{ "F_GETFD", flags, F_GETFD, 0 }, \
	{ "fstat", mode, 0, 0 }, \
	{ "lseek", seek, SEEK_SET, 0 }, \
	{ "pread", at_position, 0, 0 }, \
	{ "pwrite", at_position, 1, 0 }

const struct call tcp_looks[] = {
	SHARED_LOOKS,
	{ "TCP_INFO", info, 0, 0 },
	{ NULL, NULL, 0, 0 },
};

const struct call udp_looks[] = {
	SHARED_LOOKS,
	{ NULL, NULL, 0, 0 },
};
