/* What another thread does to a socket while a call sleeps in it: whether that wakes the call, with what answer, and
 * what does in the end. All calls sleep side by side, each in a thread and a scene of its own. */
#include "states/states.h"

#include <sys/syscall.h>

static const struct timespec a_while = { 0, 20000000 };

struct sleeper {
	struct scene scene;
	const struct call *call, *action;
	char answer[96];
	volatile int number;            /* of its thread, once it is about to call */
	volatile int is_done;
	int was_said;
	pthread_t thread;
};

/* The calls that sleep. What asks for readiness asks for that of a number: what becomes of it when that is gone is not
 * compared. */
#define READINESS 1

static char room[64];

static long receives(struct scene *s, long flags, long b)
{
	(void)b;
	return recv(s->fd, room, 10, flags);
}

static long reads(struct scene *s, long vectors, long b)
{
	struct iovec parts[] = { { room, 5 }, { room + 5, 5 } };

	(void)b;
	return vectors ? readv(s->fd, parts, 2) : read(s->fd, room, 10);
}

static long receives_message(struct scene *s, long many, long b)
{
	struct iovec part = { room, 10 };
	struct mmsghdr message = { { .msg_iov = &part, .msg_iovlen = 1 }, 0 };

	(void)b;
	return many ? recvmmsg(s->fd, &message, 1, 0, NULL) : recvmsg(s->fd, &message.msg_hdr, 0);
}

static long sends(struct scene *s, long count, long b)
{
	static const char block[100000];

	(void)b;
	return send(s->fd, block, count, MSG_NOSIGNAL);
}

static long writes(struct scene *s, long a, long b)
{
	(void)a, (void)b;
	return write(s->fd, room, 1);
}

static long accepts(struct scene *s, long a, long b)
{
	(void)a, (void)b;
	return accept(s->fd, NULL, NULL) < 0 ? -1 : 0;
}

static long connects(struct scene *s, long a, long b)
{
	struct sockaddr_in to = address(PEER, BLACKHOLE);

	(void)a, (void)b;
	return connect(s->fd, SA(to), sizeof to);
}

static long polls(struct scene *s, long events, long b)
{
	struct pollfd p = { s->fd, events, 0 };

	(void)b;
	return poll(&p, 1, -1) < 0 ? -1 : 1000 + p.revents;
}

static long selects(struct scene *s, long writing, long b)
{
	fd_set set;

	(void)b;
	FD_ZERO(&set);
	FD_SET(s->fd, &set);
	return select(s->fd + 1, writing ? NULL : &set, writing ? &set : NULL, NULL, NULL);
}

static long epolls(struct scene *s, long events, long b)
{
	struct epoll_event event = { .events = events };
	int set = epoll_create1(0);

	(void)b;
	if (epoll_ctl(set, EPOLL_CTL_ADD, s->fd, &event) || epoll_wait(set, &event, 1, -1) < 0)
		return -1;
	return 10000 + event.events;
}

static const struct call of_receiving[] = {
	{ "recv", receives, 0, 0 },
	{ "recv PEEK", receives, MSG_PEEK, 0 },
	{ "recv WAITALL", receives, MSG_WAITALL, 0 },
	{ "read", reads, 0, 0 },
	{ "readv", reads, 1, 0 },
	{ "recvmsg", receives_message, 0, 0 },
	{ "recvmmsg", receives_message, 1, 0 },
	{ "poll IN", polls, POLLIN, READINESS },
	{ "poll RDHUP", polls, POLLRDHUP, READINESS },
	{ "select to read", selects, 0, READINESS },
	{ "epoll IN", epolls, EPOLLIN, READINESS },
	{ "epoll IN RDHUP ET", epolls, (long)(EPOLLIN | EPOLLRDHUP | EPOLLET), READINESS },
	{ NULL, NULL, 0, 0 },
};

static const struct call of_datagrams[] = {
	{ "recv", receives, 0, 0 },
	{ "recv PEEK", receives, MSG_PEEK, 0 },
	{ "recvmmsg", receives_message, 1, 0 },
	{ "poll IN", polls, POLLIN, READINESS },
	{ "epoll IN", epolls, EPOLLIN, READINESS },
	{ NULL, NULL, 0, 0 },
};

static const struct call of_sending[] = {
	{ "send 1", sends, 1, 0 },
	{ "send 100000", sends, 100000, 0 },
	{ "write", writes, 0, 0 },
	{ "poll OUT", polls, POLLOUT, READINESS },
	{ "select to write", selects, 1, READINESS },
	{ "epoll OUT", epolls, EPOLLOUT, READINESS },
	{ NULL, NULL, 0, 0 },
};

