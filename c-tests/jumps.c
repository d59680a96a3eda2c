/* Handlers that leave a blocked call by siglongjmp(3), also while data comes in, and what is left then; handlers that
 * use sockets or block; handlers as they are read back. */
#include "check.h"

#include <setjmp.h>

static sigjmp_buf back;
static volatile sig_atomic_t jumps;
static char b[1 << 16];

static void jumps_back(int number)
{
	(void)number;
	jumps++;
	siglongjmp(back, 1);
}

static void on_alarm(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaction(SIGALRM, &action, NULL);
}

static void ring(int ms, int again)
{
	struct itimerval timer = { { 0, again * 1000 }, { 0, ms * 1000 } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

static void *recv_elsewhere(void *argument)
{
	return (void *)recv(*(int *)argument, b, 5, MSG_WAITALL);
}

/* The call that was left drove for all: others go on nevertheless. */
static void left(const char *what, long (*call)(int), int fd, int other, int h)
{
	pthread_t thread;
	void *got;
	sigset_t alarm;

	on_alarm(jumps_back, 0);
	ring(60, 0);
	if (sigsetjmp(back, 1) == 0)
		say("%s returned %ld", what, call(fd));
	else
		say("%s was left", what);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&thread, NULL, recv_elsewhere, &other);
	nap(30);
	peer("send %d 5", h);
	pthread_join(thread, &got);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	say("another thread's recv: %ld", (long)got);
	peer("send %d 5", h);
	say("poll: %s", poll_flags(wait_for(other, POLLIN)));
	say("recv: %s", result(recv(other, b, 5, MSG_WAITALL)));
}

static long do_recv(int fd) { return recv(fd, b, 10, 0); }
static long do_accept(int fd) { return accept(fd, NULL, NULL); }
static long do_poll(int fd) { return poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, -1); }

/* Jumps again and again out of calls that are busy receiving. What is received before a jump is lost, so only that it
 * goes on to the end is shown. All may have come before the last jump: who is left without data jumps on. */
static void busy(int fd, int h)
{
	peer("start send %d 30000000", h);
	on_alarm(jumps_back, 0);
	jumps = 0;
	ring(1, 1);
	sigsetjmp(back, 1);
	while (jumps <= 50 && recv(fd, b, sizeof b, 0) > 0)
		;
	ring(0, 0);
	say("jumped: %d", jumps > 20);
	while (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 300) == 1 && recv(fd, b, sizeof b, 0) > 0)
		;
	say("the peer has sent all: %s", peer_says("join %d", h));
	send_all(fd, 3000);
	say("the peer hears: %s", peer_says("recv %d 3000", h));
}

static int asked, answered;

static void asks(int number)
{
	(void)number;
	send(asked, "?", 1, 0);
	answered = recv(asked, b, 3, MSG_WAITALL);
}

static void *peer_answers(void *h)
{
	nap(150);
	peer("send %d 3", *(int *)h);
	return NULL;
}

/* A handler that talks itself and waits, while the call it interrupts waits. */
static void talks(int fd, int other, int h)
{
	pthread_t thread;
	sigset_t alarm;

	asked = other;
	on_alarm(asks, 0);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&thread, NULL, peer_answers, &h);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	ring(60, 0);
	say("recv: %s", result(recv(fd, b, 10, 0)));
	pthread_join(thread, NULL);
	say("in the handler: %d", answered);
	say("the peer hears: %s", peer_says("recv %d 1", h));
}

static void first(int number) { (void)number; }
static void second(int number, siginfo_t *info, void *context) { (void)number, (void)info, (void)context; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void interrupts(int number, int on) { siginterrupt(number, on); }
#pragma GCC diagnostic pop

static void reads_back(void)
{
	struct sigaction action, info = { .sa_sigaction = second, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER };

	sigaddset(&info.sa_mask, SIGHUP);
	say("signal: %d", signal(SIGUSR1, first) == SIG_DFL);
	sigaction(SIGUSR1, &info, &action);
	say("old: %d, flags %x", action.sa_handler == first, action.sa_flags);
	sigaction(SIGUSR1, NULL, &action);
	say("new: %d, flags %x, mask %d", action.sa_sigaction == second, action.sa_flags, sigismember(&action.sa_mask, SIGHUP));
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &action);
	say("after it ran: %d, flags %x", action.sa_handler == SIG_DFL, action.sa_flags);
	say("signal: %d", signal(SIGUSR1, first) == SIG_DFL);
	interrupts(SIGUSR1, 1);
	sigaction(SIGUSR1, NULL, &action);
	say("siginterrupt: %d, flags %x", action.sa_handler == first, action.sa_flags);
	say("signal: %d", signal(SIGUSR1, SIG_IGN) == first);
	say("signal: %d", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	say("no such: %s", ok(sigaction(99, NULL, &action)));
	say("SIGKILL: %s", ok(sigaction(SIGKILL, &info, NULL)));
}

int main(void)
{
	int h, k, fd = connected(&h), other = connected(&k), listener = listening(6600, 5);

	reads_back();
	left("recv", do_recv, fd, other, k);
	left("accept", do_accept, listener, other, k);
	left("poll", do_poll, fd, other, k);
	talks(fd, other, k);
	busy(fd, h);
}
