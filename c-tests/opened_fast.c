/* Fast Open (RFC 7413): data with the SYN, once there is a cookie, from here and to here; TCP_FASTOPEN, TCP_FASTOPEN_CONNECT,
 * TCP_FASTOPEN_NO_COOKIE and what TCP_INFO says. */
#include "check.h"

#define SYN_DATA 32
#define PORT 7000

static char text[5000];

/* What TCP_INFO says of it. */
static const char *outcome(int fd)
{
	static const char *const failures[] = { "", ", no cookie", ", not acknowledged", ", sent again" };
	static char line[64];
	unsigned char info[256] = { 0 };
	socklen_t length = sizeof info;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &length))
		return name_of(errno);
	snprintf(line, sizeof line, "%s%s", info[5] & SYN_DATA ? "with the SYN" : "not with the SYN",
		 failures[info[7] >> 1 & 3]);
	return line;
}

static long opens(int fd, int port, size_t count, int flags)
{
	struct sockaddr_in to = address(PEER, port);

	return sendto(fd, text, count, MSG_FASTOPEN | MSG_NOSIGNAL | flags, SA(to), sizeof to);
}

static long goes(int fd, int port)
{
	struct sockaddr_in to = address(PEER, port);

	return connect(fd, SA(to), sizeof to);
}

static void arrived(int listener, int fd, int count)
{
	int h = peer("accept %d", listener);

	say("  the peer received %s", peer_says("recv %d %d", h, count));
	say("  %s", outcome(fd));
	close(fd);
	peer("close %d", h);
}

