/* TCP_INFO (tcp(7), linux/tcp.h): exact where the traffic decides it, within bounds where time does. */
#include "check.h"

/* The structure as of Linux 6.7: the C library's ends with tcpi_total_retrans. */
struct information {
	uint8_t tcpi_state, tcpi_ca_state, tcpi_retransmits, tcpi_probes, tcpi_backoff, tcpi_options, scales, flags;
	uint32_t tcpi_rto, tcpi_ato, tcpi_snd_mss, tcpi_rcv_mss, tcpi_unacked, tcpi_sacked, tcpi_lost, tcpi_retrans,
		tcpi_fackets, tcpi_last_data_sent, tcpi_last_ack_sent, tcpi_last_data_recv, tcpi_last_ack_recv, tcpi_pmtu,
		tcpi_rcv_ssthresh, tcpi_rtt, tcpi_rttvar, tcpi_snd_ssthresh, tcpi_snd_cwnd, tcpi_advmss, tcpi_reordering,
		tcpi_rcv_rtt, tcpi_rcv_space, tcpi_total_retrans;
	unsigned long long tcpi_pacing_rate, tcpi_max_pacing_rate, tcpi_bytes_acked, tcpi_bytes_received;
	uint32_t tcpi_segs_out, tcpi_segs_in, tcpi_notsent_bytes, tcpi_min_rtt, tcpi_data_segs_in, tcpi_data_segs_out;
	unsigned long long tcpi_delivery_rate, tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited;
	uint32_t tcpi_delivered, tcpi_delivered_ce;
	unsigned long long tcpi_bytes_sent, tcpi_bytes_retrans;
	uint32_t tcpi_dsack_dups, tcpi_reord_seen, tcpi_rcv_ooopack, tcpi_snd_wnd, tcpi_rcv_wnd, tcpi_rehash;
	uint16_t tcpi_total_rto, tcpi_total_rto_recoveries;
	uint32_t tcpi_total_rto_time;
};

static struct information info_of(int fd)
{
	struct information info;
	socklen_t length = sizeof info;

	memset(&info, 0, sizeof info);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		die("TCP_INFO");
	return info;
}

static void quiet(int fd)
{
	for (int i = 0, n = -1; i < 300 && n; i++, nap(10))
		ioctl(fd, SIOCOUTQ, &n);
}

/* What a connection begins with, before there is one. */
static void say_beginnings(const struct information *i)
{
	say("rto %u, rttvar %u, snd_mss %u, ssthresh %u, flags %#x", i->tcpi_rto, i->tcpi_rttvar, i->tcpi_snd_mss,
	    i->tcpi_snd_ssthresh, i->flags);
	say("min_rtt %u, pacing %d, most %d", i->tcpi_min_rtt, i->tcpi_pacing_rate == UINT64_MAX,
	    i->tcpi_max_pacing_rate == UINT64_MAX);
	say("ato %u, rcv_mss %u, advmss %u, pmtu %u, rcv_space %u, rcv_wnd %u", i->tcpi_ato, i->tcpi_rcv_mss,
	    i->tcpi_advmss, i->tcpi_pmtu, i->tcpi_rcv_space, i->tcpi_rcv_wnd);
}

static void idle(void)
{
	int fd = tcp();
	struct information i = info_of(fd);

	say("fresh: state %d, cwnd %u, reordering %u", i.tcpi_state, i.tcpi_snd_cwnd, i.tcpi_reordering);
	say("sent %llu, acked %llu, received %llu", i.tcpi_bytes_sent, i.tcpi_bytes_acked, i.tcpi_bytes_received);
	say_beginnings(&i);
	close(fd);
	fd = listening(0, 7);
	i = info_of(fd);
	say("listening: pacing %d, most %d", i.tcpi_pacing_rate == UINT64_MAX, i.tcpi_max_pacing_rate == UINT64_MAX);
	say("listening: state %d, queue %u of %u, cwnd %u, reordering %u", i.tcpi_state, i.tcpi_unacked, i.tcpi_sacked,
	    i.tcpi_snd_cwnd, i.tcpi_reordering);
	int h = peer("connect %d", port_of(fd)), other = peer("connect %d", port_of(fd));

	wait_for(fd, POLLIN);
	nap(50);
	i = info_of(fd);
	say("two wait: queue %u of %u", i.tcpi_unacked, i.tcpi_sacked);
	peer("close %d", h);
	peer("close %d", other);
	close(fd);
}

