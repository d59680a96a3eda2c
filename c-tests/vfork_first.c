/* vfork(2) and execve(2) before the first socket: what the child does leaves no trace in its parent's memory. */
#include "check.h"

int main(void)
{
	char *const arguments[] = { "/bin/true", NULL };
	char b[4] = "";
	int h, status, fd, file;
	pid_t pid = vfork();

	if (pid == 0) {
		execv(arguments[0], arguments);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	say("the child exited with %d", WEXITSTATUS(status));

	fd = connected(&h);
	say("close: %s", ok(close(fd)));
	file = open("/proc/self/comm", O_RDONLY);
	say("the number is free again: %d", file == fd);
	say("read: %s", result(read(file, b, 3)));
	return 0;
}
