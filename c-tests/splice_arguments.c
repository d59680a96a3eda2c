/* splice(2) and sendfile(2): what is told first of arguments that are wrong, of pipes that have nothing or nobody, and of
 * sockets in each state. */
#include "check.h"

#include <sys/mman.h>

static int pipe_ends[2];

static void fresh_pipe(void)
{
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	if (pipe2(pipe_ends, O_NONBLOCK) || write(pipe_ends[1], "abcdefghij", 10) != 10)
		die("pipe2");
}

/* To the socket, out of the pipe. */
static void out(int fd)
{
	int in = pipe_ends[0];
	loff_t offset = 0;

	say("  unknown flag: %s", result(splice(in, NULL, fd, NULL, 2, 0x10)));
	say("  an offset of the pipe's: %s", result(splice(in, &offset, fd, NULL, 2, 0)));
	say("  an offset of the socket's: %s", result(splice(in, NULL, fd, &offset, 2, 0)));
	say("  of nothing: %s", result(splice(in, NULL, fd, NULL, 0, 0)));
	say("  of too much: %s", result(splice(in, NULL, fd, NULL, SIZE_MAX, 0)));
	say("  out of the wrong end: %s", result(splice(pipe_ends[1], NULL, fd, NULL, 2, 0)));
	say("  out of itself: %s", result(splice(fd, NULL, fd, NULL, 2, 0)));
	say("  out of no descriptor: %s", result(splice(-1, NULL, fd, NULL, 2, 0)));
	say("  two: %s", result(splice(in, NULL, fd, NULL, 2, 0)));
	while (read(in, (char[10]){ 0 }, 10) > 0)
		;
	say("  out of an empty pipe: %s", result(splice(in, NULL, fd, NULL, 2, 0)));
	say("  as by sendfile: %s", result(sendfile(fd, in, NULL, 2)));
	close(pipe_ends[1]);
	say("  that nobody writes to: %s", result(splice(in, NULL, fd, NULL, 2, 0)));
	fresh_pipe();
}

/* From the socket, into the pipe. */
static void in(int fd)
{
	int to = pipe_ends[1];
	loff_t offset = 0;

	say("  into: unknown flag: %s", result(splice(fd, NULL, to, NULL, 2, 0x10)));
	say("  an offset of the socket's: %s", result(splice(fd, &offset, to, NULL, 2, 0)));
	say("  an offset of the pipe's: %s", result(splice(fd, NULL, to, &offset, 2, 0)));
	say("  of nothing: %s", result(splice(fd, NULL, to, NULL, 0, 0)));
	say("  of too much: %s", result(splice(fd, NULL, to, NULL, SIZE_MAX, 0)));
	say("  into the wrong end: %s", result(splice(fd, NULL, pipe_ends[0], NULL, 2, 0)));
	say("  into no descriptor: %s", result(splice(fd, NULL, -1, NULL, 2, 0)));
	say("  two: %s", result(splice(fd, NULL, to, NULL, 2, 0)));
	say("  two by sendfile: %s", result(sendfile(to, fd, NULL, 2)));
	while (write(to, (char[4096]){ 0 }, 4096) > 0)
		;
	say("  into a full pipe: %s", result(splice(fd, NULL, to, NULL, 2, 0)));
	close(pipe_ends[0]);
	say("  that nobody reads: %s", result(splice(fd, NULL, to, NULL, 2, 0)));
	pipe_ends[0] = -1;
	fresh_pipe();
}

static void file(int fd)
{
	int file = memfd_create("file", 0);
	off_t offset = 995;

	if (ftruncate(file, 1000) || lseek(file, 10, SEEK_SET) != 10)
		die("memfd_create");
	say("  sendfile, the end: %s", result(sendfile(fd, file, &offset, 10)));
	say("  then at %ld", (long)offset);
	offset = -1;
	say("  before the beginning: %s", result(sendfile(fd, file, &offset, 10)));
	say("  nothing of that: %s", result(sendfile(fd, file, &offset, 0)));
	say("  of too much: %s", result(sendfile(fd, file, NULL, SIZE_MAX)));
	say("  more than any file has: %s", result(sendfile(fd, file, NULL, SSIZE_MAX)));
	say("  out of the socket: %s", result(sendfile(file, fd, NULL, 10)));
	close(file);
}

static void try(const char *state, int fd)
{
	say("%s", state);
	nonblocking(fd);
	signals_seen = 0;
	fresh_pipe();
	out(fd);
	in(fd);
	file(fd);
	say("  poll: %s", poll_flags(events_now(fd)));
	say("  SO_ERROR: %s", name_of(pending_error(fd)));
	say("  signals: %d", (int)signals_seen);
	close(fd);
}

int main(void)
{
	int h, fd;

	count_signal(SIGPIPE, 0);
	try("fresh", tcp());
	try("listening", listening(0, 5));
	try("connected", connected(&h));
	say("the peer: %s", peer_says("drain %d", h));
	fd = connected(&h);
	peer("send %d 100", h);
	wait_for(fd, POLLIN);
	try("with data", fd);
	fd = connected(&h);
	peer("shutdown %d 1", h);
	wait_for(fd, POLLIN);
	try("at the end", fd);
	fd = connected(&h);
	shutdown(fd, SHUT_WR);
	try("shut for writing", fd);
	fd = connected(&h);
	shutdown(fd, SHUT_RD);
	try("shut for reading", fd);
	try("fresh datagrams", udp());
	try("bound datagrams", bound(udp(), TEST, 0));
}
