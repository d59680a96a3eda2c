/* TCP_QUICKACK, read: whether ACKs are sent at once just now, or wait for what the program answers. */
#include "check.h"

static int quick(int fd)
{
	return get_int(fd, IPPROTO_TCP, TCP_QUICKACK);
}

static void set(int fd, int value)
{
	set_int(fd, IPPROTO_TCP, TCP_QUICKACK, value);
}

static void hear(int fd, int h)
{
	peer("send %d 1", h);
	if (recv(fd, &(char){ 0 }, 1, 0) != 1)
		die("recv");
}

static void speak(int fd, int h)
{
	if (send(fd, "x", 1, 0) != 1)
		die("send");
	peer("recv %d 1", h);
}

/* The program answers what came, by which its ACK goes. */
static void answer(int fd, int h)
{
	hear(fd, h);
	speak(fd, h);
}

static void without_connection(void)
{
	static const int values[] = { 0, 1, 2, -2, 0 };
	int fd = tcp();

	say("fresh: %d", quick(fd));
	for (size_t i = 0; i < COUNT(values); i++) {
		set(fd, values[i]);
		say("set to %d: %d", values[i], quick(fd));
	}
	bound(fd, "0.0.0.0", 0);
	say("bound: %d", quick(fd));
	listen(fd, 5);
	say("listening: %d", quick(fd));
	close(fd);
}

static void conversation(const char *which, int fd, int h)
{
	say("%s: %d", which, quick(fd));
	speak(fd, h);
	say("has spoken: %d", quick(fd));
	hear(fd, h);
	say("was answered: %d", quick(fd));
	speak(fd, h);
	say("has answered: %d", quick(fd));
	nap(600);
	say("later: %d", quick(fd));
	hear(fd, h);
	nap(250);
	say("has not answered: %d", quick(fd));
	speak(fd, h);
	say("late: %d", quick(fd));
	answer(fd, h);
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	say("another option: %d", quick(fd));
	set(fd, 1);
	say("set to 1: %d", quick(fd));
	hear(fd, h);
	say("was answered: %d", quick(fd));
	speak(fd, h);
	say("has answered: %d", quick(fd));
	set(fd, 2);
	say("set to 2, nothing to acknowledge: %d", quick(fd));
	set(fd, 0);
	hear(fd, h);
	set(fd, 2);
	say("set to 2, something to acknowledge: %d", quick(fd));
	nap(250);
	say("later: %d", quick(fd));
	set(fd, 0);
	hear(fd, h);
	nap(250);
	say("set to 0, has not answered: %d", quick(fd));
	close(fd);
	peer("close %d", h);
}

static void elsewhere(void)
{
	int h, fd = connected(&h);

	speak(fd, h);
	answer(fd, h);
	if (!fork()) {
		say("to a child: %d", quick(fd));
		set(fd, 1);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	say("it has set it to 1: %d", quick(fd));
	answer(fd, h);
	shutdown(fd, SHUT_WR);
	say("shut down: %d", quick(fd));
	peer("reset %d", h);
	say("reset: %s", name_of(wait_for(fd, POLLERR) & POLLERR ? pending_error(fd) : 0));
	say("then: %d", quick(fd));
	close(fd);
}

static void before_the_connection(int value)
{
	int listener = peer("listen 0 5"), fd = tcp();
	struct sockaddr_in a = address(PEER, peer("port %d", listener)), nobody = address(PEER, 1);

	set(fd, value);
	say("refused: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	say("then: %d", quick(fd));
	set(fd, value);
	say("connected: %s", ok(connect(fd, SA(a), sizeof a)));
	say("then: %d", quick(fd));
	set(fd, value);
	connect(fd, &(struct sockaddr){ AF_UNSPEC }, sizeof(struct sockaddr));
	say("disconnected: %d", quick(fd));
	close(fd);
	peer("close %d", listener);
}

static void of_a_listener(void)
{
	int fd, listener = listening(0, 5), h;

	set(listener, 0);
	h = peer("dial %d", port_of(listener));
	fd = accept(listener, NULL, NULL);
	say("accepted where it was set to 0: %d", quick(fd));
	close(fd);
	close(listener);
	peer("close %d", h);
}

int main(void)
{
	int h, fd;

	without_connection();
	fd = connected(&h);
	conversation("connected", fd, h);
	fd = accepted(&h);
	conversation("accepted", fd, h);
	elsewhere();
	before_the_connection(0);
	before_the_connection(1);
	of_a_listener();
	return 0;
}
