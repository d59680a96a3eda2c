/* The server's side of a connection. */
#include "family.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int echo(struct talk *talk)
{
	ssize_t count;

	while ((count = receive(talk, talk->buffer, sizeof(talk->buffer))) > 0)
		if (!send_all(talk, talk->buffer, (size_t)count))
			return 0;
	return count == 0;
}

static int push(struct talk *talk, uint64_t length)
{
	uint64_t before = talk->entry->received;

	if (!receive_stream(talk, TO_SERVER, length) || !receive_end(talk))
		return 0;
	uint64_t count = talk->entry->received - before;

	return send_all(talk, &count, sizeof(count));
}

void serve(struct book *book, int fd)
{
	/* Who is greeted by nobody does not know whose connection it is. */
	struct talk talk = { .entry = caller(book), .fd = fd };
	struct greeting greeting;

	be_patient(fd);
	if (!receive_all(&talk, &greeting, sizeof(greeting))) {
		talk_end(&talk, ENDED);
		return;
	}
	talk.entry->how = LIVED;
	talk_begin(&talk, book, greeting.id, greeting.kind);
	switch (greeting.kind) {
	case ECHO:
		echo(&talk);
		break;
	case PULL:
		send_stream(&talk, TO_CLIENT, greeting.length);
		break;
	case PUSH:
		push(&talk, greeting.length);
		break;
	}
	talk_end(&talk, LIVED);
}
