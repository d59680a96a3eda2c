/* The steps that make, open and end sockets. */
#include "random.h"

/* A socket without an address is that of the process which uses it first (LD_PRELOAD.md). */
int is_fresh(const struct slot *slot)
{
	return slot->fd >= 0 && port_of(slot->fd) == 0;
}

static void makes(void)
{
	struct slot *slot = room_in(1);
	int stream = !strncmp(words[2], "tcp", 3), six = !!strchr(words[2], '6');
	int type = stream ? SOCK_STREAM : SOCK_DGRAM;

	if (!slot)
		return;
	*slot = (struct slot){ socket(six ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK, 0), type, six };
	tell("%s", ok(slot->fd));
}

static void binds(void)
{
	struct slot *slot = slot_in(1);
	struct sockaddr_storage to;
	socklen_t length;

	/* A TCP socket on a broadcast address is the host's. */
	if (!slot || (slot->type == SOCK_STREAM && !strncmp(words[2], "everybody", 9)))
		return;
	length = place_in(2, &to, slot);
	tell("%s", ok(bind(slot->fd, SA(to), length)));
}

static void listens(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%s", ok(listen(slot->fd, number_in(2))));
}

static void connects(void)
{
	struct slot *slot = slot_in(1);
	struct sockaddr_storage to;
	socklen_t length;

	/* An error that comes before connect(2) of TCP is through is another to Linux than one that comes after it. */
	if (!slot || (slot->type == SOCK_STREAM && !strcmp(words[2], "nowhere")))
		return;
	/* Linux sends to all from then on, though it refuses to connect (LD_PRELOAD.md). */
	if (slot->type == SOCK_DGRAM && !strcmp(words[2], "all") && !is_fresh(slot))
		return;
	length = place_in(2, &to, slot);
	tell("%s", ok(connect(slot->fd, SA(to), length)));
}

static void accepts(void)
{
	struct slot *from = slot_in(1), *to = room_in(2);
	struct sockaddr_storage name = { 0 };
	socklen_t length = sizeof name;
	int fd;

	if (!from || !to)
		return;
	fd = accept4(from->fd, SA(name), &length, number_in(3));
	tell("%s", shown(fd, &name, length));
	if (fd < 0)
		return;
	tell(" flags %x %x", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	*to = (struct slot){ fd, from->type, from->six };
}

static void closes(void)
{
	struct slot *slot = slot_in(1);

	if (!slot)
		return;
	tell("%s", ok(close(slot->fd)));
	slot->fd = -1;
}

static void copies(void)
{
	struct slot *from = slot_in(1), *to = room_in(2);

	if (!from || !to)
		return;
	*to = *from;
	to->fd = dup(from->fd);
	tell("%s", ok(to->fd));
}

/* Likewise, by a number that is not the lowest. */
static void copies_beyond(void)
{
	struct slot *from = slot_in(1), *to = room_in(2);

	if (!from || !to)
		return;
	*to = *from;
	to->fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 100);
	tell("%s", ok(to->fd));
}

static int is_closed(const struct slot *slot)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof info;

	getsockopt(slot->fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	return info.tcpi_state == TCP_CLOSE;
}

/* By way of a socket pair (SCM_RIGHTS). */
static void passes(void)
{
	struct slot *from = slot_in(1), *to = room_in(2);
	int ends[2];

	/* What has no address yet, or no connection any more, is the kernel's from then on (LD_PRELOAD.md). */
	if (!from || !to || is_fresh(from) || is_closed(from))
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	pass(ends[0], from->fd);
	*to = *from;
	to->fd = take_passed(ends[1]);
	tell("%s", ok(to->fd));
	close(ends[0]);
	close(ends[1]);
}

/* In the place of one that is closed by that. */
static void replaces(void)
{
	struct slot *from = slot_in(1), *to = slot_in(2);

	if (!from || !to || from == to)
		return;
	tell("%s", dup3(from->fd, to->fd, *words[3] ? number_in(3) : 0) == to->fd ? "ok" : name_of(errno));
	to->type = from->type;
	to->six = from->six;
}

static void shuts(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%s", ok(shutdown(slot->fd, number_in(2))));
}

const struct verb opening[] = {
	{ "socket", makes }, { "bind", binds }, { "listen", listens }, { "connect", connects }, { "accept", accepts },
	{ "close", closes }, { "dup", copies }, { "dupfd", copies_beyond }, { "pass", passes }, { "dup2", replaces },
	{ "shutdown", shuts }, { NULL, NULL },
};
