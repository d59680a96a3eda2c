/* fork(2), vfork(2), execve(2) and posix_spawn(3) in a program with connections. */
#include "check.h"

#include <spawn.h>

extern char **environ;

static void reap(const char *what, pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (WIFEXITED(status))
		say("%s: exited with %d", what, WEXITSTATUS(status));
	else
		say("%s: killed by %d", what, WTERMSIG(status));
}

static void both_ways(const char *what, int fd, int h)
{
	send_all(fd, 50000);
	say("%s: the peer hears %s", what, peer_says("recv %d 50000", h));
	peer("send %d 100", h);
	hash_all(fd, 100);
}

static void run(char *const arguments[], int use_vfork)
{
	pid_t pid = use_vfork ? vfork() : fork();

	if (pid == 0) {
		execv(arguments[0], arguments);
		_exit(127);
	}
	reap(use_vfork ? "vfork and exec" : "fork and exec", pid);
}

/* The number of a closed socket is no socket's, whoever came and went before the first one. */
static void number_is_free(void)
{
	int ends[2], fd = tcp();
	char b[4];

	close(fd);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	say("the number again: %d", ends[0] == fd);
	say("write: %s", result(write(ends[1], "abcd", 4)));
	say("recv: %s", result(recv(ends[0], b, 4, 0)));
	close(ends[0]);
	close(ends[1]);
}

/* A child's bytes go on as the peer takes them, not only once it has taken all. */
static void fills(void)
{
	static unsigned char big[1 << 16];
	int h, fd = connected(&h);
	long total = 0, n;
	pid_t pid;

	/* A keeper's guests may not have as much. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){ 1 << 20 }, sizeof(int)))
		set_int(fd, SOL_SOCKET, SO_SNDBUF, 1 << 20);
	peer("option %d %d %d %d", h, SOL_SOCKET, SO_RCVBUF, 1 << 16);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		nonblocking(fd);
		do
			while ((n = write(fd, big, sizeof big)) > 0)
				total += n;
		while (poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, 300) > 0);
		peer_says("recv %d %ld", h, total - total / 4);
		say("a child that has filled its connection: %s", poll_flags(wait_for(fd, POLLOUT)));
		exit(0);
	}
	close(fd);
	reap("a child that fills", pid);
	peer("close %d", h);
}

/* _Fork(3) runs no handlers of pthread_atfork(3)'s. */
static void without_handlers(int fd, int h)
{
	int listener = peer("listen 0 5"), other;
	struct sockaddr_in to = address(PEER, peer("port %d", listener));
	pid_t pid = _Fork();

	if (pid == 0) {
		int own = socket(AF_INET, SOCK_STREAM, 0);

		if (send(fd, "child", 5, MSG_NOSIGNAL) != 5)
			_exit(1);
		_exit(connect(own, SA(to), sizeof to) || send(own, "own", 3, 0) != 3 ? 2 : 0);
	}
	reap("a child of _Fork", pid);
	say("the peer hears the child: %s", peer_says("recv %d 5", h));
	other = peer("accept %d", listener);
	say("the child's own: %s", peer_says("drain %d", other));
	both_ways("after it", fd, h);
	peer("close %d", other);
	peer("close %d", listener);
}

/* Its parent is gone when it speaks. */
static void grandchild(int fd, int h)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (fork())
			_exit(0);
		nap(200);
		_exit(send(fd, "grandchild", 10, MSG_NOSIGNAL) == 10 ? 0 : 1);
	}
	reap("a child that forks", pid);
	say("the peer hears the grandchild: %s", peer_says("recv %d 10", h));
	both_ways("beside it", fd, h);
}

int main(void)
{
	char *const yes[] = { "/bin/true", NULL };
	int h, fd, status;
	char shell[100];
	char *const writes[] = { "/bin/sh", "-c", shell, NULL };
	pid_t pid;

	run(yes, 1);
	number_is_free();
	fills();
	fd = connected(&h);
	both_ways("before", fd, h);
	pid = fork();
	if (pid == 0)
		_exit(3);
	reap("a child that exits", pid);
	both_ways("after it", fd, h);

	pid = fork();
	if (pid == 0) {
		close(fd);
		exit(0);
	}
	reap("a child that closes", pid);
	both_ways("after it", fd, h);

	pid = fork();
	if (pid == 0)
		_exit(send(fd, "child", 5, MSG_NOSIGNAL) == 5 ? 0 : 1);
	reap("a child that sends", pid);
	say("the peer hears the child: %s", peer_says("recv %d 5", h));

	pid = fork();
	if (pid == 0) {
		char b[10];
		_exit(recv(fd, b, 7, MSG_WAITALL));
	}
	peer("send %d 7", h);
	reap("a child that receives", pid);

	pid = fork();
	if (pid == 0) {
		struct sockaddr_in a;
		socklen_t length = sizeof a;

		_exit(getpeername(fd, SA(a), &length) || a.sin_port == 0 || a.sin_addr.s_addr != inet_addr(PEER));
	}
	reap("a child that asks for the peer's name", pid);

	run(yes, 0);
	run(yes, 1);
	both_ways("after them", fd, h);
	snprintf(shell, sizeof shell, "printf hello >&%d", fd);
	run(writes, 0);
	say("the peer hears the shell: %s", peer_says("recv %d 5", h));
	run(writes, 1);
	say("the peer hears the shell: %s", peer_says("recv %d 5", h));
	say("posix_spawn: %d", posix_spawn(&pid, yes[0], NULL, NULL, yes, environ));
	reap("spawned", pid);
	status = system(shell);
	say("system: %d", WEXITSTATUS(status));
	say("the peer hears the shell: %s", peer_says("recv %d 5", h));
	both_ways("at last", fd, h);

	without_handlers(fd, h);
	grandchild(fd, h);

	/* A child that outlives its parent's use of the connection keeps it open. */
	pid = fork();
	if (pid == 0) {
		nap(200);
		_exit(send(fd, "late", 4, MSG_NOSIGNAL) == 4 ? 0 : 1);
	}
	close(fd);
	say("the peer hears the child: %s", peer_says("recv %d 4", h));
	reap("the child", pid);
	say("and then the end: %s", peer_says("drain %d", h));
}
