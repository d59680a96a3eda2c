/* A connection that a program keeps while it becomes one program after the other, by each form of exec. */
#include "check.h"

#include <sys/syscall.h>

#define KEPT 100 /* where each finds the connection */

extern char **environ;

static void looks(int count, char **arguments)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	struct rlimit limit;

	say("%s: %d arguments, the last %s, SET=%s", arguments[1], count, arguments[count - 1], getenv("SET"));
	say("%s: peer %s", arguments[1], getpeername(KEPT, SA(a), &length) ? name_of(errno) : inet_ntoa(a.sin_addr));
	say("%s: send %s", arguments[1], result(send(KEPT, "here", 4, 0)));
	getrlimit(RLIMIT_NOFILE, &limit);
	say("%s: limits agree: %d %d", arguments[1], sysconf(_SC_OPEN_MAX) == (long)limit.rlim_cur,
	    getdtablesize() == (int)limit.rlim_cur);
	say("%s: the limit is as it was: %d", arguments[1], (rlim_t)atol(getenv("LIMIT")) == limit.rlim_cur);
	fflush(stdout);
}

/* The first of them makes the connection, and so has the stack that serves it. */
static void first(const char *self, int port)
{
	struct rlimit limit;
	char text[30];
	int fd = dialed(port);

	getrlimit(RLIMIT_NOFILE, &limit);
	snprintf(text, sizeof text, "%lu", (unsigned long)limit.rlim_cur);
	setenv("LIMIT", text, 1);
	setenv("SET", "first", 1);
	dup2(fd, KEPT);
	close(fd);
	execl(self, self, "execl", "2", "3", "4", "5", "6", "7", "8", "nine", NULL);
	die("execl");
}

/* A variable for an environment of its own. */
static void keep(char *to, size_t room, const char *name)
{
	const char *value = getenv(name);

	snprintf(to, room, "%s=%s", name, value ? value : "");
}

static void becomes(const char *self, const char *now)
{
	char limit[30], preload[300], *changed[] = { "SET=changed", limit, preload, NULL };
	char *next[] = { (char *)self, NULL, "last", NULL };

	if (strcmp(now, "execl") == 0)
		execlp(self, self, "execlp", "by path", NULL);
	keep(limit, sizeof limit, "LIMIT");
	keep(preload, sizeof preload, "LD_PRELOAD");
	if (strcmp(now, "execlp") == 0)
		execle(self, self, "execle", "3", "4", "5", "6", "seven", NULL, changed);
	next[1] = "execveat";
	if (strcmp(now, "execle") == 0)
		syscall(SYS_execveat, AT_FDCWD, self, next, environ, 0);
	next[1] = "syscall";
	if (strcmp(now, "execveat") == 0)
		syscall(SYS_execve, self, next, environ);
}

int main(int count, char **arguments)
{
	int status, h, listener;
	pid_t child;

	if (count > 1) {
		looks(count, arguments);
		becomes(arguments[0], arguments[1]);
		return 0;
	}
	listener = peer("listen 6500 5");
	child = fork();
	if (child == 0)
		first(arguments[0], 6500);
	h = peer("accept %d", listener);
	waitpid(child, &status, 0);
	say("the last one exited with %d", status);
	say("the peer heard: %s", peer_says("drain %d", h));
}
