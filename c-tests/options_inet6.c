/* Every option of IPv6's in every state of an AF_INET6 socket that speaks IPv4, and IPv4's on it; see options_matrix.c. */
#include "check.h"
#include "options/trying.h"

/* linux/in6.h, which the C library's headers have in part. */
enum {
	PKTINFO_2292 = 2, HOPOPTS_2292, DSTOPTS_2292, RTHDR_2292, PKTOPTIONS_2292, CHECKSUM, HOPLIMIT_2292,
	FLOWINFO = 11, FLOWINFO_SEND = 33, ADDR_PREFERENCES = 72, ORIGDSTADDR = 74, RECVFRAGSIZE = 77, FREEBIND = 78,
	RECVERR_RFC4884 = 31, AUTOFLOWLABEL = 70, MINHOPCOUNT = 73, MULTICAST_ALL = 29
};

static const struct option options[] = {
#define O(level, option, does) { level, option, #option, does },
	O(IPPROTO_IPV6, PKTINFO_2292, READS | SETS)
	O(IPPROTO_IPV6, HOPOPTS_2292, READS | SETS)
	O(IPPROTO_IPV6, DSTOPTS_2292, READS | SETS)
	O(IPPROTO_IPV6, RTHDR_2292, READS | SETS)
	O(IPPROTO_IPV6, PKTOPTIONS_2292, READS)
	O(IPPROTO_IPV6, CHECKSUM, READS | SETS)
	O(IPPROTO_IPV6, HOPLIMIT_2292, READS | SETS)
	O(IPPROTO_IPV6, FLOWINFO, READS | SETS)
	O(IPPROTO_IPV6, IPV6_UNICAST_HOPS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_MULTICAST_IF, READS)
	O(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, READS | SETS)
	O(IPPROTO_IPV6, IPV6_ROUTER_ALERT, READS | SETS)
	O(IPPROTO_IPV6, IPV6_MTU_DISCOVER, READS | SETS)
	O(IPPROTO_IPV6, IPV6_MTU, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVERR, READS | SETS)
	O(IPPROTO_IPV6, IPV6_V6ONLY, READS | SETS)
	O(IPPROTO_IPV6, MULTICAST_ALL, READS | SETS)
	O(IPPROTO_IPV6, RECVERR_RFC4884, READS | SETS)
	O(IPPROTO_IPV6, FLOWINFO_SEND, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVPKTINFO, READS | SETS)
	O(IPPROTO_IPV6, IPV6_PKTINFO, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, READS | SETS)
	O(IPPROTO_IPV6, IPV6_HOPLIMIT, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVHOPOPTS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_HOPOPTS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVRTHDR, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RTHDR, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVDSTOPTS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_DSTOPTS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVPATHMTU, READS | SETS)
	O(IPPROTO_IPV6, IPV6_PATHMTU, READS | SETS)
	O(IPPROTO_IPV6, IPV6_DONTFRAG, READS | SETS)
	O(IPPROTO_IPV6, IPV6_RECVTCLASS, READS | SETS)
	O(IPPROTO_IPV6, IPV6_TCLASS, READS | SETS)
	O(IPPROTO_IPV6, AUTOFLOWLABEL, READS | SETS)
	O(IPPROTO_IPV6, ADDR_PREFERENCES, READS | SETS)
	O(IPPROTO_IPV6, MINHOPCOUNT, READS | SETS)
	O(IPPROTO_IPV6, ORIGDSTADDR, READS | SETS)
	O(IPPROTO_IPV6, IPV6_TRANSPARENT, READS)
	O(IPPROTO_IPV6, IPV6_UNICAST_IF, READS | SETS)
	O(IPPROTO_IPV6, RECVFRAGSIZE, READS | SETS)
	O(IPPROTO_IPV6, FREEBIND, READS | SETS)
	O(IPPROTO_IPV6, 9999, READS | SETS)
	O(IPPROTO_IP, IP_TOS, READS | SETS)
	O(IPPROTO_IP, IP_TTL, READS | SETS)
	O(IPPROTO_IP, IP_MTU, READS | SETS)
	O(IPPROTO_IP, IP_MTU_DISCOVER, READS | SETS)
	O(IPPROTO_IP, IP_RECVERR, READS | SETS)
	O(IPPROTO_IP, IP_PKTINFO, READS | SETS)
	O(IPPROTO_IP, IP_PKTOPTIONS, READS | SETS)
	O(IPPROTO_IP, IP_MINTTL, READS | SETS)
	O(SOL_SOCKET, SO_DOMAIN, READS | SETS)
	O(SOL_SOCKET, SO_PRIORITY, READS | SETS)
};

static int of_kind(int kind)
{
	int fd = socket(AF_INET6, kind, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static struct sockaddr_in6 mapped(const char *ip, int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	char text[64];

	snprintf(text, sizeof text, "::ffff:%s", ip);
	inet_pton(AF_INET6, text, &a.sin6_addr);
	return a;
}

static int fresh(int *h)
{
	*h = -1;
	return of_kind(SOCK_STREAM);
}

static int with_address(int *h)
{
	struct sockaddr_in6 a = mapped(TEST, 0);
	int fd = fresh(h);

	if (bind(fd, SA(a), sizeof a))
		die("bind");
	return fd;
}

static int listens(int *h)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	int fd = fresh(h);

	if (bind(fd, SA(a), sizeof a) || listen(fd, 5))
		die("listen");
	return fd;
}

static int has_connected(int *h)
{
	int listener = peer("listen 0 5"), port = peer("port %d", listener), fd = of_kind(SOCK_STREAM);
	struct sockaddr_in6 a = mapped(PEER, port);

	if (connect(fd, SA(a), sizeof a))
		die("connect");
	*h = peer("accept %d", listener);
	peer("close %d", listener);
	return fd;
}

static int has_accepted(int *h)
{
	int none, listener = listens(&none), fd;

	*h = peer("connect %d", port_of(listener));
	fd = accept(listener, NULL, NULL);
	close(listener);
	return fd;
}

static int fresh_udp(int *h)
{
	*h = -1;
	return of_kind(SOCK_DGRAM);
}

static int bound_udp(int *h)
{
	struct sockaddr_in6 a = mapped(TEST, 0);
	int fd = fresh_udp(h);

	if (bind(fd, SA(a), sizeof a))
		die("bind");
	return fd;
}

static int connected_udp(int *h)
{
	struct sockaddr_in6 a = mapped(PEER, 9000);
	int fd = fresh_udp(h);

	if (connect(fd, SA(a), sizeof a))
		die("connect");
	return fd;
}

int main(void)
{
	static const struct state states[] = {
		{ "fresh", fresh }, { "bound", with_address }, { "listening", listens }, { "connected", has_connected },
		{ "accepted", has_accepted }, { "UDP fresh", fresh_udp }, { "UDP bound", bound_udp },
		{ "UDP connected", connected_udp },
	};

	try_all(states, COUNT(states), options, COUNT(options));
}
