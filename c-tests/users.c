/* Servers that begin as root and change their user: while they have connections and threads of their own, in forked
 * processes, and between bind and listen. */
#include "check.h"

#include <grp.h>

#define NOBODY 65534

static void *nothing(void *argument)
{
	return argument;
}

/* Each thread of the process takes part in it. */
static void becomes_nobody(const char *who)
{
	alarm(20);
	say("%s: setgroups %s", who, ok(setgroups(0, NULL)));
	say("%s: setgid %s", who, ok(setgid(NOBODY)));
	say("%s: setuid %s", who, ok(setuid(NOBODY)));
}

static void exchanges(const char *who, int fd, int h)
{
	char byte;

	peer("send %d 1", h);
	say("%s: recv %s", who, result(recv(fd, &byte, 1, 0)));
	send_all(fd, 10);
	say("%s: the peer received %s", who, peer_says("recv %d 10", h));
	close(fd);
	peer("close %d", h);
}

static void in_a_process(void (*body)(const char *who), const char *who)
{
	int status;
	pid_t pid;

	fflush(stdout);
	if ((pid = fork()) == 0) {
		body(who);
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(who);
}

static void connects(const char *who)
{
	int h, fd = connected(&h);

	becomes_nobody(who);
	exchanges(who, fd, h);
}

static void connects_among_threads(const char *who)
{
	pthread_t thread;

	pthread_create(&thread, NULL, nothing, NULL);
	pthread_join(thread, NULL);
	connects(who);
}

static void listens(const char *who)
{
	int fd = bound(tcp(), "0.0.0.0", 80), connection, h;

	becomes_nobody(who);
	say("%s: listen %s", who, ok(listen(fd, 5)));
	h = peer("connect 80");
	connection = accept(fd, NULL, NULL);
	say("%s: accept %s", who, connection < 0 ? name_of(errno) : "done");
	exchanges(who, connection, h);
	close(fd);
}

static void listens_elsewhere(const char *who)
{
	int fd = bound(tcp(), "0.0.0.0", 81), connection, h;

	if (fork() == 0) {
		becomes_nobody(who);
		say("%s: listen %s", who, ok(listen(fd, 5)));
		h = peer("connect 81");
		connection = accept(fd, NULL, NULL);
		exchanges(who, connection, h);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	close(fd);
}

int main(void)
{
	int h, fd;

	in_a_process(connects_among_threads, "a thread before");
	fd = connected(&h);
	in_a_process(connects, "forked");
	in_a_process(listens, "listens");
	in_a_process(listens_elsewhere, "its child listens");
	exchanges("its maker", fd, h);
}
