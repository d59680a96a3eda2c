/* IPv4 options of single datagrams: what sendmsg(2) with IP_RETOPTS puts into the header. */
#include "check.h"
#include <linux/errqueue.h>

static const char *const well_formed[] = {
	"", "00", "01010101", "01000707",                    /* nothing, the end, and what is behind it */
	"07070400000000", "07070400000000" "00",             /* a route to record: room for one */
	"070b04" "0000000000000000" "01",                    /* for two */
	"0707080a17070100",                                  /* full */
	"070b080a170763" "ffffffff" "01",                    /* one more */
	"070307",                                            /* none at all */
	"94040000", "94040001",                              /* router alert, and another value of it */
	"820b" "00000000" "0000000000" "01",                 /* security */
	"88040001",                                          /* stream identifier */
	"5e04abcd", "de04abcd", "9f0201",                    /* what nobody knows */
	"44080910" "00000000", "440409d0",                   /* what overflows */
	"44080502" "00000000",                               /* a flag that means nothing */
	"44080500" "00000000", "440c0500" "00000000ffffffff",
	"44100501" "0000000000000000" "00000000", "44140501" "0000000000000000" "ffffffffffffffff",
	"44140503" "0a17070200000000" "0a170702ffffffff",    /* times of others, of this host and of both */
	"44140503" "0a17070200000000" "0a170701ffffffff", "440c0503" "0a17070100000000",
	"94040000" "07070400000000" "00" "94040001" "5e04abcd" "01010100",
	"072704" "000000000000000000000000000000000000000000000000000000000000000000000000" "01",
	"07270400000000000000000000000000000000000000000000000000000000000000000000000001" "07010101", /* what is cut off */
};

static const char *const malformed[] = {
	"07", "07000400", "07010400", "07280400", "07030300", "01010107", "07020101", "07070500000000" "00",
	"07050401" "00000000", "07070400000000" "07070400000000" "0101",
	"44030501", "44040400", "44080600" "00000000", "44080501" "00000000", "44080503" "00000000", "440809f0" "00000000",
	"44080500" "00000000" "44080500" "00000000",
	"94030001", "94020101", "5e00abcd", "de05abcd", "83020101", "83030301", "83030483", "830304" "830304" "0101",
	"83030400", "8307080a170701" "00",
};

static size_t bytes_of(const char *hex, unsigned char *to)
{
	size_t count = strlen(hex) / 2;

	for (size_t i = 0; i < count; i++) {
		unsigned byte = 0;

		sscanf(hex + 2 * i, "%2x", &byte);
		to[i] = byte;
	}
	return count;
}

static ssize_t give(int fd, const struct sockaddr_in *to, size_t count, const char *hex, int flags)
{
	static unsigned char data[65536];
	_Alignas(struct cmsghdr) unsigned char control[CMSG_SPACE(100)] = { 0 };
	struct iovec part = { data, count };
	struct msghdr message = { .msg_name = (void *)to, .msg_namelen = to ? sizeof *to : 0, .msg_iov = &part, .msg_iovlen = 1,
				  .msg_control = control };
	struct cmsghdr *options = (struct cmsghdr *)control;
	size_t length = bytes_of(hex, CMSG_DATA(options));

	options->cmsg_level = IPPROTO_IP;
	options->cmsg_type = IP_RETOPTS;
	options->cmsg_len = CMSG_LEN(length);
	message.msg_controllen = CMSG_SPACE(length);
	fill(data, count, 0);
	return sendmsg(fd, &message, flags);
}

static int is_now(const unsigned char *at)
{
	struct timespec now;
	uint32_t told;
	long off;

	memcpy(&told, at, 4);
	clock_gettime(CLOCK_REALTIME, &now);
	off = now.tv_sec % 86400 * 1000 + now.tv_nsec / 1000000 - (long)ntohl(told);
	return off >= -1 && off < 5000;
}

/* What the peer has heard, with the times in a timestamp that stands first: "now" is all one time. */
static void say_heard(int h)
{
	char reply[512], *hex;
	unsigned char options[40];
	size_t count, size;

	snprintf(reply, sizeof reply, "%s", peer_says("heard %d", h));
	hex = strrchr(reply, ' ');
	hex = hex ? hex + 1 : "";
	count = bytes_of(hex, options);
	if (count > 4 && options[0] == 68) {
		size = options[3] & 3 ? 8 : 4;
		for (size_t at = 4; at + size < options[2] && at + size <= count; at += size)
			if (is_now(options + at + size - 4))
				memcpy(options + at + size - 4, "\xee\xee\xee\xee", 4);
	}
	for (size_t i = 0; i < count; i++)
		sprintf(hex + 2 * i, "%02x", options[i]);
	say("    heard: %s", reply);
}

static void try(const char *what, int fd, int h, const struct sockaddr_in *to, size_t count, const char *hex)
{
	ssize_t sent = give(fd, to, count, hex, 0);

	say("%s, %zu bytes: %s", what, count, result(sent));
	if (sent >= 0)
		say_heard(h);
}

