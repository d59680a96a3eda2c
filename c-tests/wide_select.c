/* select(2) with as many descriptors as there may be, on sets of FD_SETSIZE, as older programs call it: what lies behind
 * the sets is nobody's to read or change. */
#include "check.h"

#include <sys/eventfd.h>

struct framed {
	fd_set set;
	unsigned char behind[4096];
};

static int untouched(const struct framed *f, int byte)
{
	for (size_t i = 0; i < sizeof f->behind; i++)
		if (f->behind[i] != byte)
			return 0;
	return 1;
}

static void wide(const char *what, int fd, int event, int byte)
{
	static struct framed readable, writable;
	struct timeval none = { 0, 0 };
	struct timespec no_time = { 0, 0 };

	for (int plain = 0; plain < 2; plain++) {
		memset(&readable, byte, sizeof readable);
		memset(&writable, byte, sizeof writable);
		FD_ZERO(&readable.set);
		FD_ZERO(&writable.set);
		FD_SET(event, &readable.set);
		FD_SET(fd, &writable.set);
		say("%s: %s", what, result(plain ? select(getdtablesize(), &readable.set, &writable.set, NULL, &none)
						  : pselect(getdtablesize(), &readable.set, &writable.set, NULL, &no_time, NULL)));
		say("readable: %d, writable: %d", FD_ISSET(event, &readable.set) != 0, FD_ISSET(fd, &writable.set) != 0);
		say("nothing else is changed: %d", untouched(&readable, byte) && untouched(&writable, byte));
	}
}

int main(void)
{
	struct rlimit limit = { 4096, 4096 };
	int h, event = eventfd(1, 0), second = eventfd(0, 0), fd;

	setrlimit(RLIMIT_NOFILE, &limit);
	fd = connected(&h);
	say("descriptors: %d", getdtablesize());
	wide("zeros behind the sets", fd, event, 0);
	wide("ones", fd, event, 0xff);
	wide("no socket among them", second, event, 0xff);
	close(fd);
	peer("close %d", h);
}
