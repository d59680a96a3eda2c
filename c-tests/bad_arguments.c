/* Calls on what is no descriptor, no socket or not theirs; and with lengths nobody may give. */
#include "check.h"

static void refused(const char *what, int fd)
{
	struct sockaddr_in a = address(PEER, 80);
	socklen_t length = sizeof a, four = 4;
	int v = 0;
	char b[4] = "";
	struct iovec vector = { b, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };

	say("%s bind: %s", what, ok(bind(fd, SA(a), length)));
	say("%s listen: %s", what, ok(listen(fd, 1)));
	say("%s accept: %s", what, ok(accept(fd, NULL, NULL)));
	say("%s accept4 with an unknown flag: %s", what, ok(accept4(fd, NULL, NULL, 0x40000000)));
	say("%s connect: %s", what, ok(connect(fd, SA(a), length)));
	say("%s getsockname: %s", what, ok(getsockname(fd, SA(a), &length)));
	say("%s getpeername: %s", what, ok(getpeername(fd, SA(a), &length)));
	say("%s send: %s", what, result(send(fd, b, 1, 0)));
	say("%s sendto: %s", what, result(sendto(fd, b, 1, 0, SA(a), length)));
	say("%s sendmsg: %s", what, result(sendmsg(fd, &message, 0)));
	say("%s sendmmsg: %s", what, result(sendmmsg(fd, &messages, 1, 0)));
	say("%s recv: %s", what, result(recv(fd, b, 1, MSG_DONTWAIT)));
	say("%s recvfrom: %s", what, result(recvfrom(fd, b, 1, MSG_DONTWAIT, NULL, NULL)));
	say("%s recvmsg: %s", what, result(recvmsg(fd, &message, MSG_DONTWAIT)));
	say("%s recvmmsg: %s", what, result(recvmmsg(fd, &messages, 1, MSG_DONTWAIT, NULL)));
	say("%s shutdown: %s", what, ok(shutdown(fd, SHUT_RDWR)));
	say("%s getsockopt: %s", what, ok(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &four)));
	say("%s setsockopt: %s", what, ok(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, 4)));
}

static void connection(void)
{
	int h, fd = connected(&h), n;
	struct sockaddr_in a;
	socklen_t length = (socklen_t)-1;
	unsigned char b[20];

	peer("send %d 20", h);
	wait_for(fd, POLLIN);
	nap(20);
	say("recv into nowhere: %s", result(recv(fd, bad_pointer, 10, 0)));
	say("read into nowhere: %s", result(read(fd, bad_pointer, 10)));
	say("recvfrom, bad address: %s", result(recvfrom(fd, b, 1, MSG_PEEK, SA(a), bad_pointer)));
	say("recvfrom, length -1: %s", result(recvfrom(fd, b, 1, MSG_PEEK, SA(a), &length)));
	say("FIONREAD into nowhere: %s", ok(ioctl(fd, FIONREAD, bad_pointer)));
	ioctl(fd, FIONREAD, &n);
	say("nothing is lost: %d", n);
	say("recv: %s", result(recv(fd, b, 20, 0)));
	say("hash %016llx", (unsigned long long)fnv(FNV_START, b, 20));
	say("send from nowhere: %s", result(send(fd, bad_pointer, 10, 0)));
	say("write from nowhere: %s", result(write(fd, bad_pointer, 10)));
	say("sendto a bad address: %s", result(sendto(fd, b, 1, 0, bad_pointer, 16)));
	say("accept: %s", ok(accept(fd, NULL, NULL)));
	say("shutdown 3: %s", ok(shutdown(fd, 3)));
	say("shutdown -1: %s", ok(shutdown(fd, -1)));
	close(fd);
	peer("close %d", h);
}

