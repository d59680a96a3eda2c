/* The calls that receive. */
#include "states.h"

static char buffer[4096];

/* What was received is the pattern's: the peer sends nothing else. */
static long received(long count)
{
	unsigned char expected[sizeof buffer];

	if (count <= 0)
		return count;
	fill(expected, count, 0);
	note(memcmp(buffer, expected, count) ? " other bytes" : "");
	return count;
}

static long receive(struct scene *s, long count, long flags)
{
	memset(buffer, 0xee, sizeof buffer);
	return recv(s->fd, buffer, count, flags);
}

static long receive_right(struct scene *s, long count, long flags)
{
	return received(receive(s, count, flags));
}

static long reads(struct scene *s, long count, long b)
{
	(void)b;
	return received(read(s->fd, buffer, count));
}

static long reads_vector(struct scene *s, long first, long second)
{
	struct iovec parts[2] = { { buffer, first }, { buffer + first, second } };

	return received(readv(s->fd, parts, 2));
}

static long receive_message(struct scene *s, long count, long flags)
{
	struct sockaddr_in from = { 0 };
	char control[256];
	struct iovec part = { buffer, count };
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof control };
	long n = recvmsg(s->fd, &message, flags);

	if (n >= 0)
		note(" name %u, control %zu, flags %x", message.msg_namelen, (size_t)message.msg_controllen,
		     message.msg_flags);
	return n;
}

static long receive_from(struct scene *s, long count, long room)
{
	struct sockaddr_in from = { 0 };
	socklen_t length = room;
	long n = recvfrom(s->fd, buffer, count, 0, SA(from), &length);

	if (n >= 0)
		note(" name %u, family %d", length, from.sin_family);
	return n;
}

static long receive_messages(struct scene *s, long count, long flags)
{
	struct iovec parts[3] = { { buffer, 4 }, { buffer + 4, 4 }, { buffer + 8, 4 } };
	struct mmsghdr messages[3] = { 0 };
	long n;

	for (int i = 0; i < 3; i++) {
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(s->fd, messages, count, flags, NULL);
	for (long i = 0; i < n; i++)
		note(" %u/%x", messages[i].msg_len, messages[i].msg_hdr.msg_flags);
	return n;
}

static long splices(struct scene *s, long count, long flags)
{
	int ends[2], error;
	long n;

	if (pipe2(ends, O_CLOEXEC))
		die("pipe");
	n = splice(s->fd, NULL, ends[1], NULL, count, flags);
	error = errno;
	close(ends[0]);
	close(ends[1]);
	errno = error;
	return n;
}

const struct call receiving[] = {
	{ "recv 0", receive, 0, 0 },
	{ "recv 1", receive_right, 1, 0 },
	{ "recv 100", receive_right, 100, 0 },
	{ "recv 10 WAITALL", receive_right, 10, MSG_WAITALL },
	{ "recv 100 WAITALL|DONTWAIT", receive_right, 100, MSG_WAITALL | MSG_DONTWAIT },
	{ "recv 100 PEEK", receive_right, 100, MSG_PEEK },
	{ "recv 0 PEEK", receive, 0, MSG_PEEK },
	{ "recv 4 TRUNC", receive, 4, MSG_TRUNC },
	{ "recv 100 TRUNC|PEEK", receive, 100, MSG_TRUNC | MSG_PEEK },
	{ "recv 1 OOB", receive, 1, MSG_OOB },
	{ "recv 100 ERRQUEUE", receive, 100, MSG_ERRQUEUE },
	{ "read 0", reads, 0, 0 },
	{ "read 100", reads, 100, 0 },
	{ "readv 4+100", reads_vector, 4, 100 },
	{ "readv 0+0", reads_vector, 0, 0 },
	{ "recvmsg 100", receive_message, 100, 0 },
	{ "recvmsg 4", receive_message, 4, 0 },
	{ "recvmsg 100 PEEK", receive_message, 100, MSG_PEEK },
	{ "recvmsg 100 CMSG_CLOEXEC", receive_message, 100, MSG_CMSG_CLOEXEC },
	{ "recvmsg 100 ERRQUEUE", receive_message, 100, MSG_ERRQUEUE },
	{ "recvfrom 100", receive_from, 100, sizeof(struct sockaddr_in) },
	{ "recvfrom 100, short name", receive_from, 100, 4 },
	{ "recvmmsg 2", receive_messages, 2, 0 },
	{ "recvmmsg 3 WAITFORONE", receive_messages, 3, MSG_WAITFORONE },
	{ "splice from 100", splices, 100, 0 },
	{ "splice from 4 NONBLOCK", splices, 4, SPLICE_F_NONBLOCK },
	{ NULL, NULL, 0, 0 },
};