static void of_lengths(int fd, int h, const struct sockaddr_in *to)
{
	static const size_t counts[] = { 0, 30, 1452, 1453, 1472, 3000, 65487, 65488, 65507 };
	static const char *const hex = "070b0400000000000000005e04abcd94040000" "01";

	for (size_t i = 0; i < COUNT(counts); i++)
		try("cut up", fd, h, to, counts[i], hex);
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	for (size_t i = 0; i < COUNT(counts); i++)
		try("never cut up", fd, h, to, counts[i], hex);
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT);
	set_int(fd, SOL_SOCKET, SO_NO_CHECK, 1);
	try("without a checksum", fd, h, to, 30, hex);
	try("without a checksum", fd, h, to, 3000, hex);
	set_int(fd, SOL_SOCKET, SO_NO_CHECK, 0);
}

/* What an error queue tells of one that is too long. */
static void of_reports(int fd, const struct sockaddr_in *to)
{
	static const size_t counts[] = { 1465, 65500 };

	set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	for (size_t i = 0; i < COUNT(counts); i++) {
		_Alignas(struct cmsghdr) unsigned char control[400];
		struct msghdr message = { .msg_control = control, .msg_controllen = sizeof control };
		struct cmsghdr *first;

		say("%zu bytes: %s", counts[i], result(give(fd, to, counts[i], "0707040000000001", 0)));
		say("  told: %s", ok(recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT)));
		first = message.msg_controllen ? CMSG_FIRSTHDR(&message) : NULL;
		if (first)
			say("  mtu %u", ((struct sock_extended_err *)CMSG_DATA(first))->ee_info);
	}
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT);
	set_int(fd, IPPROTO_IP, IP_RECVERR, 0);
}

static void in_parts(int fd, int h, const struct sockaddr_in *to)
{
	say("a part: %s", result(give(fd, to, 10, "5e04abcd", MSG_MORE)));
	say("the rest: %s", result(give(fd, to, 20, "94040000", 0)));
	say_heard(h);
	set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 10);
	try("segments", fd, h, to, 20, "94040000");
	say_heard(h);
	set_int(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
}

static void without_a_right(int fd, int h, const struct sockaddr_in *to)
{
	static const char *const some[] = { "94040000", "0707040000000000", "5e04abcd", "88040001", "44080502" "00000000",
					    "440409d2", "44080500" "00000000" };

	say("no right: %s", ok(seteuid(65534)));
	for (size_t i = 0; i < COUNT(some); i++)
		try(some[i], fd, h, to, 1, some[i]);
	say("all rights: %s", ok(seteuid(0)));
}

static void of_a_child(int fd, int h, const struct sockaddr_in *to)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		try("the child", fd, h, to, 1, "94040000" "0707040000000000");
		try("the child, malformed", fd, h, to, 1, "07010400");
		try("the child, none", fd, h, to, 1, "");
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	try("the parent", fd, h, to, 1, "94040000" "0707040000000000");
}

/* What came is answered by the way it came, as the times and the route say. */
static void of_an_answer(int fd, int h, const struct sockaddr_in *to)
{
	unsigned char data[100];
	_Alignas(struct cmsghdr) unsigned char control[400];
	struct iovec part = { data, sizeof data };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
				  .msg_name = (void *)to, .msg_namelen = sizeof *to };

	set_int(fd, IPPROTO_IP, IP_RETOPTS, 1);
	say("to be answered: %s", peer_says("optioned %d 5000 %s 1", h, "94040000" "07130400000000" "000000000000000000000000" "01"));
	wait_for(fd, POLLIN);
	message.msg_name = NULL;
	say("received: %s", result(recvmsg(fd, &message, MSG_DONTWAIT)));
	message.msg_name = (void *)to;
	part.iov_len = 1;
	say("answered: %s", result(sendmsg(fd, &message, 0)));
	say_heard(h);
}

int main(void)
{
	int h = peer("udp 7000"), fd = bound(udp(), "0.0.0.0", 5000), six;
	struct sockaddr_in to = address(PEER, 7000);

	for (size_t i = 0; i < COUNT(well_formed); i++)
		try(well_formed[i], fd, h, &to, 1, well_formed[i]);
	for (size_t i = 0; i < COUNT(malformed); i++)
		try(malformed[i], fd, h, &to, 1, malformed[i]);
	say("a source route: %s", result(give(fd, &to, 1, "83070400000000" "00", 0)));
	of_lengths(fd, h, &to);
	of_reports(fd, &to);
	in_parts(fd, h, &to);
	without_a_right(fd, h, &to);
	of_a_child(fd, h, &to);
	of_an_answer(fd, h, &to);
	say("connected: %s", ok(connect(fd, SA(to), sizeof to)));
	try("to a peer", fd, h, NULL, 1, "0707040000000000");
	try("next", fd, h, NULL, 1, "");

	six = socket(AF_INET6, SOCK_DGRAM, 0);
	say("of both families: %s", ok(connect(six, (struct sockaddr *)&(struct sockaddr_in6){ .sin6_family = AF_INET6,
			.sin6_port = htons(7000), .sin6_addr = { .s6_addr = { [10] = 255, 255, 10, 23, 7, 1 } } },
			sizeof(struct sockaddr_in6))));
	try("mapped", six, h, NULL, 1, "0707040000000000");
}
