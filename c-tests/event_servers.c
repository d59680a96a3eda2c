/* An echo server written with select(2), with poll(2) and with epoll(7), under 40 clients. */
#include "check.h"

#define CLIENTS 40
#define BYTES 20000

static int fds[64], count, open_clients;

static void echo(int index)
{
	char b[3000];
	ssize_t n = recv(fds[index], b, sizeof b, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(fds[index]);
		fds[index] = -1;
		open_clients--;
		return;
	}
	for (ssize_t sent = 0, step; sent < n; sent += step) {
		step = send(fds[index], b + sent, n - sent, MSG_NOSIGNAL);
		if (step < 0 && errno == EAGAIN)
			step = (wait_for(fds[index], POLLOUT), 0);
		else if (step < 0)
			die("send");
	}
}

static void take(void)
{
	int fd;

	while ((fd = accept4(fds[0], NULL, NULL, SOCK_NONBLOCK)) >= 0)
		fds[count++] = fd;
}

static int with_select(void)
{
	struct timeval limit = { 3, 0 };
	fd_set set;
	int highest = 0, n;

	FD_ZERO(&set);
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0) {
			FD_SET(fds[i], &set);
			highest = fds[i] > highest ? fds[i] : highest;
		}
	n = select(highest + 1, &set, NULL, NULL, &limit);
	for (int i = count - 1; n > 0 && i > 0; i--)
		if (fds[i] >= 0 && FD_ISSET(fds[i], &set))
			echo(i);
	if (n > 0 && FD_ISSET(fds[0], &set))
		take();
	return n;
}

static int with_poll(void)
{
	struct pollfd p[64];
	int known = count, n;

	for (int i = 0; i < known; i++)
		p[i] = (struct pollfd){ fds[i], POLLIN, 0 };
	n = poll(p, known, 3000);
	for (int i = 1; n > 0 && i < known; i++)
		if (fds[i] >= 0 && p[i].revents)
			echo(i);
	if (n > 0 && p[0].revents)
		take();
	return n;
}

static int epoll;

static int with_epoll(void)
{
	struct epoll_event events[16];
	int n = epoll_wait(epoll, events, 16, 3000);

	for (int i = 0; i < n; i++) {
		int known = count;

		if (events[i].data.u32)
			echo(events[i].data.u32);
		else
			take();
		for (; known < count; known++) {
			struct epoll_event event = { .events = EPOLLIN, .data.u32 = known };

			epoll_ctl(epoll, EPOLL_CTL_ADD, fds[known], &event);
		}
	}
	return n;
}

static void *serve(void *argument)
{
	int (*turn)(void) = *(int (**)(void))argument;

	while (open_clients > 0)
		if (turn() <= 0)
			die("nothing happens");
	return NULL;
}

static void served(const char *what, int (*turn)(void))
{
	struct epoll_event event = { .events = EPOLLIN };
	int h[CLIENTS], port, intact = 0;
	char expected[64];
	static unsigned char b[BYTES];
	pthread_t thread;

	fill(b, BYTES, 0);
	snprintf(expected, sizeof expected, "%d %016llx", BYTES, (unsigned long long)fnv(FNV_START, b, BYTES));
	count = 0;
	open_clients = CLIENTS;
	fds[count++] = nonblocking(listening(0, 64));
	port = port_of(fds[0]);
	epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event);
	pthread_create(&thread, NULL, serve, &turn);
	for (int i = 0; i < CLIENTS; i++) {
		h[i] = peer("connect %d", port);
		peer("send %d %d", h[i], BYTES);
	}
	for (int i = 0; i < CLIENTS; i++) {
		intact += !strcmp(peer_says("recv %d %d", h[i], BYTES), expected);
		peer("close %d", h[i]);
	}
	pthread_join(thread, NULL);
	say("%s: %d of %d echoed", what, intact, CLIENTS);
	close(fds[0]);
}

int main(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	served("select", with_select);
	served("poll", with_poll);
	served("epoll", with_epoll);
}
