/* Histories of calls: a file of steps, one a line, that are taken one after the other.
 *
 * A step is a verb and its words: "send 2 1000 MSG_MORE" sends by the socket in slot 2. One that has nothing to act on
 * (an empty slot, a connection the peer does not have) does nothing, so any step of a history can be left out. After
 * each, everything is given time to come to rest (quiet.c); then what the call gave, and how all sockets poll, is
 * printed. So the lines are those of a program that never races with the network. */
#ifndef RANDOM_H
#define RANDOM_H

#include "../check.h"

#define SLOTS 6
#define HANDLES 6
#define WORDS 16

/* A socket of the program's. */
struct slot {
	int fd;                 /* -1: none */
	int type, six;
};
extern struct slot slots[SLOTS];

/* What the peer has: a listener, a UDP socket, connections; 0: none. */
extern long far_listener, far_listener_port, far_udp, far_udp_port, far[HANDLES];

/* A process that was forked from the one that made the sockets: there a pair cannot tell of all (LD_PRELOAD.md). */
extern int is_descendant;

/* Four ports of this run's own. */
extern int base_port;

extern char data[70000];

/* The words of the step that this thread takes; beyond the last they are empty. */
extern _Thread_local const char *words[WORDS];

struct verb {
	const char *name;
	void (*take)(void);
};
/* The tables; each ends with a nameless row. */
extern const struct verb opening[], moving[], asking[], waiting[], far_verbs[];

/* Adds to the line of the step that this thread takes. */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *told(void);

/* What the words stand for. */
struct slot *slot_in(int word);         /* an open socket; NULL: there is none */
struct slot *room_in(int word);         /* an empty slot; NULL: it is not */
long number_in(int word);               /* a number, or names joined by '|' */
socklen_t place_in(int word, struct sockaddr_storage *, const struct slot *);
int any_number(const char *text, long *number);

/* Whose name it is, as far as that does not depend on which ports are free. */
const char *shown(long returned, const struct sockaddr_storage *name, socklen_t length);

/* Takes the rest of a step with these words. */
void take_step(const char *const *from, int count);

int is_fresh(const struct slot *slot);   /* it has no address yet */

void settle(void);                      /* until everything is at rest */
void far_accepts(void);                 /* the peer accepts who has come */
const char *far_takes(long handle);     /* all there is, and what follows as soon as there is room for it: "COUNT END" */
void far_ends(void);                    /* what the peer has is reset */

#endif
