/* bind(2) and listen(2): what may be bound, by whom a port is taken, what listening changes. */
#include "check.h"

static void try_bind(const char *what, int type, const char *ip, int port)
{
	struct sockaddr_in a = address(ip, port);
	int fd = socket(AF_INET, type, 0);

	say("%s: %s", what, ok(bind(fd, SA(a), sizeof a)));
	close(fd);
}

static const char *rebind(int fd, const char *ip, int port)
{
	struct sockaddr_in a = address(ip, port);

	return ok(bind(fd, SA(a), sizeof a));
}

static void addresses(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
	char what[64];

	for (unsigned i = 0; i < COUNT(types); i++) {
		const char *type = i ? "udp" : "tcp";
		static const char *const ips[] = { TEST, "0.0.0.0", "127.0.0.1", PEER, "192.0.2.1", "10.23.7.255", "224.0.0.5" };

		for (unsigned k = 0; k < COUNT(ips); k++) {
			snprintf(what, sizeof what, "%s bind %s", type, ips[k]);
			try_bind(what, types[i], ips[k], 5000);
		}
	}
}

static void taken(int type, const char *what)
{
	int first = socket(AF_INET, type, 0), second = socket(AF_INET, type, 0);

	bound(first, TEST, 5001);
	say("%s same address and port: %s", what, rebind(second, TEST, 5001));
	say("%s any address, same port: %s", what, rebind(second, "0.0.0.0", 5001));
	say("%s loopback, same port: %s", what, rebind(second, "127.0.0.1", 5001));
	close(second);
	close(first);
	first = socket(AF_INET, type, 0);
	say("%s after close: %s", what, rebind(first, "0.0.0.0", 5001));
	say("%s bound twice: %s", what, rebind(first, "0.0.0.0", 5002));
	say("%s port: %d", what, port_of(first));
	close(first);
	first = bound(socket(AF_INET, type, 0), "0.0.0.0", 0);
	say("%s ephemeral: %s", what, port_of(first) >= 32768 && port_of(first) < 61000 ? "in range" : "out of range");
	close(first);
}