static void say_counts(int fd)
{
	struct information i = info_of(fd);

	say("  sent %llu, again %llu, acked %llu, received %llu", i.tcpi_bytes_sent, i.tcpi_bytes_retrans,
	    i.tcpi_bytes_acked, i.tcpi_bytes_received);
	say("  data segments out %u, in %u; lost %u, retransmitted %u of %u, sacked %u, unacked %u", i.tcpi_data_segs_out,
	    i.tcpi_data_segs_in, i.tcpi_lost, i.tcpi_retrans, i.tcpi_total_retrans, i.tcpi_sacked, i.tcpi_unacked);
	say("  delivered %u, unsent %u, duplicates %u, out of order %u", i.tcpi_delivered, i.tcpi_notsent_bytes,
	    i.tcpi_dsack_dups, i.tcpi_rcv_ooopack);
}

static void counts(const char *what, int fd, int h)
{
	say("%s", what);
	say_counts(fd);
	for (int i = 0; i < 3; i++) {
		send_all(fd, 100);
		peer("recv %d 100", h);
		peer("send %d 10", h);
		hash_all(fd, 10);
	}
	quiet(fd);
	say("three questions and answers");
	say_counts(fd);
	struct information i = info_of(fd);

	say("  snd_mss %u, advmss %u, pmtu %u, retransmits %d, probes %d, backoff %d", i.tcpi_snd_mss, i.tcpi_advmss,
	    i.tcpi_pmtu, i.tcpi_retransmits, i.tcpi_probes, i.tcpi_backoff);
	say("  segments out %d, in %d", i.tcpi_segs_out >= 3 && i.tcpi_segs_out <= 20, i.tcpi_segs_in >= 3 && i.tcpi_segs_in <= 20);
	say("  ca_state %d, reordering %u, ato %u", i.tcpi_ca_state, i.tcpi_reordering, i.tcpi_ato);
	say("  cwnd 10 or little more: %d, ssthresh %u", i.tcpi_snd_cwnd >= 10 && i.tcpi_snd_cwnd < 20, i.tcpi_snd_ssthresh);
	say("  rtt %d, var %d, min %d", i.tcpi_rtt > 0 && i.tcpi_rtt < 500000, i.tcpi_rttvar > 0 && i.tcpi_rttvar < 500000,
	    i.tcpi_min_rtt > 0 && i.tcpi_min_rtt <= i.tcpi_rtt + i.tcpi_rttvar * 4);
	say("  rto %d, pacing %d, most %d", i.tcpi_rto >= 200000 && i.tcpi_rto < 2000000, i.tcpi_pacing_rate > 0,
	    i.tcpi_max_pacing_rate == UINT64_MAX);
	say("  windows: theirs %d, ours %d, space %d", i.tcpi_snd_wnd > 10000, i.tcpi_rcv_wnd > 10000,
	    i.tcpi_rcv_space > 10000);
	say("  just now: sent %d, received %d, acknowledged %d", i.tcpi_last_data_sent < 3000, i.tcpi_last_data_recv < 3000,
	    i.tcpi_last_ack_recv < 3000);
	say("  busy %d, not limited by the window %d, by the buffer %d", i.tcpi_busy_time < 10000000,
	    i.tcpi_rwnd_limited == 0, i.tcpi_sndbuf_limited == 0);
	nap(300);
	i = info_of(fd);
	say("  300 ms later: sent %d, received %d", i.tcpi_last_data_sent >= 250, i.tcpi_last_data_recv >= 250);
}

