/* The calls that send. */
#include "states.h"

static const char buffer[4096] = "sent";

static long sends(struct scene *s, long count, long flags)
{
	return send(s->fd, buffer, count, flags);
}

static long writes(struct scene *s, long count, long b)
{
	(void)b;
	return write(s->fd, buffer, count);
}

static long writes_vector(struct scene *s, long first, long second)
{
	struct iovec parts[2] = { { (char *)buffer, first }, { (char *)buffer + first, second } };

	return writev(s->fd, parts, 2);
}

static long sends_to(struct scene *s, long count, long port)
{
	struct sockaddr_in to = address(PEER, port ? port : datagram_peer_port);

	return sendto(s->fd, buffer, count, MSG_NOSIGNAL, SA(to), sizeof to);
}

static long sends_to_family(struct scene *s, long family, long length)
{
	struct sockaddr_in to = address(PEER, datagram_peer_port);

	to.sin_family = family;
	return sendto(s->fd, buffer, 1, MSG_NOSIGNAL, SA(to), length);
}

/* With a control message of the level and type. */
static long sends_message(struct scene *s, long level, long type)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), level, type } };
	struct iovec part = { (char *)buffer, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control };

	return sendmsg(s->fd, &message, MSG_NOSIGNAL);
}

static long sends_no_parts(struct scene *s, long flags, long b)
{
	struct msghdr message = { 0 };

	(void)b;
	return sendmsg(s->fd, &message, flags);
}

static long sends_messages(struct scene *s, long count, long flags)
{
	struct iovec parts[2] = { { (char *)buffer, 3 }, { (char *)buffer, 5 } };
	struct mmsghdr messages[2] = { 0 };
	long n;

	for (int i = 0; i < 2; i++) {
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	/* The answer to the first would come before or after the second. */
	n = sendmmsg(s->fd, messages, s->refuses ? 1 : count, flags);
	for (long i = 0; i < n; i++)
		note(" %u", messages[i].msg_len);
	return n;
}

static int a_file(void)
{
	static int file = -1;

	if (file < 0) {
		file = fcntl(fileno(tmpfile()), F_DUPFD_CLOEXEC, 402);
		if (write(file, buffer, 100) != 100)
			die("writing a file");
	}
	return file;
}

static long sends_file(struct scene *s, long count, long from)
{
	off_t offset = from;

	return sendfile(s->fd, a_file(), &offset, count);
}

static long sends_itself(struct scene *s, long count, long b)
{
	(void)b;
	return sendfile(a_file(), s->fd, NULL, count);
}

static long splices(struct scene *s, long count, long flags)
{
	int ends[2], error;
	long n;

	if (pipe2(ends, O_CLOEXEC) || write(ends[1], buffer, count) != count)
		die("pipe");
	n = splice(ends[0], NULL, s->fd, NULL, count, flags);
	error = errno;
	close(ends[0]);
	close(ends[1]);
	errno = error;
	return n;
}

const struct call sending[] = {
	{ "send 0", sends, 0, 0 },
	{ "send 1", sends, 1, 0 },
	{ "send 1 NOSIGNAL", sends, 1, MSG_NOSIGNAL },
	{ "send 1 MORE", sends, 1, MSG_MORE },
	{ "send 1 OOB", sends, 1, MSG_OOB },
	{ "send 1 DONTWAIT", sends, 1, MSG_DONTWAIT },
	{ "send 1 CONFIRM|DONTROUTE", sends, 1, MSG_CONFIRM | MSG_DONTROUTE },
	{ "write 0", writes, 0, 0 },
	{ "write 1", writes, 1, 0 },
	{ "writev 3+5", writes_vector, 3, 5 },
	{ "writev 0+0", writes_vector, 0, 0 },
	{ "sendto 1", sends_to, 1, 0 },
	{ "sendto 0", sends_to, 0, 0 },
	{ "sendto UNSPEC", sends_to_family, AF_UNSPEC, sizeof(struct sockaddr_in) },
	{ "sendto INET6", sends_to_family, AF_INET6, sizeof(struct sockaddr_in) },
	{ "sendto, a short address", sends_to_family, AF_INET, 8 },
	{ "sendmsg, no parts", sends_no_parts, 0, 0 },
	{ "sendmsg IP_TTL 0", sends_message, IPPROTO_IP, IP_TTL },
	{ "sendmsg SCM_CREDENTIALS, short", sends_message, SOL_SOCKET, SCM_CREDENTIALS },
	{ "sendmsg unknown of SOL_SOCKET", sends_message, SOL_SOCKET, 999 },
	{ "sendmsg unknown of IP", sends_message, IPPROTO_IP, 999 },
	{ "sendmsg unknown level", sends_message, 999, 1 },
	{ "sendmmsg 2", sends_messages, 2, 0 },
	{ "sendmmsg 0", sends_messages, 0, 0 },
	{ "sendfile 10", sends_file, 10, 0 },
	{ "sendfile past the end", sends_file, 10, 100 },
	{ "sendfile from it", sends_itself, 10, 0 },
	{ "splice to 10", splices, 10, 0 },
	{ "splice to 10 MORE", splices, 10, SPLICE_F_MORE },
	{ NULL, NULL, 0, 0 },
};
