/* A socket that two processes have connects, or listens, anew: after an attempt that has failed, a connection that was given
 * up, a shutdown of the listener. It is the same socket in both, whichever of them did it. */
#include "check.h"

static char b[64];
static struct sockaddr_in to;          /* where somebody listens */
static int fd, asks[2], answers[2];
static pid_t child;

/* The child has it, too, and does what it is asked. */
static void have_both(void)
{
	void (*work)(void);

	if (pipe(asks) || pipe(answers))
		die("pipe");
	fflush(stdout);
	child = fork();
	if (child) {
		close(asks[0]);
		close(answers[1]);
		return;
	}
	close(asks[1]);
	while (read(asks[0], &work, sizeof work) == sizeof work) {
		work();
		fflush(stdout);
		if (write(answers[1], b, 1) != 1)
			die("write");
	}
	_exit(0);
}

enum { HERE, THERE };
static const char *const places[] = { "here", "there" };

static void at(int place, void (*work)(void))
{
	printf("  %s: ", places[place]);
	fflush(stdout);
	if (place == HERE)
		work();
	else if (write(asks[1], &work, sizeof work) != sizeof work || read(answers[0], b, 1) != 1)
		die("the child");
}

static void end(void)
{
	int status;

	close(asks[1]);
	close(answers[0]);
	if (waitpid(child, &status, 0) != child || status)
		die("the child");
}

static void fails(void)
{
	struct sockaddr_in nobody = address(PEER, 81);

	say("connect: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
}

static void connects(void) { say("connect: %s", ok(connect(fd, SA(to), sizeof to))); }

static void gives_up(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	say("AF_UNSPEC: %s", ok(connect(fd, &none, sizeof none)));
}

static void looks(void)
{
	struct sockaddr_in a = { 0 };
	socklen_t length = sizeof a;
	int known = !getpeername(fd, SA(a), &length);

	say("peer %s, poll %s, state %d", known ? inet_ntoa(a.sin_addr) : name_of(errno), poll_flags(events_now(fd)), tcp_state(fd));
}

static void asks_error(void) { say("SO_ERROR: %s", name_of(pending_error(fd))); }
static void sends(void) { say("send: %s", result(send(fd, b, 3, MSG_NOSIGNAL))); }
static void receives(void) { say("recv: %s", result(recv(fd, b, 5, MSG_WAITALL))); }
static void closes(void) { say("close: %s", ok(close(fd))); }

/* What is sent from here and from there arrives, and what comes can be received at the other place. */
static void works(int place, int h)
{
	at(HERE, looks);
	at(THERE, looks);
	at(place, sends);
	say("  the peer: %s", peer_says("recv %d 3", h));
	at(!place, sends);
	say("  the peer: %s", peer_says("recv %d 3", h));
	peer("send %d 5", h);
	at(!place, receives);
}

static void connected_anew(int failing, int connecting)
{
	int listener = peer("listen 0 5"), h;

	say("failed %s, connected %s", places[failing], places[connecting]);
	to = address(PEER, peer("port %d", listener));
	fd = bound(tcp(), TEST, 0);
	have_both();
	at(failing, fails);
	at(!failing, looks);
	at(connecting, connects);
	h = peer("accept %d", listener);
	works(connecting, h);
	at(!connecting, gives_up);
	at(connecting, asks_error);
	at(!connecting, asks_error);
	at(connecting, looks);
	at(!connecting, looks);
	peer("close %d", h);
	at(!connecting, connects);
	h = peer("accept %d", listener);
	works(connecting, h);
	at(HERE, closes);
	at(THERE, sends);
	say("  the peer: %s", peer_says("recv %d 3", h));
	end();
	say("  the peer: %s", peer_says("drain %d", h));
	peer("close %d", h);
	peer("close %d", listener);
}

static void listens(void) { say("listen: %s", ok(listen(fd, 5))); }
static void shuts(void) { say("shutdown: %s", ok(shutdown(fd, SHUT_RDWR))); }

static void accepts(void)
{
	int connection = accept(fd, NULL, NULL);

	say("accept: %s", connection < 0 ? name_of(errno) : "ok");
	close(connection);
}

static void listening_anew(int shutting, int listening)
{
	say("shut %s, listening %s", places[shutting], places[listening]);
	fd = nonblocking(bound(tcp(), TEST, 0));
	if (listen(fd, 5))
		die("listen");
	have_both();
	at(shutting, shuts);
	at(!shutting, accepts);
	at(HERE, looks);
	at(THERE, looks);
	at(listening, listens);
	at(!listening, accepts);
	peer("connect %d", port_of(fd));
	wait_for(fd, POLLIN);
	at(THERE, looks);
	at(!listening, accepts);
	end();
	close(fd);
}

int main(void)
{
	for (int first = HERE; first <= THERE; first++)
		for (int second = HERE; second <= THERE; second++)
			connected_anew(first, second);
	for (int first = HERE; first <= THERE; first++)
		for (int second = HERE; second <= THERE; second++)
			listening_anew(first, second);
	return 0;
}
