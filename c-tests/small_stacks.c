/* Threads with little stack, as some servers give theirs: a call on the kernel takes none. */
#include "check.h"

#define STACK (132 * 1024 + 32 * 1024) /* what check.c has for each thread, and this one's own */

static void *works(void *unused)
{
	char byte;
	int h, fd = connected(&h);

	(void)unused;
	peer("send %d 3", h);
	say("poll: %s", poll_flags(wait_for(fd, POLLIN)));
	say("recv, MSG_PEEK: %s", result(recv(fd, &byte, 1, MSG_PEEK)));
	say("recv, MSG_TRUNC: %s", result(recv(fd, NULL, 1, MSG_TRUNC)));
	say("recv: %s", result(recv(fd, &byte, 1, 0)));
	say("read: %s", result(read(fd, &byte, 1)));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	peer_says("recv %d 5", h);
	peer("close %d", h);
	say("recv: %s", result(recv(fd, &byte, 1, 0)));
	close(fd);
	fd = listening(0, 1);
	peer("connect %d", port_of(fd));
	close(accept(fd, NULL, NULL));
	close(fd);
	return NULL;
}

int main(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	close(tcp()); /* The first one takes more. */
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	if (pthread_create(&thread, &attributes, works, NULL))
		die("pthread_create");
	pthread_join(thread, NULL);
	return 0;
}
