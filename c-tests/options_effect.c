/* Options whose effect shows in what is sent, received or told: TCP_NOTSENT_LOWAT, SO_RCVBUF, IP_MINTTL, SO_PEEK_OFF, arrival
 * times, SO_MEMINFO, TCP_CC_INFO. */
#include "check.h"

#ifndef IP_RECVFRAGSIZE
#define IP_RECVFRAGSIZE 25
#endif

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

static void low_water(void)
{
	int h, fd = nonblocking(connected(&h)), unsent = 0;
	static char data[1 << 20];
	long total = 0, n;

	say("fresh: %d", get_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT));
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384);
	say("poll: %s", poll_flags(events_now(fd)));
	for (int i = 0; i < 30; i++, nap(10))
		while ((n = send(fd, data, sizeof data, 0)) > 0)
			total += n;
	ioctl(fd, SIOCOUTQNSD, &unsent);
	say("little is unsent: %d", unsent >= 16384 && unsent <= 16384 + 65536);
	say("poll: %s", poll_flags(events_now(fd)));
	say("send: %s", result(send(fd, data, 1, 0)));
	peer("start recv %d %ld", h, total);
	say("poll: %s", poll_flags(wait_for(fd, POLLOUT)));
	peer_says("join %d", h);
	say("send: %s", result(send(fd, data, 1, 0)));
	close(fd);
	peer("close %d", h);
}

/* A listener's bound is its connections', wherever what they do not read waits. */
static void receive_buffer(void)
{
	int listener = listening(0, 5), h, fd, before = -1, waiting = 0;

	set_int(listener, SOL_SOCKET, SO_RCVBUF, 20000);
	h = peer("connect %d", port_of(listener));
	fd = accept(listener, NULL, NULL);
	peer("start send %d 150000", h);
	for (int calm = 0, rounds = 0; calm < 10 && rounds < 250; rounds++, nap(20)) {
		ioctl(fd, FIONREAD, &waiting);
		calm = waiting == before ? calm + 1 : 0;
		before = waiting;
	}
	say("some waits: %d, not much more than may: %d", waiting > 5000, waiting < 60000);
	close(fd);
	close(listener);
	peer("close %d", h);
}

static void least_time_to_live(void)
{
	int h, fd = connected(&h);
	struct timeval limit = { 0, 300000 };
	char b[8];

	say("MINTTL fresh: %d", get_int(fd, IPPROTO_IP, IP_MINTTL));
	say("256: %s", ok(setsockopt(fd, IPPROTO_IP, IP_MINTTL, &(int){ 256 }, sizeof(int))));
	set_int(fd, IPPROTO_IP, IP_MINTTL, 60);
	say("reads %d", get_int(fd, IPPROTO_IP, IP_MINTTL));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	peer("send %d 3", h);
	say("near enough: %s", result(recv(fd, b, sizeof b, 0)));
	peer("option %d %d %d 59", h, IPPROTO_IP, IP_TTL);
	peer("send %d 4", h);
	say("too far: %s", result(recv(fd, b, sizeof b, 0)));
	set_int(fd, IPPROTO_IP, IP_MINTTL, 0);
	limit.tv_sec = 5;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	say("sent again: %s", result(recv(fd, b, sizeof b, 0)));
	close(fd);
	peer("close %d", h);
}

