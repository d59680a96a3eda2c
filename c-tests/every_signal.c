/* A call that waits is ended by a signal, at whatever moment its handler runs: also right before the thread sleeps. The
 * kernel's own calls have no such moment; where the call is the library's, it is found by going through it step by step. */
#include "check.h"

#include <sys/syscall.h>
#include <ucontext.h>

static volatile sig_atomic_t handled, steps;
static pthread_t waiting;

static void handles(int number)
{
	(void)number;
	handled++;
}

#ifdef __x86_64__
#define TRAP 0x100

static int is_about_to_sleep(const greg_t *registers)
{
	const unsigned char *next = (const void *)registers[REG_RIP];
	const struct timespec *time = (const void *)registers[REG_RDX];

	return next[0] == 0x0f && next[1] == 0x05 && registers[REG_RAX] == SYS_ppoll && (!time || time->tv_sec > 0);
}

/* After each instruction. */
static void steps_on(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)number, (void)info;
	if (steps && is_about_to_sleep(registers)) {
		steps = 0;
		pthread_kill(pthread_self(), SIGUSR1);
	}
	if (steps)
		registers[REG_EFL] |= TRAP;
	else
		registers[REG_EFL] &= ~(greg_t)TRAP;
}

static void step(void)
{
	struct sigaction action = { .sa_sigaction = steps_on, .sa_flags = SA_SIGINFO };

	sigaction(SIGTRAP, &action, NULL);
	steps = 1;
	raise(SIGTRAP);
}
#else
static void step(void) { }
#endif

/* The signal comes some time, too. */
static void *sends(void *fd)
{
	(void)fd;
	nap(1500);
	if (!handled)
		pthread_kill(waiting, SIGUSR1);
	nap(1500);
	pthread_kill(waiting, SIGUSR1);
	return NULL;
}

static void ended(const char *what, long returned)
{
	int error = errno, count = handled;

	steps = 0;
	errno = error;
	say("%s: %s, by signal %d", what, result(returned), count);
}

static void each(const char *what, long (*call)(int), int fd)
{
	pthread_t thread;

	handled = 0;
	waiting = pthread_self();
	pthread_create(&thread, NULL, sends, NULL);
	step();
	ended(what, call(fd));
	pthread_join(thread, NULL);
}

static char b[10];

static long receives(int fd) { return recv(fd, b, sizeof b, 0); }
static long accepts(int fd) { return accept(fd, NULL, NULL); }
static long polls(int fd) { return poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, -1); }

int main(void)
{
	struct sigaction action = { .sa_handler = handles };
	int h, fd = connected(&h);

	sigaction(SIGUSR1, &action, NULL);
	each("recv", receives, fd);
	each("recv of a datagram", receives, bound(udp(), TEST, 0));
	each("accept", accepts, listening(0, 1));
	each("poll", polls, fd);
}
