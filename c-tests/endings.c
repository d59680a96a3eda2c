/* Programs that leave their connections behind by quick_exit(3) and daemon(3), and servers that are killed. */
#include "check.h"

static int kept;

static void last_words(void)
{
	send(kept, "last words", 10, 0);
}

static void ends_quickly(int port)
{
	kept = dialed(port);
	at_quick_exit(last_words);
	send(kept, "words", 5, 0);
	quick_exit(7);
}

/* What it has open before it serves on in the background. */
static void goes_into_the_background(int port)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	int was = getpid(), known;

	kept = dialed(port);
	if (daemon(0, 0))
		die("daemon");
	known = getpid() != was && getsid(0) != was && !getpeername(kept, SA(a), &length);
	send(kept, known ? "known" : "lost!", 5, 0);
	send(kept, read(0, &known, 1) == 0 ? "null" : "what", 4, 0);
	_exit(0);
}

static void in_child(const char *what, void (*work)(int))
{
	int listener = peer("listen 0 5"), port = peer("port %d", listener), status, h;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		work(port);
	h = peer("accept %d", listener);
	waitpid(child, &status, 0);
	say("%s: exited with %d", what, WEXITSTATUS(status));
	say("%s: the peer hears %s", what, peer_says("drain %d", h));
	peer("close %d", listener);
}

static char byte_from(int end)
{
	char b;

	if (read(end, &b, 1) != 1)
		die("read");
	return b;
}

/* Who else has the server's sockets when it is killed. */
enum others { NOBODY, WORKER, KILLED_WORKER };

/* Has accepted the first of three callers, and is killed. A worker that lives ends with what it is told at `go`. */
static void serves_one(enum others others, int to, int go)
{
	int listener = listening(0, 8), port = port_of(listener);
	pid_t worker;

	if (write(to, &port, sizeof port) != sizeof port)
		die("write");
	wait_for(listener, POLLIN);
	accept(listener, NULL, NULL);
	byte_from(go);
	wait_for(listener, POLLIN);
	await_keeper();
	if (others != NOBODY && (worker = fork()) == 0) {
		byte_from(go);
		_exit(0);
	}
	if (others == KILLED_WORKER)
		kill(worker, SIGKILL);
	kill(getpid(), SIGKILL);
}

static void killed(const char *what, enum others others)
{
	int from[2], go[2], port, callers[3];
	pid_t server;

	if (pipe(from) || pipe(go))
		die("pipe");
	fflush(stdout);
	server = fork();
	if (server == 0)
		serves_one(others, from[1], go[0]);
	if (read(from[0], &port, sizeof port) != sizeof port)
		die("read");
	for (size_t i = 0; i < COUNT(callers); i++)
		callers[i] = peer("connect %d", port);
	if (write(go[1], "c", 1) != 1)
		die("write");
	waitpid(server, NULL, 0);
	if (others == WORKER && write(go[1], "e", 1) != 1)
		die("write");
	for (size_t i = 0; i < COUNT(callers); i++) {
		say("%s: caller %zu hears %s", what, i, peer_says("ending %d", callers[i]));
		peer("close %d", callers[i]);
	}
	for (int i = 0; i < 2; i++) {
		close(from[i]);
		close(go[i]);
	}
}

int main(void)
{
	in_child("quick_exit", ends_quickly);
	in_child("daemon", goes_into_the_background);
	killed("a server is killed", NOBODY);
	killed("a server is killed, then its worker ends", WORKER);
	killed("a server is killed with its worker", KILLED_WORKER);
}
