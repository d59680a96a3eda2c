/* RLIMIT_NOFILE, lowered for good before the first socket: what it says, and how far it goes. */
#include "check.h"

#include <linux/capability.h>
#include <spawn.h>
#include <sys/syscall.h>

#define LIMIT 400

extern char **environ;

static void limit(const char *who)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	say("%s: %lu %lu %ld", who, (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max, sysconf(_SC_OPEN_MAX));
	fflush(stdout);
}

static const char *lower(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = { soft, hard };

	return ok(setrlimit(RLIMIT_NOFILE, &limit));
}

/* What its own process or its child may not undo, executed or not. */
static void in_a_child(const char *self, int executed)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		limit("forked");
		if (executed)
			execl(self, self, "executed", NULL);
		close(tcp());
		limit("forked, with a socket");
		_exit(0);
	}
	waitpid(child, &status, 0);
	say("ended: %d", status);
}

static void all_numbers(void)
{
	int fds[LIMIT], n = 0, h;

	while (n < LIMIT - 1 && (fds[n] = socket(AF_INET, SOCK_STREAM, 0)) >= 0)
		n++;
	say("sockets: %d, then %s", n, name_of(errno));
	errno = EMFILE;
	perror("no number is left");
	say("after perror: %s", name_of(errno));
	say("dup: %s", result(dup(0)));
	say("dup2 to the limit: %s", ok(dup2(0, LIMIT)));
	say("F_DUPFD from the last: %s", result(fcntl(0, F_DUPFD, LIMIT - 1)));
	close(fds[--n]);
	say("one closed, connected: %d", (fds[n] = connected(&h)) >= 0);
	say("echo of 3: %s", result(send(fds[n], "abc", 3, 0)));
	while (n >= 0)
		close(fds[n--]);
	peer("close %d", h);
}

/* Whoever has no number for a connection finds it where it was once there is one. */
static void accepting(void)
{
	int fds[LIMIT], n = 0, fd, h, second;
	int server = nonblocking(listening(5000, 5));

	h = peer("connect 5000");
	second = peer("connect 5000");
	wait_for(server, POLLIN);
	while (n < LIMIT - 1 && (fds[n] = dup(server)) >= 0)
		n++;
	say("none left: %s", name_of(errno));
	for (int i = 0; i < 3; i++)
		say("accept: %s", result(accept(server, NULL, NULL)));
	say("still readable: %s", poll_flags(wait_for(server, POLLIN)));
	for (int i = 0; i < 2; i++) {
		close(fds[--n]);
		fd = accept(server, NULL, NULL);
		say("one closed: %s", fd >= 0 ? "accepted" : name_of(errno));
		if (i == 0)
			wait_for(server, POLLIN);
		say("accept: %s", result(accept(server, NULL, NULL)));
		say("send: %s", result(send(fd, "abc", 3, 0)));
		close(fd);
	}
	while (n > 0)
		close(fds[--n]);
	say("none waits: %s", result(accept(server, NULL, NULL)));
	close(server);
	say("the first got %s", peer_says("drain %d", h));
	say("the second got %s", peer_says("drain %d", second));
	peer("close %d", h);
	peer("close %d", second);
}

/* Linux looks for a number before all else. */
static void without_a_number(int listener, int connection, int datagrams, int fresh)
{
	int fds[LIMIT], n = 0;

	while (n < LIMIT && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	say("accept, of a listener that may wait: %s", result(accept(listener, NULL, NULL)));
	say("of a connection: %s", result(accept(connection, NULL, NULL)));
	say("of datagrams: %s", result(accept(datagrams, NULL, NULL)));
	say("of a fresh socket: %s", result(accept(fresh, NULL, NULL)));
	say("accept4, an unknown flag: %s", result(accept4(listener, NULL, NULL, 0x40000000)));
	while (n > 0)
		close(fds[--n]);
}

static void accepting_nothing(void)
{
	int h, status, listener = listening(0, 5), connection = connected(&h), datagrams = udp(), fresh = tcp();
	pid_t child;

	without_a_number(listener, connection, datagrams, fresh);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		without_a_number(listener, connection, datagrams, fresh);
		_exit(0);
	}
	waitpid(child, &status, 0);
	say("ended: %d", status);
	close(listener);
	close(connection);
	close(datagrams);
	close(fresh);
	peer("close %d", h);
}

