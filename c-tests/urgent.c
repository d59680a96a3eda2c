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
}
