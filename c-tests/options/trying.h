/* One option in one state: what getsockopt(2) gives of it at every length, and what setsockopt(2) says to every sort of
 * value, and what is read back then. */
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

void try(const char *state, int fd, const struct option *o);

#endif
