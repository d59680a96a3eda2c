/* What befalls a later message of recvmmsg(2): the next call tells it. */
#include "check.h"

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
}
