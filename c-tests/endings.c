/* Programs that leave their connections behind by quick_exit(3) and daemon(3). */
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

int main(void)
{
	in_child("quick_exit", ends_quickly);
	in_child("daemon", goes_into_the_background);
}
