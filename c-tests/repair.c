/* TCP_REPAIR and its kin: what they say in each state. */
#include "check.h"

/* linux/tcp.h */
#define NO_QUEUE 0
#define RECV_QUEUE 1
#define SEND_QUEUE 2

static const char *set(int fd, int name, int value)
{
	return ok(setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value));
}

static void say_get(const char *what, int fd, int name)
{
	int value = -77;
	socklen_t length = sizeof value;
	int given = getsockopt(fd, IPPROTO_TCP, name, &value, &length);

	say("  %s: %s, %d", what, ok(given), given ? 0 : value);
}

/* Values and lengths that are refused, in repair or not. */
static void refusals(int fd)
{
	static const int values[] = { 2, -2, 7 };
	struct tcp_repair_window window = { 0 };
	struct tcp_repair_opt option = { 2, 1000 };
	socklen_t length = sizeof window;

	getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &length);
	for (size_t i = 0; i < COUNT(values); i++)
		say("  REPAIR %d: %s", values[i], set(fd, TCP_REPAIR, values[i]));
	say("  REPAIR of 3 bytes: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &values[0], 3)));
	say("  REPAIR_QUEUE 3: %s", set(fd, TCP_REPAIR_QUEUE, 3));
	say("  REPAIR_QUEUE -1: %s", set(fd, TCP_REPAIR_QUEUE, -1));
	say("  QUEUE_SEQ of 2 bytes: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &values[0], 2)));
	for (int off = -4; off <= 4; off += 4)
		say("  REPAIR_WINDOW %+d: %s", off,
		    ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof window + off)));
	for (int off = -4; off <= 4; off += 4) {
		length = sizeof window + off;
		say("  get REPAIR_WINDOW %+d: %s, %d", off,
		    ok(getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, &length)), (int)length);
	}
	say("  REPAIR_OPTIONS of 4 bytes: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, &option, 4)));
	say("  REPAIR_OPTIONS of 8 bytes: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, &option, 8)));
	say_get("get REPAIR_OPTIONS", fd, TCP_REPAIR_OPTIONS);
}

static void say_queue(const char *what, int fd, int queue)
{
	char b[64];

	say("  %s: %s", what, set(fd, TCP_REPAIR_QUEUE, queue));
	say_get("  get REPAIR_QUEUE", fd, TCP_REPAIR_QUEUE);
	say("    peek: %s", result(recv(fd, b, sizeof b, MSG_PEEK | MSG_DONTWAIT)));
	say("    peek 2: %s", result(recv(fd, b, 2, MSG_PEEK | MSG_DONTWAIT)));
	say("    peek none: %s", result(recv(fd, b, 0, MSG_PEEK | MSG_DONTWAIT)));
	say("    recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	say("    read: %s", result(read(fd, b, sizeof b)));
	say("    recv OOB: %s", result(recv(fd, b, sizeof b, MSG_OOB | MSG_DONTWAIT)));
}

/* What does not change the socket. */
static void say_all(const char *what, int fd)
{
	uint32_t seq;
	socklen_t length = sizeof seq;

	say("%s", what);
	say_get("get REPAIR", fd, TCP_REPAIR);
	say_get("get REPAIR_QUEUE", fd, TCP_REPAIR_QUEUE);
	say("  REPAIR_QUEUE 1: %s", set(fd, TCP_REPAIR_QUEUE, RECV_QUEUE));
	say("  get QUEUE_SEQ: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &length)));
	say("  QUEUE_SEQ: %s", set(fd, TCP_QUEUE_SEQ, 5));
	say("  TIMESTAMP: %s", set(fd, TCP_TIMESTAMP, 5));
	say("  get TIMESTAMP: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &seq, &length)));
	refusals(fd);
	say("  REPAIR: %s", set(fd, TCP_REPAIR, 1));
	say_get("get REPAIR", fd, TCP_REPAIR);
	say("  REUSEADDR %d", get_int(fd, SOL_SOCKET, SO_REUSEADDR));
	say_queue("no queue", fd, NO_QUEUE);
	say("  get QUEUE_SEQ: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &length)));
	say("  QUEUE_SEQ: %s", set(fd, TCP_QUEUE_SEQ, 5));
	say_queue("to receive", fd, RECV_QUEUE);
	say("  get QUEUE_SEQ: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &length)));
	say_queue("to send", fd, SEND_QUEUE);
	say("  get QUEUE_SEQ: %s", ok(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &length)));
	refusals(fd);
	say("  again: %s", set(fd, TCP_REPAIR, 1));
	say_get("get REPAIR_QUEUE", fd, TCP_REPAIR_QUEUE);
}

static void end_repair(int fd, int how)
{
	say("  off, %d: %s", how, set(fd, TCP_REPAIR, how));
	say("  and again: %s", set(fd, TCP_REPAIR, how));
	say_get("get REPAIR", fd, TCP_REPAIR);
	say_get("get REPAIR_QUEUE", fd, TCP_REPAIR_QUEUE);
	say("  REUSEADDR %d", get_int(fd, SOL_SOCKET, SO_REUSEADDR));
}

/* Sequence numbers before there is a connection. */
static void numbered(int fd)
{
	static const int numbers[] = { 0, 1, 1000000, INT_MIN, -1 };

	for (int queue = RECV_QUEUE; queue <= SEND_QUEUE; queue++)
		for (size_t i = 0; i < COUNT(numbers); i++) {
			say("  REPAIR_QUEUE %d: %s", queue, set(fd, TCP_REPAIR_QUEUE, queue));
			say("  QUEUE_SEQ %d: %s", numbers[i], set(fd, TCP_QUEUE_SEQ, numbers[i]));
			say_get("get QUEUE_SEQ", fd, TCP_QUEUE_SEQ);
		}
	say("  REPAIR_QUEUE 1: %s", set(fd, TCP_REPAIR_QUEUE, RECV_QUEUE));
	say_get("the other's", fd, TCP_QUEUE_SEQ);
}

static void without_a_connection(void)
{
	int fd = tcp();

	say_all("fresh", fd);
	numbered(fd);
	say("  send: %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));
	end_repair(fd, 0);
	say("  QUEUE_SEQ: %s", set(fd, TCP_QUEUE_SEQ, 5));
	close(fd);

	fd = bound(tcp(), TEST, 0);
	say_all("bound", fd);
	numbered(fd);
	end_repair(fd, -1);
	close(fd);

	fd = listening(0, 5);
	say_all("listening", fd);
	end_repair(fd, 0);
	close(fd);

	fd = tcp();
	say("its queue stays: %s", set(fd, TCP_REPAIR, 1));
	say("  REPAIR_QUEUE 2: %s", set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE));
	say("  QUEUE_SEQ: %s", set(fd, TCP_QUEUE_SEQ, 77));
	say("  off: %s", set(fd, TCP_REPAIR, -1));
	say_get("get QUEUE_SEQ", fd, TCP_QUEUE_SEQ);
	say("  QUEUE_SEQ: %s", set(fd, TCP_QUEUE_SEQ, 78));
	say("  on: %s", set(fd, TCP_REPAIR, 1));
	say_get("get REPAIR_QUEUE", fd, TCP_REPAIR_QUEUE);
	say("  REPAIR_QUEUE 2: %s", set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE));
	say_get("get QUEUE_SEQ", fd, TCP_QUEUE_SEQ);
	close(fd);
}

static void of_a_connection(void)
{
	int h, fd = connected(&h);
	char b[64];

	nonblocking(fd);
	peer("send %d 10", h);
	wait_for(fd, POLLIN);
	say_all("connected", fd);
	say("  REPAIR_QUEUE 2: %s", set(fd, TCP_REPAIR_QUEUE, SEND_QUEUE));
	say("  QUEUE_SEQ: %s", set(fd, TCP_QUEUE_SEQ, 5));
	say("  REPAIR_QUEUE 0: %s", set(fd, TCP_REPAIR_QUEUE, NO_QUEUE));
	say("  send without a queue: %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));

	say("  poll %s", poll_flags(events_now(fd)));
	end_repair(fd, 0);
	say("  recv: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	send_all(fd, 100);
	say("  the peer has %s", peer_says("recv %d 100", h));
	say("  options of one that has sent: %s", set(fd, TCP_REPAIR, 1));
	say("  %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, &(struct tcp_repair_opt){ 2, 1000 }, 8)));
	end_repair(fd, -1);
	peer("close %d", h);
	wait_for(fd, POLLIN);
	say_all("its peer has closed", fd);
	close(fd);

	fd = nonblocking(connected(&h));
	peer("reset %d", h);
	wait_for(fd, POLLERR);
	say("  SO_ERROR %s", name_of(pending_error(fd)));
	say_all("reset", fd);
	numbered(fd);
	close(fd);
}

int main(void)
{
	int fd = udp();

	say("UDP: %s", ok(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &(int){ 1 }, sizeof(int))));
	close(fd);
	without_a_connection();
	of_a_connection();
}
