/* MSG_FASTOPEN (tcp(7)), which connects and sends in one call: on sockets that wait and that do not, to peers that are
 * there and that are not, on those that are connected already. */
#include "check.h"

#define TEXT "0123456789"

static long opens(int fd, const char *ip, int port, int flags)
{
	struct sockaddr_in to = address(ip, port);

	return sendto(fd, TEXT, sizeof TEXT - 1, MSG_FASTOPEN | flags, SA(to), sizeof to);
}

/* The peer's side of what was opened: what came. */
static void arrived(int listener, int fd)
{
	int h = peer("accept %d", listener);

	say("  the peer received: %s", peer_says("recv %d 10", h));
	say("  again: %s", result(opens(fd, PEER, 7000, 0)));
	peer("close %d", h);
	close(fd);
}

static void at_once(int listener)
{
	struct sockaddr_in to = address(PEER, 7000);
	struct iovec part = { TEXT, 10 };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1 };
	int fd = tcp();

	say("sendto: %s", result(opens(fd, PEER, 7000, 0)));
	arrived(listener, fd);
	fd = tcp();
	say("sendmsg: %s", result(sendmsg(fd, &message, MSG_FASTOPEN)));
	arrived(listener, fd);
}

static void later(int listener, const char *how, int fd, int flags)
{
	say("%s: %s", how, result(opens(fd, PEER, 7000, flags)));
	say("  then %s, error %s", poll_flags(wait_for(fd, POLLOUT)), name_of(pending_error(fd)));
	say("  then: %s", result(send(fd, TEXT, 10, 0)));
	arrived(listener, fd);
}

static void refused(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	int fd = tcp(), h;

	say("nobody there: %s", result(opens(fd, PEER, 7099, 0)));
	close(fd);
	fd = tcp();
	say("within the host: %s", result(opens(fd, "127.0.0.1", 7099, 0)));
	close(fd);
	fd = tcp();
	say("no family: %s", result(sendto(fd, TEXT, 10, MSG_FASTOPEN, &none, sizeof none)));
	say("nowhere: %s", result(send(fd, TEXT, 10, MSG_FASTOPEN)));
	close(fd);
	fd = connected(&h);
	say("connected: %s", result(send(fd, TEXT, 10, MSG_FASTOPEN)));
	close(fd);
	peer("close %d", h);
	fd = listening(6500, 5);
	say("listening: %s", result(opens(fd, PEER, 7000, 0)));
	close(fd);
}

int main(void)
{
	int listener = peer("listen 7000 5");

	at_once(listener);
	later(listener, "nonblocking", nonblocking(tcp()), 0);
	later(listener, "MSG_DONTWAIT", tcp(), MSG_DONTWAIT);
	refused();
}
