/* See check.h. */
#include "check.h"

#include <stdarg.h>
#include <stddef.h>

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

void die(const char *what)
{
	say("the test failed: %s: %s", what, name_of(errno));
	exit(1);
}

const char *name_of(int error)
{
	const char *name = error ? strerrorname_np(error) : "0";

	return name ? name : "unknown";
}

/* A few results may be part of one line. */
static char *text(void)
{
	static _Thread_local char texts[8][128];
	static _Thread_local unsigned next;

	return texts[next++ % COUNT(texts)];
}

const char *result(long returned)
{
	char *s;

	if (returned == -1)
		return name_of(errno);
	s = text();
	snprintf(s, 128, "%ld", returned);
	return s;
}

const char *ok(long returned)
{
	return returned == -1 ? name_of(errno) : "ok";
}

struct flag {
	unsigned bit;
	const char *name;
};

static const char *flags_text(unsigned flags, const struct flag *names, size_t count)
{
	char *s = text();

	*s = 0;
	for (size_t i = 0; i < count; i++)
		if (flags & names[i].bit)
			sprintf(s + strlen(s), "%s%s", *s ? "|" : "", names[i].name);
	return *s ? s : "none";
}

const char *poll_flags(int flags)
{
	static const struct flag names[] = {
		{ POLLIN, "IN" }, { POLLPRI, "PRI" }, { POLLOUT, "OUT" }, { POLLRDHUP, "RDHUP" },
		{ POLLERR, "ERR" }, { POLLHUP, "HUP" }, { POLLNVAL, "NVAL" },
	};

	return flags_text(flags, names, COUNT(names));
}

const char *epoll_flags(unsigned flags)
{
	static const struct flag names[] = {
		{ EPOLLIN, "IN" }, { EPOLLPRI, "PRI" }, { EPOLLOUT, "OUT" }, { EPOLLRDHUP, "RDHUP" },
		{ EPOLLERR, "ERR" }, { EPOLLHUP, "HUP" },
	};

	return flags_text(flags, names, COUNT(names));
}

/* ---- the peer */

#define PEER_IN 300
#define PEER_OUT 301

static FILE *peer_in, *peer_out;

static const char *ask(const char *format, va_list arguments)
{
	static char reply[256];

	if (!peer_in) {
		struct sockaddr_un to = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		snprintf(to.sun_path, sizeof to.sun_path, "%s", getenv("CHECK_PEER") ? getenv("CHECK_PEER") : "");
		if (connect(fd, SA(to), sizeof to))
			die("connecting to the peer");
		/* Above the numbers that the test's own sockets get. */
		peer_in = fdopen(fcntl(fd, F_DUPFD_CLOEXEC, PEER_IN), "r");
		peer_out = fdopen(fcntl(fd, F_DUPFD_CLOEXEC, PEER_OUT), "w");
		close(fd);
	}
	vfprintf(peer_out, format, arguments);
	fputc('\n', peer_out);
	if (fflush(peer_out) || !fgets(reply, sizeof reply, peer_in))
		die("asking the peer");
	reply[strcspn(reply, "\n")] = 0;
	return reply;
}

const char *peer_says(const char *format, ...)
{
	va_list arguments;
	const char *reply;

	va_start(arguments, format);
	reply = ask(format, arguments);
	va_end(arguments);
	return reply;
}

void leave_peer(void)
{
	fcntl(PEER_IN, F_SETFD, 0);
	fcntl(PEER_OUT, F_SETFD, 0);
}

void take_peer(void)
{
	peer_in = fdopen(PEER_IN, "r");
	peer_out = fdopen(PEER_OUT, "w");
}

long peer(const char *format, ...)
{
	va_list arguments;
	const char *reply;
	char *end;
	long number;

	va_start(arguments, format);
	reply = ask(format, arguments);
	va_end(arguments);
	number = strtol(reply, &end, 10);
	if (end == reply) {
		say("the peer was asked: %s", format);
		die(reply);
	}
	return number;
}

/* ---- addresses and sockets */

struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		die(ip);
	return a;
}

int port_of(int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof a;

	if (getsockname(fd, SA(a), &length))
		die("getsockname");
	return ntohs(a.sin_port);
}

static int checked(int fd, const char *what)
{
	if (fd < 0)
		die(what);
	return fd;
}

int tcp(void)
{
	return checked(socket(AF_INET, SOCK_STREAM, 0), "socket");
}

int udp(void)
{
	return checked(socket(AF_INET, SOCK_DGRAM, 0), "socket");
}

int nonblocking(int fd)
{
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
		die("O_NONBLOCK");
	return fd;
}

int bound(int fd, const char *ip, int port)
{
	struct sockaddr_in a = address(ip, port);

	if (bind(fd, SA(a), sizeof a))
		die("bind");
	return fd;
}

int listening(int port, int backlog)
{
	int fd = tcp();

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	bound(fd, "0.0.0.0", port);
	if (listen(fd, backlog))
		die("listen");
	return fd;
}

int dialed(int port)
{
	struct sockaddr_in a = address(PEER, port);
	int fd = tcp();

	if (connect(fd, SA(a), sizeof a))
		die("connect");
	return fd;
}

int connected(int *handle)
{
	long listener = peer("listen 0 5");
	int fd = dialed(peer("port %ld", listener));

	*handle = peer("accept %ld", listener);
	peer("close %ld", listener);
	return fd;
}

