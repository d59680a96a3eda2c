/* send(2): a full queue, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, lengths of nothing, an address that is ignored. */
#include "check.h"

static unsigned char b[1 << 20];

/* Sends the pattern from `total` on until nothing more is taken; the new total. */
static long fill_queue(int fd, int flags, long total)
{
	long n;

	for (;;) {
		fill(b, 65536, total);
		n = send(fd, b, 65536, flags);
		if (n < 0)
			return total;
		total += n;
	}
}

static int unsent(int fd)
{
	int n = -1;

	ioctl(fd, SIOCOUTQNSD, &n);
	return n;
}

int main(void)
{
	int h, fd = connected(&h), n;
	struct sockaddr_in other = address(TEST, 1);
	long long start;
	long total;
	struct timeval limit = { 0, 300000 };

	set_int(fd, SOL_SOCKET, SO_SNDBUF, 65536);
	say("length 0: %s", result(send(fd, b, 0, 0)));
	fill(b, 10, 0);
	say("10 bytes: %s", result(send(fd, b, 10, 0)));
	fill(b, 10, 10);
	say("with an address: %s", result(sendto(fd, b, 10, 0, SA(other), sizeof other)));
	fill(b, 10, 20);
	say("write: %s", result(write(fd, b, 10)));
	fill(b, 100, 30);
	say("MSG_MORE: %s", result(send(fd, b, 50, MSG_MORE)));
	say("without: %s", result(send(fd, b + 50, 50, 0)));
	say("the peer hears: %s", peer_says("recv %d 130", h));
	nap(60);
	say("MSG_MORE: %s", result(send(fd, b, 50, MSG_MORE)));
	nap(20);
	say("held back: %d", unsent(fd));
	say("MSG_MORE, some segments: %s", result(send(fd, b, 20000, MSG_MORE)));
	for (int i = 0; i < 10 && unsent(fd); i++)
		nap(5);
	say("until the peer has acknowledged them: %d", unsent(fd));
	close(fd);
	peer("close %d", h);

	fd = connected(&h);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, 65536);
	total = fill_queue(fd, MSG_DONTWAIT, 0);
	/* The peer's queue fills too; then nothing moves any more. */
	for (int i = 0; i < 20; i++, nap(20))
		total = fill_queue(fd, MSG_DONTWAIT, total);
	say("full: %s", result(send(fd, b, 1, MSG_DONTWAIT)));
	say("poll %s", poll_flags(events_now(fd)));
	say("more than the queue fits: %d", total > 65536);
	ioctl(fd, SIOCOUTQ, &n);
	say("SIOCOUTQ: %d", n > 0 && n <= total);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	start = milliseconds();
	say("SO_SNDTIMEO: %s", result(send(fd, b, 1, 0)));
	say("%s", elapsed(start, 300));
	peer("start recv %d %ld", h, total);
	say("the peer reads: poll %s", poll_flags(wait_for(fd, POLLOUT)));
	uint64_t hash = FNV_START;
	for (long i = 0; i < total; i++) {
		unsigned char c = pattern(i);
		hash = fnv(hash, &c, 1);
	}
	long got = 0;
	unsigned long long theirs = 0;
	sscanf(peer_says("join %d", h), "%ld %llx", &got, &theirs);
	say("all arrived %d, intact %d", got == total, theirs == hash);
	for (int i = 0; i < 100 && n; i++, nap(10))
		ioctl(fd, SIOCOUTQ, &n);
	say("SIOCOUTQ: %d", n);
	say("bad pointer: %s", result(send(fd, bad_pointer, 10, 0)));
	say("MSG_OOB: %s", result(send(fd, "!", 1, MSG_OOB)));
	say("MSG_ERRQUEUE flag: %s", result(send(fd, b, 1, MSG_ERRQUEUE)));
}
