/* main BOOK serve                       serves the connection that is descriptor 0
 * main BOOK threads|forking|inetd|prefork|handing PORT
 * main BOOK client ...                  (see client.c)
 */
#include "family.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 3 };
/* Of a worker, the only descriptor that it begins with. */
enum { WAY = 3 };

static struct book *book;
static char **program;
static int listener;
static int workers[WORKERS], ways[WORKERS];

static void listen_at(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int one = 1;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 128) < 0)
		exit(2);
}

/* The next connection. Where something is used up, the program waits for better times. */
static int accepted(void)
{
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			return fd;
		note_lost(book);
		usleep(10000);
	}
}

static void *serve_apart(void *argument)
{
	serve(book, (int)(intptr_t)argument);
	return NULL;
}

/* Serves in a thread. */
static void in_thread(int fd)
{
	if (!spawn(serve_apart, (void *)(intptr_t)fd)) {
		note_lost(book);
		close(fd);
	}
}

static void threads(void)
{
	for (;;)
		in_thread(accepted());
}

static void forking(int executes)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accepted();
		pid_t child = fork();

		if (child == 0) {
			close(listener);
			if (executes) {
				dup2(fd, 0);
				close(fd);
				execl(program[0], program[0], program[1], "serve", NULL);
				note_lost(book);
				_exit(4);
			}
			serve(book, fd);
			exit(0);
		}
		if (child < 0)
			note_lost(book);
		close(fd);
	}
}

/* Keeps the workers' number. */
static void keep(int (*start)(int))
{
	for (;;) {
		pid_t dead = waitpid(-1, NULL, WNOHANG);

		for (int i = 0; i < WORKERS; i++)
			if (workers[i] <= 0 || workers[i] == dead)
				workers[i] = start(i);
		if (dead <= 0)
			usleep(10000);
	}
}

static int prefork(int number)
{
	(void)number;
	pid_t child = fork();

	if (child == 0)
		threads();
	return child;
}

static int handed(int way)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = space };
	int fd;

	message.msg_controllen = sizeof(space);
	/* Without its parent a worker serves what it has. */
	while (recvmsg(way, &message, 0) <= 0)
		pause();
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (header == NULL)
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static int hand(int way, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = space };

	message.msg_controllen = sizeof(space);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(way, &message, MSG_NOSIGNAL) == 1;
}

static int handing_worker(int number)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -1;
	if (ways[number])
		close(ways[number]);
	ways[number] = pair[0];
	pid_t child = fork();

	if (child == 0) {
		/* Also a connection that the thread beside was about to hand on: it would be held open here. */
		dup2(pair[1], WAY);
		closefrom(WAY + 1);
		for (;;) {
			int fd = handed(WAY);

			if (fd >= 0)
				in_thread(fd);
		}
	}
	close(pair[1]);
	return child;
}

static void *hand_on(void *unused)
{
	for (int next = 0;; next++) {
		int fd = accepted();

		hand(ways[next % WORKERS], fd);
		close(fd);
	}
	return unused;
}

static void serve_by(const char *model)
{
	if (strcmp(model, "threads") == 0)
		threads();
	if (strcmp(model, "forking") == 0 || strcmp(model, "inetd") == 0)
		forking(strcmp(model, "inetd") == 0);
	if (strcmp(model, "prefork") == 0)
		keep(prefork);
	for (int i = 0; i < WORKERS; i++)
		workers[i] = handing_worker(i);
	if (!spawn(hand_on, NULL))
		exit(5);
	keep(handing_worker);
}

/* Then there may be as much as the machine has. */
static int is_to_give_back(void)
{
	sigset_t set;

	return sigpending(&set) == 0 && sigismember(&set, SIGUSR2);
}

/* Takes all memory there is on SIGUSR1, and gives it back on SIGUSR2. */
static void *hog(void *unused)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	for (void **pieces = NULL, **piece; sigwait(&set, &number) == 0;) {
		for (size_t size = 1 << 16; number == SIGUSR1 && size >= 16; size /= 2)
			for (; !is_to_give_back() && (piece = malloc(size)) != NULL; pieces = piece)
				*piece = pieces;
		for (; number == SIGUSR2 && pieces; pieces = piece) {
			piece = *pieces;
			free(pieces);
		}
	}
	return unused;
}

/* Nobody else is to see the signals. */
static void start_hog(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (!spawn(hog, NULL))
		exit(6);
}

int main(int count, char **words)
{
	if (count < 3)
		return 1;
	program = words;
	signal(SIGPIPE, SIG_IGN);
	book = book_open(words[1]);
	if (strcmp(words[2], "serve") == 0) {
		serve(book, 0);
		return 0;
	}
	start_hog();
	if (strcmp(words[2], "client") == 0)
		return client(book, words + 3);
	listen_at(atoi(words[3]));
	serve_by(words[2]);
}
