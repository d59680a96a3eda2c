/* An epoll set that has several numbers: what is registered by one is told of by all. And threads that wait on a set
 * from before it watched anything, while another one of the program sends and then waits for the answer. */
#include "check.h"

#define PORT 5000

static struct epoll_event want_in = { .events = EPOLLIN };

/* The ends of a connection within the program. */
static void pair(int listener, int *client, int *server)
{
	struct sockaddr_in a = address("127.0.0.1", PORT);

	*client = tcp();
	if (connect(*client, SA(a), sizeof a) < 0)
		die("connect");
	*server = accept(listener, NULL, NULL);
}

static void watch(int set, int fd, unsigned events)
{
	want_in.events = events;
	want_in.data.fd = fd;
	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &want_in) < 0)
		die("epoll_ctl");
}

static struct { int set, count; unsigned events; } waiting;

/* Waits on the set, answers once. */
static void *answers(void *unused)
{
	struct epoll_event event;
	char b[10];

	waiting.count = epoll_wait(waiting.set, &event, 1, 5000);
	waiting.events = waiting.count == 1 ? event.events : 0;
	if (waiting.count == 1 && recv(event.data.fd, b, sizeof b, MSG_DONTWAIT) > 0)
		send(event.data.fd, "answer", 6, 0);
	return unused;
}

/* Asks what `set` watches already, or, if `late` is not -1, only once a thread waits on `set`, by `late`. */
static void ask(const char *what, int set, int late, int client, int server, unsigned events)
{
	struct timeval limit = { 4, 0 };
	pthread_t thread;
	char b[10];

	waiting.set = set;
	pthread_create(&thread, NULL, answers, NULL);
	nap(50);
	if (late >= 0)
		watch(late, server, events);
	nap(50);
	/* As this thread is, who sends just after it has waited. */
	poll(&(struct pollfd){ client, POLLIN, 0 }, 1, 5);
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	say("%s: %s", what, result(send(client, "ask", 3, 0)));
	say("the answer: %s", result(recv(client, b, sizeof b, 0)));
	pthread_join(thread, NULL);
	say("told: %d, %s", waiting.count, epoll_flags(waiting.events));
}

static void asked(int listener, const char *how, unsigned events)
{
	int set = epoll_create1(0), other = fcntl(set, F_DUPFD_CLOEXEC, 0), client, server, third;

	say("%s", how);
	pair(listener, &client, &server);
	watch(other, server, events);
	ask("registered by another number", set, -1, client, server, events);
	ask("by the same", other, -1, client, server, events);
	third = dup(other);
	close(other);
	ask("which is closed", third, -1, client, server, events);
	close(set);
	ask("and so is the first", third, -1, client, server, events);
	epoll_ctl(third, EPOLL_CTL_DEL, server, NULL);
	ask("registered while a thread waits", third, third, client, server, events);
	set = dup2(third, 40);
	epoll_ctl(set, EPOLL_CTL_DEL, server, NULL);
	ask("by another number", third, set, client, server, events);
	close(set);
	close(third);
	close(client);
	close(server);
}

/* A number that was a set's is another's. */
static void another_set(int listener)
{
	int set = epoll_create1(0), other = dup(set), last, client, server, there;

	pair(listener, &client, &server);
	watch(other, server, EPOLLIN);
	last = epoll_create(1);
	say("in its place: %s", ok(dup2(last, other)));
	there = epoll_ctl(other, EPOLL_CTL_DEL, server, NULL);
	say("it watches nothing: %s", ok(there));
	ask("the first does", set, -1, client, server, EPOLLIN);
	ask("now the other, too", other, last, client, server, EPOLLIN);
	close(set);
	close(other);
	close(last);
	close(client);
	close(server);
}

/* What only the stack knows of is told by each number. */
static void an_error(void)
{
	int set = epoll_create1(0), other = dup(set), fd = udp();
	struct sockaddr_in a = address(PEER, UNREACHABLE);
	struct epoll_event event;
	int count;

	watch(other, fd, EPOLLIN);
	connect(fd, SA(a), sizeof a);
	say("to nobody: %s", result(send(fd, "nobody", 6, 0)));
	count = epoll_wait(set, &event, 1, 3000);
	say("told: %d, %s", count, count == 1 ? epoll_flags(event.events) : "none");
	say("the error: %s", name_of(pending_error(fd)));
	close(fd);
	close(set);
	close(other);
}

int main(void)
{
	int listener = listening(PORT, 16);

	asked(listener, "level-triggered", EPOLLIN);
	asked(listener, "edge-triggered", EPOLLIN | EPOLLET);
	another_set(listener);
	an_error();
	return 0;
}
