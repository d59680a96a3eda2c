/* What the words of a step stand for; see random.h. */
#include "random.h"

#include <linux/errqueue.h>

#define NAME(constant) { #constant, constant }

static const struct {
	const char *name;
	long number;
} names[] = {
	{ "0", 0 }, { "-1", -1 },
	NAME(MSG_PEEK), NAME(MSG_TRUNC), NAME(MSG_OOB), NAME(MSG_WAITALL), NAME(MSG_ERRQUEUE), NAME(MSG_CTRUNC), NAME(MSG_DONTWAIT),
	NAME(MSG_MORE), NAME(MSG_DONTROUTE), NAME(MSG_CONFIRM), NAME(MSG_EOR), NAME(MSG_ZEROCOPY), NAME(MSG_NOSIGNAL),
	NAME(SHUT_RD), NAME(SHUT_WR), NAME(SHUT_RDWR), NAME(SOCK_NONBLOCK), NAME(SOCK_CLOEXEC), NAME(O_CLOEXEC),
	{ "IN", EPOLLIN }, { "OUT", EPOLLOUT }, { "PRI", EPOLLPRI }, { "RDHUP", EPOLLRDHUP }, { "ET", EPOLLET },
	{ "ONESHOT", EPOLLONESHOT },
	{ "EXCLUSIVE", EPOLLEXCLUSIVE }, { "RDNORM", EPOLLRDNORM }, { "WRNORM", EPOLLWRNORM },
	{ "add", EPOLL_CTL_ADD }, { "mod", EPOLL_CTL_MOD }, { "del", EPOLL_CTL_DEL },
	NAME(RWF_NOWAIT), NAME(RWF_HIPRI), NAME(RWF_DSYNC), NAME(RWF_APPEND), NAME(SA_RESTART),
	NAME(FIONREAD), NAME(SIOCOUTQ), NAME(SIOCOUTQNSD), NAME(SIOCATMARK),
};

int any_number(const char *text, long *number)
{
	char *end;

	for (size_t i = 0; i < COUNT(names); i++) {
		if (strcmp(names[i].name, text))
			continue;
		*number = names[i].number;
		return 1;
	}
	*number = strtol(text, &end, 0);
	return end != text && !*end;
}

long number_in(int word)
{
	char text[256], *next = text, *name;
	long all = 0, one;

	snprintf(text, sizeof text, "%s", words[word]);
	while ((name = strsep(&next, "|"))) {
		if (!any_number(name, &one))
			die(words[word]);
		all |= one;
	}
	return all;
}

struct slot *slot_in(int word)
{
	struct slot *slot = &slots[number_in(word)];

	return slot->fd >= 0 ? slot : NULL;
}

struct slot *room_in(int word)
{
	struct slot *slot = &slots[number_in(word)];

	return slot->fd < 0 ? slot : NULL;
}

/* An IPv4 address, or the mapped one. */
static socklen_t place(const char *ip, int port, int six, struct sockaddr_storage *to)
{
	struct sockaddr_in *four = (void *)to;
	struct sockaddr_in6 *mapped = (void *)to;
	char text[64];

	if (!six) {
		*four = address(ip, port);
		return sizeof *four;
	}
	mapped->sin6_family = AF_INET6;
	mapped->sin6_port = htons(port);
	snprintf(text, sizeof text, "::ffff:%s", ip);
	/* All addresses of IPv4 are all addresses there. */
	if (strcmp(ip, "0.0.0.0"))
		inet_pton(AF_INET6, text, &mapped->sin6_addr);
	return sizeof *mapped;
}

socklen_t place_in(int word, struct sockaddr_storage *to, const struct slot *slot)
{
	const struct {
		const char *name, *ip;
		long port;
	} places[] = {
		{ "peer", PEER, slot->type == SOCK_STREAM ? far_listener_port : far_udp_port },
		{ "refused", PEER, 81 }, { "dark", PEER, BLACKHOLE }, { "nowhere", PEER, UNREACHABLE + 1 },
		{ "all", EVERYBODY, far_udp_port }, { "zero", PEER, 0 },
		{ "own", TEST, 0 }, { "own+0", TEST, base_port }, { "own+1", TEST, base_port + 1 }, { "any", "0.0.0.0", 0 },
		{ "any+0", "0.0.0.0", base_port }, { "any+1", "0.0.0.0", base_port + 1 }, { "others", "10.99.0.1", 0 },
		{ "everybody+2", EVERYBODY, base_port + 2 },
	};

	memset(to, 0, sizeof *to);
	if (!strcmp(words[word], "nobody"))
		return sizeof(struct sockaddr_in);
	if (!strcmp(words[word], "short"))
		return place(PEER, far_udp_port, slot->six, to) - 9;
	if (!strcmp(words[word], "odd")) {
		socklen_t length = place(PEER, far_udp_port, slot->six, to);

		to->ss_family = AF_X25;
		return length;
	}
	if (!strcmp(words[word], "foreign"))
		return place(PEER, far_udp_port, !slot->six, to);
	for (size_t i = 0; i < COUNT(places); i++)
		if (!strcmp(words[word], places[i].name))
			return place(places[i].ip, places[i].port, slot->six, to);
	die(words[word]);
	return 0;
}

static const char *port_name(int port)
{
	static _Thread_local char offset[16];

	if (port >= base_port && port < base_port + 4) {
		snprintf(offset, sizeof offset, "+%d", port - base_port);
		return offset;
	}
	return port == 0 ? "0" : port == far_listener_port || port == far_udp_port ? "peer" :
	       port < base_port ? "known" : "some";
}

const char *shown(long returned, const struct sockaddr_storage *name, socklen_t length)
{
	static _Thread_local char out[2][128];
	static unsigned next;
	const struct sockaddr_in *four = (const void *)name;
	const struct sockaddr_in6 *mapped = (const void *)name;
	char ip[64] = "?", *line = out[next++ % 2];

	if (returned < 0)
		return name_of(errno);
	if (length == 0)
		return "nobody";
	/* The port is at the same place in both. */
	if (name->ss_family == AF_INET6)
		inet_ntop(AF_INET6, &mapped->sin6_addr, ip, sizeof ip);
	else
		inet_ntop(AF_INET, &four->sin_addr, ip, sizeof ip);
	snprintf(line, sizeof out[0], "%s %s (%u)", ip, port_name(ntohs(four->sin_port)), (unsigned)length);
	return line;
}
