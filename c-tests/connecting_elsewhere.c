/* What a process does with a socket that another one has begun to connect, while that goes on: calls that wait, until there
 * is a connection, or none, or the other process gives it up; and shutdown(2), of which that one is to learn. */
#include "check.h"

static char b[16] = "abc";

static long do_write(int fd) { return write(fd, b, 3); }
static long do_writev(int fd)
{
	struct iovec v[2] = { { b, 1 }, { b, 2 } };

	return writev(fd, v, 2);
}
static long do_send(int fd) { return send(fd, b, 3, 0); }
static long do_send_now(int fd) { return send(fd, b, 3, MSG_DONTWAIT); }
static long do_read(int fd) { return read(fd, b, sizeof b); }
static long do_recv(int fd) { return recv(fd, b, sizeof b, 0); }
static long do_recv_now(int fd) { return recv(fd, b, sizeof b, MSG_DONTWAIT); }
static long do_connect(int fd)
{
	struct sockaddr_in a = address(PEER, 1);

	return connect(fd, SA(a), sizeof a);
}
static long do_poll(int fd)
{
	return poll(&(struct pollfd){ fd, POLLIN | POLLOUT, 0 }, 1, 5000);
}
static long do_shut_rd(int fd) { return shutdown(fd, SHUT_RD); }
static long do_shut_wr(int fd) { return shutdown(fd, SHUT_WR); }
static long do_shut_rdwr(int fd) { return shutdown(fd, SHUT_RDWR); }
static long do_close(int fd) { return close(fd); }

static const struct call {
	const char *name;
	long (*make)(int);
	enum { PLAIN, READS, GIVES_UP } kind;   /* GIVES_UP: it ends the attempt by itself */
} calls[] = {
	{ "write", do_write, PLAIN }, { "writev", do_writev, PLAIN }, { "send", do_send, PLAIN },
	{ "send DONTWAIT", do_send_now, PLAIN }, { "read", do_read, READS }, { "recv", do_recv, READS },
	{ "recv DONTWAIT", do_recv_now, PLAIN }, { "connect", do_connect, PLAIN }, { "poll", do_poll, PLAIN },
	{ "close", do_close, PLAIN }, { "shutdown RD", do_shut_rd, GIVES_UP }, { "shutdown WR", do_shut_wr, GIVES_UP },
	{ "shutdown RDWR", do_shut_rdwr, GIVES_UP },
};
#define CALLS COUNT(calls)

static struct scene {
	int fd, told;           /* the socket; where the child says what its call gave */
	long listener;          /* the peer's, which answers no SYN at first */
	pid_t child;
} scenes[CALLS];

static void make(const struct call *call, int fd, int told)
{
	char line[64];

	snprintf(line, sizeof line, "%s", result(call->make(fd)));
	snprintf(line + strlen(line), sizeof line - strlen(line), "%s", signals_seen ? " SIGPIPE" : "");
	if (write(told, line, strlen(line)) < 0)
		die("write");
	_exit(0);
}

static void begin(struct scene *s, const struct call *call)
{
	struct sockaddr_in a;
	int ends[2];

	s->listener = peer("listen 0 5");
	peer("deafen %ld", s->listener);
	a = address(PEER, peer("port %ld", s->listener));
	s->fd = nonblocking(tcp());
	if (connect(s->fd, SA(a), sizeof a) == 0 || errno != EINPROGRESS)
		die("connect");
	fcntl(s->fd, F_SETFL, 0);
	if (pipe(ends))
		die("pipe");
	fflush(stdout);
	s->child = fork();
	if (s->child == 0) {
		for (struct scene *other = scenes; other < s; other++)
			close(other->fd);
		make(call, s->fd, ends[1]);
	}
	close(ends[1]);
	s->told = ends[0];
}

/* What the child's call has come to. */
static const char *told(struct scene *s)
{
	static char line[64];
	struct pollfd p = { s->told, POLLIN, 0 };
	ssize_t n = poll(&p, 1, 8000) == 1 ? read(s->told, line, sizeof line - 1) : 0;

	line[n > 0 ? n : 0] = 0;
	waitpid(s->child, NULL, 0);
	close(s->told);
	return line;
}

static void await_end(int fd)
{
	for (int i = 0; tcp_state(fd) == TCP_SYN_SENT; i++, nap(5))
		if (i == 2000)
			die("an attempt that does not end");
}

static const char *const ends[] = { "accepted", "refused", "shut" };
enum { ACCEPTED, REFUSED, SHUT };

static void end_attempt(struct scene *s, int end)
{
	if (end == SHUT)
		shutdown(s->fd, SHUT_RDWR);
	else if (end == REFUSED)
		peer("close %ld", s->listener);
	else
		peer("option %ld %d %d 0", s->listener, SOL_SOCKET, SO_DETACH_FILTER);
}

/* The connection that the peer has accepted, if any, brings five bytes. */
static int accepted_from(struct scene *s, int end)
{
	int h = -1;

	if (end == ACCEPTED && tcp_state(s->fd) == TCP_ESTABLISHED) {
		h = peer("accept %ld", s->listener);
		peer("send %d 5", h);
	}
	if (end != REFUSED)
		peer("close %ld", s->listener);
	return h;
}

/* (How one looks that may connect again is another matter: see LD_PRELOAD.md.) */
static void look(int fd, int starts_over, int unread)
{
	if (unread)
		wait_for(fd, POLLIN);
	if (!starts_over)
		say("  poll: %s", poll_flags(events_now(fd)));
	say("  state %d", tcp_state(fd));
	say("  SO_ERROR: %s", name_of(pending_error(fd)));
	say("  send: %s", result(send(fd, b, 1, MSG_NOSIGNAL | MSG_DONTWAIT)));
	if (!starts_over)
		say("  recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	close(fd);
}

static void run(int end)
{
	size_t count = end == SHUT ? CALLS - 3 : CALLS;

	for (size_t i = 0; i < count; i++)
		begin(&scenes[i], &calls[i]);
	/* Those that wait do so by now. */
	nap(200);
	for (size_t i = 0; i < count; i++)
		end_attempt(&scenes[i], end);
	for (size_t i = 0; i < count; i++) {
		struct scene *s = &scenes[i];
		int starts_over = end == SHUT || calls[i].kind == GIVES_UP || (end == REFUSED && calls[i].make == do_connect);
		int h;

		await_end(s->fd);
		h = accepted_from(s, end);
		say("%s: %s: %s", ends[end], calls[i].name, told(s));
		look(s->fd, starts_over, h >= 0 && calls[i].kind == PLAIN);
		if (h >= 0) {
			say("  the peer: %s", peer_says("drain %d", h));
			peer("close %d", h);
		}
	}
}

int main(void)
{
	count_signal(SIGPIPE, 0);
	for (size_t end = 0; end < COUNT(ends); end++)
		run(end);
}