static int quick_to_connect(void)
{
	int fd = tcp();

	set_int(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	return fd;
}

static void first(int listener)
{
	int fd = tcp();

	say("without a cookie: %s", result(opens(fd, PORT, 10, 0)));
	arrived(listener, fd, 10);
}

static void waiting(int listener)
{
	int fd = tcp();

	say("with one: %s", result(opens(fd, PORT, 10, 0)));
	arrived(listener, fd, 10);
	fd = tcp();
	say("more than fits: %s", result(opens(fd, PORT, 5000, 0)));
	arrived(listener, fd, 5000);
	fd = tcp();
	say("nothing: %s", result(opens(fd, PORT, 0, 0)));
	say("  then: %s", result(send(fd, text, 10, 0)));
	arrived(listener, fd, 10);
}

static void at_once(int listener)
{
	int fd = nonblocking(tcp());

	say("that does not wait: %s", result(opens(fd, PORT, 10, 0)));
	say("  then %s", poll_flags(wait_for(fd, POLLOUT)));
	say("  again: %s", result(opens(fd, PORT, 10, 0)));
	arrived(listener, fd, 10);
	fd = nonblocking(tcp());
	say("more than fits: %s", result(opens(fd, PORT, 5000, 0)));
	wait_for(fd, POLLOUT);
	say("  then: %s", result(send(fd, text, 80, 0)));
	arrived(listener, fd, 1500);
}

static void connects(int listener)
{
	struct sockaddr_in name;
	socklen_t length = sizeof name;
	int fd = quick_to_connect(), h;
	static struct iovec parts[2] = { { text, 4 }, { text, 6 } };

	say("connect: %s", ok(goes(fd, PORT)));
	say("  state %d, %s", tcp_state(fd), poll_flags(events_now(fd)));
	say("  getpeername: %s", ok(getpeername(fd, SA(name), &length)));
	say("  getsockname: %s", ok(getsockname(fd, SA(name), &length)));
	say("  a port: %d", name.sin_port != 0);
	say("  recv: %s", result(recv(fd, text, 1, MSG_DONTWAIT)));
	say("  set: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){ 0 }, sizeof(int))));
	say("  writev: %s", result(writev(fd, parts, 2)));
	say("  state %d", tcp_state(fd));
	say("  connect: %s", ok(goes(fd, PORT)));
	arrived(listener, fd, 10);
	fd = nonblocking(quick_to_connect());
	say("that does not wait: %s", ok(goes(fd, PORT)));
	say("  connect: %s", ok(goes(fd, PORT)));
	say("  write: %s", result(write(fd, text, 10)));
	say("  then %s", poll_flags(wait_for(fd, POLLOUT)));
	arrived(listener, fd, 10);
	fd = quick_to_connect();
	say("and sends an urgent byte: %s", ok(goes(fd, PORT)));
	say("  send: %s", result(send(fd, text, 1, MSG_OOB)));
	say("  send: %s", result(send(fd, text + 1, 9, 0)));
	h = peer("accept %d", listener);
	peer("option %d %d %d 1", h, SOL_SOCKET, SO_OOBINLINE);
	say("  the peer received %s", peer_says("recv %d 10", h));
	close(fd);
	peer("close %d", h);
	fd = quick_to_connect();
	say("and closes: %s", ok(goes(fd, PORT)));
	say("  %s", ok(close(fd)));
	fd = quick_to_connect();
	say("and disconnects: %s", ok(goes(fd, PORT)));
	say("  %s", ok(connect(fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr))));
	say("  connect: %s", ok(goes(fd, PORT)));
	say("  write: %s", result(write(fd, text, 10)));
	arrived(listener, fd, 10);
}

/* What writes to the descriptor without a call of this process's. */
static void written_elsewhere(int listener)
{
	int fd = quick_to_connect(), pipes[2];

	say("connect: %s", ok(goes(fd, PORT)));
	if (pipe(pipes) || write(pipes[1], text, 10) != 10)
		die("pipe");
	say("  splice: %s", result(splice(pipes[0], NULL, fd, NULL, 10, 0)));
	close(pipes[0]);
	close(pipes[1]);
	int h = peer("accept %d", listener);

	say("  the peer received %s", peer_says("recv %d 10", h));
	close(fd);
	peer("close %d", h);
	fd = quick_to_connect();
	say("connect: %s", ok(goes(fd, PORT)));
	if (!fork()) {
		say("  a child: %s", result(write(fd, text, 10)));
		exit(0);
	}
	wait(NULL);
	h = peer("accept %d", listener);
	say("  the peer received %s", peer_says("recv %d 10", h));
	close(fd);
	peer("close %d", h);
}

/* The cookie is known, but nobody listens. */
static void refused(void)
{
	int fd = tcp();

	say("refused: %s", result(opens(fd, 7098, 10, 0)));
	close(fd);
	fd = nonblocking(tcp());
	say("that does not wait: %s", result(opens(fd, 7098, 10, 0)));
	say("  then %s", poll_flags(wait_for(fd, POLLIN)));
	say("  send: %s", result(send(fd, text, 10, MSG_NOSIGNAL)));
	close(fd);
	fd = quick_to_connect();
	say("connect: %s", ok(goes(fd, 7098)));
	say("  write: %s", result(send(fd, text, 10, MSG_NOSIGNAL)));
	close(fd);
}

static void without_cookies(void)
{
	int fd = tcp(), listener = peer("listen 7001 5");

	peer("option %d %d %d 5", listener, IPPROTO_TCP, TCP_FASTOPEN);
	peer("option %d %d %d 1", listener, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE);
	set_int(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
	say("no cookie is needed: %s", result(opens(fd, 7001, 10, 0)));
	arrived(listener, fd, 10);
	peer("close %d", listener);
	/* A server that does not know of it. */
	listener = peer("listen 7002 5");
	fd = tcp();
	say("not taken: %s", result(opens(fd, 7002, 10, 0)));
	arrived(listener, fd, 10);
	peer("close %d", listener);
}

static void one_more(const char *what, int port, int most)
{
	int fd, h, listener = listening(port, 5);

	set_int(listener, IPPROTO_TCP, TCP_FASTOPEN, most);
	h = peer("quick %d 100", port);
	wait_for(listener, POLLIN);
	fd = accept(listener, NULL, NULL);
	wait_for(fd, POLLIN);
	say("%s: %s", what, outcome(fd));
	close(fd);
	peer("close %d", h);
	close(listener);
}

/* Here, with a peer that opens fast. */
static void served(void)
{
	int fd, h, listener = listening(6600, 5);

	say("set: %s", ok(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &(int){ 5 }, sizeof(int))));
	say("read: %d", get_int(listener, IPPROTO_TCP, TCP_FASTOPEN));
	for (int i = 0; i < 3; i++) {
		h = peer("quick 6600 100");
		wait_for(listener, POLLIN);
		fd = accept(listener, NULL, NULL);
		say("accepted: %d, events %s", fd >= 0, poll_flags(wait_for(fd, POLLIN)));
		say("  received %016llx", (unsigned long long)hash_all(fd, 100));
		say("  %s", outcome(fd));
		say("  set: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &(int){ 5 }, sizeof(int))));
		send_all(fd, 10000);
		say("  the peer received %s", peer_says("recv %d 10000", h));
		close(fd);
		peer("close %d", h);
	}
	close(listener);
	one_more("another listener, which knows the cookie", 6601, 1);
	one_more("one that does not", 6602, 0);
}

int main(void)
{
	int listener = peer("listen %d 5", PORT);

	fill(text, sizeof text, 0);
	peer("option %d %d %d 5", listener, IPPROTO_TCP, TCP_FASTOPEN);
	first(listener);
	waiting(listener);
	at_once(listener);
	connects(listener);
	written_elsewhere(listener);
	refused();
	without_cookies();
	served();
}
