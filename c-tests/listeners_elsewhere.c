/* Listeners whose connections are accepted by another process than the one that made them: one that was forked, one
 * that was executed (after fork(2), with an environment of its own, and after vfork(2)), one that received the
 * descriptor; while their maker lives, and when it is gone. */
#include "check.h"

#define RECEIVED 100 /* where an executed program finds its listener */

/* Three clients come. */
static void come(int fd)
{
	int i;

	for (i = 0; i < 3; i++)
		peer("connect %d", port_of(fd));
}

/* Accepts them one after the other. */
static void accept_all(const char *who, int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	int i, connection, known;

	for (i = 0; i < 3; i++) {
		say("%s: %s", who, poll_flags(wait_for(fd, POLLIN)));
		connection = accept(fd, SA(a), &length);
		say("%s: accepted from %s", who, connection < 0 ? name_of(errno) : inet_ntoa(a.sin_addr));
		close(connection);
	}
	length = sizeof a;
	known = !getsockname(fd, SA(a), &length);
	say("%s: own address %s", who, known && a.sin_family == AF_INET ? inet_ntoa(a.sin_addr) : "unknown");
	fflush(stdout);
}

static void wait_for_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the child");
}

static pid_t forked(void)
{
	fflush(stdout);
	return fork();
}

/* Executes this program anew, with nothing of this one's environment. */
static void become_second(const char *self, int fd, const char *who)
{
	dup2(fd, RECEIVED);
	close(fd);
	execve(self, (char *const[]){ (char *)self, (char *)who, NULL }, (char *const[]){ "LISTENER=100", NULL });
	_exit(127);
}

static void executed(const char *self)
{
	int fd = listening(6400, 5);
	pid_t pid;

	come(fd);
	if ((pid = forked()) == 0)
		become_second(self, fd, "executed");
	wait_for_child(pid);
	come(fd);
	accept_all("its maker", fd);
	close(fd);
}

/* As children are started, in their parent's memory until they execute. */
static void started(const char *self)
{
	int fd = listening(6403, 5);
	pid_t pid;

	come(fd);
	fflush(stdout);
	if ((pid = vfork()) == 0)
		become_second(self, fd, "started");
	wait_for_child(pid);
	close(fd);
}

static void passed(void)
{
	int pair[2], fd;
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pid = forked();
	if (pid == 0) {
		accept_all("receiver", take_passed(pair[1]));
		_exit(0);
	}
	fd = listening(6401, 5);
	come(fd);
	pass(pair[0], fd);
	wait_for_child(pid);
	close(fd);
}

/* As servers go into the background and later start their successor: maker, server and successor. */
static void succeeded(const char *self)
{
	int until[2], fd;
	pid_t pid;
	char b;

	if (pipe(until))
		die("pipe");
	if ((pid = forked()) == 0) {
		fd = listening(6402, 5);
		if (forked() != 0)
			_exit(0);
		come(fd);
		accept_all("server", fd);
		if (forked() != 0)
			_exit(0);
		come(fd);
		become_second(self, fd, "successor");
	}
	wait_for_child(pid);
	close(until[1]);
	if (read(until[0], &b, 1) != 0)
		die("read");
}

/* Waits in a call on a socket of its process's parent. */
struct waiting {
	int fd;
	ssize_t outcome;
};

static void *accepts(void *argument)
{
	struct waiting *waiting = argument;
	int connection = accept(waiting->fd, NULL, NULL);

	waiting->outcome = connection;
	close(connection);
	return NULL;
}

static void *receives(void *argument)
{
	struct waiting *waiting = argument;
	char byte;

	waiting->outcome = recv(waiting->fd, &byte, 1, 0);
	return NULL;
}

/* Another thread's connections go on meanwhile. */
static void meanwhile(const char *what, struct waiting *waiting, void *(*call)(void *), const char *request)
{
	pthread_t thread;
	char byte;
	int h, fd;

	pthread_create(&thread, NULL, call, waiting);
	nap(50);
	fd = connected(&h);
	peer("send %d 1", h);
	say("%s waits, meanwhile: recv %s", what, result(recv(fd, &byte, 1, 0)));
	close(fd);
	peer("close %d", h);
	peer_says("%s", request);
	pthread_join(thread, NULL);
	say("%s: %s", what, waiting->outcome < 0 ? "failed" : "done");
}