static const struct call of_accepting[] = {
	{ "accept", accepts, 0, 0 },
	{ "poll IN", polls, POLLIN, READINESS },
	{ "select to read", selects, 0, READINESS },
	{ "epoll IN", epolls, EPOLLIN, READINESS },
	{ NULL, NULL, 0, 0 },
};

static const struct call of_connecting[] = {
	{ "connect", connects, 0, 0 },
	{ NULL, NULL, 0, 0 },
};

/* What is done meanwhile. */

static long shuts(struct scene *s, long how, long b)
{
	(void)b;
	return shutdown(s->fd, how);
}

static long closes_a_copy(struct scene *s, long a, long b)
{
	(void)a, (void)b;
	return close(dup(s->fd));
}

/* The number is gone; the call goes on with the socket. */
static long closes(struct scene *s, long a, long b)
{
	int fd = s->fd;

	(void)a, (void)b;
	s->fd = -1;
	return close(fd);
}

static long overlays(struct scene *s, long a, long b)
{
	static int pair[2];
	int fd = s->fd;

	(void)a, (void)b;
	if (!pair[1] && socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	s->fd = -1;
	return dup2(pair[0], fd) - fd;
}

static long disconnects(struct scene *s, long a, long b)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	(void)a, (void)b;
	return connect(s->fd, &none, sizeof none);
}

static long sets_nonblocking(struct scene *s, long a, long b)
{
	(void)a, (void)b;
	return fcntl(s->fd, F_SETFL, O_NONBLOCK);
}

static long sets_a_limit(struct scene *s, long a, long b)
{
	struct timeval limit = { 0, 50000 };

	(void)a, (void)b;
	return setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

static const struct call meanwhile[] = {
	{ "shutdown RD", shuts, SHUT_RD, 0 },
	{ "shutdown WR", shuts, SHUT_WR, 0 },
	{ "shutdown RDWR", shuts, SHUT_RDWR, 0 },
	{ "close a copy", closes_a_copy, 0, 0 },
	{ "close", closes, 0, READINESS },
	{ "dup2", overlays, 0, READINESS },
	{ "connect AF_UNSPEC", disconnects, 0, 0 },
	{ "O_NONBLOCK", sets_nonblocking, 0, 0 },
	{ "SO_RCVTIMEO", sets_a_limit, 0, 0 },
	{ NULL, NULL, 0, 0 },
};

static void *sleep_in_call(void *argument)
{
	struct sleeper *s = argument;
	long returned;

	s->number = syscall(SYS_gettid);
	returned = s->call->make(&s->scene, s->call->a, s->call->b);
	if (returned == -1)
		snprintf(s->answer, sizeof s->answer, "%s", name_of(errno));
	else if (returned >= 10000)
		snprintf(s->answer, sizeof s->answer, "%s", epoll_flags(returned - 10000));
	else if (returned >= 1000)
		snprintf(s->answer, sizeof s->answer, "%s", poll_flags(returned - 1000));
	else
		snprintf(s->answer, sizeof s->answer, "%ld", returned);
	s->is_done = 1;
	return NULL;
}

static int is_asleep(const struct sleeper *s)
{
	char path[64], line[128] = "", state = 0;
	FILE *file;

	if (s->is_done)
		return 1;
	if (!s->number)
		return 0;
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", s->number);
	if ((file = fopen(path, "r"))) {
		if (fgets(line, sizeof line, file) && strrchr(line, ')'))
			state = strrchr(line, ')')[2];
		fclose(file);
	}
	return state == 'S';
}

/* Until every call has ended, or has slept for a while. */
static void let_them(struct sleeper *sleepers, size_t count, int rounds)
{
	for (int quiet = 0, all = 0; quiet < rounds && all < 1000; all++) {
		int awake = 0;

		nanosleep(&a_while, NULL);
		for (size_t i = 0; i < count; i++)
			awake += !is_asleep(&sleepers[i]);
		quiet = awake ? 0 : quiet + 1;
	}
}

/* A line for each call that has ended since the last time. */
static void say_woken(const char *state, const char *by, struct sleeper *sleepers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct sleeper *s = &sleepers[i];

		if (!s->is_done || s->was_said)
			continue;
		s->was_said = 1;
		pthread_join(s->thread, NULL);
		say("%s | %s, %s, woken by %s: %s", state, s->call->name, s->action->name, by, s->answer);
	}
}

/* What the peer does for each scene in the end. */

static void sends_data(struct scene *s, int port)
{
	(void)port;
	peer_says("send %d 4", s->peer);
}

static void resets(struct scene *s, int port)
{
	(void)port;
	peer("reset %d", s->peer);
	s->peer = -1;
}

