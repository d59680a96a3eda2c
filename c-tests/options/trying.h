/* Options in states, each on a socket of its own: what getsockopt(2) gives of one at every length, and what setsockopt(2)
 * says to every sort of value, and what is read back then. */
#ifndef TRYING_H
#define TRYING_H

enum {
	READS = 1, /* what it gives is the same everywhere */
	SETS = 2,  /* setting it leaves the socket to the stack */
};

struct option {
	int level, option;
	const char *name;
	int does;
};

/* A state, and what makes a socket of it, and the peer's handle of that, or -1. */
struct state {
	const char *name;
	int (*make)(int *handle);
};

void try_all(const struct state *states, unsigned n, const struct option *options, unsigned m);

#endif
