/* Says where the bytes are of which epoll_wait tells: in the pair, where a call past the library finds them, or still with
 * the library. Before and after a fork, once the child has used the connection, and when it is gone.
 *
 *   short_cuts ADDRESS PORT    of an echo server
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 40

static ssize_t (*libc_recv)(int, void *, size_t, int);

static void check(int fine, const char *what)
{
	if (fine)
		return;
	perror(what);
	exit(1);
}

static void look(const char *when, int fd, int set)
{
	struct epoll_event event;
	int in_pair = 0;
	char b;

	for (int i = 0; i < ROUNDS; i++) {
		check(send(fd, "x", 1, 0) == 1, "send");
		check(epoll_wait(set, &event, 1, 5000) == 1, "epoll_wait");
		in_pair += libc_recv(fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
		check(recv(fd, &b, 1, 0) == 1, "recv");
	}
	/* Who is kept from running for long enough finds the one or other where the background thread has put it. */
	printf("%s: %s\n", when, in_pair > ROUNDS / 2 ? "in the pair" : "with the library");
}

int main(int count, char **arguments)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN };
	int fd = socket(AF_INET, SOCK_STREAM, 0), set = epoll_create1(0), go[2], done[2];
	pid_t child;
	char b;

	check(count == 3 && inet_pton(AF_INET, arguments[1], &to.sin_addr) == 1, "arguments");
	to.sin_port = htons(atoi(arguments[2]));
	*(void **)&libc_recv = dlsym(dlopen("libc.so.6", RTLD_NOW), "recv");
	check(!connect(fd, (struct sockaddr *)&to, sizeof to), "connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	check(!epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) && !pipe(go) && !pipe(done), "pipe");
	look("alone", fd, set);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		while (read(go[0], &b, 1) == 1) {
			if (b == 'u')
				check(recv(fd, &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "nothing is there");
			else
				close(dup(go[0]));
			check(write(done[1], "", 1) == 1, "write");
		}
		_exit(0);
	}
	look("with a child", fd, set);
	check(write(go[1], "n", 1) == 1 && read(done[0], &b, 1) == 1, "the child");
	look("that does other things", fd, set);
	check(write(go[1], "u", 1) == 1 && read(done[0], &b, 1) == 1, "the child");
	look("that uses the connection", fd, set);
	kill(child, SIGKILL);
	check(waitpid(child, NULL, 0) == child, "waitpid");
	look("that is gone", fd, set);
	return 0;
}
