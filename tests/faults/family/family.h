/* A family of processes that are to live through faults, and what each of them notes about its connections. */
#ifndef FAMILY_H
#define FAMILY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is sent on a connection. */
enum kind {
	ECHO, /* messages, each of which comes back */
	PULL, /* so many bytes from the server, then the end */
	PUSH, /* so many bytes from the client and the end, then how many came */
	HTTP, /* requests for a file */
};

/* What became of a connection. */
enum how {
	OPEN,
	LIVED,
	REFUSED,
	UNREACHED, /* there was no way to the server */
	RESET,
	ENDED,	 /* before everything had come */
	HUNG,	 /* nothing happened for PATIENCE */
	DROPPED, /* by the program, which had no descriptor, memory or process for it */
};

/* What a process knows of one of its connections. It lies in a file, so it outlives the process. */
struct entry {
	uint32_t kind, how, error, wrong;
	uint32_t pid, maker; /* who has it, who has made it */
	uint64_t sent; /* what send(2) has accepted, not counting the greeting */
	uint64_t received;
	uint64_t began, ended; /* monotonic milliseconds */
};

#define ENTRIES 65536
/* Connections of which a server is noted that it has come to them, the last that there were. */
#define CALLERS 1024

struct book {
	uint64_t last;
	struct entry entries[ENTRIES];
	uint64_t calls;
	struct entry callers[CALLERS];
};

/* What a client says first. */
struct greeting {
	uint32_t id, kind;
	uint64_t length;
};

struct book *book_open(const char *path);
uint64_t now(void);

/* Two streams a connection, each a different one for each id. */
enum direction { TO_SERVER, TO_CLIENT };

struct talk {
	struct entry *entry;
	uint32_t id;
	int fd;
	char buffer[65536];
};

void talk_begin(struct talk *talk, struct book *book, uint32_t id, uint32_t kind);
/* A connection has come, or it should have: how it fares until it is known which it is. */
struct entry *caller(struct book *book);
/* One that was accepted, or was to be, and is not served: errno says why. */
void note_lost(struct book *book);
/* Closes the descriptor; what has gone wrong before counts. */
void talk_end(struct talk *talk, enum how how);
/* Notes errno; 0, for the caller to give on. */
int failed(struct talk *talk);
/* Some bytes, 0 at the end, less than that if it failed. */
ssize_t receive(struct talk *talk, void *data, size_t length);
/* These are true if it went well. */
int send_all(struct talk *talk, const void *data, size_t length);
int receive_all(struct talk *talk, void *data, size_t length);
int send_stream(struct talk *talk, enum direction direction, uint64_t length);
int receive_stream(struct talk *talk, enum direction direction, uint64_t length);
/* Whether the peer's end comes next. */
int receive_end(struct talk *talk);
void be_patient(int fd);
void fill(char *data, size_t length, uint32_t id, enum direction direction, uint64_t at);
/* Whether another thread runs it, detached, with little memory. */
int spawn(void *(*run)(void *), void *argument);

void serve(struct book *book, int fd);
int client(struct book *book, char **words);

#endif