static void say_peek(const char *what, int fd, size_t room)
{
	char b[64] = "";
	ssize_t n = recv(fd, b, room, MSG_PEEK | MSG_DONTWAIT);

	say("%s: %s, from %d", what, result(n), n > 0 ? b[0] & 0xff : 0);
	say("  offset %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
}

static void peek_offset(void)
{
	int h, fd = connected(&h);
	char b[64];

	say("PEEK_OFF fresh: %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
	peer("send %d 30", h);
	wait_for(fd, POLLIN);
	nap(50);
	say_peek("without", fd, 5);
	set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 4);
	say_peek("from 4", fd, 5);
	say_peek("then", fd, 5);
	say("recv 10: %s", result(recv(fd, b, 10, 0)));
	say_peek("after it", fd, 5);
	say("recv 10: %s", result(recv(fd, b, 10, 0)));
	say_peek("the rest", fd, 64);
	say_peek("nothing", fd, 64);
	peer("send %d 7", h);
	nap(100);
	say_peek("what came", fd, 64);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	set_int(fd, SOL_SOCKET, SO_PEEK_OFF, -1);
	say("off: %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
	close(fd);
	peer("close %d", h);
}

/* It counts on over several datagrams. */
static void peek_offset_of_datagrams(void)
{
	int fd = bound(udp(), TEST, 0), from = peer("udp 0");
	char b[64];

	say("UDP PEEK_OFF fresh: %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
	for (int i = 0; i < 3; i++)
		peer("to %d %d %d", from, port_of(fd), 10);
	peer("to %d %d %d", from, port_of(fd), 5);
	wait_for(fd, POLLIN);
	nap(50);
	say_peek("without", fd, 4);
	say("set: %s", ok(setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &(int){ 0 }, sizeof(int))));
	say_peek("from 0", fd, 4);
	say_peek("then", fd, 4);
	say_peek("its end", fd, 64);
	say_peek("the second", fd, 64);
	say_peek("a piece of the third", fd, 3);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	say("offset %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
	say_peek("after it", fd, 64);
	say_peek("the last", fd, 64);
	say_peek("nothing", fd, 64);
	peer("to %d %d %d", from, port_of(fd), 8);
	wait_for(fd, POLLIN);
	nap(50);
	say_peek("what came", fd, 64);
	for (int i = 0; i < 4; i++) {
		say("recv: %s", result(recv(fd, b, sizeof b, 0)));
		say("offset %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
	}
	set_int(fd, SOL_SOCKET, SO_PEEK_OFF, -2);
	say_peek("off", fd, 64);
	close(fd);
	peer("close %d", from);
}

/* The SYN's headers, as far as they are the same each time; those of the link are in front if they are asked for. */
static void say_headers(const unsigned char *b, int length, int link, int port)
{
	const unsigned char *ip = b + link, *segment = ip + (ip[0] & 15) * 4;

	if (link)
		say("  link: type %#x, of a station: %d", b[12] << 8 | b[13], !(b[6] & 1) && memcmp(b, b + 6, 6) != 0);
	say("  length %d, protocol %d, from %d.%d.%d.%d", length, ip[9], ip[12], ip[13], ip[14], ip[15]);
	say("  to its port: %d, flags %#x, TCP header %d", (segment[2] << 8 | segment[3]) == port, segment[13],
	    (segment[12] >> 4) * 4);
}

static void saved_syn(int asked)
{
	static const int rooms[] = { -1, 0, 10, 59, 60, 74, 256, 256 };
	int listener = listening(0, 5), h, fd;
	unsigned char b[256];
	socklen_t length = sizeof b;

	say("SAVE_SYN %d: %s", asked, ok(setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &asked, sizeof asked)));
	say("SAVE_SYN 3: %s", ok(setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &(int){ 3 }, sizeof(int))));
	say("SAVE_SYN -1: %s", ok(setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &(int){ -1 }, sizeof(int))));
	say("of the listener: %s", ok(getsockopt(listener, IPPROTO_TCP, TCP_SAVED_SYN, b, &length)));
	say("length %u", length);
	h = peer("connect %d", port_of(listener));
	fd = accept(listener, NULL, NULL);
	for (size_t i = 0; i < COUNT(rooms); i++) {
		int given;

		length = rooms[i];
		memset(b, 0, sizeof b);
		given = getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, b, &length);
		say("room %d: %s, length %d", rooms[i], ok(given), (int)length);
		if (given == 0 && length > 0)
			say_headers(b, length, asked == 2 ? 14 : 0, port_of(listener));
	}
	say("SAVE_SYN reads %d", get_int(fd, IPPROTO_TCP, TCP_SAVE_SYN));
	close(fd);
	close(listener);
	peer("close %d", h);
}

/* 30,000 bytes at 20,000 a second take more than a second. */
static void paced(void)
{
	int h, fd = connected(&h);
	struct {
		struct tcp_info known;
		uint64_t more[32];
	} info = { 0 };
	socklen_t length = sizeof info;
	uint64_t rate;
	long long start;

	set_int(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 20000);
	say("MAX_PACING_RATE %d", get_int(fd, SOL_SOCKET, SO_MAX_PACING_RATE));
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	/* tcpi_max_pacing_rate */
	memcpy(&rate, (char *)&info + 112, sizeof rate);
	say("TCP_INFO: %llu", (unsigned long long)rate);
	start = milliseconds();
	send_all(fd, 30000);
	say("the peer has %s", peer_says("recv %d 30000", h));
	say("slowly: %d", milliseconds() - start > 1000);
	set_int(fd, SOL_SOCKET, SO_MAX_PACING_RATE, -1);
	send_all(fd, 40000);
	say("the peer has %s", peer_says("recv %d 40000", h));
	close(fd);
	peer("close %d", h);
}

