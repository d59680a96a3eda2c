/* IPv4 options as ip(7) has them: IP_RECVOPTS and IP_RETOPTS of received datagrams. */
#include "check.h"

static const char *const well_formed[] = {
	"01010101", "00000000", "01000707",                 /* nothing, the end, and what is behind it */
	"07070400000000" "00",                              /* a route to record: room for one */
	"070b04" "0000000000000000" "01",                   /* for two */
	"0707080a17070100",                                 /* full */
	"070b080a170701" "ffffffff" "01",                   /* one more */
	"07090400000000eeee010101",                         /* room for one and a half */
	"070307" "01",                                      /* none at all */
	"94040000", "94040001",                             /* router alert, and another value of it */
	"820b" "00000000" "0000000000" "01",                /* security */
	"88040001",                                         /* stream identifier */
	"5e04abcd", "de04abcd", "9f020101",                 /* what nobody knows */
	"44080910" "00000000",       /* what overflows */
	"440809e0" "00000000", "44040500",
	"44080502" "00000000",                              /* a flag that means nothing */
	"440c0d32" "0a17070200000000",
	"440c0503" "0a17070100000000",                      /* times of others */
	"44140d03" "0a17070100000000" "0a170763ffffffff",
	"94040000" "07070400000000" "00" "94040001" "5e04abcd" "01010100",
	"070b040000000000000000" "44080910" "00000000" "00",
	"072704" "000000000000000000000000000000000000000000000000000000000000000000000000" "01",
	"07030401",
};

static const char *const malformed[] = {
	"07000400", "07010400", "07280400", "07030300", "01010107", "07020101", "07070500000000" "00",
	"07050401" "00000000",
	"07070400000000" "07070400000000" "0101",           /* twice */
	"44030501", "44040400", "44080600" "00000000", "44080501" "00000000", "44080503" "00000000", "440809f0" "00000000",
	"44080500" "00000000" "44080500" "00000000",
	"94030001", "94020101", "5e00abcd", "de05abcd", "83020101", "83030301", "83030483",
	"830304" "830304" "0101",
	"83030400", "83070400000000" "00", "89070408080808" "00", "8307080a170701" "00", /* source routes */
};

static void say_options(const char *what, const struct cmsghdr *message)
{
	char hex[100] = "";
	size_t length = message->cmsg_len - sizeof *message;

	for (size_t i = 0; i < length; i++)
		sprintf(hex + 2 * i, "%02x", CMSG_DATA(message)[i]);
	say("  %s, type %d: %s", what, message->cmsg_type, hex);
}

/* One datagram, with as much room for control messages. */
static int receive(int fd, size_t room, int flags)
{
	unsigned char data[100], control[400];
	struct iovec part = { data, sizeof data };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room };
	ssize_t n = recvmsg(fd, &message, flags);

	if (n < 0)
		return -1;
	say("  %zd bytes, flags %#x", n, (unsigned)message.msg_flags);
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at))
		say_options(at->cmsg_level == IPPROTO_IP ? "IP" : "other", at);
	return 0;
}

static int await(int fd, size_t room)
{
	wait_for(fd, POLLIN);
	return receive(fd, room, MSG_DONTWAIT);
}

/* The time in the options of the next datagram is the time. */
static void await_time(int fd, size_t at)
{
	unsigned char data[100], control[400];
	struct iovec part = { data, sizeof data };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	uint32_t told = 0;
	struct timespec now;
	long off;

	wait_for(fd, POLLIN);
	say("  %zd bytes", recvmsg(fd, &message, MSG_DONTWAIT));
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
		if (each->cmsg_type == IP_RECVOPTS) {
			memcpy(&told, CMSG_DATA(each) + at, 4);
			clock_gettime(CLOCK_REALTIME, &now);
			off = now.tv_sec % 86400 * 1000 + now.tv_nsec / 1000000 - (long)ntohl(told);
			say("  the time is %s", off < 0 || off > 5000 ? "another" : "right");
			memset(CMSG_DATA(each) + at, 0, 4);
		} else {
			unsigned char *same = memmem(CMSG_DATA(each), each->cmsg_len - sizeof *each, &told, 4);

			if (same)
				memset(same, 0x77, 4);
		}
		say_options("IP", each);
	}
}

