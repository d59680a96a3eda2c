/* getsockopt(2) and setsockopt(2): what is stored, doubled, clamped and refused. */
#include "check.h"

struct option {
	int level, option;
	const char *name;
};

#define O(level, option) { level, option, #option }

static const struct option booleans[] = {
	O(SOL_SOCKET, SO_KEEPALIVE), O(SOL_SOCKET, SO_REUSEADDR), O(SOL_SOCKET, SO_REUSEPORT), O(SOL_SOCKET, SO_OOBINLINE),
	O(SOL_SOCKET, SO_BROADCAST), O(IPPROTO_TCP, TCP_NODELAY), O(IPPROTO_TCP, TCP_CORK),
};

static const struct option numbers[] = {
	O(SOL_SOCKET, SO_SNDBUF), O(SOL_SOCKET, SO_RCVBUF), O(SOL_SOCKET, SO_RCVLOWAT), O(SOL_SOCKET, SO_PRIORITY),
	O(IPPROTO_TCP, TCP_MAXSEG), O(IPPROTO_TCP, TCP_KEEPIDLE), O(IPPROTO_TCP, TCP_KEEPINTVL),
	O(IPPROTO_TCP, TCP_KEEPCNT), O(IPPROTO_TCP, TCP_SYNCNT), O(IPPROTO_TCP, TCP_LINGER2),
	O(IPPROTO_TCP, TCP_DEFER_ACCEPT), O(IPPROTO_TCP, TCP_WINDOW_CLAMP), O(IPPROTO_TCP, TCP_USER_TIMEOUT),
	O(IPPROTO_TCP, TCP_NOTSENT_LOWAT), O(IPPROTO_IP, IP_TTL), O(IPPROTO_IP, IP_TOS), O(IPPROTO_IP, IP_MTU_DISCOVER),
};

static const struct option read_only[] = {
	O(SOL_SOCKET, SO_TYPE), O(SOL_SOCKET, SO_ERROR), O(SOL_SOCKET, SO_ACCEPTCONN), O(SOL_SOCKET, SO_PROTOCOL),
	O(SOL_SOCKET, SO_DOMAIN), O(IPPROTO_TCP, TCP_INFO), O(IPPROTO_IP, IP_MTU),
};

static const char *set(int fd, const struct option *o, int value)
{
	return ok(setsockopt(fd, o->level, o->option, &value, sizeof value));
}

static const char *get(int fd, const struct option *o)
{
	int value = 0;
	socklen_t length = sizeof value;

	return result(getsockopt(fd, o->level, o->option, &value, &length) ? -1 : value);
}

static void values(int fd, const struct option *o)
{
	static const int tried[] = { 1, 5, 60, 88, 127, 128, 200, 255, 256, 1000, 32767, 32768, 100000, 1000000, 0, -1, -2 };

	say("%s fresh: %s", o->name, get(fd, o));
	for (unsigned i = 0; i < COUNT(tried); i++) {
		const char *outcome = set(fd, o, tried[i]);

		say("%s %d: %s, reads %s", o->name, tried[i], outcome, get(fd, o));
	}
}

static void lengths(int fd)
{
	unsigned char b[32];
	int value = 1;

	for (int given = 0; given <= 8; given++) {
		socklen_t length = given;
		int n;

		say("set KEEPALIVE with length %d: %s", given,
		    ok(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(long){ 1 }, given)));
		memset(b, 0xee, sizeof b);
		n = getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, b, &length);
		say("get KEEPALIVE with length %d: %s, length %u, %02x %02x %02x %02x", given, ok(n), length, b[0], b[1], b[2],
		    b[3]);
		length = given;
		memset(b, 0xee, sizeof b);
		n = getsockopt(fd, IPPROTO_IP, IP_TTL, b, &length);
		say("get IP_TTL with length %d: %s, length %u, %02x %02x", given, ok(n), length, b[0], b[1]);
	}
	socklen_t negative = (socklen_t)-1, length = 4;
	say("get with length -1: %s", ok(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, b, &negative)));
	say("set with length -1: %s", ok(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, b, (socklen_t)-1)));
	say("get into a bad pointer: %s", ok(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, bad_pointer, &length)));
	say("get, a bad length pointer: %s", ok(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, b, bad_pointer)));
	say("set from a bad pointer: %s", ok(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, bad_pointer, 4)));
	say("unknown option, get: %s", ok(getsockopt(fd, SOL_SOCKET, 9999, b, &length)));
	say("unknown option, set: %s", ok(setsockopt(fd, SOL_SOCKET, 9999, &value, 4)));
	say("unknown TCP option, get: %s", ok(getsockopt(fd, IPPROTO_TCP, 9999, b, &length)));
	say("unknown TCP option, set: %s", ok(setsockopt(fd, IPPROTO_TCP, 9999, &value, 4)));
	say("unknown level, get: %s", ok(getsockopt(fd, 77, 1, b, &length)));
	say("unknown level, set: %s", ok(setsockopt(fd, 77, 1, &value, 4)));
	say("closed: %s", ok(setsockopt(999, SOL_SOCKET, SO_KEEPALIVE, &value, 4)));
}

