/* A connection is taken apart and put together again (TCP_REPAIR), as CRIU and those do who hand connections to another
 * machine: its peer sees nothing of it, and no byte is lost. */
#include "check.h"

/* linux/tcp.h */
#define NO_QUEUE 0
#define RECV_QUEUE 1
#define SEND_QUEUE 2
#define OPTION_MSS 2
#define OPTION_SCALE 3
#define OPTION_SACK 4
#define OPTION_TIMESTAMPS 8
#define MOST (4 << 20)

struct parts {
	struct sockaddr_in here, there;
	uint32_t seq[3], timestamp;
	int bytes[3], unsent, mss, reads[3];
	unsigned char *data[3];
	struct tcp_repair_window window;
	struct tcp_info info;
};

static int set(int fd, int name, int value)
{
	return setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value);
}

static uint32_t get(int fd, int name)
{
	uint32_t value = 0;
	socklen_t length = sizeof value;

	if (getsockopt(fd, IPPROTO_TCP, name, &value, &length))
		die("getsockopt");
	return value;
}

static void take_queue(struct parts *p, int fd, int queue)
{
	set(fd, TCP_REPAIR_QUEUE, queue);
	p->seq[queue] = get(fd, TCP_QUEUE_SEQ);
	if (ioctl(fd, queue == RECV_QUEUE ? SIOCINQ : SIOCOUTQ, &p->bytes[queue]))
		die("ioctl");
	p->data[queue] = malloc(MOST);
	p->reads[queue] = recv(fd, p->data[queue], MOST, MSG_PEEK | MSG_DONTWAIT);
}

static void take_apart(struct parts *p, int fd)
{
	socklen_t length = sizeof p->here;

	say("  repair: %s", ok(set(fd, TCP_REPAIR, 1)));
	getsockname(fd, SA(p->here), &length);
	say("  peer: %s", ok(getpeername(fd, SA(p->there), &length)));
	length = sizeof p->info;
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &p->info, &length);
	p->mss = get_int(fd, IPPROTO_TCP, TCP_MAXSEG);
	take_queue(p, fd, RECV_QUEUE);
	take_queue(p, fd, SEND_QUEUE);
	say("  all that was received can be read: %d", p->bytes[RECV_QUEUE] > 0 ? p->reads[RECV_QUEUE] == p->bytes[RECV_QUEUE] :
	    p->reads[RECV_QUEUE] == -1);
	say("  and all that is to be acknowledged: %d", p->reads[SEND_QUEUE] == p->bytes[SEND_QUEUE]);
	length = sizeof p->window;
	say("  window: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &p->window, &length)));
	say("  which is of this connection: %d %d", p->seq[RECV_QUEUE] - p->window.rcv_wup < 1 << 20,
	    p->window.max_window >= p->window.snd_wnd);
	p->timestamp = get(fd, TCP_TIMESTAMP);
	say("  close: %s", ok(close(fd)));
}

static void begin_queue(const struct parts *p, int fd, int queue)
{
	set(fd, TCP_REPAIR_QUEUE, queue);
	say("  its place: %s", ok(set(fd, TCP_QUEUE_SEQ, p->seq[queue] - p->bytes[queue])));
}

static void fill_queue(const struct parts *p, int fd, int queue)
{
	int done = 0;

	set(fd, TCP_REPAIR_QUEUE, queue);
	while (done < p->bytes[queue]) {
		ssize_t n = send(fd, p->data[queue] + done, p->bytes[queue] - done, MSG_DONTWAIT);

		if (n <= 0)
			die("send under repair");
		done += n;
	}
	say("  filled: %d", get(fd, TCP_QUEUE_SEQ) == p->seq[queue]);
}

static int put_together(struct parts *p, int end)
{
	int fd = tcp(), count = 1;
	struct tcp_repair_opt options[4] = { { OPTION_MSS, p->mss } };

	set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, MOST);
	set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, MOST);
	say("  repair: %s", ok(set(fd, TCP_REPAIR, 1)));
	begin_queue(p, fd, RECV_QUEUE);
	begin_queue(p, fd, SEND_QUEUE);
	say("  bind: %s", ok(bind(fd, SA(p->here), sizeof p->here)));
	say("  connect: %s", ok(connect(fd, SA(p->there), sizeof p->there)));
	say("  state %d, poll %s", tcp_state(fd), poll_flags(events_now(fd)));
	if (p->info.tcpi_options & TCPI_OPT_SACK)
		options[count++].opt_code = OPTION_SACK;
	if (p->info.tcpi_options & TCPI_OPT_WSCALE)
		options[count++] = (struct tcp_repair_opt){ OPTION_SCALE, p->info.tcpi_snd_wscale | p->info.tcpi_rcv_wscale << 16 };
	if (p->info.tcpi_options & TCPI_OPT_TIMESTAMPS)
		options[count++].opt_code = OPTION_TIMESTAMPS;
	say("  %d options: %s", count, ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, count * sizeof *options)));
	say("  timestamp: %s", ok(set(fd, TCP_TIMESTAMP, p->timestamp)));
	say("  which goes on: %d", get(fd, TCP_TIMESTAMP) - p->timestamp < 10000);
	fill_queue(p, fd, RECV_QUEUE);
	fill_queue(p, fd, SEND_QUEUE);
	set(fd, TCP_REPAIR_QUEUE, NO_QUEUE);
	say("  window: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &p->window, sizeof p->window)));
	say("  segment size as before: %d", get_int(fd, IPPROTO_TCP, TCP_MAXSEG) == p->mss);
	say("  done: %s", ok(set(fd, TCP_REPAIR, end)));
	free(p->data[RECV_QUEUE]);
	free(p->data[SEND_QUEUE]);
	return fd;
}

