/* Threads that are cancelled (pthread_cancel(3)) while they wait in a call, and what the others make of it. */
#include "check.h"

struct waiter {
	long (*call)(int);
	int fd, disabled, asynchronous, cleaned;
	long returned;
};

static char b[1 << 20];

static long do_recv(int fd) { return recv(fd, b, 10, 0); }
static long do_read(int fd) { return read(fd, b, 10); }
static long do_recvmsg(int fd)
{
	struct iovec v = { b, 10 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(fd, &message, 0);
}
static long do_accept(int fd) { return accept(fd, NULL, NULL); }
static long do_connect(int fd)
{
	struct sockaddr_in a = address(PEER, BLACKHOLE);

	return connect(fd, SA(a), sizeof a);
}
static long do_send(int fd) { return send(fd, b, sizeof b, MSG_NOSIGNAL); }
static long do_poll(int fd) { return poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, -1); }
static long do_select(int fd)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, NULL);
}
static long do_epoll(int fd)
{
	static int set = -1;
	struct epoll_event event = { .events = EPOLLIN };

	if (set < 0)
		set = epoll_create1(0);
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	return epoll_wait(set, &event, 1, -1);
}

static void cleans(void *argument)
{
	((struct waiter *)argument)->cleaned = 1;
}

static void *waits(void *argument)
{
	struct waiter *waiter = argument;
	int old;

	pthread_cleanup_push(cleans, waiter);
	if (waiter->disabled)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	if (waiter->asynchronous)
		pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
	waiter->returned = waiter->call(waiter->fd);
	if (waiter->disabled)
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	pthread_testcancel();
	pthread_cleanup_pop(0);
	return NULL;
}

static const char *ended(pthread_t thread)
{
	void *value;

	if (pthread_join(thread, &value))
		die("pthread_join");
	return value == PTHREAD_CANCELED ? "cancelled" : "returned";
}

static void is_cancelled(const char *what, struct waiter waiter)
{
	pthread_t thread;
	const char *how;
	long long start;

	pthread_create(&thread, NULL, waits, &waiter);
	nap(60);
	start = milliseconds();
	pthread_cancel(thread);
	how = ended(thread);
	say("%s: %s %s, cleaned up %d", what, how, elapsed(start, 0), waiter.cleaned);
}

static void cancelled(const char *what, long (*call)(int), int fd)
{
	is_cancelled(what, (struct waiter){ .call = call, .fd = fd, .returned = -2 });
}

/* May be cancelled at any moment. */
static void cancelled_anywhere(const char *what, long (*call)(int), int fd)
{
	is_cancelled(what, (struct waiter){ .call = call, .fd = fd, .asynchronous = 1, .returned = -2 });
}

/* All goes on for the others: the next call drives. */
static void still_works(int fd, int h)
{
	peer("send %d 7", h);
	say("recv: %s", result(recv(fd, b, 7, MSG_WAITALL)));
	say("poll: %s", poll_flags(wait_for(fd, POLLOUT)));
	send_all(fd, 1000);
	say("the peer hears: %s", peer_says("recv %d 1000", h));
}

/* Two wait, one of them drives; each order of cancelling. */
static void two(int first, int fd[2], int h[2])
{
	struct waiter waiters[2] = { { .call = do_recv, .fd = fd[0] }, { .call = do_recv, .fd = fd[1] } };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++, nap(60))
		pthread_create(&threads[i], NULL, waits, &waiters[i]);
	pthread_cancel(threads[first]);
	say("of two, number %d: %s", first, ended(threads[first]));
	peer("send %d 5", h[!first]);
	say("the other: %s", ended(threads[!first]));
	say("it has got %ld", waiters[!first].returned);
}

static void disabled(int fd, int h)
{
	struct waiter waiter = { .call = do_recv, .fd = fd, .disabled = 1 };
	pthread_t thread;

	pthread_create(&thread, NULL, waits, &waiter);
	nap(60);
	pthread_cancel(thread);
	nap(60);
	peer("send %d 5", h);
	say("disabled: %s", ended(thread));
	say("it has got %ld", waiter.returned);
}

/* A thread that is cancelled before it calls. */
static void *pends(void *argument)
{
	struct waiter *waiter = argument;
	int old;

	pthread_cleanup_push(cleans, waiter);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_cancel(pthread_self());
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	waiter->returned = waiter->call(waiter->fd);
	pthread_cleanup_pop(0);
	return NULL;
}

static void pending(const char *what, long (*call)(int), int fd)
{
	struct waiter waiter = { .call = call, .fd = fd, .returned = -2 };
	pthread_t thread;

	pthread_create(&thread, NULL, pends, &waiter);
	say("pending, %s: %s", what, ended(thread));
	say("returned %ld, cleaned up %d", waiter.returned, waiter.cleaned);
}

int main(void)
{
	int h[2], fd[2] = { connected(&h[0]), connected(&h[1]) }, listener = listening(5900, 5), other = udp(), ends[2];

	cancelled("recv", do_recv, fd[0]);
	cancelled("read", do_read, fd[0]);
	cancelled("recvmsg", do_recvmsg, fd[0]);
	cancelled("poll", do_poll, fd[0]);
	cancelled("select", do_select, fd[0]);
	cancelled("epoll_wait", do_epoll, fd[0]);
	cancelled("accept", do_accept, listener);
	cancelled("connect", do_connect, tcp());
	cancelled("datagram recv", do_recv, bound(other, TEST, 5901));
	still_works(fd[0], h[0]);
	for (int first = 0; first < 2; first++)
		two(first, fd, h);
	cancelled_anywhere("anywhere, recv", do_recv, fd[0]);
	cancelled_anywhere("anywhere, poll", do_poll, fd[0]);
	cancelled_anywhere("anywhere, select", do_select, fd[0]);
	cancelled_anywhere("anywhere, accept", do_accept, listener);
	still_works(fd[0], h[0]);
	disabled(fd[0], h[0]);
	pending("nothing to read", do_recv, fd[0]);
	peer("send %d 5", h[0]);
	wait_for(fd[0], POLLIN);
	pending("something to read", do_recv, fd[0]);
	say("it is there still: %s", result(do_recv(fd[0])));
	if (pipe(ends))
		die("pipe");
	cancelled("read of a pipe", do_read, ends[0]);
	while (send(fd[1], b, sizeof b, MSG_DONTWAIT) > 0 || (nap(50), send(fd[1], b, sizeof b, MSG_DONTWAIT) > 0))
		;
	cancelled("send", do_send, fd[1]);
}
