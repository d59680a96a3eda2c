/* O_NONBLOCK, SO_RCVTIMEO and SO_SNDTIMEO are the open socket's, not the process's: set or taken back by one process, they
 * count in all that have the socket, whether they were forked or were passed it. */
#include "check.h"

#define SOON 100 /* ms, until a call that waits is interrupted, and again, should it not have begun by then */
#define LIMIT 5

static char b[64];

static void stop_waiting(int fd) { say("  O_NONBLOCK: %s", ok(fcntl(fd, F_SETFL, O_NONBLOCK))); }

static void wait_again(int fd) { say("  to wait: %s", ok(fcntl(fd, F_SETFL, 0))); }

static void stop_waiting_too(int fd)
{
	int on = 1;

	say("  FIONBIO: %s", ok(ioctl(fd, FIONBIO, &on)));
}

static void limit(int fd, int milliseconds)
{
	struct timeval limit = { 0, milliseconds * 1000 };

	say("  at most %d ms: %s", milliseconds, ok(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit)));
	say("  likewise to send: %s", ok(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit)));
}

static void set_limit(int fd) { limit(fd, LIMIT); }
static void set_no_limit(int fd) { limit(fd, 0); }

/* EINTR is for who waits, EAGAIN for who does not, or no longer. */
static void interrupt(int milliseconds)
{
	struct itimerval every = { { 0, milliseconds * 1000 }, { 0, milliseconds * 1000 } };

	if (setitimer(ITIMER_REAL, &every, NULL))
		die("setitimer");
}

static void say_once_interrupted(const char *what, long got)
{
	const char *said = result(got);

	interrupt(0);
	say("  %s: %s", what, said);
}

static void receives(int fd)
{
	interrupt(SOON);
	say_once_interrupted("recv", recv(fd, b, sizeof b, 0));
}

static void peeks(int fd)
{
	interrupt(SOON);
	say_once_interrupted("peek", recv(fd, b, sizeof b, MSG_PEEK));
}

static void accepts(int fd)
{
	interrupt(SOON);
	say_once_interrupted("accept", accept(fd, NULL, NULL));
}

static void connects(int fd)
{
	struct sockaddr_in dark = address(PEER, BLACKHOLE);

	interrupt(SOON);
	say_once_interrupted("connect", connect(fd, SA(dark), sizeof dark));
}

static void is_refused(int fd)
{
	struct sockaddr_in closed = address(PEER, 81);

	say("  connect: %s", ok(connect(fd, SA(closed), sizeof closed)));
}

static void fills(int fd)
{
	while (send(fd, b, sizeof b, 0) > 0)
		;
	say("  send: %s", name_of(errno));
}

/* Another process, that does what it is told to. */
struct other {
	pid_t pid;
	int line;
};

typedef void act(int fd);

static void obey(int line, int fd)
{
	act *wanted;

	if (fd < 0)
		fd = take_passed(line);
	while (read(line, &wanted, sizeof wanted) == sizeof wanted) {
		wanted(fd);
		fflush(stdout);
		if (write(line, "", 1) != 1)
			_exit(1);
	}
	_exit(0);
}

/* It has `fd`, or is passed a socket later. */
static struct other another(int fd)
{
	struct other other;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	fflush(stdout);
	other.pid = fork();
	if (other.pid == 0) {
		close(ends[0]);
		obey(ends[1], fd);
	}
	close(ends[1]);
	other.line = ends[0];
	return other;
}

static void there(struct other *other, act *wanted)
{
	char done;

	fflush(stdout);
	if (write(other->line, &wanted, sizeof wanted) != sizeof wanted || read(other->line, &done, 1) != 1)
		die("the other process");
}

static void ends(struct other *other)
{
	int status;

	close(other->line);
	waitpid(other->pid, &status, 0);
	if (status)
		say("the other process ended with %d", status);
}

static void set_and_look(struct other *other, int by_other, act *set, act *look, int fd)
{
	if (by_other) {
		there(other, set);
		look(fd);
	} else {
		set(fd);
		there(other, look);
	}
}

static int a_connection(void)
{
	int h;

	return connected(&h);
}
static int a_listener(void) { return listening(0, 5); }
static int datagrams(void) { return bound(udp(), TEST, 0); }
static int bound_only(void) { return bound(tcp(), TEST, 0); }

static struct other hand_out(int passed, int (*make)(void), int *fd)
{
	struct other other;

	if (passed)
		other = another(-1);
	*fd = make();
	if (passed)
		pass(other.line, *fd);
	else
		other = another(*fd);
	return other;
}

static void changes(const char *what, int passed, int by_other, int (*make)(void), act *look, act *last)
{
	int fd;
	struct other other = hand_out(passed, make, &fd);

	say("%s, %s, set by %s", what, passed ? "passed on" : "inherited", by_other ? "the other" : "its maker");
	set_and_look(&other, by_other, stop_waiting, look, fd);
	set_and_look(&other, by_other, wait_again, look, fd);
	set_and_look(&other, by_other, set_limit, look, fd);
	set_and_look(&other, by_other, set_no_limit, look, fd);
	set_and_look(&other, by_other, set_limit, last, fd);
	set_and_look(&other, by_other, stop_waiting_too, last, fd);
	ends(&other);
	look(fd);
	close(fd);
}

/* Who has set it is gone. */
static void remains(int passed)
{
	int fd;
	struct other other = hand_out(passed, a_connection, &fd);

	say("the other is gone");
	there(&other, stop_waiting);
	ends(&other);
	nap(SOON);
	receives(fd);
	wait_again(fd);
	receives(fd);
	close(fd);
}

static void connects_elsewhere(int by_other, act *set)
{
	int fd;
	struct other other = hand_out(0, bound_only, &fd);

	say("bound, set by %s", by_other ? "the other" : "its maker");
	set_and_look(&other, by_other, set, connects, fd);
	ends(&other);
	close(fd);
}

/* It stays so once its maker has closed it, and a connection was refused. */
static void stays_limited(void)
{
	int fd;
	struct other other = hand_out(0, bound_only, &fd);

	say("bound, set by its maker, refused to the other");
	set_limit(fd);
	close(fd);
	there(&other, is_refused);
	there(&other, connects);
	ends(&other);
}

int main(void)
{
	count_signal(SIGALRM, 0);
	for (int passed = 0; passed < 2; passed++) {
		for (int by_other = 0; by_other < 2; by_other++) {
			changes("a connection", passed, by_other, a_connection, receives, fills);
			changes("a listener", passed, by_other, a_listener, accepts, accepts);
			changes("datagrams", passed, by_other, datagrams, receives, peeks);
		}
		remains(passed);
	}
	for (int by_other = 0; by_other < 2; by_other++) {
		connects_elsewhere(by_other, stop_waiting);
		connects_elsewhere(by_other, set_limit);
	}
	stays_limited();
	return 0;
}