static void structures(int fd)
{
	struct linger linger = { 1, 5 };
	struct timeval time = { 1, 500000 };
	socklen_t length = sizeof linger;

	say("LINGER: %s", ok(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger)));
	memset(&linger, 0, sizeof linger);
	say("get: %s", ok(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length)));
	say("%d %d, length %u", linger.l_onoff, linger.l_linger, length);
	say("LINGER of 4 bytes: %s", ok(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, 4)));
	say("RCVTIMEO: %s", ok(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time)));
	memset(&time, 0, sizeof time);
	length = sizeof time;
	say("get: %s", ok(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &length)));
	say("%ld.%06ld, length %u", (long)time.tv_sec, (long)time.tv_usec, length);
	say("RCVTIMEO of 8 bytes: %s", ok(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, 8)));
	time = (struct timeval){ 0, 1000000 };
	say("RCVTIMEO of 1000000 us: %s", ok(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time)));
	time = (struct timeval){ -1, 0 };
	say("RCVTIMEO of -1 s: %s", ok(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time)));
	time = (struct timeval){ 9, 9 };
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &length);
	say("reads %ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, &length);
	say("SNDTIMEO fresh %ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
}

static void congestion(int fd)
{
	char b[32];
	socklen_t length = sizeof b;

	memset(b, 'x', sizeof b);
	say("CONGESTION: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, b, &length)));
	/* Which one is the host's default is no business of this test's. */
	say("a name: %d, length %u", b[0] && memchr(b, 0, sizeof b), length);
	say("set reno: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4)));
	length = sizeof b;
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, b, &length);
	say("%s, length %u", b, length);
	say("set unknown: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8)));
	say("set empty: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "", 0)));
}

int main(void)
{
	static const struct option udp_tried[] = {
		O(SOL_SOCKET, SO_SNDBUF), O(SOL_SOCKET, SO_RCVBUF), O(IPPROTO_IP, IP_TTL), O(IPPROTO_IP, IP_TOS),
		O(IPPROTO_IP, IP_MTU_DISCOVER), O(IPPROTO_IP, IP_RECVERR), O(IPPROTO_IP, IP_PKTINFO),
	};
	int fd = tcp(), other = udp();

	for (unsigned i = 0; i < COUNT(booleans); i++) {
		say("%s fresh: %s", booleans[i].name, get(fd, &booleans[i]));
		say("  set to 7: %s", set(fd, &booleans[i], 7));
		say("  reads %s", get(fd, &booleans[i]));
		say("  set to 0: %s", set(fd, &booleans[i], 0));
		say("  reads %s", get(fd, &booleans[i]));
	}
	for (unsigned i = 0; i < COUNT(numbers); i++) {
		int fresh = tcp();

		values(fresh, &numbers[i]);
		close(fresh);
	}
	for (unsigned i = 0; i < COUNT(read_only); i++)
		say("%s set: %s", read_only[i].name, set(fd, &read_only[i], 1));
	say("IP_MTU, not connected: %s", get(fd, &read_only[6]));
	for (unsigned i = 0; i < COUNT(udp_tried); i++)
		values(other, &udp_tried[i]);
	say("a TCP option of UDP, get: %s", get(other, &booleans[5]));
	say("a TCP option of UDP, set: %s", set(other, &booleans[5], 1));
	lengths(fd);
	structures(fd);
	congestion(fd);
}
