/* client ADDRESS PORT PROCESSES THREADS MILLISECONDS SEED KINDS [FILE]
 *
 * So many processes with so many threads each make connections, one after another, of kinds out of KINDS ("epu", "h" of
 * a file that the server has). The first thread of a process begins with a connection that its parent has made.
 */
#include "family.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	struct book *book;
	struct sockaddr_in server;
	int processes, threads;
	uint64_t until, seed;
	const char *kinds;
	/* What HTTP asks for. */
	const char *name, *contents;
	size_t size;
} plan;

struct job {
	uint64_t chance;
	int fd;
};

static int unfinished;

/* xorshift64 */
static uint64_t between(uint64_t *chance, uint64_t low, uint64_t high)
{
	*chance ^= *chance << 13;
	*chance ^= *chance >> 7;
	*chance ^= *chance << 17;
	return low + *chance % (high - low);
}

static int dial(struct talk *talk)
{
	talk->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (talk->fd < 0)
		return failed(talk);
	be_patient(talk->fd);
	int result = connect(talk->fd, (struct sockaddr *)&plan.server, sizeof(plan.server));

	/* One that was stopped and goes on may ask again. */
	while (result < 0 && (errno == EINTR || errno == EALREADY))
		result = connect(talk->fd, (struct sockaddr *)&plan.server, sizeof(plan.server));
	return result == 0 || errno == EISCONN || failed(talk);
}

/* Whether a message of some length has come back. */
static int echo_once(struct talk *talk, uint64_t *chance, uint64_t *at)
{
	char back[sizeof(talk->buffer)];
	size_t length = between(chance, 1, sizeof(back) - 5000);

	fill(talk->buffer, length, talk->id, TO_SERVER, *at);
	*at += length;
	if (!send_all(talk, talk->buffer, length) || !receive_all(talk, back, length))
		return 0;
	talk->entry->wrong += memcmp(talk->buffer, back, length) != 0;
	return 1;
}

static int http_once(struct talk *talk)
{
	char request[200], byte[2] = "", last[5] = "", expected[] = "\r\n\r\n";
	int length = snprintf(request, sizeof(request), "GET /%s HTTP/1.1\r\nHost: lab\r\n\r\n", plan.name);

	if (!send_all(talk, request, (size_t)length))
		return 0;
	/* The header, which is not looked at. */
	while (strcmp(last, expected) != 0) {
		if (!receive_all(talk, byte, 1))
			return 0;
		memmove(last, last + (strlen(last) == 4), 4);
		strcat(last, byte);
	}
	for (size_t at = 0; at < plan.size;) {
		size_t piece = plan.size - at;

		piece = piece < sizeof(talk->buffer) ? piece : sizeof(talk->buffer);
		if (!receive_all(talk, talk->buffer, piece))
			return 0;
		talk->entry->wrong += memcmp(talk->buffer, plan.contents + at, piece) != 0;
		at += piece;
	}
	return 1;
}

static int converse(struct talk *talk, uint64_t *chance, uint64_t length)
{
	uint64_t at = 0, count, until = now() + between(chance, 50, 1000);

	switch (talk->entry->kind) {
	case ECHO:
		while (now() < until && now() < plan.until)
			if (!echo_once(talk, chance, &at))
				return 0;
		shutdown(talk->fd, SHUT_WR);
		return receive_end(talk);
	case PULL:
		return receive_stream(talk, TO_CLIENT, length) && receive_end(talk);
	case PUSH:
		if (!send_stream(talk, TO_SERVER, length))
			return 0;
		shutdown(talk->fd, SHUT_WR);
		if (!receive_all(talk, &count, sizeof(count)))
			return 0;
		talk->entry->wrong += count != length;
		return receive_end(talk);
	default:
		while (now() < until && now() < plan.until)
			if (!http_once(talk))
				return 0;
		return 1;
	}
}

static uint32_t kind(uint64_t *chance)
{
	switch (plan.kinds[between(chance, 0, strlen(plan.kinds))]) {
	case 'e':
		return ECHO;
	case 'p':
		return PULL;
	case 'u':
		return PUSH;
	default:
		return HTTP;
	}
}

static void talk_once(struct job *job)
{
	struct talk talk = { .fd = job->fd };
	struct greeting greeting = { .kind = kind(&job->chance), .length = between(&job->chance, 1, 2 << 20) };

	greeting.id = (uint32_t)__atomic_add_fetch(&plan.book->last, 1, __ATOMIC_RELAXED);
	talk_begin(&talk, plan.book, greeting.id, greeting.kind);
	if (job->fd >= 0)
		talk.entry->maker = (uint32_t)getppid();
	int went_well = job->fd >= 0 || dial(&talk);

	job->fd = -1;
	if (went_well && greeting.kind != HTTP) {
		went_well = send_all(&talk, &greeting, sizeof(greeting));
		/* What a stream has is counted alone. */
		talk.entry->sent = 0;
	}
	if (went_well)
		converse(&talk, &job->chance, greeting.length);
	talk_end(&talk, LIVED);
	usleep(talk.entry->how == LIVED ? 15000 : 30000);
}

static void *talk_on(void *argument)
{
	struct job *job = argument;

	while (now() < plan.until)
		talk_once(job);
	free(job);
	__atomic_sub_fetch(&unfinished, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void child(uint64_t seed, const struct talk *inherited, int number)
{
	/* The others' are not held open. */
	for (int i = 0; i < plan.processes; i++)
		if (i != number && inherited[i].fd >= 0)
			close(inherited[i].fd);
	unfinished = plan.threads;
	for (int i = 0; i < plan.threads; i++) {
		struct job *job = malloc(sizeof(*job));

		job->chance = (seed * 100 + (uint64_t)i + 1) * 0x9e3779b97f4a7c15;
		job->fd = i == 0 ? inherited[number].fd : -1;
		if (!spawn(talk_on, job))
			__atomic_sub_fetch(&unfinished, 1, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(&unfinished, __ATOMIC_ACQUIRE))
		usleep(2000);
	exit(0);
}

static void load_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		exit(3);
	plan.size = (size_t)status.st_size;
	plan.contents = mmap(NULL, plan.size, PROT_READ, MAP_SHARED, fd, 0);
	plan.name = strrchr(path, '/') + 1;
	close(fd);
}

int client(struct book *book, char **words)
{
	plan.book = book;
	plan.server.sin_family = AF_INET;
	inet_aton(words[0], &plan.server.sin_addr);
	plan.server.sin_port = htons((uint16_t)atoi(words[1]));
	plan.processes = atoi(words[2]);
	plan.threads = atoi(words[3]);
	plan.seed = (uint64_t)atoll(words[5]);
	plan.kinds = words[6];
	if (words[7])
		load_file(words[7]);
	struct entry nobody = { 0 };
	struct talk *inherited = calloc((size_t)plan.processes, sizeof(*inherited));

	for (int i = 0; i < plan.processes; i++) {
		inherited[i].entry = &nobody;
		if (!dial(&inherited[i]) && inherited[i].fd >= 0) {
			close(inherited[i].fd);
			inherited[i].fd = -1;
		}
	}
	plan.until = now() + (uint64_t)atoi(words[4]);
	for (int i = 0; i < plan.processes; i++)
		if (fork() == 0)
			child(plan.seed * 100 + (uint64_t)i, inherited, i);
	for (int i = 0; i < plan.processes; i++)
		close(inherited[i].fd);
	write(1, "begins\n", 7);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}
