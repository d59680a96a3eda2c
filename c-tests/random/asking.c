/* The steps that set and read what a socket has: options, names, queues. */
#include "random.h"

#define OPTION(level, name) { #name, level, name }

static const struct option {
	const char *name;
	int level, number;
} options[] = {
	OPTION(SOL_SOCKET, SO_REUSEADDR), OPTION(SOL_SOCKET, SO_REUSEPORT), OPTION(SOL_SOCKET, SO_BROADCAST),
	OPTION(SOL_SOCKET, SO_RCVLOWAT), OPTION(SOL_SOCKET, SO_OOBINLINE), OPTION(SOL_SOCKET, SO_KEEPALIVE),
	OPTION(SOL_SOCKET, SO_RCVBUF), OPTION(SOL_SOCKET, SO_SNDBUF), OPTION(SOL_SOCKET, SO_PEEK_OFF),
	OPTION(SOL_SOCKET, SO_TIMESTAMP), OPTION(SOL_SOCKET, SO_TIMESTAMPNS), OPTION(SOL_SOCKET, SO_RXQ_OVFL),
	OPTION(SOL_SOCKET, SO_ZEROCOPY), OPTION(SOL_SOCKET, SO_ERROR), OPTION(SOL_SOCKET, SO_TYPE),
	OPTION(SOL_SOCKET, SO_DOMAIN), OPTION(SOL_SOCKET, SO_PROTOCOL), OPTION(SOL_SOCKET, SO_ACCEPTCONN),
	OPTION(SOL_SOCKET, SO_DONTROUTE), OPTION(SOL_SOCKET, SO_NO_CHECK), OPTION(SOL_SOCKET, SO_PRIORITY),
	OPTION(SOL_SOCKET, SO_MARK), OPTION(SOL_SOCKET, SO_SNDLOWAT), OPTION(SOL_SOCKET, SO_INCOMING_CPU),
	OPTION(SOL_SOCKET, SO_BUSY_POLL), OPTION(SOL_SOCKET, SO_MAX_PACING_RATE), OPTION(SOL_SOCKET, SO_DEBUG),
	OPTION(SOL_SOCKET, SO_TIMESTAMPING), OPTION(SOL_SOCKET, SO_SELECT_ERR_QUEUE), OPTION(SOL_SOCKET, SO_RCVTIMEO),
	OPTION(IPPROTO_TCP, TCP_NODELAY), OPTION(IPPROTO_TCP, TCP_CORK), OPTION(IPPROTO_TCP, TCP_QUICKACK),
	OPTION(IPPROTO_TCP, TCP_MAXSEG), OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT), OPTION(IPPROTO_TCP, TCP_LINGER2),
	OPTION(IPPROTO_TCP, TCP_INQ), OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT), OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
	OPTION(IPPROTO_TCP, TCP_KEEPIDLE), OPTION(IPPROTO_TCP, TCP_KEEPINTVL), OPTION(IPPROTO_TCP, TCP_KEEPCNT),
	OPTION(IPPROTO_TCP, TCP_SYNCNT), OPTION(IPPROTO_TCP, TCP_WINDOW_CLAMP), OPTION(IPPROTO_TCP, TCP_TIMESTAMP),
	OPTION(IPPROTO_TCP, TCP_FASTOPEN), OPTION(IPPROTO_TCP, TCP_FASTOPEN_CONNECT), OPTION(IPPROTO_TCP, TCP_SAVE_SYN),
	OPTION(IPPROTO_TCP, TCP_TX_DELAY), OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), OPTION(IPPROTO_TCP, TCP_THIN_DUPACK),
	OPTION(IPPROTO_IP, IP_TTL), OPTION(IPPROTO_IP, IP_TOS), OPTION(IPPROTO_IP, IP_RECVERR), OPTION(IPPROTO_IP, IP_PKTINFO),
	OPTION(IPPROTO_IP, IP_RECVTTL), OPTION(IPPROTO_IP, IP_RECVTOS), OPTION(IPPROTO_IP, IP_MTU_DISCOVER),
	OPTION(IPPROTO_IP, IP_MTU), OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), OPTION(IPPROTO_IP, IP_FREEBIND),
	OPTION(IPPROTO_IP, IP_MULTICAST_TTL), OPTION(IPPROTO_IP, IP_MULTICAST_LOOP), OPTION(IPPROTO_IP, IP_MULTICAST_ALL),
	OPTION(IPPROTO_IP, IP_RECVORIGDSTADDR), OPTION(IPPROTO_IP, IP_MINTTL), OPTION(IPPROTO_IP, IP_RECVOPTS),
	OPTION(IPPROTO_IP, IP_RETOPTS), OPTION(IPPROTO_IP, IP_CHECKSUM), OPTION(IPPROTO_IP, IP_UNICAST_IF),
	OPTION(IPPROTO_IPV6, IPV6_V6ONLY), OPTION(IPPROTO_IPV6, IPV6_RECVPKTINFO), OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS),
	OPTION(IPPROTO_IPV6, IPV6_RECVHOPLIMIT), OPTION(IPPROTO_IPV6, IPV6_RECVTCLASS), OPTION(IPPROTO_IPV6, IPV6_TCLASS),
	OPTION(IPPROTO_IPV6, IPV6_RECVERR), OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER), OPTION(IPPROTO_IPV6, IPV6_DONTFRAG),
	OPTION(SOL_SOCKET, SO_RCVBUFFORCE), OPTION(SOL_SOCKET, SO_SNDBUFFORCE), OPTION(SOL_SOCKET, SO_WIFI_STATUS),
	OPTION(SOL_SOCKET, SO_PASSCRED), OPTION(SOL_SOCKET, SO_LOCK_FILTER), OPTION(SOL_SOCKET, SO_BINDTOIFINDEX),
	{ "SO_PREFER_BUSY_POLL", SOL_SOCKET, 69 }, { "SO_BUSY_POLL_BUDGET", SOL_SOCKET, 70 }, { "SO_BUF_LOCK", SOL_SOCKET, 72 },
	{ "SO_RESERVE_MEM", SOL_SOCKET, 73 }, { "SO_TXREHASH", SOL_SOCKET, 74 }, { "SO_RCVMARK", SOL_SOCKET, 75 },
	{ "SO_RCVPRIORITY", SOL_SOCKET, 82 },
	OPTION(IPPROTO_IP, IP_RECVFRAGSIZE), OPTION(IPPROTO_IP, IP_NODEFRAG), OPTION(IPPROTO_IP, IP_PASSSEC),
	{ "IP_LOCAL_PORT_RANGE", IPPROTO_IP, 51 }, { "IP_PROTOCOL", IPPROTO_IP, 52 },
	OPTION(IPPROTO_IPV6, IPV6_RECVFRAGSIZE), OPTION(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR), OPTION(IPPROTO_IPV6, IPV6_FREEBIND),
	OPTION(IPPROTO_IPV6, IPV6_MULTICAST_HOPS), OPTION(IPPROTO_IPV6, IPV6_MULTICAST_LOOP), OPTION(IPPROTO_IPV6, IPV6_MTU),
	OPTION(IPPROTO_IPV6, IPV6_MINHOPCOUNT), OPTION(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL), OPTION(IPPROTO_IPV6, IPV6_RECVRTHDR),
	{ "UDP_NO_CHECK6_TX", IPPROTO_UDP, 101 }, { "UDP_NO_CHECK6_RX", IPPROTO_UDP, 102 },
	OPTION(IPPROTO_UDP, UDP_CORK), { "UDP_SEGMENT", IPPROTO_UDP, 103 }, { "UDP_GRO", IPPROTO_UDP, 104 },
};

