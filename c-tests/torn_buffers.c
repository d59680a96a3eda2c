/* Buffers that are longer than the memory behind them, and lengths that no memory has: how much is moved, what is
 * refused, and what becomes of the datagram. */
#include "check.h"

#include <sys/mman.h>

/* Memory that ends at a page nobody may touch. */
static char *edge(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || mprotect(at + page, page, PROT_NONE))
		die("mmap");
	memset(at, 'e', page);
	return at + page;
}

static int unread(int fd)
{
	int n = -1;

	ioctl(fd, FIONREAD, &n);
	return n;
}

static void arrive(int fd, int h, int count)
{
	peer("send %d %d", h, count);
	for (int i = 0; i < 200 && unread(fd) < count; i++)
		nap(5);
}

/* Not on the stack: near its end there is not so much room up to the end of all memory. */
static volatile size_t all = (size_t)-1;
static char b[100];

static void streams(char *end)
{
	int h, fd = connected(&h);

	arrive(fd, h, 10);
	say("recv, room behind the edge: %s", result(recv(fd, end - 10, 4000, 0)));
	arrive(fd, h, 10);
	say("read, likewise: %s", result(read(fd, end - 10, 1 << 20)));
	arrive(fd, h, 10);
	say("recv of all there is: %s", result(recv(fd, b, all, MSG_DONTWAIT)));
	arrive(fd, h, 10);
	say("read of all there is: %s", result(read(fd, b, all)));
	say("read of half of it: %s", result(read(fd, b, all >> 1)));
	say("left: %d", unread(fd));
	say("write of all there is: %s", result(write(fd, b, all)));
	close(fd);
	peer("close %d", h);
}

/* More is to be moved than there is memory for: nothing is, or what comes before in large pieces. */
static void torn_streams(char *end)
{
	const size_t large = 1 << 20, pieces = 64 * 1024;
	char *at = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int h, fd = connected(&h);
	struct iovec parts[] = { { b, 3 }, { end - 10, 20 }, { b, 3 } }, good[] = { { b, 3 }, { bad_pointer, 20 } };

	if (at == MAP_FAILED || munmap(at + large / 2, large / 2))
		die("mmap");
	say("send over the edge: %s", result(send(fd, end - 10, 11, 0)));
	say("write of more: %s", result(write(fd, end - 4096, 8192)));
	say("writev over the edge: %s", result(writev(fd, parts, 3)));
	say("writev, the second part nowhere: %s", result(writev(fd, good, 2)));
	say("send, MSG_OOB: %s", result(send(fd, end - 1, 2, MSG_OOB)));
	say("send of two pieces: %s", result(send(fd, at + large / 2 - pieces, pieces + 10, 0)));
	shutdown(fd, SHUT_WR);
	say("the peer gets %s", peer_says("drain %d", h));
	arrive(fd, h, 100);
	say("recv into 10: %s", result(recv(fd, end - 10, 4000, 0)));
	say("recv into 99, looking: %s", result(recv(fd, end - 99, 4000, MSG_PEEK)));
	say("recv into 99, all: %s", result(recv(fd, end - 99, 4000, MSG_WAITALL)));
	say("readv into 13: %s", result(readv(fd, parts, 3)));
	say("readv, the second part nowhere: %s", result(readv(fd, good, 2)));
	say("left: %d", unread(fd));
	say("recv into 100: %s", result(recv(fd, end - 100, 4000, 0)));
	arrive(fd, h, 3);
	say("readv, the first part is enough: %s", result(readv(fd, good, 2)));
	say("left: %d", unread(fd));
	say("recv of nothing: %s", result(recv(fd, end - 10, 4000, MSG_DONTWAIT)));
	munmap(at, large / 2);
	close(fd);
	peer("close %d", h);
}

