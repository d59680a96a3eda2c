/* A program that has used up all its memory. What is open goes on as ever. What would be new may be refused with
 * ENOMEM or made, and is made once there is memory again. */
#include "check.h"

struct piece {
	struct piece *next;
};

static struct piece *pieces;

/* Takes all there is. */
static void use_up(void)
{
	struct rlimit limit = { 1 << 20, RLIM_INFINITY };

	if (setrlimit(RLIMIT_AS, &limit) < 0)
		die("setrlimit");
	for (size_t size = 1 << 20; size >= 16; size /= 2)
		for (struct piece *piece; (piece = malloc(size)) != NULL; pieces = piece)
			piece->next = pieces;
}

static void give_back(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	for (struct piece *piece = pieces; piece != NULL; piece = pieces) {
		pieces = piece->next;
		free(piece);
	}
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		die("setrlimit");
}

static void refused_or_made(const char *what, long returned)
{
	say("%s: %s", what, returned < 0 && errno != ENOMEM ? result(returned) : "made or ENOMEM");
}

static void goes_on(int fd, int h, int set)
{
	struct pollfd polled[64];
	struct epoll_event event;
	char bytes[64];
	int right = 0;

	for (size_t i = 0; i < COUNT(polled); i++)
		polled[i] = (struct pollfd){ fd, POLLIN, 0 };
	for (int i = 0; i < 200; i++) {
		send_all(fd, sizeof bytes);
		peer("recv %d %zu", h, sizeof bytes);
		peer("send %d %zu", h, sizeof bytes);
		/* (What comes while they are looked at counts for those behind only.) */
		right += poll(polled, COUNT(polled), 3000) > 0;
		right += epoll_wait(set, &event, 1, 3000) == 1;
		right += recv(fd, bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes;
		right += get_int(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
	}
	say("what is open: %d", right);
}

static void much(int fd, int h)
{
	peer("start drain %d", h);
	send_all(fd, 4000000);
	say("shutdown: %s", ok(shutdown(fd, SHUT_WR)));
	say("all came: %s", peer_says("join %d", h));
}

int main(void)
{
	struct sockaddr_in to = address(PEER, 7);
	struct epoll_event event = { .events = EPOLLIN };
	int h, other, fd = connected(&h), listener = listening(7000, 8), fresh = tcp(), set = epoll_create1(0);

	other = connected(&(int){ 0 });
	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	peer("connect 7000");
	say("waits to be accepted: %s", poll_flags(wait_for(listener, POLLIN)));

	use_up();
	say("malloc: %s", malloc(4096) == NULL ? "NULL" : "has some");
	goes_on(fd, h, set);
	refused_or_made("socket", socket(AF_INET, SOCK_STREAM, 0));
	refused_or_made("a UDP socket", socket(AF_INET, SOCK_DGRAM, 0));
	refused_or_made("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, other, &event));
	refused_or_made("connect", connect(nonblocking(fresh), SA(to), sizeof to) < 0 && errno != EINPROGRESS ? -1 : 0);
	say("close: %s", ok(close(other)));
	much(fd, h);

	give_back();
	say("socket: %s", ok(socket(AF_INET, SOCK_STREAM, 0)));
	say("still waits to be accepted: %s", poll_flags(wait_for(listener, POLLIN)));
	say("accept: %s", ok(accept(listener, NULL, NULL)));
	fd = connected(&h);
	peer("send %d 1000", h);
	say("a new connection: %016llx", (unsigned long long)hash_all(fd, 1000));
	return 0;
}
