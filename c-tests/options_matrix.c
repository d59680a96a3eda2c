/* Every option in every state of a socket: what getsockopt(2) gives of it at every length, and what setsockopt(2)
 * says to every sort of value, and what is read back then. A line is one option in one state. */
#include "check.h"

#include <stdarg.h>

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#define SO_TXREHASH 74
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif

enum {
	READS = 1, /* what it gives is the same everywhere */
	SETS = 2,  /* setting it leaves the socket to the stack */
};

static const struct option {
	int level, option;
	const char *name;
	int does;
} options[] = {
#define O(level, option, does) { level, option, #option, does },
	O(SOL_SOCKET, SO_DEBUG, READS | SETS)
	O(SOL_SOCKET, SO_REUSEADDR, READS | SETS)
	O(SOL_SOCKET, SO_TYPE, READS | SETS)
	O(SOL_SOCKET, SO_ERROR, READS | SETS)
	O(SOL_SOCKET, SO_DONTROUTE, READS | SETS)
	O(SOL_SOCKET, SO_BROADCAST, READS | SETS)
	O(SOL_SOCKET, SO_SNDBUF, SETS)
	O(SOL_SOCKET, SO_RCVBUF, SETS)
	O(SOL_SOCKET, SO_SNDBUFFORCE, READS | SETS)
	O(SOL_SOCKET, SO_RCVBUFFORCE, READS | SETS)
	O(SOL_SOCKET, SO_KEEPALIVE, READS | SETS)
	O(SOL_SOCKET, SO_OOBINLINE, READS | SETS)
	O(SOL_SOCKET, SO_NO_CHECK, READS | SETS)
	O(SOL_SOCKET, SO_PRIORITY, READS | SETS)
	O(SOL_SOCKET, SO_LINGER, READS | SETS)
	O(SOL_SOCKET, SO_REUSEPORT, READS | SETS)
	O(SOL_SOCKET, SO_PASSCRED, READS | SETS)
	O(SOL_SOCKET, SO_PEERCRED, READS | SETS)
	O(SOL_SOCKET, SO_RCVLOWAT, READS | SETS)
	O(SOL_SOCKET, SO_SNDLOWAT, READS | SETS)
	O(SOL_SOCKET, SO_RCVTIMEO, READS | SETS)
	O(SOL_SOCKET, SO_SNDTIMEO, READS | SETS)
	O(SOL_SOCKET, SO_TIMESTAMP, READS | SETS)
	O(SOL_SOCKET, SO_ACCEPTCONN, READS | SETS)
	O(SOL_SOCKET, SO_PEERSEC, READS | SETS)
	O(SOL_SOCKET, SO_PASSSEC, READS | SETS)
	O(SOL_SOCKET, SO_TIMESTAMPNS, READS | SETS)
	O(SOL_SOCKET, SO_MARK, READS | SETS)
	O(SOL_SOCKET, SO_TIMESTAMPING, READS | SETS)
	O(SOL_SOCKET, SO_PROTOCOL, READS | SETS)
	O(SOL_SOCKET, SO_DOMAIN, READS | SETS)
	O(SOL_SOCKET, SO_RXQ_OVFL, READS | SETS)
	O(SOL_SOCKET, SO_WIFI_STATUS, READS | SETS)
	O(SOL_SOCKET, SO_PEEK_OFF, READS | SETS)
	O(SOL_SOCKET, SO_NOFCS, READS | SETS)
	O(SOL_SOCKET, SO_LOCK_FILTER, READS | SETS)
	O(SOL_SOCKET, SO_SELECT_ERR_QUEUE, READS | SETS)
	O(SOL_SOCKET, SO_BUSY_POLL, READS | SETS)
	O(SOL_SOCKET, SO_MAX_PACING_RATE, READS | SETS)
	O(SOL_SOCKET, SO_BPF_EXTENSIONS, SETS)
	O(SOL_SOCKET, SO_INCOMING_CPU, SETS)
	O(SOL_SOCKET, SO_ATTACH_BPF, READS)
	O(SOL_SOCKET, SO_DETACH_FILTER, SETS)
	O(SOL_SOCKET, SO_GET_FILTER, READS)
	O(SOL_SOCKET, SO_ZEROCOPY, READS | SETS)
	O(SOL_SOCKET, SO_TXTIME, READS | SETS)
	O(SOL_SOCKET, SO_BINDTOIFINDEX, READS)
	O(SOL_SOCKET, SO_PREFER_BUSY_POLL, READS | SETS)
	O(SOL_SOCKET, SO_BUSY_POLL_BUDGET, READS | SETS)
	O(SOL_SOCKET, SO_BUF_LOCK, READS | SETS)
	O(SOL_SOCKET, SO_RESERVE_MEM, READS | SETS)
	O(SOL_SOCKET, SO_TXREHASH, READS | SETS)
	O(SOL_SOCKET, 9999, READS | SETS)
	O(IPPROTO_TCP, TCP_NODELAY, READS | SETS)
	O(IPPROTO_TCP, TCP_MAXSEG, READS | SETS)
	O(IPPROTO_TCP, TCP_CORK, READS | SETS)
	O(IPPROTO_TCP, TCP_KEEPIDLE, READS | SETS)
	O(IPPROTO_TCP, TCP_KEEPINTVL, READS | SETS)
	O(IPPROTO_TCP, TCP_KEEPCNT, READS | SETS)
	O(IPPROTO_TCP, TCP_SYNCNT, READS | SETS)
	O(IPPROTO_TCP, TCP_LINGER2, READS | SETS)
	O(IPPROTO_TCP, TCP_DEFER_ACCEPT, READS | SETS)
	O(IPPROTO_TCP, TCP_WINDOW_CLAMP, SETS)
	O(IPPROTO_TCP, TCP_QUICKACK, SETS)
	O(IPPROTO_TCP, TCP_CONGESTION, SETS)
	O(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, READS | SETS)
	O(IPPROTO_TCP, TCP_THIN_DUPACK, READS | SETS)
	O(IPPROTO_TCP, TCP_USER_TIMEOUT, READS | SETS)
	O(IPPROTO_TCP, TCP_REPAIR_QUEUE, READS | SETS)
	O(IPPROTO_TCP, TCP_QUEUE_SEQ, READS | SETS)
	O(IPPROTO_TCP, TCP_FASTOPEN, READS | SETS)
	O(IPPROTO_TCP, TCP_TIMESTAMP, SETS)
	O(IPPROTO_TCP, TCP_NOTSENT_LOWAT, READS | SETS)
	O(IPPROTO_TCP, TCP_CC_INFO, 0)
	O(IPPROTO_TCP, TCP_SAVE_SYN, READS | SETS)
	O(IPPROTO_TCP, TCP_SAVED_SYN, READS | SETS)
	O(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, READS | SETS)
	O(IPPROTO_TCP, TCP_FASTOPEN_KEY, SETS)
	O(IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, READS | SETS)
	O(IPPROTO_TCP, TCP_INQ, READS | SETS)
	O(IPPROTO_TCP, TCP_TX_DELAY, READS)
	O(IPPROTO_TCP, 9999, READS | SETS)
	O(IPPROTO_IP, IP_TOS, READS | SETS)
	O(IPPROTO_IP, IP_TTL, READS | SETS)
	O(IPPROTO_IP, IP_HDRINCL, READS | SETS)
	O(IPPROTO_IP, IP_OPTIONS, READS)
	O(IPPROTO_IP, IP_ROUTER_ALERT, READS | SETS)
	O(IPPROTO_IP, IP_RECVOPTS, READS | SETS)
	O(IPPROTO_IP, IP_RETOPTS, READS | SETS)
	O(IPPROTO_IP, IP_PKTINFO, READS | SETS)
	O(IPPROTO_IP, IP_PKTOPTIONS, READS | SETS)
	O(IPPROTO_IP, IP_MTU_DISCOVER, READS | SETS)
	O(IPPROTO_IP, IP_RECVERR, READS | SETS)
	O(IPPROTO_IP, IP_RECVTTL, READS | SETS)
	O(IPPROTO_IP, IP_RECVTOS, READS | SETS)
	O(IPPROTO_IP, IP_MTU, READS | SETS)
	O(IPPROTO_IP, IP_FREEBIND, READS | SETS)
	O(IPPROTO_IP, IP_TRANSPARENT, READS)
	O(IPPROTO_IP, IP_RECVORIGDSTADDR, READS | SETS)
	O(IPPROTO_IP, IP_MINTTL, READS | SETS)
	O(IPPROTO_IP, IP_NODEFRAG, READS | SETS)
	O(IPPROTO_IP, IP_CHECKSUM, READS | SETS)
	O(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, READS | SETS)
	O(IPPROTO_IP, IP_RECVFRAGSIZE, READS | SETS)
	O(IPPROTO_IP, IP_RECVERR_RFC4884, READS | SETS)
	O(IPPROTO_IP, IP_MULTICAST_IF, READS)
	O(IPPROTO_IP, IP_MULTICAST_TTL, READS | SETS)
	O(IPPROTO_IP, IP_MULTICAST_LOOP, READS | SETS)
	O(IPPROTO_IP, IP_MULTICAST_ALL, READS | SETS)
	O(IPPROTO_IP, IP_UNICAST_IF, READS | SETS)
	O(IPPROTO_IP, IP_LOCAL_PORT_RANGE, READS | SETS)
	O(IPPROTO_IP, 9999, READS | SETS)
	O(IPPROTO_UDP, UDP_CORK, READS | SETS)
	O(IPPROTO_UDP, UDP_SEGMENT, READS | SETS)
	O(IPPROTO_UDP, UDP_GRO, READS | SETS)
	O(IPPROTO_UDP, UDP_NO_CHECK6_TX, READS | SETS)
	O(IPPROTO_UDP, 9999, READS | SETS)
	O(IPPROTO_IPV6, IPV6_V6ONLY, READS | SETS)
	O(77, 1, READS | SETS)
	O(SOL_SOCKET, SO_PEERGROUPS, READS | SETS)
	O(SOL_SOCKET, SO_INCOMING_NAPI_ID, READS)
	O(SOL_SOCKET, 75, READS | SETS)
	O(SOL_SOCKET, 76, READS | SETS)
	O(SOL_SOCKET, 77, READS | SETS)
	O(IPPROTO_TCP, TCP_REPAIR, READS)
	O(IPPROTO_TCP, TCP_REPAIR_WINDOW, READS | SETS)
	O(IPPROTO_TCP, TCP_REPAIR_OPTIONS, READS | SETS)
	O(IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, READS | SETS)
	O(IPPROTO_TCP, TCP_ULP, READS | SETS)
	O(IPPROTO_TCP, 40, READS | SETS)
	O(IPPROTO_TCP, 43, READS | SETS)
	O(IPPROTO_IP, IP_IPSEC_POLICY, READS)
	O(IPPROTO_IP, IP_XFRM_POLICY, READS)
	O(IPPROTO_IP, IP_MSFILTER, READS | SETS)
	O(IPPROTO_IP, MCAST_MSFILTER, READS | SETS)
	O(IPPROTO_UDP, UDP_ENCAP, READS)
};