static const struct option *option_in(int word)
{
	for (size_t i = 0; i < COUNT(options); i++)
		if (!strcmp(options[i].name, words[word]))
			return &options[i];
	die(words[word]);
	return NULL;
}

/* A datagram that has come into the pair leaves the receive buffer to others (LD_PRELOAD.md). */
static int bounds_datagrams(const struct slot *slot, const struct option *option, int value)
{
	int bounds = option->level == SOL_SOCKET && (option->number == SO_RCVBUF || option->number == SO_RCVBUFFORCE);

	return bounds && slot->type == SOCK_DGRAM && value < 100000;
}

static void sets(void)
{
	struct slot *slot = slot_in(1);
	const struct option *option = option_in(2);
	int value = number_in(3);

	/* What waits already stays readable (LD_PRELOAD.md). */
	if (!slot || bounds_datagrams(slot, option, value))
		return;
	if (strcmp(option->name, "SO_RCVLOWAT") || !(events_now(slot->fd) & POLLIN))
		tell("%s", ok(setsockopt(slot->fd, option->level, option->number, &value, sizeof value)));
}

/* What getsockopt gave; by which CPU a packet came is chance. */
static void tell_value(const struct option *option, int value, socklen_t length)
{
	if (option->level == SOL_SOCKET && option->number == SO_INCOMING_CPU && value != -1)
		tell(" some %u", (unsigned)length);
	else
		tell(" %d %u", value, (unsigned)length);
}

