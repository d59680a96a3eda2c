/* Programs that end, or become others, with threads in socket calls and data on its way. */
#include "check.h"

static void *receives(void *fd)
{
	char b[10];
	ssize_t count = recv(*(int *)fd, b, sizeof b, 0);

	/* Nothing came, so only the end of the process ends the call. */
	dprintf(2, "recv gave %zd, %s", count, strerror(errno));
	return NULL;
}

static void *polls(void *fd)
{
	struct pollfd p = { *(int *)fd, POLLIN, 0 };
	int count = poll(&p, 1, -1);

	dprintf(2, "poll gave %d, %s", count, strerror(errno));
	return NULL;
}

static void leave_threads(int port, int *fds)
{
	static char data[100000];
	pthread_t thread;
	int i;

	for (i = 0; i < 3; i++)
		fds[i] = dialed(port);
	pthread_create(&thread, NULL, receives, &fds[0]);
	pthread_create(&thread, NULL, polls, &fds[1]);
	nap(50);
	/* The peer takes its time to receive it. */
	send(fds[2], data, sizeof data, 0);
}

/* How the child of that name ended, and what it said on standard error. */
static void ended(const char *what, int from, pid_t child)
{
	char said[500] = "";
	int status;
	ssize_t count = read(from, said, sizeof said - 1);

	waitpid(child, &status, 0);
	say("%s: exited with %d, said %d bytes: %s", what, WEXITSTATUS(status), (int)count, said);
}

static void in_child(const char *what, int executes)
{
	int listener = peer("listen 0 5"), port = peer("port %d", listener), out[2], fds[3], i, h = 0;
	pid_t child;

	if (pipe(out))
		die("pipe");
	fflush(stdout);
	child = fork();
	if (child == 0) {
		dup2(out[1], 2);
		close(out[0]);
		close(out[1]);
		leave_threads(port, fds);
		if (executes)
			execl("/bin/true", "true", NULL);
		exit(3);
	}
	close(out[1]);
	ended(what, out[0], child);
	close(out[0]);
	for (i = 0; i < 3; i++)
		h = peer("accept %d", listener);
	say("%s: the peer hears %s", what, peer_says("drain %d", h));
	peer("close %d", listener);
}

int main(void)
{
	in_child("exit", 0);
	in_child("exec", 1);
}
