/* aio_read(3), aio_write(3), lio_listio(3), and io_uring(7) where the kernel has it: on connections, datagram sockets and
 * listeners, whatever library sees of them. */
#include "check.h"

#include <aio.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static char b[10][100];

static long finished(struct aiocb *block)
{
	const struct aiocb *list[] = { block };
	struct timespec limit = { 5, 0 };

	while (aio_error(block) == EINPROGRESS)
		if (aio_suspend(list, 1, &limit))
			return -1;
	errno = aio_error(block);
	return aio_return(block);
}

static struct aiocb reading(int fd, int i)
{
	return (struct aiocb){ .aio_fildes = fd, .aio_buf = b[i], .aio_nbytes = sizeof b[i], .aio_lio_opcode = LIO_READ };
}

static struct aiocb writing(int fd, const char *text)
{
	return (struct aiocb){ .aio_fildes = fd, .aio_buf = (void *)text, .aio_nbytes = strlen(text), .aio_lio_opcode = LIO_WRITE };
}

static void posix(void)
{
	int h, k, fd = connected(&h), other = connected(&k);
	struct aiocb in = reading(fd, 0), out = writing(fd, "written"), two[2] = { reading(other, 1), writing(other, "listed") };

	say("aio_read: %s", ok(aio_read(&in)));
	nap(30);
	say("in progress: %d", aio_error(&in) == EINPROGRESS);
	peer("send %d 10", h);
	say("read: %s", result(finished(&in)));
	say("aio_write: %s", ok(aio_write(&out)));
	say("written: %s", result(finished(&out)));
	say("the peer hears: %s", peer_says("recv %d 7", h));
	peer("send %d 20", k);
	say("lio_listio: %s", ok(lio_listio(LIO_WAIT, (struct aiocb *[]){ &two[0], &two[1] }, 2, NULL)));
	say("read: %s", result(aio_return(&two[0])));
	say("written: %s", result(aio_return(&two[1])));
	say("the peer hears: %s", peer_says("recv %d 6", k));
	in = reading(fd, 0);
	peer("shutdown %d 1", h);
	aio_read(&in);
	say("at the end: %s", result(finished(&in)));
	close(fd);
	close(other);
}

/* A ring, by hand. */
struct ring {
	int fd;
	unsigned *tail, *mask, *array, *done_head, *done_tail, *done_mask;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *done;
};

static int opened(struct ring *ring)
{
	struct io_uring_params p = { 0 };
	char *queue, *done;

	ring->fd = syscall(SYS_io_uring_setup, 8, &p);
	if (ring->fd < 0)
		return 0;
	queue = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	done = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof *ring->done, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		    IORING_OFF_CQ_RING);
	ring->entries = mmap(NULL, p.sq_entries * sizeof *ring->entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			     IORING_OFF_SQES);
	ring->tail = (unsigned *)(queue + p.sq_off.tail);
	ring->mask = (unsigned *)(queue + p.sq_off.ring_mask);
	ring->array = (unsigned *)(queue + p.sq_off.array);
	ring->done_head = (unsigned *)(done + p.cq_off.head);
	ring->done_tail = (unsigned *)(done + p.cq_off.tail);
	ring->done_mask = (unsigned *)(done + p.cq_off.ring_mask);
	ring->done = (struct io_uring_cqe *)(done + p.cq_off.cqes);
	return 1;
}

static void submit(struct ring *ring, int operation, int fd, void *buffer, unsigned size)
{
	unsigned tail = *ring->tail, at = tail & *ring->mask;

	ring->entries[at] = (struct io_uring_sqe){ .opcode = operation, .fd = fd, .addr = (uintptr_t)buffer, .len = size };
	ring->array[at] = at;
	__atomic_store_n(ring->tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) != 1)
		die("io_uring_enter");
}

static long completed(struct ring *ring)
{
	unsigned head = *ring->done_head;
	long value;

	while (head == __atomic_load_n(ring->done_tail, __ATOMIC_ACQUIRE))
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
			die("io_uring_enter");
	value = ring->done[head & *ring->done_mask].res;
	__atomic_store_n(ring->done_head, head + 1, __ATOMIC_RELEASE);
	errno = value < 0 ? -value : 0;
	return value < 0 ? -1 : value;
}

static void ringed(void)
{
	struct ring ring;
	int h, fd = connected(&h), datagrams = bound(udp(), TEST, 6801), from;

	if (!opened(&ring)) {
		say("no io_uring: %s", name_of(errno));
		return;
	}
	submit(&ring, IORING_OP_RECV, fd, b[2], 10);
	nap(20);
	peer("send %d 10", h);
	say("recv: %s", result(completed(&ring)));
	submit(&ring, IORING_OP_SEND, fd, "by a ring", 9);
	say("send: %s", result(completed(&ring)));
	say("the peer hears: %s", peer_says("recv %d 9", h));
	submit(&ring, IORING_OP_READ, fd, b[3], 10);
	peer("send %d 5", h);
	say("read: %s", result(completed(&ring)));
	from = peer("udp 6802");
	peer("to %d 6801 5", from);
	say("a datagram: %s", poll_flags(wait_for(datagrams, POLLIN)));
	submit(&ring, IORING_OP_RECV, fd, b[4], 10);
	peer("shutdown %d 1", h);
	say("at the end: %s", result(completed(&ring)));
	submit(&ring, IORING_OP_CLOSE, fd, NULL, 0);
	say("close: %s", ok(completed(&ring)));
	say("the peer hears: %s", peer_says("drain %d", h));
}

int main(void)
{
	posix();
	ringed();
}