static void gets_(void)
{
	struct slot *slot = slot_in(1);
	const struct option *option = option_in(2);
	int value = -77;
	socklen_t length = sizeof value;

	if (!slot)
		return;
	tell("%s", ok(getsockopt(slot->fd, option->level, option->number, &value, &length)));
	tell_value(option, value, length);
}

/* setsize SLOT OPTION VALUE SIZE: so many bytes of the value, and of zeros behind it. */
static void sets_size(void)
{
	struct slot *slot = slot_in(1);
	const struct option *option = option_in(2);
	int value[8] = { number_in(3) };

	if (slot && !bounds_datagrams(slot, option, *value))
		tell("%s", ok(setsockopt(slot->fd, option->level, option->number, value, number_in(4))));
}

/* getsize SLOT OPTION SIZE: into so many bytes. */
static void gets_size(void)
{
	struct slot *slot = slot_in(1);
	const struct option *option = option_in(2);
	int value[8] = { -77, -77, -77, -77, -77, -77, -77, -77 };
	socklen_t length = number_in(3);

	if (!slot)
		return;
	tell("%s", ok(getsockopt(slot->fd, option->level, option->number, value, &length)));
	tell_value(option, value[0], length);
}

static void lingers(void)
{
	struct slot *slot = slot_in(1);
	struct linger linger = { number_in(2), number_in(3) };

	if (slot)
		tell("%s", ok(setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger)));
}

static void asks_queue(void)
{
	struct slot *slot = slot_in(1);
	int count = -77;

	if (!slot)
		return;
	tell("%s", ok(ioctl(slot->fd, number_in(2), &count)));
	/* What a part of a datagram that is held back takes is the kernel's business (LD_PRELOAD.md). */
	if (slot->type == SOCK_DGRAM && number_in(2) == SIOCOUTQ)
		return;
	/* A connection that is given up leaves the peer's window, which grows by what its segments take in memory. */
	if (count > 60000 && tcp_state(slot->fd) == TCP_CLOSE)
		tell(" a window");
	else
		tell(" %d", count);
}

static void asks_names(void)
{
	struct slot *slot = slot_in(1);
	struct sockaddr_storage name = { 0 };
	socklen_t length = sizeof name;
	int failed;

	if (!slot)
		return;
	failed = getsockname(slot->fd, SA(name), &length);
	tell("%s", shown(failed, &name, length));
	length = sizeof name;
	failed = getpeername(slot->fd, SA(name), &length);
	tell(" <-> %s", shown(failed, &name, length));
}

static void asks_state(void)
{
	struct slot *slot = slot_in(1);
	struct tcp_info info = { 0 };
	socklen_t length = sizeof info;

	if (!slot)
		return;
	tell("%s", ok(getsockopt(slot->fd, IPPROTO_TCP, TCP_INFO, &info, &length)));
	tell(" state %d", info.tcpi_state);
	if (info.tcpi_state == TCP_LISTEN)
		tell(" waiting %u of %u", info.tcpi_unacked, info.tcpi_sacked);
}

static void asks_flags(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%x %x", fcntl(slot->fd, F_GETFL), fcntl(slot->fd, F_GETFD));
}

static void asks_mark(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%s", result(sockatmark(slot->fd)));
}

const struct verb asking[] = {
	{ "set", sets }, { "setsize", sets_size }, { "get", gets_ }, { "getsize", gets_size }, { "linger", lingers }, { "ioctl", asks_queue }, { "names", asks_names },
	{ "state", asks_state }, { "flags", asks_flags }, { "sockatmark", asks_mark }, { NULL, NULL },
};
