/* What a forked child, an executed program and a process that receives a descriptor know of a socket, and what one
 * process sees of what the other does to it. */
#include "check.h"

#define RECEIVED 100 /* where the second program finds its socket */

static void names(const char *who, int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	int known = !getsockname(fd, SA(a), &length);

	say("%s: own address %s, %s port", who, known ? inet_ntoa(a.sin_addr) : "unknown", a.sin_port ? "a" : "no");
	length = sizeof a;
	known = !getpeername(fd, SA(a), &length);
	say("%s: peer %s", who, known ? inet_ntoa(a.sin_addr) : name_of(errno));
}

static void options(const char *who, int fd)
{
	struct timeval limit;
	socklen_t length = sizeof limit;

	say("%s: type %d, domain %d, protocol %d, listens %d", who, get_int(fd, SOL_SOCKET, SO_TYPE),
	    get_int(fd, SOL_SOCKET, SO_DOMAIN), get_int(fd, SOL_SOCKET, SO_PROTOCOL), get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	say("%s: keepalive %d, ttl %d", who, get_int(fd, SOL_SOCKET, SO_KEEPALIVE), get_int(fd, IPPROTO_IP, IP_TTL));
	if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &length))
		die("SO_RCVTIMEO");
	say("%s: SO_RCVTIMEO %ld s", who, (long)limit.tv_sec);
}

/* Runs `work` in a forked child, to its end. */
static void in_child(void (*work)(int, int), int fd, int h)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		work(fd, h);
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the child");
}

static void looks(int fd, int h)
{
	(void)h;
	names("child", fd);
	options("child", fd);
	say("child: state %d", tcp_state(fd));
}

static void sets(int fd, int h)
{
	struct timeval limit = { 7, 0 };

	(void)h;
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_IP, IP_TTL, 77);
	say("child: SO_RCVTIMEO %s", ok(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit)));
	say("child: keepalive of 3 bytes %s", ok(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &limit, 3)));
	say("child: no such option %s", ok(setsockopt(fd, IPPROTO_TCP, 9999, &limit, 4)));
}

static void counts(int fd, int h)
{
	struct sockaddr_in to = address(PEER, 7);
	int count = -1;

	(void)h;
	say("child: readable %s", poll_flags(wait_for(fd, POLLIN)));
	nap(50);
	say("child: FIONREAD %s", ok(ioctl(fd, FIONREAD, &count)));
	say("child: %d", count);
	say("child: connect %s", ok(connect(fd, SA(to), sizeof to)));
}

/* An urgent byte behind the data. */
static void asks_for_nothing(int fd, int h)
{
	char b[10];

	alarm(10);
	say("child: nothing of nothing %s", result(recv(fd, b, 0, MSG_DONTWAIT)));
	peer("send %d 4", h);
	peer("urgent %d", h);
	say("child: urgent %s", poll_flags(wait_for(fd, POLLPRI)));
	say("child: a look at nothing %s", result(recv(fd, b, 0, MSG_PEEK)));
	say("child: nothing of something %s", result(recv(fd, b, 0, MSG_NOSIGNAL)));
	say("child: up to the mark %s", result(recv(fd, b, sizeof b, 0)));
	say("child: nothing at the mark %s", result(recv(fd, b, 0, MSG_DONTWAIT)));
	say("child: at the mark %d", sockatmark(fd));
}

static void shuts(int fd, int h)
{
	(void)h;
	say("child: shutdown %s", ok(shutdown(fd, SHUT_WR)));
}

static void one_connection(void)
{
	int h, fd = connected(&h);
	char b[100];

	names("parent", fd);
	in_child(looks, fd, h);
	in_child(sets, fd, h);
	options("parent", fd);
	set_int(fd, IPPROTO_IP, IP_TTL, 33);
	in_child(looks, fd, h);
	peer("send %d 30", h);
	in_child(counts, fd, h);
	say("parent: recv %s", result(recv(fd, b, sizeof b, 0)));
	in_child(asks_for_nothing, fd, h);
	in_child(shuts, fd, h);
	say("the peer hears the end: %s", peer_says("drain %d", h));
	say("parent: send %s", result(send(fd, "x", 1, MSG_NOSIGNAL)));
	close(fd);
	peer("close %d", h);
}