/* What is no socket is kept to the limit, too, and leaves no number for an accepted one. */
static void with_files(void)
{
	int fds[LIMIT], n = 0, fd, h;
	int server = nonblocking(listening(5001, 5)), datagrams = udp();
	struct sockaddr_in to = address(PEER, 9);

	h = peer("connect 5001");
	wait_for(server, POLLIN);
	while (n < LIMIT && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	say("files: %d, then %s", n, name_of(errno));
	for (int i = 0; i < 2; i++)
		say("accept: %s", result(accept(server, NULL, NULL)));
	say("a datagram from no port yet: %s", result(sendto(datagrams, "abc", 3, 0, (void *)&to, sizeof(to))));
	close(fds[--n]);
	fd = accept(server, NULL, NULL);
	say("one closed: %s, open: %s", fd >= 0 ? "accepted" : name_of(errno), result(open("/dev/null", O_RDONLY)));
	close(fd);
	fd = connected(&h);
	say("connected instead: %s", result(send(fd, "abc", 3, 0)));
	close(fd);
	while (n > 0)
		close(fds[--n]);
	close(server);
	close(datagrams);
}

/* A limit that is raised after the first socket: forked processes have what the program opens beyond the former one. */
static void raised(void)
{
	int fds[LIMIT / 2], n = 0, lost = 0, status;
	int socket = tcp();
	pid_t child;

	say("raised: %s", lower(LIMIT - 1, LIMIT - 1));
	limit("raised");
	while (n < LIMIT / 2)
		fds[n++] = open("/dev/null", O_RDONLY);
	say("beyond the former limit: %d", fds[n - 1] >= LIMIT / 4);
	fflush(stdout);
	child = fork();
	for (int i = 0; i < n; i++)
		lost += fcntl(fds[i], F_GETFD) < 0;
	if (child == 0)
		_exit(lost);
	waitpid(child, &status, 0);
	say("lost: %d, forked: %d", lost, WEXITSTATUS(status));
	while (n > 0)
		close(fds[--n]);
	close(socket);
}

/* Gives up the right to raise a hard limit. */
static void confine(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2];

	syscall(SYS_capget, &header, sets);
	sets[0].effective &= ~(1u << CAP_SYS_RESOURCE);
	sets[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
	say("confined: %s", ok(syscall(SYS_capset, &header, sets)));
}

/* With no room above the program's numbers: it can close whatever it opens, once its sockets are gone, too. */
static void close_what_was_opened(void)
{
	int fds[LIMIT], handles[LIMIT / 8], n = 0, refused = 0;

	confine();
	for (; n < LIMIT / 8; n++)
		fds[n] = connected(&handles[n]);
	while (n > 0) {
		close(fds[--n]);
		peer("close %d", handles[n]);
	}
	while (n < LIMIT && (fds[n] = open("/dev/null", O_RDONLY)) >= 0)
		n++;
	say("no more: %s", name_of(errno));
	while (n > 0)
		refused += close(fds[--n]) != 0;
	say("not closed: %d", refused);
}

int main(int count, char **arguments)
{
	int status;
	pid_t child;
	char *spawned[] = { arguments[0], "spawned", NULL };

	if (count > 1 && strcmp(arguments[1], "spawned") == 0) {
		/* (Of the hard one, see LD_PRELOAD.md.) */
		say("spawned: %ld", sysconf(_SC_OPEN_MAX));
		return 0;
	}
	if (count > 1 && strcmp(arguments[1], "confined") == 0) {
		close_what_was_opened();
		say("lowered: %s", lower(LIMIT / 4, LIMIT / 4));
		say("hard raised: %s", lower(LIMIT / 4, LIMIT - 1));
		limit("lowered");
		with_files();
		in_a_child(arguments[0], 1);
		return 0;
	}
	if (count > 1 && strcmp(arguments[1], "raised") == 0) {
		raised();
		fflush(stdout);
		execl(arguments[0], arguments[0], "confined", NULL);
		die("execl");
	}
	if (count > 1) {
		limit(arguments[1]);
		return 0;
	}
	peer_says("obstruct 0"); /* so that its descriptors are there */
	say("soft above hard: %s", lower(LIMIT + 1, LIMIT));
	say("lowered: %s", lower(LIMIT, LIMIT));
	limit("lowered");
	say("softly: %s", lower(LIMIT - 10, LIMIT));
	limit("softly");
	say("back: %s", lower(LIMIT, LIMIT));
	in_a_child(arguments[0], 1);
	all_numbers();
	limit("with sockets");
	accepting();
	accepting_nothing();
	with_files();
	say("lower yet: %s", lower(LIMIT / 2, LIMIT));
	with_files();
	say("back: %s", lower(LIMIT, LIMIT));
	in_a_child(arguments[0], 0);
	in_a_child(arguments[0], 1);
	say("further: %s", lower(LIMIT - 1, LIMIT - 1));
	limit("further");
	posix_spawn(&child, arguments[0], NULL, NULL, spawned, environ);
	waitpid(child, &status, 0);
	say("for another: %s", lower(LIMIT / 4, LIMIT - 1));
	fflush(stdout);
	execl(arguments[0], arguments[0], "raised", NULL);
	die("execl");
}
