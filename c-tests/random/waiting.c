/* The steps that wait, and those that somebody else takes. */
#include "random.h"

#include <pthread.h>

/* How long a call that blocks does, in ms. */
#define PATIENCE 40
static _Thread_local int patience = PATIENCE;

static int epoll_sets[] = { -1, -1 };

static int set_in(int word)
{
	int *set = &epoll_sets[number_in(word)];

	if (*set < 0)
		*set = epoll_create1(0);
	return *set;
}

static void registers(void)
{
	struct slot *slot = slot_in(2);
	struct epoll_event event = { number_in(3), { .u32 = number_in(2) } };

	if (!slot)
		return;
	/* Each datagram sent is an edge, of which such a set is not told (LD_PRELOAD.md). */
	if (slot->type == SOCK_DGRAM && event.events & EPOLLOUT && event.events & EPOLLEXCLUSIVE)
		event.events &= ~(unsigned)EPOLLET;
	tell("%s", ok(epoll_ctl(set_in(4), number_in(1), slot->fd, &event)));
}

/* A connection with nothing but an urgent byte is readable, too, until that is looked at (LD_PRELOAD.md). */
static unsigned told_of(const struct epoll_event *event)
{
	const struct slot *slot = &slots[event->data.u32];
	int now = slot->fd >= 0 ? events_now(slot->fd) : 0;

	return now & POLLPRI && !(now & POLLIN) ? event->events & ~(EPOLLIN | EPOLLRDNORM) : event->events;
}

static void tell_events(const struct epoll_event *events, int count)
{
	tell("%s", count < 0 ? name_of(errno) : "ok");
	/* In the order of the slots: the set's own order is nobody's business. */
	for (unsigned slot = 0; slot < SLOTS; slot++)
		for (int i = 0; i < count; i++)
			if (events[i].data.u32 == slot && told_of(&events[i]))
				tell(" %u %s", slot, epoll_flags(told_of(&events[i])));
}

static void waits_for_events(void)
{
	struct epoll_event events[2 * SLOTS];

	tell_events(events, epoll_wait(set_in(2), events, COUNT(events), number_in(1)));
}

static void waits_precisely(void)
{
	struct epoll_event events[2 * SLOTS];
	struct timespec limit = { 0, number_in(1) * 1000000 };

	tell_events(events, epoll_pwait2(set_in(2), events, COUNT(events), &limit, NULL));
}

static void polls_precisely(void)
{
	struct slot *slot = slot_in(1);
	struct pollfd asked[2] = { { slot ? slot->fd : -1, number_in(2), 0 }, { -1, POLLIN, 0 } };
	struct timespec limit = { 0, number_in(3) * 1000000 };

	if (!slot)
		return;
	tell("%s", result(ppoll(asked, 2, &limit, NULL)));
	tell(" %x %x", asked[0].revents, asked[1].revents);
}

static void polls(void)
{
	struct slot *slot = slot_in(1);
	struct pollfd asked = { slot ? slot->fd : -1, number_in(2), 0 };

	if (!slot)
		return;
	tell("%s", result(poll(&asked, 1, number_in(3))));
	tell(" %x", asked.revents);
}

static void selects(void)
{
	struct slot *slot = slot_in(1);
	struct timeval limit = { 0, number_in(2) * 1000 };
	fd_set sets[3];
	int count;

	if (!slot)
		return;
	for (int i = 0; i < 3; i++) {
		FD_ZERO(&sets[i]);
		FD_SET(slot->fd, &sets[i]);
	}
	count = select(slot->fd + 1, &sets[0], number_in(2) ? NULL : &sets[1], &sets[2], &limit);
	tell("%s", result(count));
	for (int i = 0; i < 3; i++)
		tell(" %d", !!FD_ISSET(slot->fd, &sets[i]));
}