static void datagrams(char *end)
{
	int h = peer("udp 0"), fd = bound(udp(), TEST, 0), port = port_of(fd);
	struct sockaddr_in to = address(PEER, peer("port %d", h)), nowhere = address(PEER, 0);
	struct iovec parts[] = { { end - 5, 5 }, { bad_pointer, 5 } };

	for (int i = 0; i < 5; i++)
		peer("to %d %d 20", h, port);
	wait_for(fd, POLLIN);
	nap(50);
	say("recv, room behind the edge: %s", result(recv(fd, end - 20, 4000, MSG_DONTWAIT)));
	say("recv, too little in front of it: %s", result(recv(fd, end - 10, 4000, MSG_DONTWAIT)));
	say("recv into nowhere: %s", result(recv(fd, bad_pointer, 4000, MSG_DONTWAIT)));
	say("readv, the second part nowhere: %s", result(readv(fd, parts, 2)));
	say("recv of the last: %s", result(recv(fd, b, all, MSG_DONTWAIT)));
	say("there were five: %s", result(recv(fd, b, sizeof b, MSG_DONTWAIT)));
	say("send beyond the edge: %s", result(sendto(fd, end - 10, 20, 0, SA(to), sizeof to)));
	say("send too much, from nowhere: %s", result(sendto(fd, bad_pointer, 70000, 0, SA(to), sizeof to)));
	say("send of all there is: %s", result(sendto(fd, b, all, 0, SA(to), sizeof to)));
	say("send to port 0, from nowhere: %s", result(sendto(fd, bad_pointer, 1, 0, SA(nowhere), sizeof nowhere)));
	close(fd);
	peer("close %d", h);
}

static void names(void)
{
	int k, h = peer("udp 0"), fd = bound(udp(), TEST, 0), stream = connected(&k);
	struct sockaddr_in to = address(PEER, peer("port %d", h));
	char room[200] = "";
	struct iovec part = { b, 1 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_name = room };

	memcpy(room, &to, sizeof to);
	for (int length = -1; length <= 200; length += 67) {
		m.msg_namelen = length;
		say("sendmsg, a name of %d: %s", length, result(sendmsg(fd, &m, 0)));
		say("on a connection: %s", result(sendmsg(stream, &m, 0)));
	}
	m.msg_name = NULL;
	m.msg_namelen = -1;
	say("sendmsg, no name of -1: %s", result(sendmsg(stream, &m, 0)));
	m.msg_control = bad_pointer;
	m.msg_controllen = all;
	say("sendmsg, control without end: %s", result(sendmsg(stream, &m, 0)));
	m = (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1, .msg_name = room, .msg_namelen = -1 };
	peer("to %d %d 1", h, port_of(fd));
	arrive(stream, k, 1);
	wait_for(fd, POLLIN);
	say("recvmsg, room for a name of -1: %s", result(recvmsg(fd, &m, MSG_DONTWAIT)));
	say("on a connection: %s", result(recvmsg(stream, &m, MSG_DONTWAIT)));
	say("nothing is lost: %d", unread(fd) + unread(stream));
	close(fd);
	close(stream);
}

static void many(void)
{
	int h, fd = connected(&h);
	char each[5][10];
	struct iovec parts[5];
	struct mmsghdr messages[5] = { 0 };
	struct timespec hour = { 3600, 0 };
	const int compat = INT_MIN; /* MSG_CMSG_COMPAT */

	for (int i = 0; i < 5; i++) {
		parts[i] = (struct iovec){ each[i], sizeof each[i] };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	arrive(fd, h, 25);
	say("recvmmsg, WAITFORONE: %s", result(recvmmsg(fd, messages, 5, MSG_WAITFORONE, NULL)));
	say("the last of them: %u", messages[2].msg_len);
	say("recvmsg with a flag of the kernel's own: %s", result(recvmsg(fd, &messages[0].msg_hdr, compat | MSG_DONTWAIT)));
	say("sendmsg: %s", result(sendmsg(fd, &messages[0].msg_hdr, compat)));
	say("recvmmsg: %s", result(recvmmsg(fd, messages, 5, compat | MSG_DONTWAIT, NULL)));
	say("sendmmsg: %s", result(sendmmsg(fd, messages, 5, compat)));
	say("send: %s", result(send(fd, b, 1, compat)));
	say("recvmmsg, a time from nowhere: %s", result(recvmmsg(fd, messages, 5, MSG_DONTWAIT, bad_pointer)));
	arrive(fd, h, 10);
	say("recvmmsg, an hour at most: %s", result(recvmmsg(fd, messages, 1, 0, &hour)));
	say("some of it is gone: %d", hour.tv_sec == 3599);
	close(fd);
	peer("close %d", h);
}

static void files(void)
{
	int h, fd = connected(&h), directory = open("/", O_RDONLY), file = open("/proc/self/exe", O_RDONLY);

	say("sendfile of a directory: %s", result(sendfile(fd, directory, NULL, 10)));
	say("sendfile of all there is: %s", result(sendfile(fd, file, NULL, all)));
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	char *end = edge();

	streams(end);
	torn_streams(end);
	datagrams(end);
	names();
	many();
	files();
}
