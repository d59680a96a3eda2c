/* signal(7): every blocking call, interrupted by a handler with and without SA_RESTART, with and without a timeout of the
 * socket's. All calls are made at the same time, each by a thread of its own on a socket of its own. */
#include "check.h"

#include <sys/syscall.h>

enum kind { RECEIVES, HEARS, ACCEPTS, SENDS, CONNECTS, WATCHES };

static struct iovec vector(void)
{
	static _Thread_local char b[1 << 17];

	return (struct iovec){ b, 10 };
}
static struct msghdr message(struct iovec *v) { return (struct msghdr){ .msg_iov = v, .msg_iovlen = 1 }; }

static long by_read(int fd) { struct iovec v = vector(); return read(fd, v.iov_base, 10); }
static long by_readv(int fd) { struct iovec v = vector(); return readv(fd, &v, 1); }
static long by_preadv2(int fd) { struct iovec v = vector(); return preadv2(fd, &v, 1, -1, 0); }
static long by_recv(int fd) { struct iovec v = vector(); return recv(fd, v.iov_base, 10, 0); }
static long by_peek(int fd) { struct iovec v = vector(); return recv(fd, v.iov_base, 10, MSG_PEEK); }
static long by_recvfrom(int fd) { struct iovec v = vector(); return recvfrom(fd, v.iov_base, 10, 0, NULL, NULL); }
static long by_recvmsg(int fd)
{
	struct iovec v = vector();
	struct msghdr m = message(&v);

	return recvmsg(fd, &m, 0);
}
static long by_recvmmsg(int fd)
{
	struct iovec v = vector();
	struct mmsghdr m = { .msg_hdr = message(&v) };

	return recvmmsg(fd, &m, 1, 0, NULL);
}

/* More than all queues take; it is full already. */
static struct iovec much(void) { struct iovec v = vector(); v.iov_len = 1 << 16; return v; }
static long sent(ssize_t count) { return count < 0 ? count : count > 0; }

static long by_write(int fd) { struct iovec v = much(); return sent(write(fd, v.iov_base, v.iov_len)); }
static long by_writev(int fd) { struct iovec v = much(); return sent(writev(fd, &v, 1)); }
static long by_send(int fd) { struct iovec v = much(); return sent(send(fd, v.iov_base, v.iov_len, 0)); }
static long by_sendto(int fd) { struct iovec v = much(); return sent(sendto(fd, v.iov_base, v.iov_len, 0, NULL, 0)); }
static long by_sendmsg(int fd)
{
	struct iovec v = much();
	struct msghdr m = message(&v);

	return sent(sendmsg(fd, &m, 0));
}
static long by_sendmmsg(int fd)
{
	struct iovec v = much();
	struct mmsghdr m = { .msg_hdr = message(&v) };

	return sendmmsg(fd, &m, 1, 0);
}

static long by_accept(int fd) { return sent(accept(fd, NULL, NULL)); }
static long by_accept4(int fd) { return sent(accept4(fd, NULL, NULL, SOCK_CLOEXEC)); }
static long by_connect(int fd)
{
	struct sockaddr_in a = address(PEER, BLACKHOLE);

	return connect(fd, SA(a), sizeof a);
}

static long by_poll(int fd) { return poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, -1); }
static long by_ppoll(int fd) { return ppoll(&(struct pollfd){ fd, POLLIN, 0 }, 1, NULL, NULL); }
static long by_select(int fd)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, NULL);
}
static long by_pselect(int fd)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return pselect(fd + 1, &set, NULL, NULL, NULL, NULL);
}
static int watching(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	return set;
}
static long by_epoll_wait(int fd) { return epoll_wait(watching(fd), &(struct epoll_event){ 0 }, 1, -1); }
static long by_epoll_pwait(int fd) { return epoll_pwait(watching(fd), &(struct epoll_event){ 0 }, 1, -1, NULL); }

static const struct call {
	const char *name;
	enum kind kind;
	long (*make)(int);
} calls[] = {
	{ "read", RECEIVES, by_read }, { "readv", RECEIVES, by_readv }, { "preadv2", RECEIVES, by_preadv2 },
	{ "recv", RECEIVES, by_recv }, { "recv, MSG_PEEK", RECEIVES, by_peek }, { "recvfrom", RECEIVES, by_recvfrom },
	{ "recvmsg", RECEIVES, by_recvmsg }, { "recvmmsg", RECEIVES, by_recvmmsg },
	{ "datagram read", HEARS, by_read }, { "datagram recv", HEARS, by_recv }, { "datagram recvmsg", HEARS, by_recvmsg },
	{ "accept", ACCEPTS, by_accept }, { "accept4", ACCEPTS, by_accept4 },
	{ "write", SENDS, by_write }, { "writev", SENDS, by_writev }, { "send", SENDS, by_send },
	{ "sendto", SENDS, by_sendto }, { "sendmsg", SENDS, by_sendmsg }, { "sendmmsg", SENDS, by_sendmmsg },
	{ "connect", CONNECTS, by_connect },
	{ "poll", WATCHES, by_poll }, { "ppoll", WATCHES, by_ppoll }, { "select", WATCHES, by_select },
	{ "pselect", WATCHES, by_pselect }, { "epoll_wait", WATCHES, by_epoll_wait },
	{ "epoll_pwait", WATCHES, by_epoll_pwait },
};

