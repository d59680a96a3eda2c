/* The steps that lead a UDP socket to its states. */
#include "states.h"

const int datagram_peer_port = 7200;

static int datagram_handle = -1;

int datagram_peer(void)
{
	if (datagram_handle < 0)
		datagram_handle = peer("udp %d", datagram_peer_port);
	return datagram_handle;
}

void know_datagram_peer(int handle)
{
	datagram_handle = handle;
}

static void fresh(struct scene *s)
{
	s->fd = nonblocking(udp());
}

static void bound_only(struct scene *s)
{
	fresh(s);
	bound(s->fd, TEST, 0);
	s->peer = datagram_peer();
}

static void connects(struct scene *s, int port)
{
	struct sockaddr_in to = address(PEER, port);

	if (s->fd < 0)
		fresh(s);
	if (connect(s->fd, SA(to), sizeof to))
		die("connect");
	s->peer = datagram_peer();
}

static void connected_one(struct scene *s)
{
	connects(s, datagram_peer_port);
}

static void nobody(struct scene *s)
{
	connects(s, 81);
	s->refuses = 1;
}

static void unspec(struct scene *s)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (connect(s->fd, &none, sizeof none))
		die("AF_UNSPEC");
}

static void arrives(struct scene *s, int count)
{
	peer("to %d %d %d", datagram_peer(), port_of(s->fd), count);
}

static void datagram(struct scene *s)
{
	arrives(s, 10);
}

static void empty_datagram(struct scene *s)
{
	arrives(s, 0);
}

static void long_datagram(struct scene *s)
{
	arrives(s, 1400);
}

/* What the peer sends to one port arrives before what it then sends to another. */
int datagrams_have_passed(struct scene *s)
{
	static int witness = -1;
	char b[1];

	(void)s;
	if (witness < 0)
		witness = fcntl(bound(udp(), TEST, 0), F_DUPFD_CLOEXEC, 401);
	peer("to %d %d 1", datagram_peer(), port_of(witness));
	return recv(witness, b, 1, 0) == 1;
}

static void provokes(struct scene *s)
{
	send(s->fd, "x", 1, 0);
}

static int has_error(struct scene *s)
{
	return events_now(s->fd) & POLLERR;
}

static void hears_errors(struct scene *s)
{
	set_int(s->fd, IPPROTO_IP, IP_RECVERR, 1);
}

static void provokes_unconnected(struct scene *s)
{
	struct sockaddr_in to = address(PEER, 81);

	sendto(s->fd, "x", 1, 0, SA(to), sizeof to);
}

static void shut_rd(struct scene *s)
{
	shutdown(s->fd, SHUT_RD);
}

static void shut_wr(struct scene *s)
{
	shutdown(s->fd, SHUT_WR);
}

static void shut_rdwr(struct scene *s)
{
	shutdown(s->fd, SHUT_RDWR);
}

static void reads_one(struct scene *s)
{
	char b[1];

	recv(s->fd, b, 1, 0);
}

static void reads_error(struct scene *s)
{
	pending_error(s->fd);
}

static void other_of_two(struct scene *s)
{
	int copy = dup(s->fd);

	close(s->fd);
	s->fd = copy;
}

const struct step udp_steps[] = {
	{ "fresh", fresh, NULL },
	{ "bound", bound_only, NULL },
	{ "connected", connected_one, NULL },
	{ "nobody", nobody, NULL },
	{ "unspec", unspec, NULL },
	{ "datagram", datagram, datagrams_have_passed },
	{ "empty", empty_datagram, datagrams_have_passed },
	{ "long", long_datagram, datagrams_have_passed },
	{ "refused", provokes, has_error },
	{ "recverr", hears_errors, NULL },
	{ "refused-one", provokes_unconnected, has_error },
	{ "rd", shut_rd, NULL },
	{ "wr", shut_wr, NULL },
	{ "rdwr", shut_rdwr, NULL },
	{ "recv", reads_one, NULL },
	{ "error", reads_error, NULL },
	{ "dup", other_of_two, NULL },
	{ NULL, NULL, NULL },
};
