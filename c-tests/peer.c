/* The far end of the C tests: a program on the peer's kernel that does with sockets what it is told.
 *
 *   peer PATH      serves, at the Unix socket PATH, one test after the other
 *
 * A request and its reply are a line each. A reply is a number, or more words, or errno's name. H is a handle, a
 * descriptor of the peer's. No request takes longer than 10 s.
 *
 *   listen PORT BACKLOG   port H        accept H       connect PORT    close H         reset H
 *   connect PORT TTL TOS  with these from the first segment on; 0 is the default
 *   shutdown H HOW        option H LEVEL NAME VALUE
 *   send H COUNT          sends the next COUNT pattern bytes of H's stream
 *   urgent H              sends one urgent byte
 *   recv H COUNT          COUNT bytes, or fewer at the end: "RECEIVED HASH"
 *   drain H               all to the end: "RECEIVED HASH", then " ERRNO" when the end was an error
 *   start WORD H [COUNT]  does `send`, `recv` or `drain` in a thread of its own; `join H` is its reply
 *   ending H              reads to the end: "FIN", or the errno of the end
 *   dial PORT             begins to connect: H       admit H        accepts if somebody is there
 *   quick PORT COUNT      connects with COUNT bytes (MSG_FASTOPEN): H
 *   take H                what is there, without waiting: "RECEIVED HASH", then "FIN" or the errno
 *   pick H                a datagram, if there is one: "RECEIVED HASH"
 *   look                  "HASH MOVING": of the states and queues of all handles, and how many are about to change
 *   deafen H              H's connection answers nothing from now on
 *   state H               tcpi_state
 *   obstruct PORT         answers segments to PORT with ICMP host unreachable; 0 ends it
 *   udp PORT              to H PORT COUNT   sends a datagram to the test side
 *   broadcast H PORT COUNT  sends one to all hosts of the network
 *   multicast H PORT COUNT  sends one to a group
 *   from H                one datagram: "RECEIVED HASH PORT"
 *   optioned H PORT HEX COUNT  sends one in two fragments, or whole if COUNT is below 16, whose header has these options
 *   heard H               one datagram: "RECEIVED HASH", and the options of its header, if it has some
 */
#include "check.h"

#include <linux/filter.h>
#include <stdarg.h>

#define HANDLES 8192

static struct handle {
	int open;
	uint64_t sent;
	pthread_t thread;
	char task[64], reply[128];
} handles[HANDLES];

static void reply(char *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void reply(char *to, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(to, 128, format, arguments);
	va_end(arguments);
}

static int keep(int fd)
{
	struct timeval limit = { 10, 0 };

	if (fd < 0 || fd >= HANDLES)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	memset(&handles[fd], 0, sizeof handles[fd]);
	handles[fd].open = 1;
	return fd;
}

static int let_go(int fd)
{
	handles[fd].open = 0;
	return close(fd);
}

static int do_listen(int port, int backlog)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	int fd = keep(socket(AF_INET, SOCK_STREAM, 0)), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	return bind(fd, SA(a), sizeof a) || listen(fd, backlog) ? -1 : fd;
}

static int do_connect(int port, int time_to_live, int service)
{
	struct sockaddr_in a = address(TEST, port);
	int fd = keep(socket(AF_INET, SOCK_STREAM, 0));

	if (time_to_live)
		setsockopt(fd, IPPROTO_IP, IP_TTL, &time_to_live, sizeof time_to_live);
	if (service)
		setsockopt(fd, IPPROTO_IP, IP_TOS, &service, sizeof service);
	if (connect(fd, SA(a), sizeof a) == 0)
		return fd;
	let_go(fd);
	return -1;
}

/* Begins to connect. */
static int do_dial(int port)
{
	struct sockaddr_in a = address(TEST, port);
	int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));

	if (connect(fd, SA(a), sizeof a) == 0 || errno == EINPROGRESS)
		return fd;
	let_go(fd);
	return -1;
}

/* Connects with `count` bytes beside the SYN, if it has a cookie. */
static int do_quick(int port, long count)
{
	static unsigned char buffer[1000];
	struct sockaddr_in a = address(TEST, port);
	int fd = keep(socket(AF_INET, SOCK_STREAM, 0));

	fill(buffer, count, 0);
	if (sendto(fd, buffer, count, MSG_FASTOPEN | MSG_NOSIGNAL, SA(a), sizeof a) == count)
		return fd;
	let_go(fd);
	return -1;
}

