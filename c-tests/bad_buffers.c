/* Buffers that the program does not have, and lengths that no buffer has, in each state: what is told first. */
#include "check.h"

static char good[16];

static const size_t lengths[] = { 10, INT_MAX, (size_t)INT_MAX + 1, 0x7ffff000, 0x7ffff001, SSIZE_MAX, (size_t)SSIZE_MAX + 1, SIZE_MAX };

static void receive(int fd, size_t length)
{
	struct iovec v[2] = { { good, sizeof good }, { bad_pointer, length } };
	struct msghdr message = { .msg_iov = v + 1, .msg_iovlen = 1 }, both = { .msg_iov = v, .msg_iovlen = 2 };

	say("  recv: %s", result(recv(fd, bad_pointer, length, 0)));
	say("  recv PEEK: %s", result(recv(fd, bad_pointer, length, MSG_PEEK)));
	say("  recv WAITALL: %s", result(recv(fd, bad_pointer, length, MSG_WAITALL)));
	say("  recv OOB: %s", result(recv(fd, bad_pointer, length, MSG_OOB)));
	say("  read: %s", result(read(fd, bad_pointer, length)));
	say("  readv: %s", result(readv(fd, v + 1, 1)));
	say("  readv, behind a good one: %s", result(readv(fd, v, 2)));
	say("  recvmsg: %s", result(recvmsg(fd, &message, 0)));
	say("  recvmsg, behind a good one: %s", result(recvmsg(fd, &both, 0)));
}

static void deliver(int fd, size_t length)
{
	struct iovec v = { bad_pointer, length };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1 };

	signals_seen = 0;
	say("  send: %s", result(send(fd, bad_pointer, length, 0)));
	say("  send OOB: %s", result(send(fd, bad_pointer, length, MSG_OOB | MSG_NOSIGNAL)));
	say("  write: %s", result(write(fd, bad_pointer, length)));
	say("  writev: %s", result(writev(fd, &v, 1)));
	say("  sendmsg: %s", result(sendmsg(fd, &message, 0)));
	say("  signals: %d", (int)signals_seen);
}

static void try(const char *state, int fd)
{
	nonblocking(fd);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		say("%s, %zx bytes", state, lengths[i]);
		receive(fd, lengths[i]);
		deliver(fd, lengths[i]);
		say("  SO_ERROR: %s", name_of(pending_error(fd)));
		say("  poll: %s", poll_flags(events_now(fd)));
	}
	close(fd);
}

static void connections(void)
{
	int h, fd;

	try("connected", connected(&h));
	fd = connected(&h);
	peer("send %d 100", h);
	wait_for(fd, POLLIN);
	try("with data", fd);
	fd = connected(&h);
	peer("shutdown %d 1", h);
	wait_for(fd, POLLIN);
	try("at the end", fd);
	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLIN);
	try("reset", fd);
	fd = connected(&h);
	shutdown(fd, SHUT_WR);
	try("shut for writing", fd);
	fd = connected(&h);
	shutdown(fd, SHUT_RD);
	try("shut for reading", fd);
	fd = connected(&h);
	peer("urgent %d", h);
	wait_for(fd, POLLPRI);
	nonblocking(fd);
	say("urgent: %s", result(recv(fd, bad_pointer, 1, MSG_OOB)));
	say("once more: %s", result(recv(fd, good, 1, MSG_OOB)));
	close(fd);
}

/* What could not be peeked at is peeked at once more. */
static void onward(int fd)
{
	set_int(fd, SOL_SOCKET, SO_PEEK_OFF, 1);
	for (int i = 0; i < 2; i++) {
		say("peeked at: %s", result(recv(fd, bad_pointer, 1, MSG_PEEK)));
		say("received: %s", result(recv(fd, bad_pointer, 1, 0)));
		say("SO_PEEK_OFF: %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
		say("peeked at: %s", result(recv(fd, good, 2, MSG_PEEK)));
		say("SO_PEEK_OFF: %d", get_int(fd, SOL_SOCKET, SO_PEEK_OFF));
	}
	close(fd);
}

static void peeking_onward(void)
{
	int h, fd = connected(&h);

	peer("send %d 10", h);
	wait_for(fd, POLLIN);
	onward(fd);
	peer("close %d", h);
	h = peer("udp 0");
	fd = bound(udp(), TEST, 0);
	for (int i = 0; i < 3; i++)
		peer("to %d %d 10", h, port_of(fd));
	wait_for(fd, POLLIN);
	nap(20);
	onward(fd);
	peer("close %d", h);
}

static void error_queue(void)
{
	struct sockaddr_in nobody = address(PEER, 81);
	int fd = nonblocking(udp());

	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	sendto(fd, good, sizeof good, 0, SA(nobody), sizeof nobody);
	say("an entry: %s", poll_flags(wait_for(fd, POLLPRI)));
	say("taken: %s", result(recv(fd, bad_pointer, 10, MSG_ERRQUEUE)));
	say("once more: %s", result(recv(fd, good, 10, MSG_ERRQUEUE)));
	close(fd);
}

int main(void)
{
	struct sockaddr_in to;
	int fd;

	count_signal(SIGPIPE, 0);
	try("fresh", tcp());
	try("listening", listening(0, 5));
	connections();
	try("fresh datagrams", udp());
	try("bound datagrams", bound(udp(), TEST, 0));
	fd = udp();
	to = address(PEER, peer("port %ld", peer("udp 0")));
	if (connect(fd, SA(to), sizeof to))
		die("connect");
	try("connected datagrams", fd);
	error_queue();
	peeking_onward();
}