/* The peer's handle; -1: it was refused. */
static int connection_to(int port)
{
	const char *says = peer_says("connect %d", port);

	return *says >= '0' && *says <= '9' ? atoi(says) : -1;
}

static void calls(struct scene *s, int port)
{
	if (s->fd < 0)
		s->peer = connection_to(port);
	else if (!strcmp(state_name(s->fd), "LISTEN"))
		s->peer = peer("connect %d", port);
}

static void sends_datagram(struct scene *s, int port)
{
	/* One that was disconnected has given up its port. */
	if (s->fd < 0 || port_of(s->fd) == port)
		peer("to %d %d 4", datagram_peer(), port);
}

struct table {
	const char *state;
	const struct step *steps;
	const struct call *calls;
	struct {
		const char *name;
		void (*make)(struct scene *, int port);
	} last[2];
};

static void wake_each(const struct table *table)
{
	static struct sleeper sleepers[160];
	static struct scene scenes[160];
	static int ports[160];
	size_t count = 0;

	memset(sleepers, 0, sizeof sleepers);
	for (const struct call *action = meanwhile; action->name; action++)
		for (const struct call *call = table->calls; call->name; call++) {
			if (action->b && call->b)
				continue;
			sleepers[count].action = action;
			sleepers[count++].call = call;
		}
	lead(table->state, table->steps, scenes, count);
	for (size_t i = 0; i < count; i++) {
		sleepers[i].scene = scenes[i];
		ports[i] = strcmp(table->state, "fresh") ? port_of(scenes[i].fd) : 0;
		fcntl(scenes[i].fd, F_SETFL, 0);
		pthread_create(&sleepers[i].thread, NULL, sleep_in_call, &sleepers[i]);
	}
	let_them(sleepers, count, 3);
	say_woken(table->state, "nothing", sleepers, count);
	for (size_t i = 0; i < count; i++) {
		const struct call *action = sleepers[i].action;
		long returned = action->make(&scenes[i], action->a, action->b);

		if (returned)
			say("%s | %s, %s: %s", table->state, sleepers[i].call->name, action->name, result(returned));
	}
	let_them(sleepers, count, 15);
	say_woken(table->state, "it", sleepers, count);
	for (size_t last = 0; last < COUNT(table->last) && table->last[last].name; last++) {
		for (size_t i = 0; i < count; i++)
			table->last[last].make(&scenes[i], ports[i]);
		let_them(sleepers, count, 15);
		say_woken(table->state, table->last[last].name, sleepers, count);
	}
	for (size_t i = 0; i < count; i++)
		if (scenes[i].peer >= 0 && scenes[i].peer != datagram_peer())
			peer("reset %d", scenes[i].peer);
	for (size_t i = 0; i < count; i++)
		if (!sleepers[i].was_said)
			say("%s | %s, %s: sleeps on", table->state, sleepers[i].call->name, sleepers[i].action->name);
}

/* Another socket takes the number while a call sleeps in the first one, which takes nothing from it. */
static void overlaid(const struct call *call)
{
	static struct sleeper sleepers[8];
	static size_t used;
	struct sleeper *s = &sleepers[used++];
	int first, second, fd = connected(&second), received = 0, n;
	char b[16];

	s->scene.fd = connected(&first);
	s->call = call;
	pthread_create(&s->thread, NULL, sleep_in_call, s);
	let_them(s, 1, 3);
	say("%s, overlaid: %d", call->name, dup2(fd, s->scene.fd) == s->scene.fd);
	close(fd);
	peer("send %d 7", first);
	peer("send %d 9", second);
	while (received < 9 && (n = recv(s->scene.fd, b, sizeof b, 0)) > 0)
		received += n;
	say("  the new one receives %d", received);
	say("  first %d", b[0] & 0xff);
	let_them(s, 1, 3);
	say("  the call receives %s", s->is_done ? s->answer : "nothing");
	if (s->is_done)
		say("  and closes the socket: %s", peer_says("ending %d", first));
	peer("reset %d", first);
	peer("reset %d", second);
}

int main(void)
{
	static const struct table tables[] = {
		{ "connected", tcp_steps, of_receiving, { { "data", sends_data }, { "a reset", resets } } },
		{ "connected full deaf", tcp_steps, of_sending, { { "a reset", resets } } },
		{ "listening", tcp_steps, of_accepting, { { "a caller", calls } } },
		{ "fresh", tcp_steps, of_connecting, { { NULL, NULL } } },
		{ "bound", udp_steps, of_datagrams, { { "a datagram", sends_datagram } } },
	};

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(tables); i++)
		wake_each(&tables[i]);
	for (const struct call *call = of_receiving; call < of_receiving + 5; call++)
		overlaid(call);
	/* Some sleep on. */
	fflush(stdout);
	_exit(0);
}
