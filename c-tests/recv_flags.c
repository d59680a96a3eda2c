/* recv(2): MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_TRUNC, lengths of nothing, the end of the stream. */
#include "check.h"

static unsigned char b[4096];

static void got(const char *what, long returned)
{
	say("%s: %s, bytes %016llx", what, result(returned),
	    (unsigned long long)fnv(FNV_START, b, returned > 0 ? returned : 0));
}

static void wait_bytes(int fd, int count)
{
	int n = 0;

	for (int i = 0; i < 300 && n < count; i++, nap(10))
		if (ioctl(fd, FIONREAD, &n))
			die("FIONREAD");
	say("queued: %d", n);
}

static void *sends_more(void *handle)
{
	nap(100);
	peer("send %d 15", *(int *)handle);
	return NULL;
}

/* One that asks for more than there is waits, peeking or not: until it is there, until the end, or for as long as it may. */
static void peek_all(void)
{
	struct timeval limit = { 0, 300000 }, none = { 0, 0 };
	int h, fd = connected(&h);
	pthread_t thread;
	long long start;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	peer("send %d 5", h);
	wait_bytes(fd, 5);
	start = milliseconds();
	got("PEEK WAITALL until the timeout", recv(fd, b, 20, MSG_PEEK | MSG_WAITALL));
	say("%s", elapsed(start, 300));
	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 10);
	start = milliseconds();
	got("PEEK below the mark", recv(fd, b, 20, MSG_PEEK));
	say("%s", elapsed(start, 300));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
	pthread_create(&thread, NULL, sends_more, &h);
	got("PEEK at the mark", recv(fd, b, 10, MSG_PEEK));
	pthread_join(thread, NULL);
	wait_bytes(fd, 20);
	pthread_create(&thread, NULL, sends_more, &h);
	got("PEEK WAITALL", recv(fd, b, 35, MSG_PEEK | MSG_WAITALL));
	pthread_join(thread, NULL);
	got("PEEK WAITALL of what is there", recv(fd, b, 30, MSG_PEEK | MSG_WAITALL));
	peer("shutdown %d 1", h);
	got("PEEK WAITALL to the end", recv(fd, b, 100, MSG_PEEK | MSG_WAITALL));
	got("WAITALL to the end", recv(fd, b, 100, MSG_WAITALL));
	got("the end", recv(fd, b, 100, MSG_PEEK | MSG_WAITALL));
	close(fd);
}

int main(void)
{
	int h, fd = connected(&h), n;
	long long start;
	struct timeval limit = { 0, 300000 }, none = { 0, 0 };

	got("nothing yet, DONTWAIT", recv(fd, b, 10, MSG_DONTWAIT));
	got("nothing yet, PEEK", recv(fd, b, 10, MSG_DONTWAIT | MSG_PEEK));
	peer("send %d 100", h);
	wait_bytes(fd, 100);
	say("poll: %s", poll_flags(events_now(fd)));
	got("PEEK 10", recv(fd, b, 10, MSG_PEEK));
	got("PEEK 1000", recv(fd, b, 1000, MSG_PEEK));
	got("PEEK and WAITALL and DONTWAIT", recv(fd, b, 1000, MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT));
	got("recv 10", recv(fd, b, 10, 0));
	got("read 10", read(fd, b, 10));
	got("of length 0", recv(fd, b, 0, 0));
	got("TRUNC 10, thrown away", recv(fd, NULL, 10, MSG_TRUNC) > 0 ? 0 : -1);
	got("PEEK TRUNC", recv(fd, NULL, 1000, MSG_TRUNC | MSG_PEEK) == 70 ? 0 : -1);
	got("the next 10", recv(fd, b, 10, 0));
	got("unknown flag", recv(fd, b, 10, 0x1000000));
	got("WAITALL of what is there", recv(fd, b, 50, MSG_WAITALL | MSG_DONTWAIT));
	got("empty", recv(fd, b, 10, MSG_DONTWAIT));
	got("empty, length 0", recv(fd, b, 0, MSG_DONTWAIT));
	peer("start send %d 3000", h);
	got("WAITALL 3000", recv(fd, b, 3000, MSG_WAITALL));
	peer("join %d", h);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	peer("send %d 20", h);
	wait_bytes(fd, 20);
	start = milliseconds();
	got("WAITALL until the timeout", recv(fd, b, 100, MSG_WAITALL));
	say("%s", elapsed(start, 300));
	start = milliseconds();
	got("nothing until the timeout", recv(fd, b, 100, 0));
	say("%s", elapsed(start, 300));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
	peer("send %d 5", h);
	peer("shutdown %d 1", h);
	got("WAITALL until the end", recv(fd, b, 100, MSG_WAITALL));
	say("at the end: poll %s", poll_flags(events_now(fd)));
	got("end", recv(fd, b, 100, 0));
	got("end again", recv(fd, b, 100, MSG_PEEK));
	got("end, DONTWAIT", recv(fd, b, 100, MSG_DONTWAIT));
	got("end, read", read(fd, b, 100));
	say("FIONREAD at the end: %s", ok(ioctl(fd, FIONREAD, &n)));
	say("%d bytes", n);
	got("ERRQUEUE", recv(fd, b, 100, MSG_ERRQUEUE));
	say("sends still: %s", result(send(fd, "x", 1, 0)));
	say("the peer hears: %s", peer_says("recv %d 1", h));
	peek_all();
}
