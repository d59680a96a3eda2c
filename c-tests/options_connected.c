/* Options of a connection: what they read, TCP_INFO, and that the buffers really bound the queues. */
#include "check.h"

static void information(void)
{
	int h, fd = connected(&h), n = -1;
	struct tcp_info info = { 0 };
	socklen_t length = sizeof info;

	send_all(fd, 100000);
	peer("recv %d 100000", h);
	peer("send %d 100000", h);
	hash_all(fd, 100000);
	for (int i = 0; i < 100 && n; i++, nap(10))
		ioctl(fd, SIOCOUTQ, &n);
	say("TCP_INFO: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)));
	say("state %d, ca_state %d, options SACK %d, timestamps %d, window scale %d", info.tcpi_state, info.tcpi_ca_state,
	    !!(info.tcpi_options & TCPI_OPT_SACK), !!(info.tcpi_options & TCPI_OPT_TIMESTAMPS),
	    !!(info.tcpi_options & TCPI_OPT_WSCALE));
	say("snd_mss %u, rcv_mss at least 536: %d, pmtu %u", info.tcpi_snd_mss, info.tcpi_rcv_mss >= 536, info.tcpi_pmtu);
	say("unacked %u, lost %u, retransmits %d", info.tcpi_unacked, info.tcpi_lost, info.tcpi_retransmits);
	say("a round trip was measured: %d", info.tcpi_rtt > 0 && info.tcpi_rtt < 1000000);
	say("a congestion window: %d", info.tcpi_snd_cwnd >= 2);
	say("rto between 200 ms and 2 s: %d", info.tcpi_rto >= 200000 && info.tcpi_rto <= 2000000);
	length = 8;
	say("the first 8 bytes: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)));
	say("length %u, state %d", length, info.tcpi_state);
	say("MAXSEG %d", get_int(fd, IPPROTO_TCP, TCP_MAXSEG));
	say("IP_MTU %d", get_int(fd, IPPROTO_IP, IP_MTU));
	say("QUICKACK set: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){ 1 }, sizeof(int))));
	close(fd);
	peer("close %d", h);
}

/* Two segments fill no less than all of the peer's window. */
static void small_window(void)
{
	int h, fd = tcp(), listener = peer("listen 0 5");
	struct sockaddr_in a = address(PEER, peer("port %d", listener));

	peer("option %d %d %d %d", listener, SOL_SOCKET, SO_RCVBUF, 1000);
	if (connect(fd, SA(a), sizeof a))
		die("connect");
	h = peer("accept %d", listener);
	say("a small window, MAXSEG %d", get_int(fd, IPPROTO_TCP, TCP_MAXSEG));
	send_all(fd, 3000);
	say("the peer gets %s", peer_says("recv %d 3000", h));
	close(fd);
	peer("close %d", h);
	peer("close %d", listener);
}

static void small_buffers(void)
{
	int h, fd = tcp(), listener = peer("listen 0 5"), n;
	struct sockaddr_in a = address(PEER, peer("port %d", listener));
	static char big[65536];
	long total = 0, sent;

	set_int(fd, SOL_SOCKET, SO_RCVBUF, 8192);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, 8192);
	say("RCVBUF %d, SNDBUF %d", get_int(fd, SOL_SOCKET, SO_RCVBUF), get_int(fd, SOL_SOCKET, SO_SNDBUF));
	if (connect(fd, SA(a), sizeof a))
		die("connect");
	h = peer("accept %d", listener);
	peer("option %d %d %d 4096", h, SOL_SOCKET, SO_SNDBUF);
	peer("start send %d 1000000", h);
	nap(300);
	ioctl(fd, FIONREAD, &n);
	say("received at most the buffer: %d", n > 0 && n <= 16384);
	say("hash %016llx", (unsigned long long)hash_all(fd, 1000000));
	say("the peer has sent %s", peer_says("join %d", h));
	nonblocking(fd);
	peer("option %d %d %d 4096", h, SOL_SOCKET, SO_RCVBUF);
	for (int i = 0; i < 20; i++, nap(10))
		while ((sent = send(fd, big, sizeof big, 0)) > 0)
			total += sent;
	ioctl(fd, SIOCOUTQ, &n);
	say("queued little more than the buffer: %d", n > 0 && n <= 65536);
	peer("start recv %d %ld", h, total);
	long got = 0;
	sscanf(peer_says("join %d", h), "%ld", &got);
	say("and nothing is lost: %d", got == total);
	close(fd);
	peer("close %d", h);
}

static void low_water(void)
{
	int h, fd = connected(&h);
	struct pollfd p = { fd, POLLIN, 0 };
	char b[100];

	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 50);
	peer("send %d 49", h);
	say("49 of 50: %d", poll(&p, 1, 200));
	peer("send %d 1", h);
	say("50 of 50: %d", poll(&p, 1, 2000));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	close(fd);
	peer("close %d", h);
}

static void keep_alive(void)
{
	int h, fd = connected(&h);
	struct timeval limit = { 3, 0 };

	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	say("the peer is alive: %s", result(recv(fd, &(char){ 0 }, 1, 0)));
	say("state %d", tcp_state(fd));
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	information();
	small_window();
	small_buffers();
	low_water();
	keep_alive();
}