static void ask(int fd)
{
	set_int(fd, IPPROTO_IP, IP_RECVOPTS, 1);
	set_int(fd, IPPROTO_IP, IP_RETOPTS, 1);
}

static void of_malformed(int h, int fd)
{
	for (size_t i = 0; i < COUNT(malformed); i++)
		say("%s: %s", malformed[i], peer_says("optioned %d 5000 %s 1", h, malformed[i]));
	nap(100);
	say("they have not come: %s", ok(receive(fd, 400, MSG_DONTWAIT)));
}

static void of_times(int h, int fd)
{
	static const struct { const char *options; size_t at; } times[] = {
		{ "44080500" "00000000", 4 },
		{ "440c0900" "0000000100000000", 8 },
		{ "440c0501" "0000000000000000", 8 },
		{ "44140501" "0000000000000000" "ffffffffffffffff", 8 },
		{ "44140503" "0a17070200000000" "0a170702ffffffff", 8 },
		{ "0144100500" "000000000000000000000000" "000000", 5 },
	};

	for (size_t i = 0; i < COUNT(times); i++) {
		say("%s: %s", times[i].options, peer_says("optioned %d 5000 %s 1", h, times[i].options));
		await_time(fd, times[i].at);
	}
}

static void of_a_child(int h, int fd)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		say("the child, %s", peer_says("optioned %d 5000 %s 1", h, "070b040000000000000000" "01"));
		await(fd, 400);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	say("the parent, %s", peer_says("optioned %d 5000 %s 1", h, "070b040000000000000000" "01"));
	await(fd, 400);
}

static void within_the_host(int fd)
{
	static const unsigned char route[] = { 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct sockaddr_in here = address("127.0.0.1", 5000);
	int other = udp();

	say("an option of every datagram: %s", ok(setsockopt(other, IPPROTO_IP, IP_OPTIONS, route, sizeof route)));
	say("within the host: %s", result(sendto(other, "x", 1, 0, SA(here), sizeof here)));
	await(fd, 400);
	close(other);
}

int main(void)
{
	int h = peer("udp 7000"), fd = bound(udp(), "0.0.0.0", 5000), six, one;

	say("not asked for: %s", peer_says("optioned %d 5000 94040000 1", h));
	await(fd, 400);
	ask(fd);
	say("none: %s", peer_says("to %d 5000 1", h));
	await(fd, 400);
	for (size_t i = 0; i < COUNT(well_formed); i++) {
		say("%s: %s", well_formed[i], peer_says("optioned %d 5000 %s 1", h, well_formed[i]));
		await(fd, 400);
	}
	of_times(h, fd);
	of_malformed(h, fd);
	for (size_t room = 0; room < 60; room += 11) {
		say("room for %zu: %s", room, peer_says("optioned %d 5000 940400005e04abcd 1", h));
		await(fd, room);
	}
	say("peeked at: %s", peer_says("optioned %d 5000 %s 1", h, "5e04abcd"));
	wait_for(fd, POLLIN);
	receive(fd, 400, MSG_DONTWAIT | MSG_PEEK);
	receive(fd, 400, MSG_DONTWAIT);
	say("in fragments: %s", peer_says("optioned %d 5000 %s 40", h, "070b0400000000000000005e04abcd00"));
	await(fd, 400);
	say("malformed fragments: %s", peer_says("optioned %d 5000 %s 40", h, "07280400"));
	nap(50);
	say("%s", ok(receive(fd, 400, MSG_DONTWAIT)));
	set_int(fd, IPPROTO_IP, IP_RECVOPTS, 0);
	say("to answer with: %s", peer_says("optioned %d 5000 5e04abcd94040000 1", h));
	await(fd, 400);
	set_int(fd, IPPROTO_IP, IP_RECVOPTS, 1);
	within_the_host(fd);
	of_a_child(h, fd);

	six = socket(AF_INET6, SOCK_DGRAM, 0);
	one = bind(six, (struct sockaddr *)&(struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(5001) },
		   sizeof(struct sockaddr_in6));
	say("of both families: %s", ok(one));
	ask(six);
	say("mapped: %s", peer_says("optioned %d 5001 %s 1", h, "070b040000000000000000" "01"));
	await(six, 400);
}