/* Accepts without waiting. */
static int do_admit(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	errno = EAGAIN;
	return poll(&p, 1, 0) == 1 ? keep(accept4(fd, NULL, NULL, SOCK_NONBLOCK)) : -1;
}

static int do_udp(int port)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	int fd = keep(socket(AF_INET, SOCK_DGRAM, 0));

	return bind(fd, SA(a), sizeof a) ? -1 : fd;
}

static int do_reset(int fd)
{
	struct linger none = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	return let_go(fd);
}

static void do_send(int fd, long count, char *to)
{
	static _Thread_local unsigned char buffer[65536];
	long left = count;

	while (left > 0) {
		long step = left < (long)sizeof buffer ? left : (long)sizeof buffer;
		ssize_t n;

		fill(buffer, step, handles[fd].sent);
		n = send(fd, buffer, step, MSG_NOSIGNAL);
		if (n < 0) {
			reply(to, "%s", name_of(errno));
			return;
		}
		handles[fd].sent += n;
		left -= n;
	}
	reply(to, "%ld", count);
}

static void do_recv(int fd, long count, char *to)
{
	static _Thread_local unsigned char buffer[65536];
	uint64_t hash = FNV_START;
	long got = 0;
	ssize_t n = 0;

	while (got < count) {
		long step = count - got < (long)sizeof buffer ? count - got : (long)sizeof buffer;

		n = recv(fd, buffer, step, 0);
		if (n <= 0)
			break;
		hash = fnv(hash, buffer, n);
		got += n;
	}
	reply(to, n < 0 ? "%ld %016llx %s" : "%ld %016llx", got, (unsigned long long)hash, name_of(errno));
}

static void do_take(int fd, char *to)
{
	static unsigned char buffer[65536];
	uint64_t hash = FNV_START;
	long got = 0;
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
		hash = fnv(hash, buffer, n);
		got += n;
	}
	reply(to, "%ld %016llx %s", got, (unsigned long long)hash, n ? name_of(errno) : "FIN");
}

static void do_pick(int fd, char *to)
{
	static unsigned char buffer[65536];
	ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);

	if (n < 0)
		reply(to, "%s", name_of(errno));
	else
		reply(to, "%zd %016llx", n, (unsigned long long)fnv(FNV_START, buffer, n));
}

/* Whether a connection has something on its way that will be answered. */
static int is_moving(const struct tcp_info *info, int unacknowledged)
{
	return info->tcpi_state == TCP_SYN_SENT || info->tcpi_state == TCP_FIN_WAIT1 || info->tcpi_state == TCP_CLOSING ||
	       info->tcpi_state == TCP_LAST_ACK || (info->tcpi_state != TCP_LISTEN && unacknowledged > 0);
}

static void do_look(char *to)
{
	uint64_t hash = FNV_START;
	int moving = 0;

	for (int fd = 0; fd < HANDLES; fd++) {
		struct tcp_info info = { 0 };
		socklen_t length = sizeof info;
		int seen[4] = { fd, 0, 0, 0 };

		if (!handles[fd].open)
			continue;
		ioctl(fd, FIONREAD, &seen[1]);
		if (!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length)) {
			ioctl(fd, SIOCOUTQ, &seen[2]);
			seen[3] = info.tcpi_state;
			moving += is_moving(&info, seen[2]);
		}
		hash = fnv(hash, seen, sizeof seen);
	}
	reply(to, "%016llx %d", (unsigned long long)hash, moving);
}

static void do_ending(int fd, char *to)
{
	static unsigned char buffer[65536];
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
		;
	reply(to, "%s", n ? name_of(errno) : "FIN");
}

