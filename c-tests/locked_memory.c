/* A program that has all of its memory locked (mlockall(2)), before its first socket and after: sockets cost it little. */
#include "check.h"

#include <sys/mman.h>

#define MIB 1024

/* How much memory is locked, and is there. */
static void locked(const char *when)
{
	FILE *status = fopen("/proc/self/status", "r");
	long kib, locked = -1, present = -1;
	char line[128];

	while (fgets(line, sizeof line, status) != NULL) {
		if (sscanf(line, "VmLck: %ld", &kib) == 1)
			locked = kib;
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			present = kib;
	}
	fclose(status);
	say("%s: some is locked %d, at most 128 MiB %d, are there %d", when, locked > 0, locked <= 128 * MIB, present <= 128 * MIB);
}

static void exchange(const char *when)
{
	int h, fd = connected(&h);

	send_all(fd, 100000);
	say("%s: peer has %ld", when, peer("recv %d 100000", h));
	peer("send %d 100000", h);
	say("%s: received %016lx", when, hash_all(fd, 100000));
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	int h, early;

	say("mlockall, what will be: %s", ok(mlockall(MCL_FUTURE)));
	early = connected(&h);
	exchange("locked before");
	locked("locked before");
	say("munlockall: %s", ok(munlockall()));
	say("mlockall, what is and will be: %s", ok(mlockall(MCL_CURRENT | MCL_FUTURE)));
	exchange("locked after");
	locked("locked after");
	send_all(early, 1000);
	say("an earlier connection: %ld", peer("recv %d 1000", h));
	say("nothing: %s", ok(mlockall(0)));
	say("what is not known: %s", ok(mlockall(1 << 20)));
	return 0;
}
