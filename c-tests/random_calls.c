/* Takes the steps of a history: random_calls FILE BASE. See random/random.h. */
#include "random/random.h"

#include <stdarg.h>

struct slot slots[SLOTS];
_Thread_local const char *words[WORDS];
char data[70000];
int base_port, is_descendant;

static _Thread_local char line[2048];

void tell(const char *format, ...)
{
	size_t used = strlen(line);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line + used, sizeof line - used, format, arguments);
	va_end(arguments);
}

const char *told(void)
{
	return line;
}

static const struct verb *verb_named(const char *name)
{
	static const struct verb *const tables[] = { opening, moving, asking, waiting, far_verbs };

	for (size_t i = 0; i < COUNT(tables); i++)
		for (const struct verb *verb = tables[i]; verb->name; verb++)
			if (!strcmp(verb->name, name))
				return verb;
	die(name);
	return NULL;
}

void take_step(const char *const *from, int count)
{
	for (int i = 0; i < WORDS; i++)
		words[i] = i < count && from[i] ? from[i] : "";
	verb_named(words[0])->take();
}

/* The events that polling tells of in this process. */
static int told_everywhere(void)
{
	return is_descendant ? POLLIN | POLLPRI | POLLOUT | POLLRDHUP : ~0;
}

static void take_line(int number, char *text)
{
	const char *split[WORDS];
	char copy[256], *next = copy, *word;
	int count = 0;

	snprintf(copy, sizeof copy, "%s", text);
	while ((word = strsep(&next, " ")) && count < WORDS)
		split[count++] = word;
	*line = 0;
	signals_seen = 0;
	take_step(split, count);
	if (!*line)
		return;
	if (signals_seen)
		tell(" SIGPIPE");
	settle();
	far_accepts();
	settle();
	tell(" |");
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].fd >= 0)
			tell(" %d:%s", i, poll_flags(events_now(slots[i].fd) & told_everywhere()));
	say("%d %s: %s", number, text, line);
}

/* What is open is closed, and the peer hears of it. */
static void end(void)
{
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].fd >= 0)
			close(slots[i].fd);
	for (int i = 0; i < SLOTS; i++)
		slots[i].fd = -1;
	/* Whoever goes on with the sockets of a process that has ended may have to begin first. */
	if (is_descendant)
		nap(100);
	settle();
	for (int i = 0; i < HANDLES; i++)
		if (far[i])
			say("the end of %d: %s", i, far_takes(far[i]));
	far_ends();
}

static void take_all(FILE *history)
{
	char text[256];

	for (int number = 1; fgets(text, sizeof text, history); number++) {
		text[strcspn(text, "\n")] = 0;
		take_line(number, text);
	}
}

/* Whoever takes the last step is a descendant: this process waits until there is none any more. */
static void await_descendants(void)
{
	int ends[2];
	char none;

	if (pipe(ends))
		die("pipe");
	if (fork() == 0) {
		close(ends[0]);
		/* Above the program's own numbers. */
		fcntl(ends[1], F_DUPFD, 300);
		close(ends[1]);
		return;
	}
	close(ends[1]);
	while (read(ends[0], &none, 1) > 0)
		;
	exit(0);
}

int main(int argc, char **argv)
{
	FILE *history = argc == 3 ? fopen(argv[1], "r") : NULL;

	if (!history)
		die("usage: random_calls FILE BASE");
	await_descendants();
	base_port = atoi(argv[2]);
	fill(data, sizeof data, 0);
	count_signal(SIGPIPE, SA_RESTART);
	for (int i = 0; i < SLOTS; i++)
		slots[i].fd = -1;
	far_listener = peer("listen 0 8");
	far_listener_port = peer("port %ld", far_listener);
	far_udp = peer("udp 0");
	far_udp_port = peer("port %ld", far_udp);
	take_all(history);
	end();
	return 0;
}
