/* TCP_ZEROCOPY_RECEIVE: a connection is mapped, and what waits in it given by pages, or to be copied. What comes over the
 * lab's wire lies in no whole pages. */
#include "check.h"

#include <setjmp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* linux/tcp.h, which older systems have in part. */
#define ZEROCOPY_RECEIVE 35
struct pages {
	uint64_t address;
	uint32_t length, recv_skip_hint, inq;
	int32_t err;
	uint64_t copybuf_address;
	int32_t copybuf_len;
	uint32_t flags;
	uint64_t msg_control, msg_controllen;
	uint32_t msg_flags, reserved;
	unsigned char more[16];
};
#define LENGTH offsetof(struct pages, more)
#define MAPPED 65536

static char copied[MAPPED];

static int ask(const char *what, int fd, struct pages *p, int given)
{
	socklen_t length = given;
	int got = getsockopt(fd, IPPROTO_TCP, ZEROCOPY_RECEIVE, p, &length);

	say("  %s: %s, length %d", what, ok(got), (int)length);
	return got;
}

/* `large`: so much waits that it depends on the segments how much of it is spoken of. */
static void say_pages(const char *what, int fd, struct pages p, int given, int large)
{
	if (ask(what, fd, &p, given) < 0)
		return;
	if (large)
		say("    %u mapped, some to be skipped: %d, no more than there is: %d", p.length, p.recv_skip_hint > 0,
		    p.recv_skip_hint <= p.inq);
	else
		say("    %u mapped, %u to be skipped, %u wait", p.length, p.recv_skip_hint, p.inq);
	say("    error %s, %d copied, flags %u, messages %llu %u", p.err ? name_of(-p.err) : "0", p.copybuf_len, p.flags,
	    (unsigned long long)p.msg_controllen, p.msg_flags);
}

static void *map(const char *what, int fd, size_t length, int protection, int flags, off_t offset)
{
	void *p = mmap(NULL, length, protection, flags, fd, offset);

	say("  %s: %s", what, p == MAP_FAILED ? name_of(errno) : "ok");
	return p;
}

static sigjmp_buf back;