/* One call in one of its four variants. */
static struct one {
	const struct call *call;
	int restarts, limited, fd, h;
	pid_t id;
	pthread_t thread;
	long value;
	int error;
} ones[COUNT(calls) * 4];
static int count;
static _Atomic int handled, running;

static void handles(int number)
{
	(void)number;
	handled++;
}

static void *makes(void *argument)
{
	struct one *one = argument;

	one->id = syscall(SYS_gettid);
	running++;
	one->value = one->call->make(one->fd);
	one->error = errno;
	return NULL;
}

static int opened(enum kind kind, int *h)
{
	switch (kind) {
	case HEARS:
		return bound(udp(), TEST, 0);
	case ACCEPTS:
		return listening(0, 5);
	case CONNECTS:
		return tcp();
	default:
		return connected(h);
	}
}

static int takes_more(const struct one *one)
{
	static char b[100];
	int more = 0;

	while (one->call->kind == SENDS && send(one->fd, b, sizeof b, MSG_DONTWAIT) > 0)
		more = 1;
	return more;
}

/* Fills all queues of the sockets to send to, until none takes any more, also after its first probe of the window. */
static void fill_up(void)
{
	for (int calm = 0, rounds = 0; calm < 15 && rounds < 500; rounds++, nap(20)) {
		calm++;
		for (int i = 0; i < count; i++)
			if (takes_more(&ones[i]))
				calm = 0;
	}
}

static void prepare(const struct call *call, int restarts, int limited)
{
	struct one *one = &ones[count++];
	struct timeval limit = { 20, 0 };

	*one = (struct one){ .call = call, .restarts = restarts, .limited = limited };
	one->fd = opened(call->kind, &one->h);
	if (limited) {
		setsockopt(one->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		setsockopt(one->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	}
}

/* Whether the thread sleeps; where its stat file cannot be read, it has ended. */
static int sleeps(pid_t id)
{
	char path[60], state = 'S';
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'R';
	if (file)
		fclose(file);
	return state == 'S';
}

static void until_all_sleep(void)
{
	for (int calm = 0, rounds = 0; calm < 3 && rounds < 500; rounds++, nap(10)) {
		calm++;
		if (running < count)
			calm = 0;
		for (int i = 0; calm && i < count; i++)
			if (!sleeps(ones[i].id))
				calm = 0;
	}
}

/* What the call waits for. */
static void finish(struct one *one)
{
	static int speaker = -1;

	switch (one->call->kind) {
	case RECEIVES:
		peer("send %d 5", one->h);
		break;
	case HEARS:
		if (speaker < 0)
			speaker = peer("udp 6900");
		peer("to %d %d 5", speaker, port_of(one->fd));
		break;
	case ACCEPTS:
		peer("connect %d", port_of(one->fd));
		break;
	case SENDS:
		peer("start drain %d", one->h);
		break;
	default:
		break;
	}
}

int main(void)
{
	struct sigaction action = { .sa_handler = handles };

	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < COUNT(calls); i++)
		for (int variant = 0; variant < 4; variant++)
			/* A connect that is restarted here would never end. */
			if (calls[i].kind != CONNECTS || variant != 1)
				prepare(&calls[i], variant & 1, variant >> 1);
	fill_up();
	for (int i = 0; i < count; i++)
		pthread_create(&ones[i].thread, NULL, makes, &ones[i]);
	until_all_sleep();
	for (int i = 0; i < count; i++)
		pthread_kill(ones[i].thread, ones[i].restarts ? SIGUSR2 : SIGUSR1);
	for (int rounds = 0; handled < count && rounds < 500; rounds++)
		nap(10);
	until_all_sleep();
	for (int i = 0; i < count; i++)
		finish(&ones[i]);
	for (int i = 0; i < count; i++) {
		struct one *one = &ones[i];

		pthread_join(one->thread, NULL);
		errno = one->error;
		say("%s%s%s: %s", one->call->name, one->restarts ? ", SA_RESTART" : "", one->limited ? ", a timeout" : "",
		    result(one->value));
	}
}