static void meets_reset(int fd, int h)
{
	char b[10];

	peer("reset %d", h);
	say("child: recv %s", result(recv(fd, b, sizeof b, 0)));
	say("child: again %s", result(recv(fd, b, sizeof b, 0)));
	say("child: send %s", result(send(fd, b, 1, MSG_NOSIGNAL)));
	names("child", fd);
}

static void asks_after_reset(int fd, int h)
{
	peer("reset %d", h);
	wait_for(fd, POLLIN);
	say("child: SO_ERROR %s", name_of(pending_error(fd)));
	say("child: SO_ERROR %s", name_of(pending_error(fd)));
}

/* The child's call waits for the connection, for which the peer has room when it has accepted the one before. The child
 * may be gone when that has come. */
static void written_while_connecting(int stays)
{
	int l = peer("listen 0 0"), port = peer("port %d", l), before = dialed(port), fd = nonblocking(tcp());
	struct sockaddr_in to = address(PEER, port);
	int h, status, until[2], said[2];
	pid_t pid;
	char b;

	if (pipe(until) || pipe(said))
		die("pipe");
	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	fcntl(fd, F_SETFL, 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(until[1]);
		say("child: write %s", result(write(fd, "early", 5)));
		fflush(stdout);
		close(said[1]);
		if (stays && read(until[0], &b, 1) != 0)
			die("read");
		_exit(0);
	}
	close(until[0]);
	close(said[1]);
	nap(100);
	peer("close %ld", peer("accept %d", l));
	h = peer("accept %d", l);
	if (read(said[0], &b, 1) != 0)
		die("read");
	close(said[0]);
	say("the peer hears: %s", peer_says("recv %d 5", h));
	close(until[1]);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the child");
	say("parent: writable %s", poll_flags(wait_for(fd, POLLOUT)));
	close(fd);
	say("and the end: %s", peer_says("drain %d", h));
	close(before);
	peer("close %d", h);
	peer("close %d", l);
}

/* A part that is held back waits for the rest, whoever sends. */
static void held_back(void)
{
	int h = peer("udp 7002"), fd = bound(udp(), "0.0.0.0", 0), status;
	struct sockaddr_in to = address(PEER, 7002);
	pid_t pid;

	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		set_int(fd, IPPROTO_UDP, UDP_CORK, 1);
		say("child: corked %s", result(send(fd, "abc", 3, 0)));
		say("child: corked %s", result(send(fd, "def", 3, 0)));
		set_int(fd, IPPROTO_UDP, UDP_CORK, 0);
		say("child: more to come %s", result(send(fd, "abc", 3, MSG_MORE)));
		say("child: the rest %s", result(send(fd, "de", 2, 0)));
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("the child");
	say("the peer hears: %.18s", peer_says("from %d", h));
	say("the peer hears: %.18s", peer_says("from %d", h));
	close(fd);
	peer("close %d", h);
}

/* The parent has closed its own descriptor by then. */
static void alone(void (*work)(int, int))
{
	int h, fd = connected(&h), go[2], status;
	pid_t pid;

	if (pipe(go))
		die("pipe");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		char b;

		close(go[1]);
		if (read(go[0], &b, 1) != 0)
			die("read");
		work(fd, h);
		fflush(stdout);
		_exit(0);
	}
	close(fd);
	close(go[0]);
	close(go[1]);
	waitpid(pid, &status, 0);
}

static void accepts(int fd, int h)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;
	int connection;

	(void)h;
	peer("connect %d", port_of(fd));
	connection = accept(fd, SA(a), &length);
	say("child: accepted from %s", connection < 0 ? name_of(errno) : inet_ntoa(a.sin_addr));
	names("child, accepted", connection);
	options("child, accepted", connection);
	set_int(connection, IPPROTO_TCP, TCP_NODELAY, 1);
	say("child, accepted: nodelay %d, state %d", get_int(connection, IPPROTO_TCP, TCP_NODELAY), tcp_state(connection));
	close(connection);
}

static void listens(int fd, int h)
{
	(void)h;
	say("child: listen %s", ok(listen(fd, 3)));
	accepts(fd, 0);
}