static void caught(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

static void say_touched(void *p)
{
	signal(SIGBUS, caught);
	if (sigsetjmp(back, 1) == 0)
		say("  touched: %d", *(volatile char *)p);
	else
		say("  touched: SIGBUS");
	signal(SIGBUS, SIG_DFL);
}

/* What can be mapped, and how. */
static void mappings(int fd)
{
	int fresh = tcp(), datagrams = udp(), listener = listening(0, 5);
	void *p, *q;

	say("mmap");
	p = map("to read", fd, MAPPED, PROT_READ, MAP_SHARED, 0);
	say_touched(p);
	say("  made writable: %s", ok(mprotect(p, MAPPED, PROT_READ | PROT_WRITE)));
	say("  munmap: %s", ok(munmap(p, MAPPED)));
	map("to write", fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	map("to execute", fd, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, 0);
	map("private", fd, 4096, PROT_READ, MAP_PRIVATE, 0);
	map("private, to write", fd, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	map("for nothing", fd, 4096, PROT_NONE, MAP_SHARED, 0);
	map("from 4096", fd, 4096, PROT_READ, MAP_SHARED, 4096);
	map("from 1", fd, 4096, PROT_READ, MAP_SHARED, 1);
	map("nothing", fd, 0, PROT_READ, MAP_SHARED, 0);
	map("one byte", fd, 1, PROT_READ, MAP_SHARED, 0);
	map("neither shared nor private", fd, 4096, PROT_READ, 0, 0);
	q = map("fresh", fresh, 4096, PROT_READ, MAP_SHARED, 0);
	say_touched(q);
	map("listening", listener, 4096, PROT_READ, MAP_SHARED, 0);
	map("UDP", datagrams, 4096, PROT_READ, MAP_SHARED, 0);
	map("no descriptor", 999, 4096, PROT_READ, MAP_SHARED, 0);
	p = map("no file", -1, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, 0);
	q = mmap((char *)p + 4096, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	say("  in its midst: %d", q == (char *)p + 4096);
	say_touched(q);
	*(char *)p = 1;
	munmap(p, MAPPED);
	p = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	say("  by its number: %s", p == MAP_FAILED ? name_of(errno) : "ok");
	say_touched(p);
	close(fresh);
	close(listener);
	close(datagrams);
}

static void receive(int fd, int h, void *mapped)
{
	static const int lengths[] = { 0, 4, 11, 12, 13, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68, 80, -1 };
	struct pages p = { .address = (uintptr_t)mapped, .length = 4096 }, q;
	static unsigned char expected[61000];
	int total = 0;

	say("nothing waits");
	say_pages("all", fd, p, LENGTH, 0);
	say("1000 bytes wait");
	peer("send %d 1000", h);
	wait_for(fd, POLLIN);
	nap(50);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		char what[32];

		sprintf(what, "of %d bytes", lengths[i]);
		q = p;
		say_pages(what, fd, q, lengths[i], 0);
	}
	q = p;
	q.more[3] = 1;
	say_pages("more, and not zero", fd, q, 80, 0);
	q = p;
	q.address += 1;
	say_pages("no page", fd, q, LENGTH, 0);
	q.address = 0;
	say_pages("no address", fd, q, LENGTH, 0);
	q = p;
	q.length = 1 << 20;
	say_pages("more than is mapped", fd, q, LENGTH, 0);
	q = p;
	q.flags = 3;
	say_pages("flags", fd, q, LENGTH, 0);
	q = p;
	q.reserved = 1;
	say_pages("what is reserved", fd, q, LENGTH, 0);
	q = p;
	q.msg_flags = 1;
	say_pages("a flag for messages", fd, q, LENGTH, 0);
	q = p;
	q.msg_flags = 2;
	say_pages("times", fd, q, LENGTH, 0);
	q = p;
	q.copybuf_address = (uintptr_t)copied;
	q.copybuf_len = 999;
	say_pages("a buffer that is too short", fd, q, LENGTH, 0);
	q.copybuf_len = -1;
	say_pages("one of no length", fd, q, LENGTH, 0);
	q.copybuf_len = 1000;
	q.copybuf_address = (uintptr_t)bad_pointer;
	say_pages("a bad one", fd, q, LENGTH, 0);
	q.copybuf_address = (uintptr_t)copied;
	say_pages("one that will do", fd, q, LENGTH, 0);
	fill(expected, 1000, 0);
	say("  right: %d", !memcmp(copied, expected, 1000));
	say_pages("nothing is left", fd, q, LENGTH, 0);

	say("60000 bytes wait");
	peer("send %d 60000", h);
	wait_for(fd, POLLIN);
	nap(200);
	q = p;
	q.address = (uintptr_t)mapped + (16 << 20);
	munmap((char *)mapped + (16 << 20), MAPPED);
	say_pages("where nothing is mapped", fd, q, LENGTH, 1);
	q = p;
	q.length = MAPPED;
	say_pages("all", fd, q, LENGTH, 1);
	q.length = 100;
	say_pages("less than a page", fd, q, LENGTH, 1);
	q.copybuf_address = (uintptr_t)bad_pointer;
	q.copybuf_len = 50;
	say_pages("a bad buffer", fd, q, LENGTH, 1);
	/* As programs receive: what is not mapped they copy. */
	while (total < 60000) {
		ssize_t n;
		socklen_t length = LENGTH;

		q = p;
		q.length = MAPPED;
		q.copybuf_address = (uintptr_t)copied + total;
		q.copybuf_len = total < 30000 ? 1000 : 0;
		if (getsockopt(fd, IPPROTO_TCP, ZEROCOPY_RECEIVE, &q, &length) || q.copybuf_len < 0)
			break;
		total += q.copybuf_len;
		n = recv(fd, copied + total, q.recv_skip_hint < 4096 ? q.recv_skip_hint : 4096, MSG_DONTWAIT);
		total += n > 0 ? n : 0;
	}
	say("  received in pieces: %d", total);
	fill(expected, 61000, 0);
	say("  right: %d", !memcmp(copied, expected + 1000, 60000));
}

int main(void)
{
	int h, fd = connected(&h), other;
	void *mapped;
	struct pages p = { 0 };

	mappings(fd);
	mapped = map("for all that follows", fd, MAPPED, PROT_READ, MAP_SHARED, 0);
	receive(fd, h, mapped);
	p.address = (uintptr_t)mapped;
	p.length = 4096;
	peer("shutdown %d %d", h, SHUT_WR);
	wait_for(fd, POLLRDHUP);
	say("its peer has closed");
	say_pages("all", fd, p, LENGTH, 0);
	say("  set: %s", ok(setsockopt(fd, IPPROTO_TCP, ZEROCOPY_RECEIVE, &p, LENGTH)));
	close(fd);
	say("  munmap: %s", ok(munmap(mapped, MAPPED)));
	peer("close %d", h);

	other = tcp();
	say_pages("fresh", other, p, LENGTH, 0);
	close(other);
	other = listening(0, 5);
	say_pages("listening", other, p, LENGTH, 0);
	close(other);
	other = udp();
	say_pages("UDP", other, p, LENGTH, 0);
	close(other);
	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLERR);
	say_pages("reset", fd, p, LENGTH, 0);
	say_pages("again", fd, p, LENGTH, 0);
	close(fd);
}
