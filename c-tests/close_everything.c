/* Programs that close every descriptor they find, and then go on to use sockets. */
#include "check.h"

#include <dirent.h>

/* What the test itself needs: the peer's descriptors. */
#define KEPT(fd) ((fd) >= 300 && (fd) < 310)

static void talk(const char *what)
{
	int h, fd = connected(&h);

	send_all(fd, 100000);
	say("%s: the peer hears %s", what, peer_says("recv %d 100000", h));
	peer("send %d 100000", h);
	say("%s: hash %016llx", what, (unsigned long long)hash_all(fd, 100000));
	close(fd);
	say("%s: the peer hears the end %s", what, peer_says("drain %d", h));
	peer("close %d", h);
}

static void close_listed(void)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	while ((entry = readdir(directory))) {
		int fd = atoi(entry->d_name);

		if (fd > 2 && fd != dirfd(directory) && !KEPT(fd))
			close(fd);
	}
	closedir(directory);
}

int main(void)
{
	struct rlimit limit;

	talk("before");
	getrlimit(RLIMIT_NOFILE, &limit);
	for (rlim_t fd = 3; fd < limit.rlim_cur && fd < 70000; fd++)
		if (!KEPT(fd))
			close(fd);
	talk("after a loop to the limit");
	close_range(3, 299, 0);
	close_range(310, ~0U, 0);
	talk("after close_range");
	closefrom(310);
	talk("after closefrom");
	close_listed();
	talk("after what /proc lists");
}