/* Nothing that arrives passes the filter. */
static int do_deafen(int fd)
{
	struct sock_filter nothing[] = { { BPF_RET | BPF_K, 0, 0, 0 } };
	struct sock_fprog program = { 1, nothing };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static void do_to(int fd, const char *ip, int port, long count, char *to)
{
	static unsigned char buffer[65536];
	struct sockaddr_in a = address(ip, port);

	fill(buffer, count, 0);
	reply(to, "%s", result(sendto(fd, buffer, count, 0, SA(a), sizeof a)));
}

static void do_from(int fd, char *to)
{
	static unsigned char buffer[65536];
	struct sockaddr_in a = { 0 };
	socklen_t length = sizeof a;
	ssize_t n = recvfrom(fd, buffer, sizeof buffer, 0, SA(a), &length);

	if (n < 0)
		reply(to, "%s", name_of(errno));
	else
		reply(to, "%zd %016llx %d", n,
		      (unsigned long long)fnv(FNV_START, buffer, n), ntohs(a.sin_port));
}

/* A datagram of COUNT bytes with options that no kernel has looked at. */
static void do_optioned(int fd, const char *line, char *to)
{
	unsigned char packet[256] = { 0x45 }, *end = packet + 20;
	struct sockaddr_in a = address(TEST, 0), from = address(PEER, 0);
	unsigned port = 0, count = 0, byte, id = 1 + rand() % 0xfffe;
	int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), read = 0;
	char hex[100] = "";
	long n;

	sscanf(line, "%*s %*d %u %99s %u", &port, hex, &count);
	for (const char *at = hex; sscanf(at, "%2x%n", &byte, &read) == 1; at += read)
		*end++ = byte;
	packet[0] += (end - packet - 20) / 4;
	packet[4] = id >> 8;
	packet[5] = id;
	packet[8] = 64;
	packet[9] = IPPROTO_UDP;
	memcpy(packet + 12, &from.sin_addr, 4);
	memcpy(packet + 16, &a.sin_addr, 4);
	memcpy(end, (uint16_t[]){ htons(port_of(fd)), htons(port), htons(8 + count), 0 }, 8);
	fill(end + 8, count, 0);
	end += 8;
	packet[6] = count < 16 ? 0 : 0x20;
	n = sendto(raw, packet, end - packet + (count < 16 ? count : 8), 0, SA(a), sizeof a);
	if (n >= 0 && count >= 16) {
		packet[6] = 0;
		packet[7] = 2;
		memmove(end - 8, end + 8, count - 8);
		n = sendto(raw, packet, end - 8 - packet + count - 8, 0, SA(a), sizeof a);
	}
	reply(to, "%s", ok(n));
	close(raw);
}

/* A datagram, and the options of its header. */
static void do_heard(int fd, char *to)
{
	static unsigned char buffer[65536];
	unsigned char control[CMSG_SPACE(40)];
	struct iovec part = { buffer, sizeof buffer };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *options;
	ssize_t n;

	set_int(fd, IPPROTO_IP, IP_RECVOPTS, 1);
	n = recvmsg(fd, &message, 0);
	if (n < 0) {
		reply(to, "%s", name_of(errno));
		return;
	}
	to += sprintf(to, "%zd %016llx ", n, (unsigned long long)fnv(FNV_START, buffer, n));
	options = CMSG_FIRSTHDR(&message);
	for (size_t i = 0; options && i < options->cmsg_len - sizeof *options; i++)
		to += sprintf(to, "%02x", CMSG_DATA(options)[i]);
}

static int do_obstruct(int port)
{
	char command[256];

	snprintf(command, sizeof command,
		 port ? "nft 'add table ip obstruction; add chain ip obstruction input { type filter hook input priority -1; }; "
			"add rule ip obstruction input tcp dport %d reject with icmp host-unreachable'"
		      : "nft delete table ip obstruction",
		 port);
	errno = EIO;
	return system(command) ? -1 : 0;
}

static void transfer(const char *word, int fd, long count, char *to)
{
	if (!strcmp(word, "send"))
		do_send(fd, count, to);
	else
		do_recv(fd, strcmp(word, "drain") ? count : LONG_MAX, to);
}

static void *run_task(void *argument)
{
	struct handle *handle = argument;
	char word[16] = "";
	long count = 0;

	sscanf(handle->task, "%15s %ld", word, &count);
	transfer(word, handle - handles, count, handle->reply);
	return NULL;
}