static void stamped(const char *what, int fd, int flags)
{
	char b[64], control[256];
	struct iovec part = { b, sizeof b };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct timespec now, at = { 0 };
	ssize_t n = recvmsg(fd, &m, flags);

	say("%s: %s", what, result(n));
	clock_gettime(CLOCK_REALTIME, &now);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); n >= 0 && c; c = CMSG_NXTHDR(&m, c)) {
		memcpy(&at, CMSG_DATA(c), sizeof at);
		say("  message %d %d of %zu, lately: %d", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len,
		    at.tv_sec >= now.tv_sec - 5 && at.tv_sec <= now.tv_sec);
	}
}

/* The time is that of the arrival, though the program is stopped and receives 400 ms later. */
static void time_of_arrival(void)
{
	int fd = bound(udp(), TEST, 0), from = peer("udp 0"), port = port_of(fd);
	pid_t self = getpid(), child;
	char b[64], control[256];
	struct iovec part = { b, sizeof b };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct timespec now, at = { 0 };

	set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	/* Linux begins to stamp a little after it was asked to. */
	nap(200);
	child = fork();
	if (child == 0) {
		kill(self, SIGSTOP);
		peer("to %d %d 5", from, port);
		nap(400);
		kill(self, SIGCONT);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	say("recvmsg: %s", result(recvmsg(fd, &m, 0)));
	clock_gettime(CLOCK_REALTIME, &now);
	if (CMSG_FIRSTHDR(&m))
		memcpy(&at, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof at);
	say("long ago: %d", (now.tv_sec - at.tv_sec) * 1000 + (now.tv_nsec - at.tv_nsec) / 1000000 >= 300);
	close(fd);
	peer("close %d", from);
}

static void times(void)
{
	int h, fd = connected(&h), on = 1;

	set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	peer("send %d 10", h);
	stamped("TIMESTAMPNS", fd, 0);
	stamped("nothing", fd, MSG_DONTWAIT);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	peer("send %d 10", h);
	stamped("TIMESTAMP", fd, 0);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMP, 0);
	/* SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE */
	set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, 8 | 16);
	set_int(fd, IPPROTO_TCP, TCP_INQ, on);
	peer("send %d 10", h);
	stamped("TIMESTAMPING and INQ", fd, 0);
	close(fd);
	peer("close %d", h);
}

static void last_arrival(void)
{
	int fd = udp(), h = peer("udp 0");
	struct timespec at = { 0 };
	struct timeval then = { 0 };
	char b[8];

	bound(fd, TEST, 0);
	say("SIOCGSTAMP: %s", ok(ioctl(fd, SIOCGSTAMP, &then)));
	peer("to %d %d 4", h, port_of(fd));
	recv(fd, b, sizeof b, 0);
	say("after a datagram: %s", ok(ioctl(fd, SIOCGSTAMP, &then)));
	say("and SIOCGSTAMPNS: %s", ok(ioctl(fd, SIOCGSTAMPNS, &at)));
	say("the same, lately: %d", then.tv_sec == at.tv_sec && at.tv_sec > time(NULL) - 5);
	say("an unknown request: %s", ok(ioctl(fd, 0x8999, &at)));
	close(fd);
	peer("close %d", h);
}

static void memory(void)
{
	int h, fd = connected(&h);
	uint32_t m[9];
	socklen_t length = sizeof m;

	peer("send %d 1000", h);
	wait_for(fd, POLLIN);
	say("MEMINFO: %s", ok(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &length)));
	say("length %u, received %d, of %d, sent %u, of %d", length, m[0] >= 1000, (int)m[1] == get_int(fd, SOL_SOCKET, SO_RCVBUF),
	    m[5], (int)m[3] == get_int(fd, SOL_SOCKET, SO_SNDBUF));
	length = 6;
	say("6 bytes: %s", ok(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, m, &length)));
	say("length %u", length);
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	length = sizeof m;
	say("CC_INFO: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_CC_INFO, m, &length)));
	say("length %u", length);
	close(fd);
	peer("close %d", h);
}

static const char *in_range(int fd)
{
	int port = port_of(fd);

	return port >= 40100 && port <= 40103 ? "of the range" : "another";
}

static void port_range(void)
{
	struct sockaddr_in a = address(PEER, peer("port %ld", peer("listen 0 5"))), any = address(TEST, 0);
	int fds[5], range = 40103 << 16 | 40100;

	say("a range the wrong way: %s", ok(setsockopt(tcp(), IPPROTO_IP, 51, &(int){ 40100 << 16 | 40103 }, sizeof(int))));
	for (int i = 0; i < 5; i++) {
		fds[i] = tcp();
		set_int(fds[i], IPPROTO_IP, 51, range);
		say("bind: %s", ok(bind(fds[i], SA(any), sizeof any)));
		if (i < 4)
			say("a port %s", in_range(fds[i]));
	}
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	fds[0] = tcp();
	set_int(fds[0], IPPROTO_IP, 51, range);
	say("connect: %s", ok(connect(fds[0], SA(a), sizeof a)));
	say("a port %s", in_range(fds[0]));
	close(fds[0]);
	fds[0] = udp();
	set_int(fds[0], IPPROTO_IP, 51, range);
	say("UDP connect: %s", ok(connect(fds[0], SA(a), sizeof a)));
	say("a port %s", in_range(fds[0]));
	close(fds[0]);
}

