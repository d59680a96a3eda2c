/* A connection that two processes write to. What one of them has written stays where it was when the other meets a full
 * queue: all arrives, in order. Likewise what is held back (MSG_MORE) when the other adds to it. */
#include "check.h"

static unsigned char block[1 << 16];

/* Sends the pattern from `total` on; how far it comes. */
static long send_on(int fd, long total, size_t count, int flags)
{
	long sent;

	fill(block, count, total);
	sent = send(fd, block, count, flags | MSG_DONTWAIT);
	return sent > 0 ? total + sent : total;
}

static long fill_up(int fd, long total)
{
	for (int quiet = 0; quiet < 3; quiet++, nap(20))
		for (long next; (next = send_on(fd, total, sizeof block, 0)) > total; quiet = 0)
			total = next;
	return total;
}

/* The same by a forked process. */
static long beside(int fd, long total, size_t count, int flags)
{
	int ends[2], status;
	pid_t child;

	if (pipe(ends))
		die("pipe");
	child = fork();
	if (child == 0) {
		total = send_on(fd, total, count, flags);
		_exit(write(ends[1], &total, sizeof total) != sizeof total);
	}
	if (read(ends[0], &total, sizeof total) != sizeof total)
		die("read");
	waitpid(child, &status, 0);
	close(ends[0]);
	close(ends[1]);
	return total;
}

static void all_arrives(int fd, int h, long total)
{
	uint64_t hash = FNV_START;
	unsigned long long theirs = 0;
	long got = 0;

	for (long i = 0; i < total; i++) {
		unsigned char c = pattern(i);

		hash = fnv(hash, &c, 1);
	}
	sscanf(peer_says("recv %d %ld", h, total), "%ld %llx", &got, &theirs);
	say("all arrives: %d, intact: %d", got == total, theirs == hash);
	say("room again: %s", poll_flags(wait_for(fd, POLLOUT)));
	say("  %s", result(send(fd, "x", 1, 0)));
	say("  the peer hears: %s", peer_says("recv %d 1", h));
	close(fd);
	peer("close %d", h);
}

/* The other meets the full queue with an urgent byte, or with some more bytes. */
static void full(const char *what, int flags)
{
	int h, fd = connected(&h);
	long total, next;

	say("full, and then %s", what);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, 65536);
	total = fill_up(fd, 0);
	for (int i = 0; i < 3; i++)
		total = beside(fd, total, 20000, 0);
	/* The peer's window may have opened by a little. */
	next = send_on(fd, total, 1, flags);
	if (!(flags & MSG_OOB))
		total = next;
	total = beside(fd, total, 20000, 0);
	all_arrives(fd, h, total);
}

/* Bytes of which nothing has come a while later; on a busy machine that takes some tries. */
static long hold_back(int *h, int *fd)
{
	for (int tries = 0; tries < 50; tries++) {
		long long start = milliseconds();
		long total;
		int nothing;

		*fd = connected(h);
		total = send_on(*fd, 0, 100, MSG_MORE);
		nap(60);
		nothing = !strncmp(peer_says("take %d", *h), "0 ", 2);
		if (nothing || milliseconds() - start < 150) {
			say("held back: %d", nothing);
			return total;
		}
		close(*fd);
		peer("close %d", *h);
	}
	die("held back");
	return 0;
}

/* What is held back goes with what follows it, whoever sends that, and by itself after a while. */
static void held_back(void)
{
	int h, fd, waits = 0;
	long total = hold_back(&h, &fd);

	total = beside(fd, total, 100, 0);
	say("all of it: %s", peer_says("recv %d %ld", h, total));
	beside(fd, total, 10, MSG_MORE);
	for (long long start = milliseconds(); !waits && milliseconds() - start < 2000; nap(5))
		waits = strncmp(peer_says("take %d", h), "0 ", 2) ? milliseconds() - start : 0;
	say("by itself: %d", waits > 50);
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	full("an urgent byte", MSG_OOB);
	full("a byte", 0);
	held_back();
	return 0;
}