/* What was agreed on, and says whether the peer knows it, too. */
static void say_options(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof info;

	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	say("  options %#x, scales %d %d, state %d", info.tcpi_options & 7, info.tcpi_snd_wscale, info.tcpi_rcv_wscale > 0,
	    info.tcpi_state);
}

static int moved(int fd, int end)
{
	struct parts p = { 0 };

	take_apart(&p, fd);
	say("  in its queues %d and %s", p.bytes[RECV_QUEUE], p.bytes[SEND_QUEUE] > 0 ? "some" : "none");
	return put_together(&p, end);
}

/* So many bytes from the peer, which are those of its stream from `offset` on. */
static void say_received(int fd, int count, int offset)
{
	unsigned char got[4096], expected[4096];
	int done = 0;

	while (done < count) {
		ssize_t n = recv(fd, got + done, count - done, 0);

		if (n <= 0)
			break;
		done += n;
	}
	fill(expected, count, offset);
	say("  received %d, right: %d", done, memcmp(got, expected, count) == 0);
}

/* Until the peer has acknowledged all. */
static void quiet(int fd)
{
	int left = 1;

	for (int i = 0; i < 300 && left; i++) {
		nap(10);
		ioctl(fd, SIOCOUTQ, &left);
	}
}

/* Both ways, before and after, several times. */
static void with_empty_queues(const char *what, int fd, int h)
{
	say("%s", what);
	say_options(fd);
	peer("send %d 100", h);
	say_received(fd, 100, 0);
	for (int i = 1; i <= 3; i++) {
		fd = moved(fd, i == 2 ? -1 : 0);
		say_options(fd);
		peer("send %d 100", h);
		say_received(fd, 100, 100 * i);
		say("  sent: %s", result(send(fd, "0123456789", 10, 0)));
		say("  the peer has %s", peer_says("recv %d 10", h));
		quiet(fd);
	}
	say("  shutdown: %s", ok(shutdown(fd, SHUT_WR)));
	say("  the peer sees %s", peer_says("ending %d", h));
	peer("close %d", h);
	say("  poll %s", poll_flags(wait_for(fd, POLLIN | POLLHUP)));
	close(fd);
}

/* Bytes that wait in either direction go along. */
static void with_full_queues(void)
{
	int h, fd = connected(&h), sent = 0;
	unsigned char b[5000];
	char said[64];
	ssize_t n;

	say("full queues");
	nonblocking(fd);
	peer("send %d 3000", h);
	wait_for(fd, POLLIN);
	nap(50);
	do {
		fill(b, sizeof b, sent);
		n = send(fd, b, sizeof b, 0);
		sent += n > 0 ? n : 0;
		if (n != sizeof b && sent < 3 << 20) {
			nap(50);
			fill(b, sizeof b, sent);
			n = send(fd, b, sizeof b, 0);
			sent += n > 0 ? n : 0;
		}
	} while (n == sizeof b && sent < 3 << 20);
	fd = moved(fd, 0);
	say_received(fd, 3000, 0);
	sprintf(said, "start recv %d %d", h, sent + 1000);
	peer("%s", said);
	fill(b, 1000, sent);
	wait_for(fd, POLLOUT);
	say("  and more: %s", result(send(fd, b, 1000, 0)));
	{
		int got = 0;
		unsigned long long hash = 0;
		unsigned char *all = malloc(sent + 1000);

		sscanf(peer_says("join %d", h), "%d %llx", &got, &hash);
		fill(all, sent + 1000, 0);
		say("  the peer has all: %d", got == sent + 1000);
		say("  and nothing else: %d", hash == fnv(FNV_START, all, sent + 1000));
		free(all);
	}
	peer("send %d 500", h);
	say("  poll %s", poll_flags(wait_for(fd, POLLIN)));
	nap(50);
	fcntl(fd, F_SETFL, 0);
	say_received(fd, 500, 3000);
	close(fd);
	say("  the peer sees %s", peer_says("ending %d", h));
	peer("close %d", h);
}

