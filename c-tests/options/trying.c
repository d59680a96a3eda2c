#include "../check.h"
#include "trying.h"

#include <stdarg.h>

static const int lengths[] = { 0, 1, 2, 3, 4, 8, 64 };
static const int values[] = { -1, 0, 1, 2, INT_MAX };

struct line {
	char text[1024];
	size_t used;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	line->used += vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
	va_end(arguments);
}

static void read_back(struct line *line, int fd, const struct option *o)
{
	int value = 0;
	socklen_t length = sizeof value;

	if (getsockopt(fd, o->level, o->option, &value, &length))
		add(line, "=%s", name_of(errno));
	else
		add(line, "=%d", o->does & READS ? value : 0);
}

static void try(const char *state, int fd, const struct option *o)
{
	struct line got = { 0 }, said = { 0 };

	for (unsigned i = 0; i < COUNT(lengths); i++) {
		unsigned char b[64];
		socklen_t length = lengths[i];

		memset(b, 0xee, sizeof b);
		if (getsockopt(fd, o->level, o->option, b, &length)) {
			add(&got, " %d:%s", lengths[i], name_of(errno));
			continue;
		}
		add(&got, " %d:%u", lengths[i], length);
		for (unsigned k = 0; k < length && k < 4 && o->does & READS; k++)
			add(&got, "%s%02x", k ? "" : "/", b[k]);
	}
	say("%s %s, get%s", o->name, state, got.text);
	if (!(o->does & SETS))
		return;
	for (unsigned i = 0; i < COUNT(lengths); i++) {
		int value[16] = { 1 };
		int n = setsockopt(fd, o->level, o->option, value, lengths[i]);

		add(&said, " %d:%s", lengths[i], ok(n));
	}
	for (unsigned i = 0; i < COUNT(values); i++) {
		int n = setsockopt(fd, o->level, o->option, &values[i], sizeof values[i]);

		add(&said, " (%d)%s", values[i], ok(n));
		read_back(&said, fd, o);
	}
	say("%s %s, set%s", o->name, state, said.text);
}

void try_all(const struct state *states, unsigned n, const struct option *options, unsigned m)
{
	for (unsigned s = 0; s < n; s++) {
		for (unsigned i = 0; i < m; i++) {
			int h, fd = states[s].make(&h);

			try(states[s].name, fd, &options[i]);
			close(fd);
			if (h >= 0)
				peer("close %d", h);
		}
	}
}
