/* What befalls a later message of recvmmsg(2): the next call tells it. */
#include "check.h"

#include <sys/mman.h>

static void *receives_two(void *fd)
{
	static char buffers[2][100];
	struct iovec vectors[] = { { buffers[0], 100 }, { buffers[1], 100 } };
	struct mmsghdr messages[2] = { 0 };

	for (int i = 0; i < 2; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	say("two, the second an error: %s", result(recvmmsg(*(int *)fd, messages, 2, 0, NULL)));
	return NULL;
}

static char b[2][4];

/* The second of two is received where there is nothing to receive it. */
static void without_memory(int fd)
{
	struct iovec vectors[] = { { b[0], 4 }, { bad_pointer, 4 } };
	struct mmsghdr messages[2] = { 0 };

	for (int i = 0; i < 2; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	wait_for(fd, POLLIN);
	say("two, the second without memory: %s", result(recvmmsg(fd, messages, 2, MSG_DONTWAIT, NULL)));
}

static void malformed(int fd, size_t vectors, int name_length)
{
	struct iovec vector = { b[0], 4 };
	struct mmsghdr messages[2] = { 0 };

	for (int i = 0; i < 2; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vector, .msg_iovlen = 1 };
	messages[1].msg_hdr = (struct msghdr){ .msg_name = b[1], .msg_namelen = name_length, .msg_iov = &vector, .msg_iovlen = vectors };
	wait_for(fd, POLLIN);
	say("two, the second malformed: %s", result(recvmmsg(fd, messages, 2, MSG_DONTWAIT, NULL)));
}

/* The array ends in memory the program does not have. */
static void behind_the_edge(int fd)
{
	long page = sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec vector = { b[0], 4 };
	struct mmsghdr *last = (struct mmsghdr *)(at + page) - 1;

	if (at == MAP_FAILED || mprotect(at + page, page, PROT_NONE))
		die("mmap");
	*last = (struct mmsghdr){ .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };
	wait_for(fd, POLLIN);
	say("both messages themselves nowhere: %s", result(recvmmsg(fd, last + 1, 2, MSG_DONTWAIT, NULL)));
	say("likewise sent: %s", result(sendmmsg(fd, last + 1, 2, MSG_DONTWAIT)));
	say("the second alone, sent: %s", result(sendmmsg(fd, last, 2, MSG_DONTWAIT)));
	say("received: %s", result(recvmmsg(fd, last, 2, MSG_DONTWAIT, NULL)));
	munmap(at, 2 * page);
}

static void look(int fd)
{
	for (int i = 0; i < 2; i++)
		say("recv: %s", result(recv(fd, b[0], 4, MSG_DONTWAIT)));
}

/* `arrive` has two messages' worth there. */
static void faults(const char *what, int fd, int h, void (*arrive)(int fd, int h))
{
	say("%s", what);
	arrive(fd, h);
	without_memory(fd);
	look(fd);
	while (recv(fd, b[0], 4, MSG_DONTWAIT) > 0)
		;
	arrive(fd, h);
	without_memory(fd);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	while (recv(fd, b[0], 4, MSG_DONTWAIT) > 0)
		;
	arrive(fd, h);
	without_memory(fd);
	say("send: %s", result(send(fd, "abcd", 4, MSG_DONTWAIT)));
	say("send: %s", result(send(fd, "abcd", 4, MSG_DONTWAIT)));
	while (recv(fd, b[0], 4, MSG_DONTWAIT) > 0)
		;
	arrive(fd, h);
	malformed(fd, 1, -1);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	while (recv(fd, b[0], 4, MSG_DONTWAIT) > 0)
		;
	arrive(fd, h);
	malformed(fd, 5000, 0);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	while (recv(fd, b[0], 4, MSG_DONTWAIT) > 0)
		;
	arrive(fd, h);
	behind_the_edge(fd);
	say("SO_ERROR: %s", name_of(pending_error(fd)));
	close(fd);
	peer("close %d", h);
}

static void unread(int fd, int count)
{
	for (int i = 0, n = 0; i < 200 && n < count; i++, nap(5))
		ioctl(fd, FIONREAD, &n);
}

static void datagrams(int fd, int h)
{
	for (int i = 0; i < 2; i++)
		peer("to %d %d 4", h, port_of(fd));
	unread(fd, 4);
	nap(20);
}

static void bytes(int fd, int h)
{
	peer("send %d 8", h);
	unread(fd, 8);
}

static void by_faults(void)
{
	int h = peer("udp 0"), fd = bound(udp(), TEST, 0);
	struct sockaddr_in to = address(PEER, peer("port %d", h));

	if (connect(fd, SA(to), sizeof to))
		die("connect");
	faults("datagrams", fd, h, datagrams);
	fd = connected(&h);
	faults("a connection", fd, h, bytes);
}

int main(void)
{
	int h = peer("udp 0"), fd = bound(udp(), TEST, 0);
	struct sockaddr_in to = address(PEER, peer("port %d", h));
	pthread_t thread;

	if (connect(fd, SA(to), sizeof to))
		die("connect");
	for (int i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, receives_two, &fd);
		h = i ? peer("udp %d", ntohs(to.sin_port)) : h;
		peer("to %d %d 4", h, port_of(fd));
		for (int unread = 1; unread;) {
			nap(5);
			ioctl(fd, FIONREAD, &unread);
		}
		peer("close %d", h);
		if (send(fd, "x", 1, 0) != 1)
			die("send");
		pthread_join(thread, NULL);
		say("poll: %s", poll_flags(events_now(fd)));
		if (i)
			say("SO_ERROR: %s", name_of(pending_error(fd)));
		else
			say("the next: %s", result(recv(fd, &h, 1, MSG_DONTWAIT)));
		say("and then: %s", result(recv(fd, &h, 1, MSG_DONTWAIT)));
	}
	by_faults();
}