static void beside_its_own(void)
{
	struct waiting listener = { .fd = listening(0, 5) }, stream, datagram = { .fd = bound(udp(), "0.0.0.0", 0) };
	char request[40];
	int h, own, of_its_own;
	pid_t pid;

	stream.fd = connected(&h);
	pid = forked();
	if (pid == 0) {
		alarm(20);
		of_its_own = connected(&own);
		snprintf(request, sizeof request, "connect %d", port_of(listener.fd));
		meanwhile("accept", &listener, accepts, request);
		snprintf(request, sizeof request, "send %d 1", h);
		meanwhile("recv", &stream, receives, request);
		snprintf(request, sizeof request, "to %d %d 1", (int)peer("udp 7001"), port_of(datagram.fd));
		meanwhile("recv of a datagram", &datagram, receives, request);
		close(of_its_own);
		peer("close %d", own);
		fflush(stdout);
		_exit(0);
	}
	wait_for_child(pid);
	close(listener.fd);
	close(stream.fd);
	close(datagram.fd);
}

/* What a process closes that it has from its parent, and that it has just asked about, its epoll set forgets at once. */
static void forgotten(void)
{
	struct epoll_event want = { .events = EPOLLIN | EPOLLOUT };
	int fds[200], gone[2], set = epoll_create1(0), told = 0;
	size_t i;
	pid_t pid;
	char b;

	for (i = 0; i < COUNT(fds); i++)
		fds[i] = bound(udp(), "0.0.0.0", 0);
	if (pipe(gone))
		die("pipe");
	if ((pid = forked()) == 0) {
		alarm(20);
		close(gone[1]);
		if (read(gone[0], &b, 1) != 0)
			die("read");
		for (i = 0; i < COUNT(fds); i++) {
			epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &want);
			set_int(fds[i], SOL_SOCKET, SO_BROADCAST, 1);
			close(fds[i]);
			told += epoll_wait(set, &want, 1, 0);
		}
		say("told of what it has closed: %d", told);
		fflush(stdout);
		_exit(0);
	}
	for (i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	close(gone[1]);
	wait_for_child(pid);
	close(gone[0]);
	close(set);
}

static const char *edge(int set)
{
	struct epoll_event event;

	return epoll_wait(set, &event, 1, 5000) == 1 ? epoll_flags(event.events) : "nothing";
}

/* Each client is an edge (EPOLLET), whoever serves the listener: here it is somebody else once its maker is killed. */
static void edges_of_a_killed_makers(void)
{
	int until[2], fd, set;
	pid_t maker;
	char b;

	if (pipe(until))
		die("pipe");
	if (forked() == 0) {
		fd = listening(6404, 5);
		maker = getpid();
		if (forked() != 0) {
			await_keeper();
			kill(maker, SIGKILL);
		}
		set = epoll_create1(0);
		if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN | EPOLLET }))
			die("epoll_ctl");
		while (getppid() == maker)
			nap(1);
		for (int i = 0; i < 3; i++) {
			peer("connect %d", port_of(fd));
			say("client %d: %s", i, edge(set));
		}
		fflush(stdout);
		_exit(0);
	}
	close(until[1]);
	if (read(until[0], &b, 1) != 0)
		die("read");
	waitpid(-1, NULL, 0);
}

/* The smallest backlog has room for one connection, and has it again as soon as somebody has accepted that. */
static void smallest_backlog(void)
{
	int fd = listening(6405, 0), accepted[2], i;
	struct tcp_info info;
	socklen_t length = sizeof info;
	long long began;
	pid_t pid;
	char b;

	if (pipe(accepted))
		die("pipe");
	if ((pid = forked()) == 0) {
		alarm(20);
		for (i = 0; i < 3; i++) {
			close(accept(fd, NULL, NULL));
			if (write(accepted[1], "a", 1) != 1)
				die("write");
		}
		_exit(0);
	}
	for (i = 0; i < 3; i++) {
		began = milliseconds();
		peer("connect 6405");
		if (read(accepted[0], &b, 1) != 1)
			die("read");
		say("accepted in time: %d", milliseconds() - began < 800);
		getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
		say("waiting %u of %u", info.tcpi_unacked, info.tcpi_sacked);
		nap(50);
	}
	wait_for_child(pid);
	close(accepted[0]);
	close(accepted[1]);
	close(fd);
}

int main(int count, char **arguments)
{
	if (count > 1) {
		alarm(20);
		accept_all(getenv("LISTENER") ? arguments[1] : "stranger", RECEIVED);
		return 0;
	}
	executed(arguments[0]);
	started(arguments[0]);
	passed();
	succeeded(arguments[0]);
	beside_its_own();
	forgotten();
	smallest_backlog();
	edges_of_a_killed_makers();
}