static void addresses(void)
{
	static const int lengths[] = { -1, 0, 1, 2, 15, 16, 17, 28, 128, 129 };

	for (unsigned i = 0; i < COUNT(lengths); i++) {
		unsigned char b[256] = { 0 };
		struct sockaddr_in a = address(TEST, 0), dark = address(PEER, BLACKHOLE);
		int fd = tcp();

		memcpy(b, &a, sizeof a);
		say("bind, length %d: %s", lengths[i], ok(bind(fd, (void *)b, lengths[i])));
		close(fd);
		fd = nonblocking(tcp());
		memcpy(b, &dark, sizeof dark);
		say("connect, length %d: %s", lengths[i], ok(connect(fd, (void *)b, lengths[i])));
		close(fd);
		fd = udp();
		say("udp connect, length %d: %s", lengths[i], ok(connect(fd, (void *)b, lengths[i])));
		close(fd);
		fd = udp();
		say("udp sendto, length %d: %s", lengths[i], result(sendto(fd, "x", 1, 0, (void *)b, lengths[i])));
		close(fd);
		memset(b, 0, sizeof b);
		fd = tcp();
		say("bind of AF_UNSPEC, length %d: %s", lengths[i], ok(bind(fd, (void *)b, lengths[i])));
		close(fd);
		fd = socket(AF_INET6, SOCK_STREAM, 0);
		say("the same of AF_INET6: %s", ok(bind(fd, (void *)b, lengths[i])));
		close(fd);
	}
}

static void timeouts(void)
{
	struct timespec bad = { -1, 0 }, worse = { 0, 1000000000 };
	char b[4];
	struct iovec vector = { b, sizeof b };
	struct mmsghdr messages = { .msg_hdr = { .msg_iov = &vector, .msg_iovlen = 1 } };
	int fd = bound(udp(), TEST, 0);

	say("recvmmsg, timeout nowhere: %s", result(recvmmsg(fd, &messages, 1, MSG_DONTWAIT, bad_pointer)));
	say("recvmmsg, negative timeout: %s", result(recvmmsg(fd, &messages, 1, MSG_DONTWAIT, &bad)));
	say("recvmmsg, too many nanoseconds: %s", result(recvmmsg(fd, &messages, 1, MSG_DONTWAIT, &worse)));
	close(fd);
}

/* What is asked of nobody, and where the answer has no place. */
static void questions(const char *what, int fd)
{
	static const int levels[] = { IPPROTO_IP, SOL_SOCKET, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6, IPPROTO_RAW, 271 };
	static const unsigned long requests[] = { FIONREAD, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK };
	char room[40];

	for (unsigned i = 0; i < COUNT(levels); i++) {
		socklen_t four = 4;

		say("%s, level %d, no length: %s", what, levels[i], ok(getsockopt(fd, levels[i], 1, room, bad_pointer)));
		say("no value: %s", ok(getsockopt(fd, levels[i], 1, bad_pointer, &four)));
	}
	for (unsigned i = 0; i < COUNT(requests); i++) {
		say("%s, ioctl %lx, nowhere: %s", what, requests[i], ok(ioctl(fd, requests[i], bad_pointer)));
		say("with a place: %s", ok(ioctl(fd, requests[i], room)));
	}
	close(fd);
}

/* Descriptors that are passed on with lengths that nobody may give. */
static void control(void)
{
	static const size_t lengths[] = { 0, 1, CMSG_LEN(0), CMSG_LEN(8), 1 << 20, SIZE_MAX - 7, SIZE_MAX };
	int fds[2], fd = tcp();

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		die("socketpair");
	for (unsigned i = 0; i < COUNT(lengths); i++) {
		size_t c[CMSG_SPACE(sizeof fd) / sizeof(size_t)];
		struct iovec vector = { "x", 1 };
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c };
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_len = lengths[i];
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(header), &fd, sizeof fd);
		say("SCM_RIGHTS, length %zd: %s", (ssize_t)lengths[i], result(sendmsg(fds[0], &message, 0)));
	}
	close(fds[0]);
	close(fds[1]);
	close(fd);
}

int main(void)
{
	int fds[2], file = open("/dev/null", O_RDWR), fd = tcp();

	if (pipe(fds))
		die("pipe");
	refused("-1", -1);
	refused("closed", 999);
	refused("pipe", fds[0]);
	refused("file", file);
	say("bind to a bad pointer: %s", ok(bind(fd, bad_pointer, 16)));
	say("connect to a bad pointer: %s", ok(connect(fd, bad_pointer, 16)));
	say("sendmsg of a bad pointer: %s", result(sendmsg(fd, bad_pointer, MSG_NOSIGNAL)));
	say("select of a bad pointer: %s", result(select(3, bad_pointer, NULL, NULL, NULL)));
	connection();
	addresses();
	timeouts();
	questions("fresh", tcp());
	questions("listening", listening(0, 5));
	questions("connected", connected(&fd));
	questions("datagrams", udp());
	questions("bound", bound(udp(), TEST, 0));
	questions("of both families", socket(AF_INET6, SOCK_STREAM, 0));
	control();
}
