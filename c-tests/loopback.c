/* One listener for clients from the network and from this machine; connections within this machine. */
#include "check.h"

/* From an address of this machine, bound to without a port, if one is given. */
static int dial(const char *from, const char *to)
{
	struct sockaddr_in a = address(to, 5000);
	int fd = tcp(), on = 1;
	char b[10];

	if (from) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
		bound(fd, from, 0);
	}
	if (connect(fd, SA(a), sizeof a) || send(fd, "local", 5, 0) != 5 || recv(fd, b, 10, 0) != 2)
		return -1;
	return close(fd);
}

static void *dial_loopback(void *to)
{
	return dial(NULL, to) ? to : NULL;
}

static void served(int listener)
{
	struct sockaddr_in a, own;
	socklen_t length = sizeof a, own_length = sizeof own;
	int fd;
	char b[10];

	wait_for(listener, POLLIN);
	fd = accept(listener, SA(a), &length);
	if (fd < 0)
		die("accept");
	say("accepted from %s", inet_ntoa(a.sin_addr));
	getsockname(fd, SA(own), &own_length);
	say("on %s:%d", inet_ntoa(own.sin_addr), ntohs(own.sin_port));
	say("recv: %s", result(recv(fd, b, 10, 0)));
	say("send: %s", result(send(fd, "ok", 2, 0)));
	say("recv: %s", result(recv(fd, b, 10, 0)));
	close(fd);
}

static void local_client(int listener, const char *ip)
{
	pthread_t thread;
	void *failed;

	pthread_create(&thread, NULL, dial_loopback, (void *)ip);
	served(listener);
	pthread_join(thread, &failed);
	say("the client: %s", failed ? "failed" : "ok");
}

static void udp_both_ways(void)
{
	int fd = bound(udp(), "0.0.0.0", 5001), client = udp(), h = peer("udp 7000");
	struct sockaddr_in local = address("127.0.0.1", 5001), a;
	socklen_t length = sizeof a;
	char b[100];

	peer("to %d 5001 30", h);
	wait_for(fd, POLLIN);
	say("udp: %s", result(recvfrom(fd, b, 100, 0, SA(a), &length)));
	say("from %s", inet_ntoa(a.sin_addr));
	say("local send: %s", result(sendto(client, "local", 5, 0, SA(local), sizeof local)));
	wait_for(fd, POLLIN);
	say("udp: %s", result(recvfrom(fd, b, 100, 0, SA(a), &length)));
	say("from %s", inet_ntoa(a.sin_addr));
	say("answer: %s", result(sendto(fd, "answer", 6, 0, SA(a), length)));
	wait_for(client, POLLIN);
	say("answered: %s", result(recv(client, b, 100, MSG_DONTWAIT)));
	a = address(PEER, 7000);
	say("to the peer: %s", result(sendto(fd, "again", 5, 0, SA(a), sizeof a)));
	say("the peer hears: %s", peer_says("from %d", h));
	close(fd);
	close(client);
}

/* A connection of this thread to itself, whose ends an edge-triggered set watches. */
static void to_oneself(int listener)
{
	struct sockaddr_in a = address("127.0.0.1", 5000);
	struct epoll_event events[4], want = { .events = EPOLLIN | EPOLLET };
	int client = tcp(), set = epoll_create1(0), server, round;
	char b[10];

	say("connect to oneself: %s", result(connect(client, SA(a), sizeof a)));
	server = accept(listener, NULL, NULL);
	epoll_ctl(set, EPOLL_CTL_ADD, client, &want);
	epoll_ctl(set, EPOLL_CTL_ADD, server, &want);
	say("nothing yet: %d", epoll_wait(set, events, 4, 50));
	for (round = 0; round < 2; round++) {
		say("both send: %s", result(send(client, "client", 6, 0)));
		say("both send: %s", result(send(server, "server", 6, 0)));
		say("both are told: %d", epoll_wait(set, events, 4, 5000));
		say("once: %d", epoll_wait(set, events, 4, 50));
		say("server: %s", result(recv(server, b, 10, 0)));
		say("client: %s", result(recv(client, b, 10, 0)));
	}
	shutdown(client, SHUT_WR);
	wait_for(server, POLLIN);
	say("the end: %s", result(recv(server, b, 10, 0)));
	close(server);
	wait_for(client, POLLIN);
	say("the end: %s", result(recv(client, b, 10, 0)));
	close(client);
	close(set);
}

