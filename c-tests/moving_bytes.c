/* sendfile(2) and splice(2) to and from a socket; a socket passed over a Unix socket. */
#include "check.h"
#include <stdint.h>
#include <sys/mman.h>

static int file_of(size_t size)
{
	FILE *file = tmpfile();
	static unsigned char b[1 << 20];

	fill(b, size, 0);
	fwrite(b, 1, size, file);
	fflush(file);
	rewind(file);
	return fileno(file);
}

static void whole_file(int fd, int h, size_t size)
{
	int file = file_of(size);
	off_t offset = 100;
	ssize_t n;
	size_t total = 0;

	peer("start recv %d %zu", h, size);
	while (total < size && (n = sendfile(fd, file, NULL, size - total)) > 0)
		total += n;
	say("sendfile: %zu", total);
	say("the peer hears: %s", peer_says("join %d", h));
	say("sendfile from an offset: %s", result(sendfile(fd, file, &offset, 50)));
	say("offset %ld", (long)offset);
	say("the peer hears: %s", peer_says("recv %d 50", h));
}

static void through_pipe(int fd, int h)
{
	int fds[2];
	unsigned char b[5000], expected[5000];
	ssize_t n;
	size_t got = 0;

	if (pipe(fds))
		die("pipe");
	fill(expected, sizeof expected, 0);
	if (write(fds[1], expected, sizeof expected) != sizeof expected)
		die("write");
	say("splice out: %s", result(splice(fds[0], NULL, fd, NULL, 5000, 0)));
	say("the peer hears: %s", peer_says("recv %d 5000", h));
	peer("send %d 5000", h);
	while (got < 5000 && (n = splice(fd, NULL, fds[1], NULL, 5000 - got, 0)) > 0)
		got += n;
	say("splice in: %zu", got);
	if (read(fds[0], b, 5000) != 5000)
		die("read");
	say("intact: %d", memcmp(b, expected, 5000) == 0);
}

static void passed_on(int fd, int h)
{
	int pair[2], got = -1;
	char b[10], control[CMSG_SPACE(sizeof(int))];
	struct iovec v = { b, 1 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct sockaddr_in a;
	socklen_t length = sizeof a;

	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	*header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	say("passed: %s", result(sendmsg(pair[0], &message, 0)));
	close(fd);
	say("taken: %s", result(recvmsg(pair[1], &message, 0)));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
	say("send: %s", result(send(got, "moved", 5, 0)));
	say("the peer hears: %s", peer_says("recv %d 5", h));
	say("getpeername: %s", ok(getpeername(got, SA(a), &length)));
	say("%s", inet_ntoa(a.sin_addr));
	peer("send %d 3", h);
	say("recv: %s", result(recv(got, b, 10, 0)));
	close(got);
	say("the peer hears the end: %s", peer_says("drain %d", h));
}

/* A file that cannot be read to its end: what was sent until then is told. The kernel takes no such file. */
static void torn_file(void)
{
	const size_t size = 1 << 18;
	char *memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), h, fd = connected(&h);
	off_t at = (off_t)(uintptr_t)memory;

	munmap(memory + size, size);
	peer("start drain %d", h);
	say("sendfile of what cannot be read to its end: %s", result(sendfile(fd, file, &at, 2 * size)));
	munmap(memory, size);
	close(file);
	close(fd);
	peer_says("join %d", h);
	peer("close %d", h);
}

/* Files that are made as they are read, and have no length. */
static void unmapped(void)
{
	static const char *const paths[] = { "/proc/self/maps", "/proc/self/mem", "/proc/sys/kernel/ostype", "/proc/version",
		"/dev/null", "/dev/zero", "/dev/full", "/" };
	int h, fd = connected(&h);

	for (size_t i = 0; i < COUNT(paths); i++) {
		int file = open(paths[i], O_RDONLY | O_CLOEXEC);
		off_t at = 1;
		ssize_t n = sendfile(fd, file, &at, 10);

		say("sendfile of %s: %s", paths[i], result(n));
		say("  offset %ld", (long)at);
		say("  of nothing of it: %s", result(sendfile(fd, file, NULL, 0)));
		say("  by its own offset: %s", result(n < 0 ? n : sendfile(fd, file, NULL, 5)));
		say("  which is then %ld", (long)lseek(file, 0, SEEK_CUR));
		say("  the peer hears: %s", peer_says("recv %d %zd", h, n > 0 ? n + 5 : 0));
		close(file);
	}
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	int h, fd = connected(&h);

	whole_file(fd, h, 1 << 20);
	through_pipe(fd, h);
	passed_on(fd, h);
	torn_file();
	unmapped();
}
