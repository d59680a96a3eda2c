/* A forked process that uses none of its parent's sockets for a while, and then one. What has come meanwhile, and the
 * parent was told of, is there for it by whichever call it asks first; what it writes first leaves before what its parent
 * sends after that. What it only closes goes on. When its parent was killed meanwhile, it need not wait for it. */
#include "check.h"

#include <stdatomic.h>
#include <sys/syscall.h>

#define COUNT_SENT 10
#define ROUNDS 30
#define KILLED 5

struct scene {
	int fd, set; /* the parent's */
	pid_t child;
	int go, told; /* the child waits for the one, the parent for the other */
};

static char *self;

static void begin(struct scene *scene, int fd, void (*first)(int fd, int set), int of_set)
{
	int to[2], from[2];
	char c;
	struct epoll_event event = { .events = EPOLLIN };

	scene->fd = fd;
	scene->set = epoll_create1(0);
	epoll_ctl(scene->set, EPOLL_CTL_ADD, fd, &event);
	if (pipe(to) || pipe(from))
		die("pipe");
	fflush(stdout);
	scene->child = fork();
	if (scene->child == 0) {
		if (read(to[0], &c, 1) != 1)
			_exit(1);
		first(of_set ? scene->set : fd, of_set);
		fflush(stdout);
		_exit(write(from[1], "", 1) != 1);
	}
	close(to[0]);
	close(from[1]);
	scene->go = to[1];
	scene->told = from[0];
}

static void go(const struct scene *scene)
{
	char c;

	if (write(scene->go, "", 1) != 1 || read(scene->told, &c, 1) != 1)
		die("the child");
}

static void end(const struct scene *scene)
{
	int status;

	if (waitpid(scene->child, &status, 0) != scene->child || status)
		die("the child");
	close(scene->go);
	close(scene->told);
	close(scene->set);
}

/* Lets the child use what the parent is told of. */
static void told(const struct scene *scene)
{
	struct epoll_event event;

	if (epoll_wait(scene->set, &event, 1, 3000) != 1)
		die("epoll_wait");
	go(scene);
	end(scene);
	close(scene->fd);
}

static long rest(int fd)
{
	char b[100];

	return recv(fd, b, sizeof b, MSG_DONTWAIT);
}

static void by_recv(int fd, int of_set)
{
	(void)of_set;
	say("  recv: %s", result(rest(fd)));
}

static void by_read(int fd, int of_set)
{
	char b[100];

	(void)of_set;
	say("  read: %s", result(read(fd, b, sizeof b)));
}

static void by_readv(int fd, int of_set)
{
	char b[100];
	struct iovec parts[2] = { { b, 4 }, { b + 4, 96 } };

	(void)of_set;
	say("  readv: %s", result(readv(fd, parts, 2)));
}

static void by_number(int fd, int of_set)
{
	char b[100];

	(void)of_set;
	say("  syscall: %s", result(syscall(SYS_read, fd, b, sizeof b)));
}

static void by_poll(int fd, int of_set)
{
	struct pollfd p = { fd, POLLIN, 0 };

	(void)of_set;
	say("  poll: %d", poll(&p, 1, 0));
}

static void by_select(int fd, int of_set)
{
	fd_set set;
	struct timeval none = { 0, 0 };

	(void)of_set;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	say("  select: %d", select(fd + 1, &set, NULL, NULL, &none));
}

static void by_a_set(int fd, int of_set)
{
	int set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };

	(void)of_set;
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	say("  a set of its own: %d", epoll_wait(set, &event, 1, 0));
	close(set);
}

static void by_the_set(int set, int of_set)
{
	struct epoll_event event;

	(void)of_set;
	say("  the parent's set: %d", epoll_wait(set, &event, 1, 0));
}

static void by_polling_the_set(int set, int of_set)
{
	by_poll(set, of_set);
}

static void by_asking_how_much(int fd, int of_set)
{
	int count = -1;

	(void)of_set;
	ioctl(fd, FIONREAD, &count);
	say("  FIONREAD: %d", count);
}

static void by_a_duplicate(int fd, int of_set)
{
	int copy = dup(fd);

	(void)of_set;
	by_recv(copy, 0);
	close(copy);
}

static void by_a_stream(int fd, int of_set)
{
	FILE *stream = fdopen(dup(fd), "r");
	char b[COUNT_SENT];

	(void)of_set;
	say("  fread: %zu", fread(b, 1, sizeof b, stream));
	fclose(stream);
}