/* Another process finds the listener, too. */
static void a_child_dials(int listener, const char *from)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(dial(from, "127.0.0.1") ? 1 : 0);
	served(listener);
	waitpid(pid, &status, 0);
	say("the child: %d", WEXITSTATUS(status));
}

/* A client that has reset its connection before it is accepted still has a name. */
static void a_client_that_is_gone(int listener, int in_a_child)
{
	struct sockaddr_in a = address("127.0.0.1", 5000);
	struct linger at_once = { 1, 0 };
	socklen_t length = sizeof a;
	pid_t pid = in_a_child ? fork() : 0;
	char b[10];
	int fd;

	if (pid == 0) {
		fd = tcp();
		if (connect(fd, SA(a), sizeof a) < 0)
			die("connect");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
		close(fd);
	}
	if (in_a_child && pid == 0)
		_exit(0);
	if (in_a_child)
		waitpid(pid, NULL, 0);
	nap(50);
	memset(&a, 0, sizeof a);
	fd = accept(listener, SA(a), &length);
	say("gone before it is accepted: %s", fd < 0 ? name_of(errno) : inet_ntoa(a.sin_addr));
	say("its name then: %s", ok(getpeername(fd, SA(a), &length)));
	say("recv: %s", result(recv(fd, b, 10, 0)));
	close(fd);
}

static void a_peer_that_is_gone(void)
{
	int there = bound(udp(), "127.0.0.1", 5002), fd = udp();
	struct sockaddr_in a = address("127.0.0.1", 5002);
	char b[10];

	say("udp connect: %s", result(connect(fd, SA(a), sizeof a)));
	say("udp send: %s", result(send(fd, "there", 5, 0)));
	wait_for(there, POLLIN);
	say("udp recv: %s", result(recv(there, b, 10, 0)));
	close(there);
	say("udp send: %s", result(send(fd, "gone", 4, 0)));
	wait_for(fd, POLLIN);
	say("udp recv: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	close(fd);
}

/* A socket that has a peer is there for others as well: it refuses them, until it has another peer. */
static void another_peer(void)
{
	int fd = bound(udp(), "127.0.0.1", 5003), first = bound(udp(), "127.0.0.1", 5004);
	int second = bound(udp(), "127.0.0.1", 5005);
	struct sockaddr_in own = address("127.0.0.1", 5003), one = address("127.0.0.1", 5004);
	struct sockaddr_in two = address("127.0.0.1", 5005);
	char b[10];

	connect(fd, SA(one), sizeof one);
	connect(first, SA(own), sizeof own);
	say("two have one for a peer: %s", ok(connect(second, SA(own), sizeof own)));
	say("the one: %s", result(send(first, "one", 3, 0)));
	wait_for(fd, POLLIN);
	say("hears: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	say("the other: %s", result(send(second, "other", 5, 0)));
	wait_for(second, POLLIN);
	say("is refused: %s", name_of(pending_error(second)));
	for (int round = 0; round < 2; round++) {
		say("it has another peer: %s", ok(connect(fd, round ? SA(one) : SA(two), sizeof one)));
		say("that: %s", result(send(round ? first : second, "that", 4, 0)));
		wait_for(fd, POLLIN);
		say("hears: %s", result(recv(fd, b, 10, MSG_DONTWAIT)));
	}
	close(fd);
	close(first);
	close(second);
}

int main(void)
{
	int listener = listening(5000, 16), h, fd;
	struct sockaddr_in nobody = address("127.0.0.1", 5009), self;

	h = peer("connect 5000");
	peer("send %d 4", h);
	peer("shutdown %d 1", h);
	served(listener);
	say("the peer hears: %s", peer_says("drain %d", h));
	local_client(listener, "127.0.0.1");
	local_client(listener, TEST);
	h = peer("connect 5000");
	peer("send %d 4", h);
	peer("shutdown %d 1", h);
	served(listener);
	to_oneself(listener);
	a_child_dials(listener, NULL);
	a_child_dials(listener, "127.0.0.2");
	a_client_that_is_gone(listener, 1);
	a_client_that_is_gone(listener, 0);
	close(listener);
	a_peer_that_is_gone();
	another_peer();
	fd = tcp();
	say("nobody on loopback: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	close(fd);
	fd = tcp();
	self = address("0.0.0.0", 5009);
	say("0.0.0.0 is loopback: %s", ok(connect(fd, SA(self), sizeof self)));
	close(fd);
	udp_both_ways();
}