static void path_mtu(void)
{
	static const struct {
		int value;
		const char *name;
	} kinds[] = {
		{ IP_PMTUDISC_DONT, "DONT" }, { IP_PMTUDISC_WANT, "WANT" }, { IP_PMTUDISC_DO, "DO" },
		{ IP_PMTUDISC_PROBE, "PROBE" }, { 4, "INTERFACE" }, { 5, "OMIT" },
	};
	int h = peer("udp 0");
	struct sockaddr_in a = address(PEER, peer("port %d", h));
	static char big[4000];

	for (unsigned i = 0; i < COUNT(kinds); i++) {
		int fd = udp();

		set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, kinds[i].value);
		connect(fd, SA(a), sizeof a);
		say("%s: MTU %d", kinds[i].name, get_int(fd, IPPROTO_IP, IP_MTU));
		say("  1472 bytes: %s", result(send(fd, big, 1472, 0)));
		say("  the peer has %d", atoi(peer_says("from %d", h)));
		say("  4000 bytes: %s", result(send(fd, big, sizeof big, 0)));
		if (kinds[i].value < 2 || kinds[i].value == 5)
			say("  the peer has %d", atoi(peer_says("from %d", h)));
		close(fd);
	}
	peer("close %d", h);
}

/* How long the fragments were that a datagram came in. */
static void fragments(void)
{
	static const int sizes[] = { 100, 1472, 1473, 4000, 60000 };
	int fd = bound(udp(), TEST, 0), from = peer("udp 0");
	static char b[65536];
	char control[256];

	say("RECVFRAGSIZE: %s", ok(setsockopt(fd, IPPROTO_IP, IP_RECVFRAGSIZE, &(int){ 1 }, sizeof(int))));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct iovec part = { b, sizeof b };
		struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };

		peer("to %d %d %d", from, port_of(fd), sizes[i]);
		wait_for(fd, POLLIN);
		say("  %d bytes: %s", sizes[i], result(recvmsg(fd, &m, 0)));
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			say("    message %d %d of %zu: %d", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len, *(int *)CMSG_DATA(c));
	}
	close(fd);
	peer("close %d", from);
}

/* What has no effect is kept at least. */
static void kept(void)
{
	int fd = tcp(), fds[2] = { tcp(), udp() };

	for (int i = 0; i < 2; i++) {
		set_int(fds[i], SOL_SOCKET, SO_PRIORITY, 5);
		set_int(fds[i], SOL_SOCKET, SO_MARK, 77);
		set_int(fds[i], SOL_SOCKET, SO_MAX_PACING_RATE, 1000000);
		say("PRIORITY %d, MARK %d, PACING %d", get_int(fds[i], SOL_SOCKET, SO_PRIORITY),
		    get_int(fds[i], SOL_SOCKET, SO_MARK), get_int(fds[i], SOL_SOCKET, SO_MAX_PACING_RATE));
		close(fds[i]);
	}
	say("LOCK_FILTER: %s", ok(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){ 1 }, sizeof(int))));
	say("and off: %s", ok(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &(int){ 0 }, sizeof(int))));
	say("TRANSPARENT reads %d", get_int(fd, IPPROTO_IP, IP_TRANSPARENT));
	say("FREEBIND: %s", ok(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &(int){ 1 }, sizeof(int))));
	say("UNICAST_IF of no interface: %s", ok(setsockopt(fd, IPPROTO_IP, 50, &(int){ htonl(9999) }, sizeof(int))));
	close(fd);
}

int main(void)
{
	/* The kernel begins to stamp what arrives some time after the first socket asks for it: this is the first. */
	int first = udp();

	set_int(first, SOL_SOCKET, SO_TIMESTAMP, 1);
	low_water();
	receive_buffer();
	least_time_to_live();
	peek_offset();
	peek_offset_of_datagrams();
	for (int asked = 0; asked <= 2; asked++)
		saved_syn(asked);
	paced();
	time_of_arrival();
	times();
	last_arrival();
	memory();
	port_range();
	path_mtu();
	fragments();
	kept();
}
