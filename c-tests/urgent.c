/* Urgent data: MSG_OOB, SO_OOBINLINE, SIOCATMARK, POLLPRI. */
#include "check.h"

static char b[100];

static void marked(int in_line)
{
	int h, fd = connected(&h), n = -1;

	set_int(fd, SOL_SOCKET, SO_OOBINLINE, in_line);
	peer("send %d 3", h);
	peer("urgent %d", h);
	peer("send %d 2", h);
	wait_for(fd, POLLPRI);
	nap(50);
	say("poll %s", poll_flags(events_now(fd)));
	ioctl(fd, FIONREAD, &n);
	say("FIONREAD %d", n);
	ioctl(fd, SIOCATMARK, &n);
	say("at the mark: %d", n);
	say("recv: %s", result(recv(fd, b, 100, 0)));
	ioctl(fd, SIOCATMARK, &n);
	say("at the mark: %d", n);
	b[0] = 0;
	say("MSG_OOB: %s", result(recv(fd, b, 100, MSG_OOB)));
	say("the byte: %d", b[0]);
	say("MSG_OOB again: %s", result(recv(fd, b, 100, MSG_OOB)));
	say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("poll %s", poll_flags(events_now(fd)));
	close(fd);
	peer("close %d", h);
}

/* splice(2) ends at the mark, and does not pass it. */
static void spliced(int in_line)
{
	int h, fd = connected(&h), ends[2];

	if (pipe(ends) < 0)
		die("pipe");
	set_int(fd, SOL_SOCKET, SO_OOBINLINE, in_line);
	peer("send %d 3", h);
	peer("urgent %d", h);
	peer("send %d 2", h);
	wait_for(fd, POLLPRI);
	nap(50);
	for (int i = 0; i < 3; i++)
		say("splice: %s", result(splice(fd, NULL, ends[1], NULL, 100, 0)));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	peer("send %d 2", h);
	say("splice: %s", result(splice(fd, NULL, ends[1], NULL, 100, 0)));
	close(ends[0]);
	close(ends[1]);
	close(fd);
	peer("close %d", h);
}

/* Who has shut the connection down for reading can receive it by itself. */
static void when_shut(void)
{
	int h, fd = connected(&h), n = -1;

	shutdown(fd, SHUT_RD);
	say("shut, none: %s", result(recv(fd, b, 100, MSG_OOB)));
	peer("send %d 3", h);
	peer("urgent %d", h);
	peer("send %d 2", h);
	wait_for(fd, POLLPRI);
	nap(50);
	ioctl(fd, FIONREAD, &n);
	say("shut: FIONREAD %d", n);
	say("a look: %s", result(recv(fd, b, 100, MSG_OOB | MSG_PEEK)));
	say("MSG_OOB: %s", result(recv(fd, b, 100, MSG_OOB)));
	say("poll %s", poll_flags(events_now(fd)));
	say("MSG_OOB again: %s", result(recv(fd, b, 100, MSG_OOB)));
	for (int i = 0; i < 3; i++)
		say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	close(fd);
	peer("close %d", h);
}

/* One that is answered by a reset is told of, and nobody gets it. */
static void lost(void)
{
	int h, fd = connected(&h), n = -1;

	shutdown(fd, SHUT_RDWR);
	wait_state(fd, TCP_FIN_WAIT2);
	peer("urgent %d", h);
	wait_state(fd, TCP_CLOSE);
	say("lost: poll %s", poll_flags(events_now(fd)));
	say("MSG_OOB: %s", result(recv(fd, b, 100, MSG_OOB)));
	ioctl(fd, SIOCATMARK, &n);
	say("at the mark: %d", n);
	for (int i = 0; i < 2; i++)
		say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	say("poll %s", poll_flags(events_now(fd)));
	close(fd);
	peer("close %d", h);
}

/* A look at the mark of a connection that was reset does not pass it; who reads does. */
static void at_the_end(void)
{
	int h, fd = connected(&h);

	peer("send %d 3", h);
	peer("urgent %d", h);
	wait_for(fd, POLLPRI);
	peer("reset %d", h);
	wait_state(fd, TCP_CLOSE);
	say("reset: recv: %s", result(recv(fd, b, 100, 0)));
	for (int i = 0; i < 2; i++)
		say("a look: %s", result(recv(fd, b, 100, MSG_PEEK)));
	say("poll %s", poll_flags(events_now(fd)));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	say("poll %s", poll_flags(events_now(fd)));
	close(fd);
}

/* One urgent byte after the other, before anybody has accepted the connection. */
static void overtaken(int in_line)
{
	int port = 4711, listener = listening(port, 8), h, fd;

	set_int(listener, SOL_SOCKET, SO_OOBINLINE, in_line);
	h = peer("dial %d", port);
	wait_for(listener, POLLIN);
	for (int i = 0; i < 3; i++)
		peer("urgent %d", h);
	peer("send %d 2", h);
	nap(50);
	fd = accept(listener, NULL, NULL);
	say("overtaken: poll %s", poll_flags(events_now(fd)));
	for (int i = 0; i < 4; i++)
		say("recv: %s", result(recv(fd, b, 100, MSG_DONTWAIT)));
	close(fd);
	close(listener);
	peer("close %d", h);
}

int main(void)
{
	int h, fd = connected(&h);

	say("none: %s", result(recv(fd, b, 100, MSG_OOB | MSG_DONTWAIT)));
	say("send: %s", result(send(fd, "abc!", 4, MSG_OOB)));
	say("the peer hears, without the last: %s", peer_says("recv %d 3", h));
	peer("option %d %d %d 1", h, SOL_SOCKET, SO_OOBINLINE);
	say("send: %s", result(send(fd, "def!", 4, MSG_OOB)));
	say("the peer hears, in line: %s", peer_says("recv %d 4", h));
	close(fd);
	peer("close %d", h);
	marked(0);
	marked(1);
	spliced(0);
	spliced(1);
	when_shut();
	lost();
	at_the_end();
	overtaken(0);
	overtaken(1);
}