static void small(void)
{
	int h, fd = connected(&h);

	counts("opened by us", fd, h);
	shutdown(fd, SHUT_WR);
	nap(100);
	say("after our FIN");
	say_counts(fd);
	peer("close %d", h);
	nap(100);
	say("after theirs");
	say_counts(fd);
	close(fd);
	fd = accepted(&h);
	counts("opened by the peer", fd, h);
	close(fd);
	peer("close %d", h);
}

static void bulk(void)
{
	int h, fd = connected(&h);

	peer("start recv %d 3000000", h);
	send_all(fd, 3000000);
	peer_says("join %d", h);
	quiet(fd);
	struct information i = info_of(fd);

	say("3 MB: sent %llu, acked %llu", i.tcpi_bytes_sent - i.tcpi_bytes_retrans, i.tcpi_bytes_acked);
	say("  segments %d", i.tcpi_data_segs_out - i.tcpi_total_retrans >= 3000000 / 1448 &&
	    i.tcpi_data_segs_out - i.tcpi_total_retrans <= 3000000 / 1448 + 300);
	say("  delivered %d", i.tcpi_delivered >= 3000000 / 1448 && i.tcpi_delivered <= i.tcpi_data_segs_out + 1);
	say("  at a rate: %d", i.tcpi_delivery_rate > 100000);
	peer("start send %d 3000000", h);
	hash_all(fd, 3000000);
	peer_says("join %d", h);
	i = info_of(fd);
	say("  received %llu, segments %d", i.tcpi_bytes_received, i.tcpi_data_segs_in >= 3000000 / 1448 &&
	    i.tcpi_data_segs_in <= 3000000 / 1448 + 3000);
	say("  round trip seen from here: %d", i.tcpi_rcv_rtt > 0 && i.tcpi_rcv_rtt < 3000000);
	close(fd);
	peer("close %d", h);
}

static void shut_window(void)
{
	int listener = peer("listen 0 5"), fd, h;
	static char data[65536];

	peer("option %d %d %d 4096", listener, SOL_SOCKET, SO_RCVBUF);
	fd = nonblocking(dialed(peer("port %d", listener)));
	h = peer("accept %d", listener);
	for (int i = 0; i < 30; i++, nap(10))
		while (send(fd, data, sizeof data, 0) > 0)
			;
	struct information i = info_of(fd);

	say("unread: unsent %d, limited by the window %d", i.tcpi_notsent_bytes > 0, i.tcpi_rwnd_limited > 0);
	say("  which is a part: %d", i.tcpi_rwnd_limited <= i.tcpi_busy_time);
	peer("reset %d", h);
	close(fd);
}

/* A process that is stopped, as one that gets no processor, finds what was acknowledged meanwhile before its timers. */
static void stopped(void)
{
	int stops[2], h, fd;
	uint32_t again = 0;
	pid_t self = getpid(), helper;
	char b = 0;

	if (pipe(stops))
		die("pipe");
	fflush(stdout);
	helper = fork();
	if (helper == 0) {
		struct pollfd next = { stops[0], POLLIN, 0 };

		close(stops[1]);
		while (read(stops[0], &b, 1) == 1) {
			nap(400);
			do
				kill(self, SIGCONT);
			while (poll(&next, 1, 50) == 0);
		}
		_exit(0);
	}
	close(stops[0]);
	fd = connected(&h);
	for (int i = 0; i < 5; i++) {
		send(fd, "x", 1, 0);
		if (write(stops[1], &b, 1) != 1)
			die("write");
		kill(self, SIGSTOP);
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, i % 2);
		again += info_of(fd).tcpi_total_retrans;
	}
	say("stopped after each byte: sent again %u", again);
	close(stops[1]);
	waitpid(helper, NULL, 0);
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	idle();
	small();
	bulk();
	shut_window();
	stopped();
}
