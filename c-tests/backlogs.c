/* listen(2)'s backlog: one more than it complete, the next waits for room; a crowd; disconnecting. */
#include "check.h"

static void room(void)
{
	int listener = listening(5000, 2), fd, h[3];
	struct tcp_info info;
	socklen_t length = sizeof info;

	for (int i = 0; i < 3; i++)
		h[i] = peer("connect 5000");
	nap(50);
	getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length);
	say("waiting %u of %u", info.tcpi_unacked, info.tcpi_sacked);
	for (int i = 0; i < 3; i++) {
		fd = accept(listener, NULL, NULL);
		say("accept: %s", ok(fd));
		close(fd);
		peer("close %d", h[i]);
	}
	say("none waits: %s", ok(accept4(nonblocking(listener), NULL, NULL, 0)));
	close(listener);
}

static void crowd(void)
{
	int listener = listening(5001, 512), count = 0, failed = 0;
	static int h[300], fds[300];

	for (int i = 0; i < 300; i++)
		h[i] = peer("connect 5001");
	nonblocking(listener);
	for (int i = 0; i < 300; i++) {
		wait_for(listener, POLLIN);
		fds[i] = accept(listener, NULL, NULL);
		count += fds[i] >= 0;
	}
	say("accepted %d of 300", count);
	for (int i = 0; i < 300; i++)
		failed += fds[i] < 0 || send(fds[i], &i, sizeof i, MSG_NOSIGNAL) != sizeof i;
	for (int i = 0; i < 300; i++)
		failed += peer("recv %d 4", h[i]) != 4;
	say("failed %d", failed);
	for (int i = 0; i < 300; i++) {
		close(fds[i]);
		peer("close %d", h[i]);
	}
	close(listener);
}

static void disconnecting(void)
{
	int h, fd = connected(&h), listener = peer("listen 7000 5");
	struct sockaddr_in nobody = { .sin_family = AF_UNSPEC }, again = address(PEER, 7000);

	say("connect to AF_UNSPEC: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	say("state %d", tcp_state(fd));
	say("the peer hears: %s", peer_says("drain %d", h));
	peer("close %d", h);
	say("connect again: %s", ok(connect(fd, SA(again), sizeof again)));
	h = peer("accept %d", listener);
	send_all(fd, 100);
	say("the peer hears: %s", peer_says("recv %d 100", h));
	close(fd);
	fd = listening(5002, 5);
	say("a listener to AF_UNSPEC: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	say("state %d", tcp_state(fd));
	close(fd);
	fd = tcp();
	say("a fresh one to AF_UNSPEC: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	close(fd);
}

int main(void)
{
	room();
	crowd();
	disconnecting();
}