static void reuse(void)
{
	int first = tcp(), second = tcp();

	set_int(first, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(second, SOL_SOCKET, SO_REUSEADDR, 1);
	bound(first, "0.0.0.0", 5003);
	say("both REUSEADDR: %s", rebind(second, "0.0.0.0", 5003));
	say("first listens: %s", ok(listen(first, 1)));
	say("second listens: %s", ok(listen(second, 1)));
	close(second);
	second = tcp();
	set_int(second, SOL_SOCKET, SO_REUSEADDR, 1);
	say("REUSEADDR against a listener: %s", rebind(second, "0.0.0.0", 5003));
	close(first);
	say("after the listener's close: %s", rebind(second, "0.0.0.0", 5003));
	close(second);
}

/* A port that was asked for is the socket's until it is closed. */
static void asked_for_by_others(const char *when, int port)
{
	struct sockaddr_in a = address(TEST, port);
	int fd = tcp(), sharing = tcp();

	say("%s, another binds: %s", when, ok(bind(fd, SA(a), sizeof a)));
	set_int(sharing, SOL_SOCKET, SO_REUSEADDR, 1);
	say("%s, with SO_REUSEADDR: %s", when, ok(bind(sharing, SA(a), sizeof a)));
	close(fd);
	close(sharing);
}

static void keeps_its_port(int port, int shares)
{
	struct sockaddr_in closed = address(PEER, 81), nobody = { .sin_family = AF_UNSPEC };
	int fd = tcp(), h, k;

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, shares);
	bound(fd, TEST, port);
	say("refused: %s", ok(connect(fd, SA(closed), sizeof closed)));
	asked_for_by_others("refused", port);
	say("listen: %s", ok(listen(fd, 5)));
	h = peer("connect %d", port);
	k = accept(fd, NULL, NULL);
	say("shutdown: %s", ok(shutdown(fd, SHUT_RD)));
	asked_for_by_others("shut down", port);
	close(k);
	say("the peer hears of it: %ld", peer("recv %d 1", h));
	peer("close %d", h);
	say("listen: %s", ok(listen(fd, 5)));
	say("nobody: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	asked_for_by_others("given up", port);
	say("listen: %s", ok(listen(fd, 5)));
	close(fd);
}

/* Where packets come in is told of a connection, and of an attempt; a listener keeps its port, and has heard nothing. */
static void heard(const char *what, int fd)
{
	say("%s: %s", what, get_int(fd, SOL_SOCKET, SO_INCOMING_CPU) == -1 ? "nothing heard" : "heard");
}

static void hears(void)
{
	struct sockaddr_in nobody = address(PEER, 1);
	int fd = listening(5092, 5), handle = peer("dial 5092"), refused = tcp(), connection;

	heard("a listener", fd);
	connection = accept(fd, NULL, NULL);
	heard("its connection", connection);
	shutdown(fd, SHUT_RD);
	heard("shut", fd);
	connect(refused, SA(nobody), sizeof nobody);
	heard("refused", refused);
	shutdown(refused, SHUT_RDWR);
	listen(refused, 5);
	shutdown(refused, SHUT_RDWR);
	heard("a listener once, too", refused);
	close(refused);
	connect(fd, SA(nobody), sizeof nobody);
	heard("refused that listened", fd);
	close(connection);
	close(fd);
	peer("close %d", handle);
}

int main(void)
{
	struct sockaddr_in a = address("0.0.0.0", 5004);
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	int fd, other;

	addresses();
	taken(SOCK_STREAM, "tcp");
	taken(SOCK_DGRAM, "udp");
	reuse();
	fd = tcp();
	a.sin_family = AF_UNSPEC;
	say("AF_UNSPEC and any: %s", ok(bind(fd, SA(a), sizeof a)));
	close(fd);
	fd = tcp();
	a.sin_family = AF_UNIX;
	say("AF_UNIX: %s", ok(bind(fd, SA(a), sizeof a)));
	say("an IPv6 address: %s", ok(bind(fd, SA(six), sizeof six)));
	a.sin_family = AF_INET;
	say("length 15: %s", ok(bind(fd, SA(a), 15)));
	say("length -1: %s", ok(bind(fd, SA(a), (socklen_t)-1)));
	say("length 129: %s", ok(bind(fd, SA(a), 129)));
	say("listen unbound: %s", ok(listen(fd, 5)));
	say("got a port: %d", port_of(fd) != 0);
	say("listen again: %s", ok(listen(fd, 9)));
	say("accepting: %d, state %d", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), tcp_state(fd));
	say("poll: %s", poll_flags(events_now(fd)));
	say("bind of a listener: %s", rebind(fd, "0.0.0.0", 5005));
	a = address(PEER, 80);
	say("connect of a listener: %s", ok(connect(fd, SA(a), sizeof a)));
	say("recv of a listener: %s", result(recv(fd, &a, 1, MSG_DONTWAIT)));
	say("send of a listener: %s", result(send(fd, &a, 1, MSG_NOSIGNAL)));
	say("shutdown WR of a listener: %s", ok(shutdown(fd, SHUT_WR)));
	say("still accepting: %d", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	say("shutdown RD of a listener: %s", ok(shutdown(fd, SHUT_RD)));
	say("accepting: %d, state %d, poll %s", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN), tcp_state(fd), poll_flags(events_now(fd)));
	say("listen once more: %s", ok(listen(fd, 5)));
	say("state %d", tcp_state(fd));
	close(fd);
	fd = listening(5006, 5);
	other = udp();
	say("a listener's port for UDP: %s", rebind(other, "0.0.0.0", 5006));
	close(other);
	other = tcp();
	say("a listener's port: %s", rebind(other, TEST, 5006));
	close(other);
	close(fd);
	keeps_its_port(5090, 0);
	keeps_its_port(5091, 1);
	hears();
}
