/* A program that no library is preloaded into, since it is linked statically. It echoes a connection to its end.
 *
 *   unreached        the connection is its standard input and output
 *   unreached FD     it is passed at that Unix socket (SCM_RIGHTS)
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Descriptor 0 is the connection afterwards. */
static int take(int from)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec data = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	int passed;

	if (recvmsg(from, &message, 0) != 1 || message.msg_controllen != sizeof control)
		return 0;
	memcpy(&passed, CMSG_DATA(&control.header), sizeof passed);
	return dup2(passed, 0) == 0 && dup2(passed, 1) == 1 && close(passed) == 0;
}

static int is_ready(int fd, short events)
{
	struct pollfd p = { fd, events, 0 };

	return poll(&p, 1, 20000) == 1 && p.revents & events;
}

static int says(const char *data, ssize_t length)
{
	for (ssize_t done = 0, count; done < length; done += count)
		if (!is_ready(1, POLLOUT) || (count = write(1, data + done, (size_t)(length - done))) <= 0)
			return 0;
	return 1;
}

int main(int count, char **words)
{
	static char data[1 << 16];
	ssize_t length = 0;

	if (count > 1 && !take(atoi(words[1])))
		return 2;
	while (is_ready(0, POLLIN) && (length = read(0, data, sizeof data)) > 0)
		if (!says(data, length))
			return 3;
	return length == 0 ? 0 : 4;
}
