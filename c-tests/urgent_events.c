/* Urgent data: who is told of it, and what reading before, at and behind the mark gives. */
#include "check.h"

static char b[100];
static int h, fd;

static void open_one(const char *what)
{
	say("%s", what);
	fd = connected(&h);
}

static void close_one(void)
{
	close(fd);
	peer("close %d", h);
}

static void urgent(void)
{
	peer("urgent %d", h);
	wait_for(fd, POLLPRI);
}

static void bytes(int count)
{
	peer("send %d %d", h, count);
	nap(50);
}

static void receive(const char *how, int flags)
{
	b[0] = 0;
	long got = recv(fd, b, sizeof b, flags);
	say("  %s: %s, begins with %d", how, result(got), b[0]);
}

static void state(void)
{
	int count = -1;

	ioctl(fd, FIONREAD, &count);
	say("  poll %s, FIONREAD %d, at the mark %s", poll_flags(events_now(fd)), count, result(sockatmark(fd)));
}

static void alone(void)
{
	struct pollfd readable;

	open_one("nothing but the urgent byte");
	urgent();
	state();
	readable = (struct pollfd){fd, POLLIN, 0};
	say("  readable: %s", result(poll(&readable, 1, 50)));
	receive("recv", MSG_DONTWAIT);
	receive("peeked", MSG_OOB | MSG_PEEK);
	receive("MSG_OOB", MSG_OOB);
	receive("MSG_OOB", MSG_OOB);
	readable = (struct pollfd){fd, POLLIN | POLLPRI, 0};
	say("  anything: %s", result(poll(&readable, 1, 50)));
	state();
	bytes(3);
	say("  poll %s", poll_flags(events_now(fd)));
	receive("behind it", 0);
	state();
	close_one();
}

static void passed(void)
{
	open_one("read past");
	bytes(2);
	urgent();
	bytes(3);
	receive("peeked", MSG_PEEK);
	receive("before", MSG_WAITALL);
	state();
	receive("behind", 0);
	receive("MSG_OOB", MSG_OOB);
	state();
	close_one();
}

static void second(void)
{
	open_one("a second one, while the first is behind other bytes");
	bytes(2);
	urgent();
	bytes(2);
	peer("urgent %d", h);
	nap(50);
	receive("recv", 0);
	receive("MSG_OOB", MSG_OOB);
	receive("recv", MSG_DONTWAIT);
	close_one();

	open_one("a second one, at the mark of the first");
	urgent();
	bytes(2);
	peer("urgent %d", h);
	nap(50);
	receive("recv", 0);
	receive("MSG_OOB", MSG_OOB);
	receive("recv", MSG_DONTWAIT);
	close_one();
}

static void *later(void *unused)
{
	nap(100);
	peer("send %d 4", h);
	return unused;
}

static void blocked(void)
{
	pthread_t thread;

	open_one("recv waits at the mark");
	urgent();
	if (pthread_create(&thread, NULL, later, NULL))
		die("pthread_create");
	receive("recv", 0);
	pthread_join(thread, NULL);
	close_one();
}

static void told(void)
{
	struct epoll_event event = {.events = EPOLLPRI}, got;
	fd_set exceptional;
	int set = epoll_create1(0);

	open_one("who is told");
	count_signal(SIGURG, SA_RESTART);
	fcntl(fd, F_SETOWN, getpid());
	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	say("  epoll: %s", result(epoll_wait(set, &got, 1, 0)));
	peer("urgent %d", h);
	say("  epoll: %s", result(epoll_wait(set, &got, 1, 3000)));
	say("  SIGURG: %d", signals_seen);
	FD_ZERO(&exceptional);
	FD_SET(fd, &exceptional);
	say("  select: %s", result(select(fd + 1, NULL, NULL, &exceptional, NULL)));
	say("  exceptional: %d", FD_ISSET(fd, &exceptional) != 0);
	receive("MSG_OOB", MSG_OOB);
	say("  epoll: %s", result(epoll_wait(set, &got, 1, 50)));
	close(set);
	close_one();
}

static volatile sig_atomic_t caught;

static void receive_it(int number)
{
	char byte = 0;

	(void)number;
	if (recv(fd, &byte, 1, MSG_OOB) == 1)
		caught = byte;
}

static void *urgent_later(void *unused)
{
	nap(50);
	peer("urgent %d", h);
	return later(unused);
}

static void handled(const char *title, int flags)
{
	struct sigaction action = {.sa_handler = receive_it, .sa_flags = flags};
	pthread_t thread;
	sigset_t urgent_only;

	open_one(title);
	caught = 0;
	sigaction(SIGURG, &action, NULL);
	fcntl(fd, F_SETOWN, getpid());
	sigemptyset(&urgent_only);
	sigaddset(&urgent_only, SIGURG);
	pthread_sigmask(SIG_BLOCK, &urgent_only, NULL);
	if (pthread_create(&thread, NULL, urgent_later, NULL))
		die("pthread_create");
	pthread_sigmask(SIG_UNBLOCK, &urgent_only, NULL);
	receive("recv", 0);
	say("  caught: %d", caught);
	pthread_join(thread, NULL);
	close_one();
}

static void ended(void)
{
	open_one("the end behind it");
	urgent();
	peer("shutdown %d %d", h, SHUT_WR);
	nap(50);
	receive("MSG_OOB", MSG_OOB);
	receive("recv", 0);
	close_one();
}

static void in_line(void)
{
	say("in line, from the listener on");
	int listener = listening(0, 1);
	set_int(listener, SOL_SOCKET, SO_OOBINLINE, 1);
	h = peer("connect %d", port_of(listener));
	fd = accept(listener, NULL, NULL);
	bytes(2);
	urgent();
	state();
	receive("before", 0);
	state();
	receive("MSG_OOB", MSG_OOB);
	receive("behind", 0);
	state();
	close(listener);
	close_one();
}

static void message(void)
{
	struct iovec part = {b, sizeof b};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	open_one("recvmsg");
	urgent();
	say("  %s", result(recvmsg(fd, &header, MSG_OOB)));
	say("  MSG_OOB is told: %d", (header.msg_flags & MSG_OOB) != 0);
	close_one();
}

int main(void)
{
	alone();
	passed();
	second();
	blocked();
	told();
	handled("a handler receives it while recv waits", SA_RESTART);
	handled("and ends recv", 0);
	ended();
	in_line();
	message();
}
