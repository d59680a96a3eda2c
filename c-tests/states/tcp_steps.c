/* The steps that lead a TCP socket to its states. */
#include "states.h"

static int persistent_listener(int *port)
{
	static int listener = -1, number;

	if (listener < 0) {
		listener = fcntl(listening(0, 100), F_DUPFD_CLOEXEC, 400);
		number = port_of(listener);
	}
	*port = number;
	return listener;
}

int own_port(void)
{
	int port;

	persistent_listener(&port);
	return port;
}

static long peer_listener(void)
{
	static long handle = -1;

	if (handle < 0) {
		handle = peer("listen 0 100");
		/* A buffer that does not grow: once its window is shut, it stays shut. */
		peer("option %ld %d %d %d", handle, SOL_SOCKET, SO_RCVBUF, 65536);
	}
	return handle;
}

int peer_port(void)
{
	static int port;

	if (!port)
		port = peer("port %ld", peer_listener());
	return port;
}

int peer_accepts(void)
{
	return peer("accept %ld", peer_listener());
}

static void fresh(struct scene *s)
{
	s->fd = nonblocking(tcp());
}

static void bound_only(struct scene *s)
{
	fresh(s);
	bound(s->fd, TEST, 0);
}

static void dial(struct scene *s, int port)
{
	struct sockaddr_in to = address(PEER, port);

	if (s->fd < 0)
		fresh(s);
	/* The first one after a failure that was told already only says that. */
	if (connect(s->fd, SA(to), sizeof to) && errno == ECONNABORTED)
		connect(s->fd, SA(to), sizeof to);
	if (errno != EINPROGRESS)
		die("a connect that should be in progress");
}

static void dark(struct scene *s)
{
	dial(s, BLACKHOLE);
	s->stuck = 1;
}

static void refused(struct scene *s)
{
	dial(s, 81);
}

static void timed_out(struct scene *s)
{
	fresh(s);
	set_int(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1);
	dial(s, BLACKHOLE);
}

static int is_closed(struct scene *s)
{
	return tcp_state(s->fd) == TCP_CLOSE;
}

static void listens(struct scene *s)
{
	s->fd = nonblocking(listening(0, 5));
}

/* On a port it asked for. */
static void listens_there(struct scene *s)
{
	static int port = 5100;

	s->fd = nonblocking(listening(port++, 5));
}

/* One connection fills the queue. */
static void listens_narrowly(struct scene *s)
{
	s->fd = nonblocking(listening(0, 0));
}

static void caller(struct scene *s)
{
	s->peer = peer("connect %d", port_of(s->fd));
}

static int is_called(struct scene *s)
{
	return events_now(s->fd) & POLLIN;
}

static void connected_one(struct scene *s)
{
	s->fd = nonblocking(dialed(peer_port()));
	s->peer = peer_accepts();
}

static void accepted_one(struct scene *s)
{
	int port, listener = persistent_listener(&port);

	s->peer = peer("connect %d", port);
	s->fd = nonblocking(accept(listener, NULL, NULL));
}

static void accepted_alone(struct scene *s)
{
	s->fd = nonblocking(accepted(&s->peer));
}

/* To the peer, after whatever was before; one after the other, so that the peer accepts them in this order. */
static void redial(struct scene *s)
{
	if (s->peer >= 0)
		peer("close %d", s->peer);
	dial(s, peer_port());
	while (tcp_state(s->fd) == TCP_SYN_SENT)
		nap(1);
	s->peer = peer_accepts();
}

static int is_redialed(struct scene *s)
{
	return tcp_state(s->fd) == TCP_ESTABLISHED;
}

static void data(struct scene *s)
{
	peer("send %d 10", s->peer);
	s->expected += 10;
}

static int has_data(struct scene *s)
{
	return unread(s->fd) >= s->expected;
}

static void urgent(struct scene *s)
{
	peer("urgent %d", s->peer);
}

static int is_urgent(struct scene *s)
{
	return events_now(s->fd) & POLLPRI;
}

static void fin(struct scene *s)
{
	peer("shutdown %d 1", s->peer);
}

static void peer_closes(struct scene *s)
{
	peer("close %d", s->peer);
	s->peer = -1;
}

static int has_fin(struct scene *s)
{
	int state = tcp_state(s->fd);

	return state == TCP_CLOSE_WAIT || state == TCP_CLOSE || state == TCP_TIME_WAIT || state == TCP_LAST_ACK;
}

static void rst(struct scene *s)
{
	peer("reset %d", s->peer);
	s->peer = -1;
}

/* What the peer sent on one connection arrives before what it then sends on the next. */
static int has_passed(struct scene *s)
{
	int port, listener = persistent_listener(&port), fd;

	(void)s;
	peer("reset %ld", peer("connect %d", port));
	fd = accept(listener, NULL, NULL);
	close(fd);
	return 1;
}