static const int lengths[] = { 0, 1, 2, 3, 4, 8, 64 };
static const int values[] = { -1, 0, 1, 2, INT_MAX };

struct line {
	char text[1024];
	size_t used;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	line->used += vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
	va_end(arguments);
}

static void read_back(struct line *line, int fd, const struct option *o)
{
	int value = 0;
	socklen_t length = sizeof value;

	if (getsockopt(fd, o->level, o->option, &value, &length))
		add(line, "=%s", name_of(errno));
	else
		add(line, "=%d", o->does & READS ? value : 0);
}

static void try(const char *state, int fd, const struct option *o)
{
	struct line got = { 0 }, said = { 0 };

	for (unsigned i = 0; i < COUNT(lengths); i++) {
		unsigned char b[64];
		socklen_t length = lengths[i];

		memset(b, 0xee, sizeof b);
		if (getsockopt(fd, o->level, o->option, b, &length)) {
			add(&got, " %d:%s", lengths[i], name_of(errno));
			continue;
		}
		add(&got, " %d:%u", lengths[i], length);
		for (unsigned k = 0; k < length && k < 4 && o->does & READS; k++)
			add(&got, "%s%02x", k ? "" : "/", b[k]);
	}
	say("%s %s, get%s", o->name, state, got.text);
	if (!(o->does & SETS))
		return;
	for (unsigned i = 0; i < COUNT(lengths); i++) {
		int value[16] = { 1 };
		int n = setsockopt(fd, o->level, o->option, value, lengths[i]);

		add(&said, " %d:%s", lengths[i], ok(n));
	}
	for (unsigned i = 0; i < COUNT(values); i++) {
		int n = setsockopt(fd, o->level, o->option, &values[i], sizeof values[i]);

		add(&said, " (%d)%s", values[i], ok(n));
		read_back(&said, fd, o);
	}
	say("%s %s, set%s", o->name, state, said.text);
}

