/* Leading scenes to their states, and making calls there; see states.h. */
#include "states.h"

#include <stdarg.h>

static char notes[512];

void note(const char *format, ...)
{
	size_t used = strlen(notes);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(notes + used, sizeof notes - used, format, arguments);
	va_end(arguments);
}

static const struct step *step_named(const struct step *steps, const char *name)
{
	for (; steps->name; steps++)
		if (!strcmp(steps->name, name))
			return steps;
	die(name);
	return NULL;
}

#define MOST 160

static void await(const char *state, const struct step *step, struct scene *scenes, size_t count)
{
	char there[MOST] = "";
	size_t missing = count;
	long long start = milliseconds();

	while (missing) {
		for (size_t i = 0; i < count; i++) {
			if (there[i] || !step->is_there(&scenes[i]))
				continue;
			there[i] = 1;
			missing--;
		}
		if (missing && milliseconds() - start > 20000) {
			say("%s: %s does not come about", state, step->name);
			exit(1);
		}
		nap(missing != 0);
	}
}

void lead(const char *state, const struct step *steps, struct scene *scenes, size_t count)
{
	char words[128], *next = words, *word;

	snprintf(words, sizeof words, "%s", state);
	for (size_t i = 0; i < count; i++)
		scenes[i] = (struct scene){ .fd = -1, .peer = -1 };
	while ((word = strsep(&next, " "))) {
		const struct step *step = step_named(steps, word);

		for (size_t i = 0; i < count; i++)
			step->take(&scenes[i]);
		if (step->is_there)
			await(state, step, scenes, count);
	}
}

void leave(struct scene *scenes, size_t count)
{
	struct linger none = { 1, 0 };

	for (size_t i = 0; i < count; i++) {
		if (scenes[i].fd >= 0) {
			setsockopt(scenes[i].fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
			close(scenes[i].fd);
		}
		if (scenes[i].peer >= 0 && scenes[i].peer != datagram_peer())
			peer("reset %d", scenes[i].peer);
	}
}

int unread(int fd)
{
	int count = 0;

	return ioctl(fd, FIONREAD, &count) ? -1 : count;
}

const char *state_name(int fd)
{
	static const char *const names[] = { "0", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",
		"TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING" };
	struct tcp_info info;
	socklen_t length = sizeof info;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length))
		return "-";
	return names[info.tcpi_state];
}

void blocking_shortly(struct scene *scene)
{
	struct timeval limit = { 0, 4000 };

	fcntl(scene->fd, F_SETFL, 0);
	setsockopt(scene->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(scene->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

const char *made(const struct call *call, struct scene *scene)
{
	static char lines[4][1024];
	static unsigned next;
	char *line = lines[next++ % COUNT(lines)];
	long returned;
	int error;

	*notes = 0;
	signals_seen = 0;
	errno = 0;
	returned = call->make(scene, call->a, call->b);
	error = errno;
	if (returned == -1)
		snprintf(line, sizeof lines[0], "%s", name_of(error));
	else
		snprintf(line, sizeof lines[0], "%ld", returned);
	snprintf(line + strlen(line), sizeof lines[0] - strlen(line), "%s%s", notes, signals_seen ? " SIGPIPE" : "");
	return line;
}

/* Whether the socket's state is about to change by itself: a FIN is on its way, or what will be answered by a reset. */
static int is_moving(struct scene *scene)
{
	const char *state = state_name(scene->fd);
	int outgoing = 0;

	if (scene->stuck || !strcmp(state, "CLOSE") || !strcmp(state, "LISTEN") || !strcmp(state, "-"))
		return 0;
	ioctl(scene->fd, SIOCOUTQ, &outgoing);
	return (scene->peer < 0 && outgoing) || !strcmp(state, "SYN_SENT") || !strcmp(state, "FIN_WAIT1") || !strcmp(state, "CLOSING") ||
	       !strcmp(state, "LAST_ACK");
}

static void settle(struct scene *scene)
{
	long long start = milliseconds();

	if (scene->refuses)
		datagrams_have_passed(scene);
	while (is_moving(scene) && milliseconds() - start < 3000)
		nap(1);
}

/* What a call has left behind. */
static const char *afterwards(struct scene *scene)
{
	static char line[256];
	const char *flags, *state;
	int error = -1;
	socklen_t length = sizeof error;

	if (scene->fd < 0)
		return "";
	settle(scene);
	flags = poll_flags(events_now(scene->fd));
	getsockopt(scene->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	state = state_name(scene->fd);
	snprintf(line, sizeof line, " -> %s, %s, %s, %d", flags, name_of(error), state, unread(scene->fd));
	return line;
}

static size_t gathered(const struct suite *suite, const struct call **calls, size_t room)
{
	size_t count = 0;

	for (const struct call *const *table = suite->calls; *table; table++)
		for (const struct call *call = *table; call->name && count < room; call++)
			calls[count++] = call;
	return count;
}

void call_in(const struct suite *suite, const char *state, struct scene *scenes, const struct call *const *calls, size_t count)
{
	for (const struct call *call = suite->looks; call->name; call++)
		say("%s | %s: %s", state, call->name, made(call, &scenes[count]));
	for (size_t i = 0; i < count; i++) {
		const char *answer;

		if (scenes[i].full)
			fill_again(&scenes[i]);
		if (suite->prepare)
			suite->prepare(&scenes[i]);
		answer = made(calls[i], &scenes[i]);
		say("%s | %s: %s%s", state, calls[i]->name, answer, afterwards(&scenes[i]));
	}
	leave(scenes, count + 1);
}

void call_each(const struct suite *suite, const char *state)
{
	static struct scene scenes[MOST];
	const struct call *calls[MOST - 1];
	size_t count = gathered(suite, calls, MOST - 1);

	lead(state, suite->steps, scenes, count + 1);
	call_in(suite, state, scenes, calls, count);
}

const struct call *call_named(const struct suite *suite, const char *name)
{
	for (const struct call *const *table = suite->calls; *table; table++)
		for (const struct call *call = *table; call->name; call++)
			if (!strcmp(call->name, name))
				return call;
	die(name);
	return NULL;
}

void call_pairs(const struct suite *suite, const char *state, const char *const *names, size_t count)
{
	static struct scene scenes[MOST];

	for (size_t first = 0; first < count; first++) {
		lead(state, suite->steps, scenes, count);
		for (size_t second = 0; second < count; second++) {
			const char *one, *two;

			if (scenes[second].full)
				fill_again(&scenes[second]);
			one = made(call_named(suite, names[first]), &scenes[second]);
			settle(&scenes[second]);
			two = made(call_named(suite, names[second]), &scenes[second]);
			say("%s | %s, %s: %s, %s%s", state, names[first], names[second], one, two,
			    afterwards(&scenes[second]));
		}
		leave(scenes, count);
	}
}