static void shut_wr(struct scene *s)
{
	shutdown(s->fd, SHUT_WR);
}

static void shut_rd(struct scene *s)
{
	shutdown(s->fd, SHUT_RD);
}

static void shut_rdwr(struct scene *s)
{
	shutdown(s->fd, SHUT_RDWR);
}

static int is_shut(struct scene *s)
{
	int state = tcp_state(s->fd);

	return s->stuck || state == TCP_LISTEN || state == TCP_FIN_WAIT2 || state == TCP_TIME_WAIT || state == TCP_CLOSE;
}

/* As much as there is. */
static void reads(struct scene *s)
{
	char b[256];

	while (recv(s->fd, b, sizeof b, 0) > 0)
		;
	s->expected = 0;
}

static void reads_one(struct scene *s)
{
	char b[1];

	recv(s->fd, b, 1, 0);
}

static void sends_one(struct scene *s)
{
	send(s->fd, "x", 1, MSG_NOSIGNAL);
}

static void reads_error(struct scene *s)
{
	pending_error(s->fd);
}

static void polls(struct scene *s)
{
	events_now(s->fd);
}

int fill_again(struct scene *s)
{
	static const char block[65536];
	int any = 0;

	while (send(s->fd, block, sizeof block, MSG_NOSIGNAL) > 0)
		any = 1;
	return any;
}

static void fills(struct scene *s)
{
	s->stuck = s->full = 1;
	set_int(s->fd, SOL_SOCKET, SO_SNDBUF, 65536);
	fill_again(s);
}

/* tcpi_snd_wnd, which the C library's struct tcp_info has not got. */
static unsigned peer_window(int fd)
{
	unsigned words[60] = { 0 };
	socklen_t length = sizeof words;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, words, &length) || length < 232)
		die("TCP_INFO");
	return words[57];
}

/* The peer's window is shut, nothing is on its way whose acknowledgment would make room, and so nothing more goes in. */
static int is_full(struct scene *s)
{
	int outgoing = 0, unsent = 0, rests;

	if (ioctl(s->fd, SIOCOUTQNSD, &unsent) || ioctl(s->fd, SIOCOUTQ, &outgoing))
		die("SIOCOUTQ");
	rests = unsent > 0 && unsent == outgoing && peer_window(s->fd) == 0;
	return !fill_again(s) && rests;
}

static void unspec(struct scene *s)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (connect(s->fd, &none, sizeof none))
		die("AF_UNSPEC");
	s->expected = s->stuck = 0;
}

static void other_of_two(struct scene *s)
{
	int copy = dup(s->fd);

	close(s->fd);
	s->fd = copy;
}

static void deaf(struct scene *s)
{
	peer("deafen %d", s->peer);
	s->stuck = s->unheard = 1;
}

static void keeps_alive(struct scene *s)
{
	set_int(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	set_int(s->fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	set_int(s->fd, IPPROTO_TCP, TCP_KEEPCNT, 1);
	set_int(s->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static void unheard(struct scene *s)
{
	set_int(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 250);
	sends_one(s);
}

const struct step tcp_steps[] = {
	{ "fresh", fresh, NULL },
	{ "bound", bound_only, NULL },
	{ "dark", dark, NULL },
	{ "refused", refused, is_closed },
	{ "timed-out", timed_out, is_closed },
	{ "listening", listens, NULL },
	{ "listening-there", listens_there, NULL },
	{ "listening-narrow", listens_narrowly, NULL },
	{ "caller", caller, is_called },
	{ "caller-resets", rst, has_passed },
	{ "connected", connected_one, NULL },
	{ "accepted", accepted_one, NULL },
	{ "accepted-alone", accepted_alone, NULL },
	{ "redialed", redial, is_redialed },
	{ "data", data, has_data },
	{ "urgent", urgent, is_urgent },
	{ "fin", fin, has_fin },
	{ "peer-closed", peer_closes, has_fin },
	{ "rst", rst, is_closed },
	{ "wr", shut_wr, is_shut },
	{ "rd", shut_rd, NULL },
	{ "rdwr", shut_rdwr, is_shut },
	{ "read", reads, NULL },
	{ "recv", reads_one, NULL },
	{ "send", sends_one, NULL },
	{ "send-to-closed", sends_one, is_closed },
	{ "error", reads_error, NULL },
	{ "poll", polls, NULL },
	{ "full", fills, is_full },
	{ "unspec", unspec, NULL },
	{ "dup", other_of_two, NULL },
	{ "deaf", deaf, NULL },
	{ "keepalive", keeps_alive, is_closed },
	{ "unheard", unheard, is_closed },
	{ NULL, NULL, NULL },
};