int accepted(int *handle)
{
	int listener = listening(0, 5), fd;

	*handle = peer("connect %d", port_of(listener));
	fd = checked(accept(listener, NULL, NULL), "accept");
	close(listener);
	return fd;
}

int get_int(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof value;

	if (getsockopt(fd, level, option, &value, &length))
		die("getsockopt");
	return value;
}

void set_int(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof value))
		die("setsockopt");
}

int pending_error(int fd)
{
	return get_int(fd, SOL_SOCKET, SO_ERROR);
}

int tcp_state(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		die("TCP_INFO");
	return info.tcpi_state;
}

void *volatile bad_pointer = (void *)8;
volatile int minus_one = -1;

void pass(int to, int fd)
{
	char control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec v = { "f", 1 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	if (sendmsg(to, &message, 0) != 1)
		die("sendmsg");
}

int take_passed(int from)
{
	char control[CMSG_SPACE(sizeof(int))], b;
	struct iovec v = { &b, 1 };
	struct msghdr message = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	int fd;

	if (recvmsg(from, &message, 0) != 1)
		die("recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

/* ---- waiting */

int events_now(int fd)
{
	struct pollfd p = { fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0 };

	if (poll(&p, 1, 0) < 0)
		die("poll");
	return p.revents;
}

int wait_for(int fd, int events)
{
	struct pollfd p = { fd, events, 0 };

	if (poll(&p, 1, 3000) < 0)
		die("poll");
	return p.revents;
}

int wait_state(int fd, int state)
{
	for (int i = 0; i < 600 && tcp_state(fd) != state; i++)
		nap(5);
	return tcp_state(fd);
}

void nap(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

long long milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* What a busy machine may take to run whom it should, in milliseconds. It is less than any timer that might have ended
 * the call in place of what did: the first repetition of a SYN and the least SO_LINGER come after a second. */
#define DELAY 900

const char *elapsed(long long since, int expected)
{
	long long took = milliseconds() - since;

	if (took < expected - 20)
		return "early";
	if (took >= expected + expected / 4 + DELAY)
		return "late";
	return expected ? "in time" : "at once";
}

/* ---- data */

unsigned char pattern(uint64_t i)
{
	return (unsigned char)(i * 31 + (i >> 8) * 17 + (i >> 16) * 5 + 3);
}

void fill(void *buffer, size_t count, uint64_t offset)
{
	unsigned char *bytes = buffer;

	for (size_t i = 0; i < count; i++)
		bytes[i] = pattern(offset + i);
}

uint64_t fnv(uint64_t hash, const void *data, size_t count)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < count; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

void send_all(int fd, size_t count)
{
	static _Thread_local unsigned char buffer[65536];

	for (size_t sent = 0; sent < count;) {
		size_t step = count - sent < sizeof buffer ? count - sent : sizeof buffer;
		ssize_t n;

		fill(buffer, step, sent);
		n = send(fd, buffer, step, MSG_NOSIGNAL);
		if (n <= 0)
			die("send");
		sent += n;
	}
}

uint64_t hash_all(int fd, size_t count)
{
	static _Thread_local unsigned char buffer[65536];
	uint64_t hash = FNV_START;

	for (size_t got = 0; got < count;) {
		size_t step = count - got < sizeof buffer ? count - got : sizeof buffer;
		ssize_t n = recv(fd, buffer, step, 0);

		if (n < 0)
			die("recv");
		if (n == 0)
			break;
		hash = fnv(hash, buffer, n);
		got += n;
	}
	return hash;
}

/* ---- signals */

volatile sig_atomic_t signals_seen;

static void seen(int number)
{
	(void)number;
	signals_seen++;
}

void count_signal(int number, int flags)
{
	struct sigaction action = { .sa_handler = seen, .sa_flags = flags };

	signals_seen = 0;
	if (sigaction(number, &action, NULL))
		die("sigaction");
}

struct later {
	pthread_t thread;
	int number, ms;
};

static void *send_signal(void *argument)
{
	struct later later = *(struct later *)argument;
	sigset_t all;

	free(argument);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	nap(later.ms);
	pthread_kill(later.thread, later.number);
	return NULL;
}

void signal_later(int number, int milliseconds_from_now)
{
	struct later *later = malloc(sizeof *later);
	pthread_t thread;

	*later = (struct later){ pthread_self(), number, milliseconds_from_now };
	if (pthread_create(&thread, NULL, send_signal, later))
		die("pthread_create");
	pthread_detach(thread);
}

/* ---- death */

/* On the kernel, which always goes on, nobody is to be asked. */
static int is_kept(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int length = sprintf(to.sun_path + 1, "sidestack/%d", (int)getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), kept = 1;
	char text[16384] = "";
	size_t got = 0;

	if (!connect(fd, SA(to), offsetof(struct sockaddr_un, sun_path) + 1 + length)) {
		ssize_t n = write(fd, "stat\n", 5);

		while (n > 0 && (n = read(fd, text + got, sizeof text - 1 - got)) > 0)
			got += n;
		kept = strstr(text, "keeper 1\n") != NULL;
	}
	close(fd);
	return kept;
}

void await_keeper(void)
{
	for (int i = 0; !is_kept(); i++, nap(5))
		if (i == 2000)
			die("there is no keeper");
}