/* wait SLOT VERB ...: the step by a call that blocks, for a while. */
static void blocks(void)
{
	struct slot *slot = slot_in(1);
	const char *step[WORDS] = { words[2], words[1] };
	struct timeval shortly = { 0, patience * 1000 }, forever = { 0, 0 };
	int copy;

	if (!slot)
		return;
	copy = dup(slot->fd);
	for (int i = 3; i < WORDS; i++)
		step[i - 1] = words[i];
	fcntl(copy, F_SETFL, 0);
	setsockopt(copy, SOL_SOCKET, SO_RCVTIMEO, &shortly, sizeof shortly);
	setsockopt(copy, SOL_SOCKET, SO_SNDTIMEO, &shortly, sizeof shortly);
	take_step(step, WORDS);
	setsockopt(copy, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
	setsockopt(copy, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof forever);
	fcntl(copy, F_SETFL, O_NONBLOCK);
	close(copy);
}

struct thread {
	const char *step[WORDS];
	char said[512];
};
static pthread_t sleeper;

static void *takes(void *given)
{
	struct thread *thread = given;

	patience = 5 * PATIENCE;
	take_step(thread->step, WORDS);
	snprintf(thread->said, sizeof thread->said, "%s", told());
	return NULL;
}

/* meanwhile VERB ... then VERB ...: a thread takes the one step, which blocks, and while it does, this one the other. */
static void takes_two(void)
{
	struct thread thread = { { 0 }, "" };
	const char *step[WORDS] = { 0 };
	int word = 1;

	for (int i = 0; word < WORDS && strcmp(words[word], "then"); i++)
		thread.step[i] = words[word++];
	for (int i = 0; ++word < WORDS; i++)
		step[i] = words[word];
	if (pthread_create(&sleeper, NULL, takes, &thread))
		die("pthread_create");
	nap(PATIENCE / 2);
	take_step(step, WORDS);
	pthread_join(sleeper, NULL);
	tell(", by the thread: %s", thread.said);
}

static void is_interrupted(int number)
{
	(void)number;
}

/* signal FLAGS: to the thread that sleeps, with a handler that was set with these flags */
static void interrupts(void)
{
	struct sigaction action = { .sa_handler = is_interrupted, .sa_flags = number_in(1) };

	sigaction(SIGUSR1, &action, NULL);
	tell("%s", name_of(pthread_kill(sleeper, SIGUSR1)));
}

static void selects_precisely(void)
{
	struct slot *slot = slot_in(1);
	struct timespec limit = { 0, number_in(2) * 1000000 };
	fd_set set;

	if (!slot)
		return;
	FD_ZERO(&set);
	FD_SET(slot->fd, &set);
	tell("%s", result(pselect(slot->fd + 1, &set, NULL, NULL, &limit, NULL)));
}

/* child VERB SLOT ...: a forked process takes the step. */
static void sends_child(void)
{
	const char *step[WORDS] = { 0 };
	char said[512] = "";
	int ends[2];
	pid_t child;

	if (!slot_in(2) || is_fresh(slot_in(2)))
		return;
	for (int i = 1; i < WORDS; i++)
		step[i - 1] = words[i];
	if (pipe(ends))
		die("pipe");
	child = fork();
	if (child == 0) {
		is_descendant = 1;
		take_step(step, WORDS);
		dprintf(ends[1], "%s", told());
		_exit(0);
	}
	close(ends[1]);
	if (read(ends[0], said, sizeof said - 1) < 0)
		die("read");
	close(ends[0]);
	waitpid(child, NULL, 0);
	tell("%s", said);
}

/* A forked process takes the steps from here on; this one waits for its end, or ends before. */
static void descends(void)
{
	int status = 0;
	pid_t child;

	for (int i = 0; i < SLOTS; i++)
		if (is_fresh(&slots[i]))
			return;
	tell("ok");
	is_descendant = 1;
	child = fork();
	if (child == 0)
		return;
	if (strcmp(words[1], "orphan"))
		waitpid(child, &status, 0);
	_exit(status);
}

const struct verb waiting[] = {
	{ "epoll_ctl", registers }, { "epoll_wait", waits_for_events }, { "poll", polls }, { "select", selects },
	{ "wait", blocks }, { "meanwhile", takes_two }, { "signal", interrupts }, { "pselect", selects_precisely },
	 { "epoll_pwait2", waits_precisely }, { "ppoll", polls_precisely }, { "child", sends_child }, { "fork", descends }, { NULL, NULL },
};
