/* Signal-driven I/O: O_ASYNC, FIOASYNC, F_SETOWN, F_SETSIG, and what SIGIO or the signal in its place says. */
#include "check.h"

#define EVENT (SIGRTMIN + 3)

/* The kinds of events that were told within a while, each once. */
static const char *told(int fd)
{
	static char text[100];
	struct timespec first = { 1, 0 }, more = { 0, 120000000 };
	siginfo_t info;
	sigset_t set;
	long bands = 0;
	int others = 0;

	sigemptyset(&set);
	sigaddset(&set, EVENT);
	for (int n = sigtimedwait(&set, &info, &first); n == EVENT; n = sigtimedwait(&set, &info, &more)) {
		bands |= info.si_band;
		others |= info.si_fd != fd;
	}
	snprintf(text, sizeof text, "%s%s", poll_flags(bands & (POLLIN | POLLOUT | POLLPRI | POLLERR | POLLHUP)),
		 others ? " of another" : "");
	return text;
}

static int with_events(int fd)
{
	struct f_owner_ex owner = { F_OWNER_PID, getpid() };

	if (fcntl(fd, F_SETOWN_EX, &owner) || fcntl(fd, F_SETSIG, EVENT))
		die("F_SETOWN_EX");
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC))
		die("O_ASYNC");
	return fd;
}

static void settings(void)
{
	int h, fd = connected(&h), on = 1, group = 0, own = getpid();

	say("owner: %d", fcntl(fd, F_GETOWN));
	say("FIOSETOWN: %s", ok(ioctl(fd, FIOSETOWN, &own)));
	say("owner: %d", fcntl(fd, F_GETOWN) == own);
	say("SIOCGPGRP: %s", ok(ioctl(fd, SIOCGPGRP, &group)));
	say("it is: %d", group == own);
	group = -getpgrp();
	say("SIOCSPGRP: %s", ok(ioctl(fd, SIOCSPGRP, &group)));
	say("owner: %d", fcntl(fd, F_GETOWN) == -getpgrp());
	say("F_GETSIG: %d", fcntl(fd, F_GETSIG));
	say("FIOASYNC: %s", ok(ioctl(fd, FIOASYNC, &on)));
	say("O_ASYNC: %d", !!(fcntl(fd, F_GETFL) & O_ASYNC));
	on = 0;
	say("FIOASYNC: %s", ok(ioctl(fd, FIOASYNC, &on)));
	say("O_ASYNC: %d", !!(fcntl(fd, F_GETFL) & O_ASYNC));
	close(fd);
}

static void connection(void)
{
	int h, fd = with_events(nonblocking(tcp())), listener = peer("listen 0 5"), port = peer("port %d", listener);
	struct sockaddr_in a = address(PEER, port);
	static char b[100000];

	say("connect: %s", ok(connect(fd, SA(a), sizeof a)));
	h = peer("accept %d", listener);
	say("told: %s", told(fd));
	peer("send %d 10", h);
	say("data, told: %s", told(fd));
	say("recv: %s", result(recv(fd, b, 100, 0)));
	peer("send %d 10", h);
	say("more data, told: %s", told(fd));
	recv(fd, b, 100, 0);
	for (int i = 0; i < 10; i++, nap(20))
		while (send(fd, b, sizeof b, 0) > 0)
			;
	peer("start drain %d", h);
	say("room, told: %s", told(fd));
	shutdown(fd, SHUT_WR);
	peer("join %d", h);
	peer("shutdown %d 1", h);
	say("the end: %s", told(fd));
	close(fd);
}

static void ends(void)
{
	int h, fd = with_events(connected(&h));

	peer("shutdown %d 1", h);
	say("half closed: %s", told(fd));
	peer("close %d", h);
	close(fd);
	fd = with_events(connected(&h));
	peer("reset %d", h);
	say("reset: %s", told(fd));
	close(fd);
}

static void others(void)
{
	int fd = with_events(listening(6700, 5)), h;

	peer("connect 6700");
	say("listener, told: %s", told(fd));
	close(fd);
	fd = with_events(bound(udp(), TEST, 6701));
	h = peer("udp 6702");
	peer("to %d 6701 5", h);
	say("datagram, told: %s", told(fd));
	close(fd);
}

static void *receives(void *fd)
{
	char b[10];

	recv(*(int *)fd, b, sizeof b, 0);
	return NULL;
}

/* A call that waits takes all that comes, which is told all the same. */
static void taken_at_once(void)
{
	int h, fd = with_events(connected(&h)), on = bound(udp(), TEST, 0);
	pthread_t thread;

	pthread_create(&thread, NULL, receives, &fd);
	nap(50);
	peer("send %d 10", h);
	pthread_join(thread, NULL);
	say("data for a call that waits, told: %s", told(fd));
	close(fd);
	with_events(on);
	pthread_create(&thread, NULL, receives, &on);
	nap(50);
	peer("to %d %d 10", (int)peer("udp 0"), port_of(on));
	pthread_join(thread, NULL);
	say("a datagram for a call that waits, told: %s", told(on));
	close(on);
}

/* Also where epoll watches, and without F_SETSIG. */
static void watched(void)
{
	int h, fd = connected(&h), set = epoll_create1(0), on = 1, own = getpid();
	struct epoll_event event = { .events = EPOLLIN };

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	say("epoll: %s", result(epoll_wait(set, &event, 1, 20)));
	count_signal(SIGIO, SA_RESTART);
	ioctl(fd, FIOSETOWN, &own);
	ioctl(fd, FIOASYNC, &on);
	for (int i = 0; i < 5; i++) {
		peer("send %d 10", h);
		nap(60);
	}
	say("SIGIO: %s", signals_seen >= 3 ? "each time" : "not each time");
	say("epoll: %s", result(epoll_wait(set, &event, 1, 1000)));
	say("unread: %s", result(recv(fd, (char[100]){ 0 }, 100, 0)));
}

int main(void)
{
	sigset_t events;

	sigemptyset(&events);
	sigaddset(&events, EVENT);
	sigprocmask(SIG_BLOCK, &events, NULL);
	settings();
	connection();
	ends();
	others();
	taken_at_once();
	watched();
}
