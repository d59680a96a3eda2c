/* The table of states times the table of calls.
 *
 * A state is named by the steps that lead to it: "connected data fin" is a connection that has received data and then
 * the peer's FIN. A step is taken by all scenes of a state side by side, then each waits until it has come about, so
 * what takes a second takes it once for all calls. A wait asks for the thing itself (the state in TCP_INFO, the
 * bytes in the queue, the peer's word) and dies when it does not come; nothing depends on how long it takes.
 *
 * Each call is made in a scene of its own, and its line shows what it answered and what it left behind: what poll
 * reports, SO_ERROR, the state, the bytes to read. Calls that leave everything as it was, the looks, share a scene. */
#ifndef STATES_H
#define STATES_H

#include "../check.h"

struct scene {
	int fd;         /* the socket looked at */
	int peer;       /* the peer's handle of the connection; -1: none */
	int expected;   /* bytes the peer has sent and nobody has read */
	int stuck;      /* what is sent will not be acknowledged, so there is nothing to wait for */
	int unheard;    /* nothing arrives at the peer */
	int full;       /* the send queue is full; the peer's window may open by a little now and then */
	int refuses;    /* what is sent is answered by an ICMP error */
};

struct step {
	const char *name;
	void (*take)(struct scene *);
	int (*is_there)(struct scene *);        /* NULL: at once */
};

struct call {
	const char *name;
	long (*make)(struct scene *, long a, long b);   /* -1: errno says why */
	long a, b;
};

/* The tables; each ends with a nameless row. */
extern const struct step tcp_steps[], udp_steps[];
extern const struct call tcp_looks[], udp_looks[];
extern const struct call receiving[], sending[], changing[];

/* Leads at most 160 scenes to a state; dies when they do not get there. */
void lead(const char *state, const struct step *steps, struct scene *scenes, size_t count);
void leave(struct scene *scenes, size_t count);

/* A line for each call of the tables in the state. */
struct suite {
	const struct step *steps;
	const struct call *looks, *const *calls;
	void (*prepare)(struct scene *);        /* before the call; NULL: nothing */
};
void call_each(const struct suite *, const char *state);
/* The same in scenes that were led there, one for each call and one for the looks. */
void call_in(const struct suite *, const char *state, struct scene *, const struct call *const *, size_t count);
const struct call *call_named(const struct suite *, const char *name);
/* A line for each ordered pair of the calls named. */
void call_pairs(const struct suite *, const char *state, const char *const *names, size_t count);

/* Adds to the line of the call being made. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes the call; its answer, with errno's name, what was noted, and whether SIGPIPE came. */
const char *made(const struct call *, struct scene *);

const char *state_name(int fd);
int unread(int fd);                     /* FIONREAD; -1 where it is refused */
void blocking_shortly(struct scene *);  /* a blocking descriptor whose calls give up soon */

int fill_again(struct scene *);         /* whether there was room */
int peer_port(void);                    /* a port where the peer listens */
int peer_accepts(void);                 /* a handle */
int own_port(void);                     /* a port where we listen */
int datagrams_have_passed(struct scene *);      /* all that the peer has sent before was received */
int datagram_peer(void);                /* a UDP handle of the peer's */
void know_datagram_peer(int handle);    /* that it was asked for by the program which has executed this one */
extern const int datagram_peer_port;

#endif