static long call(const char *word, long a, long b, long c, long d)
{
	int value = d;

	return !strcmp(word, "listen") ? do_listen(a, b) :
	       !strcmp(word, "port") ? port_of(a) :
	       !strcmp(word, "accept") ? keep(accept(a, NULL, NULL)) :
	       !strcmp(word, "connect") ? do_connect(a, b, c) :
	       !strcmp(word, "dial") ? do_dial(a) :
	       !strcmp(word, "quick") ? do_quick(a, b) :
	       !strcmp(word, "admit") ? do_admit(a) :
	       !strcmp(word, "close") ? let_go(a) :
	       !strcmp(word, "reset") ? do_reset(a) :
	       !strcmp(word, "shutdown") ? shutdown(a, b) :
	       !strcmp(word, "option") ? setsockopt(a, b, c, &value, sizeof value) :
	       !strcmp(word, "deafen") ? do_deafen(a) :
	       !strcmp(word, "urgent") ? send(a, "!", 1, MSG_OOB | MSG_NOSIGNAL) :
	       !strcmp(word, "state") ? tcp_state(a) :
	       !strcmp(word, "obstruct") ? do_obstruct(a) :
	       !strcmp(word, "udp") ? do_udp(a) : (errno = EINVAL, -1);
}

static int is_about_a_port(const char *word)
{
	static const char *const words[] = { "listen", "connect", "dial", "quick", "udp", "obstruct" };

	for (size_t i = 0; i < COUNT(words); i++)
		if (!strcmp(word, words[i]))
			return 1;
	return 0;
}

static void answer(const char *line, char *to)
{
	char word[16] = "", task[16] = "";
	long a = 0, b = 0, c = 0, d = 0;

	sscanf(line, "%15s", word);
	if (!strcmp(word, "start")) {
		sscanf(line, "%*s %15s %ld %ld", task, &a, &b);
		snprintf(handles[a].task, sizeof handles[a].task, "%s %ld", task, b);
		reply(to, "%d", pthread_create(&handles[a].thread, NULL, run_task, &handles[a]));
		return;
	}
	sscanf(line, "%*s %ld %ld %ld %ld", &a, &b, &c, &d);
	if (a < 0 || (a >= HANDLES && !is_about_a_port(word))) {
		reply(to, "no such handle");
	} else if (!strcmp(word, "join")) {
		pthread_join(handles[a].thread, NULL);
		reply(to, "%s", handles[a].reply);
	} else if (!strcmp(word, "send") || !strcmp(word, "recv") || !strcmp(word, "drain")) {
		transfer(word, a, b, to);
	} else if (!strcmp(word, "take")) {
		do_take(a, to);
	} else if (!strcmp(word, "pick")) {
		do_pick(a, to);
	} else if (!strcmp(word, "look")) {
		do_look(to);
	} else if (!strcmp(word, "ending")) {
		do_ending(a, to);
	} else if (!strcmp(word, "to")) {
		do_to(a, TEST, b, c, to);
	} else if (!strcmp(word, "broadcast")) {
		set_int(a, SOL_SOCKET, SO_BROADCAST, 1);
		do_to(a, EVERYBODY, b, c, to);
	} else if (!strcmp(word, "multicast")) {
		struct in_addr here = address(PEER, 0).sin_addr;

		setsockopt(a, IPPROTO_IP, IP_MULTICAST_IF, &here, sizeof here);
		do_to(a, GROUP, b, c, to);
	} else if (!strcmp(word, "from")) {
		do_from(a, to);
	} else if (!strcmp(word, "optioned")) {
		do_optioned(a, line, to);
	} else if (!strcmp(word, "heard")) {
		do_heard(a, to);
	} else {
		reply(to, "%s", result(call(word, a, b, c, d)));
	}
}

static void serve(int fd)
{
	FILE *in = fdopen(dup(fd), "r"), *out = fdopen(fd, "w");
	char line[256], text[128];

	while (fgets(line, sizeof line, in)) {
		answer(line, text);
		fprintf(out, "%s\n", text);
		fflush(out);
	}
	fclose(in);
	fclose(out);
	for (int i = 0; i < HANDLES; i++)
		if (handles[i].open)
			do_reset(i);
}

int main(int argc, char **argv)
{
	struct sockaddr_un here = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 2)
		die("usage: peer PATH");
	snprintf(here.sun_path, sizeof here.sun_path, "%s", argv[1]);
	if (bind(fd, SA(here), sizeof here) || listen(fd, 5))
		die("listening for tests");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int test = accept(fd, NULL, NULL);

		if (test < 0)
			die("accept");
		serve(test);
	}
}