static void listeners(void)
{
	int fd = listening(6100, 5);

	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	in_child(accepts, fd, 0);
	close(fd);
	fd = bound(tcp(), TEST, 6101);
	in_child(listens, fd, 0);
	say("parent listens now: %d", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	close(fd);
}

static void connects(int fd, int h)
{
	struct sockaddr_in to = address(PEER, 6202);

	(void)h;
	say("child: connect %s", ok(connect(fd, SA(to), sizeof to)));
	names("child", fd);
}

static void datagrams(void)
{
	int fd = bound(udp(), TEST, 6200);

	in_child(connects, fd, 0);
	names("parent", fd);
	close(fd);
}

/* The second program, by execve(2) or SCM_RIGHTS */

static int second(const char *who)
{
	char b[10];

	names(who, RECEIVED);
	options(who, RECEIVED);
	set_int(RECEIVED, IPPROTO_IP, IP_TTL, 55);
	say("%s: ttl %d", who, get_int(RECEIVED, IPPROTO_IP, IP_TTL));
	say("%s: recv %s", who, result(recv(RECEIVED, b, sizeof b, 0)));
	say("%s: send %s", who, result(send(RECEIVED, "again", 5, 0)));
	fflush(stdout);
	return 0;
}

/* The child, made by fork(2) or vfork(2), puts the socket where the program looks, and may leave it nothing else. */
static void executed(const char *self, pid_t (*make)(void), const char *how)
{
	int h, fd = connected(&h), status;
	pid_t pid;

	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	peer("send %d 3", h);
	fflush(stdout);
	pid = make();
	if (pid == 0) {
		dup2(fd, RECEIVED);
		close(fd);
		execv(self, (char *const[]){ (char *)self, "second", (char *)how, NULL });
		_exit(127);
	}
	waitpid(pid, &status, 0);
	say("it exited with %d", WEXITSTATUS(status));
	say("the peer hears: %s", peer_says("recv %d 5", h));
	say("parent: ttl %d", get_int(fd, IPPROTO_IP, IP_TTL));
	close(fd);
	say("and the end: %s", peer_says("drain %d", h));
}

/* A process that was there before the socket takes it, and hands one of its own back. */
static void passed(void)
{
	int pair[2], h, fd, status;
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fd = take_passed(pair[1]);
		dup2(fd, RECEIVED);
		close(fd);
		second("passed");
		fd = bound(udp(), TEST, 6300);
		pass(pair[1], fd);
		take_passed(pair[1]);
		fflush(stdout);
		_exit(0);
	}
	close(pair[1]);
	fd = connected(&h);
	peer("send %d 3", h);
	pass(pair[0], fd);
	close(fd);
	fd = take_passed(pair[0]);
	say("the peer hears: %s", peer_says("recv %d 5", h));
	fflush(stdout);
	names("parent", fd);
	pass(pair[0], fd);
	waitpid(pid, &status, 0);
	say("the peer hears the end: %s", peer_says("drain %d", h));
}

/* What has no address yet: whoever has it gives it one. */
static int takes_up(const char *who)
{
	struct sockaddr_in a = address(TEST, 6400);

	names(who, RECEIVED);
	options(who, RECEIVED);
	say("%s: bind %s", who, ok(bind(RECEIVED, SA(a), sizeof a)));
	say("%s: listen %s", who, ok(listen(RECEIVED, 5)));
	names(who, RECEIVED);
	fflush(stdout);
	return 0;
}

static int fresh(void)
{
	int fd = tcp();

	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	return fd;
}

static void fresh_executed(const char *self)
{
	int fd = fresh(), status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(fd, RECEIVED);
		execv(self, (char *const[]){ (char *)self, "takes up", "executed", NULL });
		_exit(127);
	}
	waitpid(pid, &status, 0);
	close(fd);
}

static void fresh_passed(void)
{
	int pair[2], fd, status;
	pid_t pid;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fd = take_passed(pair[1]);
		dup2(fd, RECEIVED);
		_exit(takes_up("passed"));
	}
	fd = fresh();
	pass(pair[0], fd);
	waitpid(pid, &status, 0);
	names("parent", fd);
	close(fd);
}

int main(int count, char **arguments)
{
	if (count > 2 && strcmp(arguments[1], "second") == 0)
		return second(arguments[2]);
	if (count > 2 && strcmp(arguments[1], "takes up") == 0)
		return takes_up(arguments[2]);
	one_connection();
	written_while_connecting(0);
	written_while_connecting(1);
	held_back();
	alone(meets_reset);
	alone(asks_after_reset);
	listeners();
	datagrams();
	executed(arguments[0], fork, "executed");
	executed(arguments[0], vfork, "executed by vfork");
	passed();
	fresh_executed(arguments[0]);
	fresh_passed();
}
