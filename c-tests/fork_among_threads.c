/* fork(2) while other threads are in the midst of socket calls: no child waits for a thread that it does not have. */
#include "check.h"

enum { THREADS = 2, CHILDREN = 300, PATIENCE_MS = 15000 };

static volatile int done;

static void *busy(void *of)
{
	int fd = *(int *)of, size;
	socklen_t length = sizeof size;
	char b[100];

	while (!done) {
		send(fd, b, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		recv(fd, b, sizeof b, MSG_DONTWAIT);
		getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length);
		close(dup(fd));
	}
	return NULL;
}

/* What a child does with what it has inherited: it looks at everything, and closes it. */
static void child(void)
{
	for (int fd = 3; fd < 30; fd++) {
		int flags = fcntl(fd, F_GETFL);
		struct sockaddr_in a;
		socklen_t length = sizeof a;

		if (flags >= 0)
			getsockname(fd, (struct sockaddr *)&a, &length);
		close(fd);
	}
	_exit(0);
}

static int ends(pid_t pid)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return 1;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	return 0;
}

int main(void)
{
	int h, fds[THREADS], ended = 0;
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		fds[i] = connected(&h);
		if (pthread_create(&threads[i], NULL, busy, &fds[i]))
			die("pthread_create");
	}
	for (int i = 0; i < CHILDREN && ended == i; i++) {
		pid_t pid = fork();

		if (pid == 0)
			child();
		ended += ends(pid);
	}
	done = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	say("%d of %d children ended", ended, CHILDREN);
	return 0;
}