/* Under repair a connection ends without a word. */
static void silent_ends(void)
{
	struct sockaddr_in none = { .sin_family = AF_UNSPEC };
	int h, fd = connected(&h);

	say("silent ends");
	say("  repair: %s", ok(set(fd, TCP_REPAIR, 1)));
	say("  close: %s", ok(close(fd)));
	nap(100);
	say("  the peer is in state %ld", peer("state %d", h));
	peer("reset %d", h);
	fd = connected(&h);
	peer("send %d 100", h);
	wait_for(fd, POLLIN);
	say("  repair: %s", ok(set(fd, TCP_REPAIR, 1)));
	say("  close, with something unread: %s", ok(close(fd)));
	nap(100);
	say("  the peer is in state %ld", peer("state %d", h));
	peer("reset %d", h);
	fd = connected(&h);
	say("  repair: %s", ok(set(fd, TCP_REPAIR, 1)));
	say("  given up: %s", ok(connect(fd, SA(none), sizeof none)));
	say("  SO_ERROR %s", name_of(pending_error(fd)));
	nap(100);
	say("  the peer is in state %ld", peer("state %d", h));
	close(fd);
	peer("reset %d", h);
}

/* The port of a connection that a listener has made is the listener's, too. */
static void of_a_listener(void)
{
	int listener = listening(0, 5), h = peer("connect %d", port_of(listener)), fd = accept(listener, NULL, NULL), other;

	with_empty_queues("accepted", fd, h);
	h = peer("connect %d", port_of(listener));
	fd = accept(listener, NULL, NULL);
	other = peer("connect %d", port_of(listener));
	fd = moved(fd, 0);
	say("  the listener goes on: %d", accept(listener, NULL, NULL) >= 0);
	close(listener);
	peer("send %d 100", h);
	say_received(fd, 100, 0);
	peer("close %d", h);
	peer("close %d", other);
	close(fd);
}

/* What the handshake has not agreed on is not used. */
static void bare(void)
{
	int h, fd = connected(&h);
	struct parts p = { 0 };

	say("without options");
	take_apart(&p, fd);
	p.info.tcpi_options = 0;
	fd = put_together(&p, -1);
	say_options(fd);
	close(fd);
	peer("reset %d", h);
}

static void wrong_options(void)
{
	static const struct tcp_repair_opt options[] = { { 3, 15 }, { 3, 15 << 16 }, { 4, 1 }, { 8, 1 }, { 77, 1 }, { 3, 7 << 16 | 14 } };
	int h, fd = connected(&h);
	struct parts p = { 0 };
	struct tcp_repair_window window;

	say("wrong ones");
	take_apart(&p, fd);
	fd = tcp();
	set(fd, TCP_REPAIR, 1);
	begin_queue(&p, fd, RECV_QUEUE);
	begin_queue(&p, fd, SEND_QUEUE);
	say("  bind: %s", ok(bind(fd, SA(p.here), sizeof p.here)));
	nonblocking(fd);
	say("  connect: %s", ok(connect(fd, SA(p.there), sizeof p.there)));
	say("  connect again: %s", ok(connect(fd, SA(p.there), sizeof p.there)));
	for (size_t i = 0; i < COUNT(options); i++)
		say("  option %u %#x: %s", options[i].opt_code, options[i].opt_val,
		    ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, &options[i], sizeof options[i])));
	say("  one and a half: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, 12)));
	say("  a bad address: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, bad_pointer, 8)));
	window = p.window;
	window.max_window = window.snd_wnd - 1;
	say("  window 1: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window)));
	window = p.window;
	window.snd_wl1 = p.seq[RECV_QUEUE] + window.rcv_wnd + 1;
	say("  window 2: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window)));
	window = p.window;
	window.rcv_wup = p.seq[RECV_QUEUE] + 1;
	say("  window 3: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window)));
	say("  the right one: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &p.window, sizeof p.window)));
	close(fd);
	free(p.data[RECV_QUEUE]);
	free(p.data[SEND_QUEUE]);
	peer("reset %d", h);
}

/* What the kernel serves it is told of. */
static void within_the_host(void)
{
	int listener = tcp(), fd = tcp(), other;
	struct sockaddr_in a = address("127.0.0.1", 0);
	socklen_t length = sizeof a;
	char b[64];

	say("within the host");
	say("  bind: %s", ok(bind(listener, SA(a), sizeof a)));
	say("  listen: %s", ok(listen(listener, 5)));
	getsockname(listener, SA(a), &length);
	say("  connect: %s", ok(connect(fd, SA(a), sizeof a)));
	other = accept(listener, NULL, NULL);
	say("  send: %s", result(send(other, "abc", 3, 0)));
	wait_for(fd, POLLIN);
	quiet(fd);
	fd = moved(fd, 0);
	say("  send: %s", result(send(other, "defg", 4, 0)));
	nap(50);
	say("  recv: %s", result(recv(fd, b, sizeof b, 0)));
	say("  right: %d", !memcmp(b, "abcdefg", 7));
	say("  send: %s", result(send(fd, "hijkl", 5, 0)));
	say("  recv: %s", result(recv(other, b, sizeof b, 0)));
	close(fd);
	close(other);
	close(listener);
}

int main(void)
{
	int h, fd = tcp();

	if (set(fd, TCP_REPAIR, 1)) {
		say("no right: %s", name_of(errno));
		return 0;
	}
	close(fd);
	fd = connected(&h);
	with_empty_queues("connected", fd, h);
	with_full_queues();
	silent_ends();
	of_a_listener();
	bare();
	wrong_options();
	within_the_host();
}
