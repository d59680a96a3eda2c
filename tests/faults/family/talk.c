/* Bytes of a connection, and the notes about them. */
#include "family.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long a call may wait, in seconds. */
enum { PATIENCE = 25 };

uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

struct book *book_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || ftruncate(fd, sizeof(struct book)) < 0)
		exit(3);
	struct book *book = mmap(NULL, sizeof(*book), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (book == MAP_FAILED)
		exit(3);
	close(fd);
	return book;
}

void talk_begin(struct talk *talk, struct book *book, uint32_t id, uint32_t kind)
{
	talk->id = id % ENTRIES;
	talk->entry = &book->entries[talk->id];
	talk->entry->kind = kind;
	talk->entry->began = now();
	talk->entry->pid = talk->entry->maker = (uint32_t)getpid();
}

struct entry *caller(struct book *book)
{
	uint64_t number = __atomic_fetch_add(&book->calls, 1, __ATOMIC_RELAXED);
	struct entry *entry = &book->callers[number % CALLERS];

	*entry = (struct entry){ .pid = (uint32_t)getpid(), .began = now() };
	return entry;
}

void note_lost(struct book *book)
{
	struct talk talk = { .entry = caller(book) };

	failed(&talk);
	talk.entry->ended = now();
}

void talk_end(struct talk *talk, enum how how)
{
	if (talk->fd >= 0)
		close(talk->fd);
	talk->entry->ended = now();
	if (talk->entry->how == OPEN)
		talk->entry->how = how;
}

static enum how meaning(int error)
{
	switch (error) {
	case EAGAIN:
	case EINPROGRESS:
	case EALREADY:
		return HUNG;
	case ECONNREFUSED:
		return REFUSED;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
		return UNREACHED;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
		return DROPPED;
	default:
		return RESET;
	}
}

int failed(struct talk *talk)
{
	talk->entry->error = (uint32_t)errno;
	talk->entry->how = meaning(errno);
	return 0;
}

static int ended(struct talk *talk)
{
	talk->entry->how = ENDED;
	return 0;
}

void be_patient(int fd)
{
	struct timeval time = { PATIENCE, 0 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

int send_all(struct talk *talk, const void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t count = send(talk->fd, (const char *)data + done, length - done, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return failed(talk);
		done += (size_t)count;
		talk->entry->sent += (size_t)count;
	}
	return 1;
}

ssize_t receive(struct talk *talk, void *data, size_t length)
{
	ssize_t count;

	do
		count = recv(talk->fd, data, length, 0);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		failed(talk);
	else
		talk->entry->received += (size_t)count;
	return count;
}

int receive_all(struct talk *talk, void *data, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t count = receive(talk, (char *)data + done, length - done);

		if (count <= 0)
			return count < 0 ? 0 : ended(talk);
		done += (size_t)count;
	}
	return 1;
}

int receive_end(struct talk *talk)
{
	char byte;
	ssize_t count = receive(talk, &byte, 1);

	if (count > 0)
		talk->entry->wrong++;
	return count == 0;
}

/* splitmix64 */
static uint64_t word(uint64_t stream, uint64_t number)
{
	uint64_t x = stream * 0xd1342543de82ef95 + number * 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

void fill(char *data, size_t length, uint32_t id, enum direction direction, uint64_t at)
{
	uint64_t stream = (uint64_t)id * 2 + direction, current = word(stream, at / 8);

	for (size_t i = 0; i < length; i++, at++) {
		if (at % 8 == 0)
			current = word(stream, at / 8);
		data[i] = (char)(current >> at % 8 * 8);
	}
}

int send_stream(struct talk *talk, enum direction direction, uint64_t length)
{
	for (uint64_t at = 0; at < length;) {
		size_t piece = sizeof(talk->buffer) / 2;

		if (piece > length - at)
			piece = length - at;
		fill(talk->buffer, piece, talk->id, direction, at);
		if (!send_all(talk, talk->buffer, piece))
			return 0;
		at += piece;
	}
	return 1;
}

int receive_stream(struct talk *talk, enum direction direction, uint64_t length)
{
	size_t half = sizeof(talk->buffer) / 2;
	char *expected = talk->buffer + half;

	for (uint64_t at = 0; at < length;) {
		ssize_t count = receive(talk, talk->buffer, half < length - at ? half : length - at);

		if (count <= 0)
			return count < 0 ? 0 : ended(talk);
		fill(expected, (size_t)count, talk->id, direction, at);
		talk->entry->wrong += memcmp(talk->buffer, expected, (size_t)count) != 0;
		at += (uint64_t)count;
	}
	return 1;
}

int spawn(void *(*run)(void *), void *argument)
{
	pthread_attr_t little;
	pthread_t thread;

	pthread_attr_init(&little);
	pthread_attr_setstacksize(&little, 256 * 1024);
	pthread_attr_setdetachstate(&little, PTHREAD_CREATE_DETACHED);
	int error = pthread_create(&thread, &little, run, argument);

	pthread_attr_destroy(&little);
	return error == 0;
}
