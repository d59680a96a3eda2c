/* Large transfers, one way and both ways at once, with odd sizes of calls. */
#include "check.h"

#define BYTES 30000000

static unsigned char b[1 << 18];

static void out(const char *what, int nodelay, size_t step)
{
	int h, fd = connected(&h);

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, nodelay);
	peer("start drain %d", h);
	for (size_t sent = 0; sent < BYTES;) {
		size_t size = BYTES - sent < step ? BYTES - sent : step;
		ssize_t n;

		fill(b, size, sent);
		n = send(fd, b, size, 0);
		if (n <= 0)
			die("send");
		sent += n;
	}
	close(fd);
	say("%s: the peer hears %s", what, peer_says("join %d", h));
	peer("close %d", h);
}

static void in(const char *what, size_t step)
{
	int h, fd = connected(&h);
	uint64_t hash = FNV_START;
	size_t total = 0;
	ssize_t n;

	peer("start send %d %d", h, BYTES);
	while (total < BYTES && (n = recv(fd, b, step, 0)) > 0) {
		hash = fnv(hash, b, n);
		total += n;
	}
	say("%s: %zu bytes, %016llx", what, total, (unsigned long long)hash);
	peer("join %d", h);
	close(fd);
	peer("close %d", h);
}

/* A handle has one task: the peer sends first, and receives when it has sent all. */
static void both(void)
{
	const size_t back = BYTES / 10;
	int h, fd = nonblocking(accepted(&h)), receiving = 0;
	size_t sent = 0, got = 0;
	uint64_t hash = FNV_START;
	ssize_t n;

	peer("start send %d %d", h, BYTES);
	while (got < BYTES || sent < back) {
		struct pollfd p = { fd, POLLIN | (sent < back ? POLLOUT : 0), 0 };

		if (poll(&p, 1, 5000) <= 0)
			die("nothing moves");
		if (p.revents & POLLIN) {
			n = recv(fd, b, 30011, 0);
			if (n <= 0)
				die("recv");
			hash = fnv(hash, b, n);
			got += n;
		}
		if (p.revents & POLLOUT) {
			size_t size = back - sent < 70001 ? back - sent : 70001;

			fill(b, size, sent);
			n = send(fd, b, size, 0);
			if (n < 0 && errno != EAGAIN)
				die("send");
			sent += n > 0 ? n : 0;
		}
		if (got == BYTES && !receiving) {
			peer("join %d", h);
			peer("start recv %d %zu", h, back);
			receiving = 1;
		}
	}
	say("both ways: %016llx", (unsigned long long)hash);
	say("the peer hears: %s", peer_says("join %d", h));
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	out("by 131072", 0, 131072);
	out("by 1447", 1, 1447);
	out("by 262144, no delay", 1, 262144);
	in("by 131072", 131072);
	in("by 1000", 1000);
	in("by 262144", 262144);
	both();
}