static void by_a_grandchild(int fd, int of_set)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		by_recv(fd, of_set);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void by_a_program(int fd, int of_set)
{
	char number[12];
	pid_t pid;

	(void)of_set;
	snprintf(number, sizeof number, "%d", fd);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execl(self, self, number, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

static void by_passing_it_on(int fd, int of_set)
{
	int ends[2];

	(void)of_set;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		die("socketpair");
	pass(ends[0], fd);
	by_recv(take_passed(ends[1]), 0);
}

static atomic_long taken;

static void *takes(void *fd)
{
	char b[COUNT_SENT / 2];
	long n = recv(*(int *)fd, b, sizeof b, MSG_DONTWAIT);

	taken += n > 0 ? n : 0;
	return NULL;
}

static void by_two_threads(int fd, int of_set)
{
	pthread_t threads[2];

	(void)of_set;
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, takes, &fd);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	say("  two threads: %ld", (long)taken);
}

static void reads(const char *what, void (*first)(int, int), int of_set)
{
	int h, fd = nonblocking(connected(&h));
	struct scene scene;

	say("%s", what);
	begin(&scene, fd, first, of_set);
	peer("send %d %d", h, COUNT_SENT);
	told(&scene);
	peer("close %d", h);
}

static void writes_one(int fd, int of_set)
{
	unsigned char b = pattern(0);

	(void)of_set;
	if (write(fd, &b, 1) != 1)
		_exit(1);
}

static void order(void)
{
	int fine = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int h, fd = nonblocking(connected(&h));
		unsigned char both[2] = { pattern(0), pattern(1) };
		char expected[64];
		struct scene scene;

		begin(&scene, fd, writes_one, 0);
		go(&scene);
		if (send(fd, both + 1, 1, 0) != 1)
			die("send");
		snprintf(expected, sizeof expected, "2 %016llx", (unsigned long long)fnv(FNV_START, both, 2));
		fine += !strcmp(peer_says("recv %d 2", h), expected);
		end(&scene);
		close(fd);
		peer("close %d", h);
	}
	say("the child's byte before the parent's: %d of %d", fine, ROUNDS);
}

static void closes(int fd, int of_set)
{
	(void)of_set;
	say("  close: %s", ok(close(fd)));
}

static void closed(int linger)
{
	int h, fd = nonblocking(connected(&h));
	struct scene scene;

	if (linger && setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 2 }, sizeof(struct linger)))
		die("SO_LINGER");
	say("a child that closes it%s", linger ? ", which may wait for that" : "");
	begin(&scene, fd, closes, 0);
	go(&scene);
	end(&scene);
	send_all(fd, 1000);
	say("  the peer hears %s", peer_says("recv %d 1000", h));
	close(fd);
	peer("close %d", h);
}

static void accepts(int fd, int of_set)
{
	(void)of_set;
	say("  accept: %s", ok(accept(fd, NULL, NULL) < 0 ? -1 : 0));
}

static void listener(void)
{
	int fd = nonblocking(listening(0, 5));
	long h;
	struct scene scene;

	say("a listener");
	begin(&scene, fd, accepts, 0);
	h = peer("connect %d", port_of(fd));
	told(&scene);
	peer("close %ld", h);
}

static void datagrams(void)
{
	int fd = nonblocking(bound(udp(), TEST, 0));
	long h = peer("udp 0");
	struct scene scene;

	say("datagrams");
	begin(&scene, fd, by_recv, 0);
	peer("to %ld %d %d", h, port_of(fd), COUNT_SENT);
	told(&scene);
	peer("close %ld", h);
}

/* A process that is told of data, has a child, and is killed. The child says how long its first use took, or -1 if the
 * data was not there. */
static void be_killed(int says)
{
	int h, gone[2], fd = nonblocking(connected(&h)), set = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	pid_t parent = getpid();
	long long took;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	if (pipe(gone))
		die("pipe");
	if (fork() == 0) {
		close(gone[1]);
		if (read(gone[0], &event, 1))
			die("the parent's end");
		while (getppid() == parent)
			nap(1);
		took = milliseconds();
		took = rest(fd) == COUNT_SENT ? milliseconds() - took : -1;
		_exit(write(says, &took, sizeof took) != sizeof took);
	}
	await_keeper();
	peer("send %d %d", h, COUNT_SENT);
	if (epoll_wait(set, &event, 1, 3000) != 1)
		die("epoll_wait");
	kill(parent, SIGKILL);
}

static void parent_killed(void)
{
	long long took, least = -1;

	for (int i = 0; i < KILLED; i++) {
		int said[2];
		pid_t pid;

		if (pipe(said))
			die("pipe");
		fflush(stdout);
		pid = fork();
		if (pid == 0)
			be_killed(said[1]);
		close(said[1]);
		if (waitpid(pid, NULL, 0) != pid || read(said[0], &took, sizeof took) != sizeof took)
			die("the child of who was killed");
		close(said[0]);
		if (took >= 0 && (least < 0 || took < least))
			least = took;
	}
	say("a child of who was killed: %s", least < 0 ? "nothing is there" : least < 500 ? "at once" : "late");
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 2) {
		by_recv(atoi(argv[1]), 0);
		return 0;
	}
	reads("recv", by_recv, 0);
	reads("read", by_read, 0);
	reads("readv", by_readv, 0);
	reads("syscall", by_number, 0);
	reads("poll", by_poll, 0);
	reads("select", by_select, 0);
	reads("epoll", by_a_set, 0);
	reads("the parent's set", by_the_set, 1);
	reads("the parent's set, polled", by_polling_the_set, 1);
	reads("ioctl", by_asking_how_much, 0);
	reads("dup", by_a_duplicate, 0);
	reads("fdopen", by_a_stream, 0);
	reads("fork", by_a_grandchild, 0);
	reads("execve", by_a_program, 0);
	reads("SCM_RIGHTS", by_passing_it_on, 0);
	reads("threads", by_two_threads, 0);
	order();
	closed(0);
	closed(1);
	listener();
	datagrams();
	parent_killed();
	return 0;
}