static int fresh(int *h)
{
	*h = -1;
	return tcp();
}

static int with_address(int *h)
{
	*h = -1;
	return bound(tcp(), TEST, 0);
}

static int listens(int *h)
{
	*h = -1;
	return listening(0, 5);
}

static int shut(int *h)
{
	int fd = connected(h);

	shutdown(fd, SHUT_WR);
	return fd;
}

static int closed_by_peer(int *h)
{
	int fd = connected(h);

	peer("shutdown %d %d", *h, SHUT_WR);
	wait_for(fd, POLLIN);
	return fd;
}

static int fresh_udp(int *h)
{
	*h = -1;
	return udp();
}

static int bound_udp(int *h)
{
	*h = -1;
	return bound(udp(), TEST, 0);
}

static int connected_udp(int *h)
{
	struct sockaddr_in a = address(PEER, 9000);
	int fd = udp();

	*h = -1;
	if (connect(fd, SA(a), sizeof a))
		die("connect");
	return fd;
}

int main(void)
{
	static const struct {
		const char *name;
		int (*make)(int *);
	} states[] = {
		{ "fresh", fresh }, { "bound", with_address }, { "listening", listens }, { "connected", connected },
		{ "shut", shut }, { "closed by the peer", closed_by_peer }, { "UDP fresh", fresh_udp },
		{ "UDP bound", bound_udp }, { "UDP connected", connected_udp },
	};

	for (unsigned s = 0; s < COUNT(states); s++) {
		for (unsigned i = 0; i < COUNT(options); i++) {
			int h, fd = states[s].make(&h);

			try(states[s].name, fd, &options[i]);
			close(fd);
			if (h >= 0)
				peer("close %d", h);
		}
	}
}
