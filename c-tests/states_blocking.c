/* The calls that may wait, on blocking descriptors whose waits end soon (SO_RCVTIMEO, SO_SNDTIMEO). */
#include "states/states.h"

static const char *const states[] = {
	"fresh", "dark", "refused", "listening", "listening caller",
	"connected", "accepted", "connected data", "connected full", "connected data urgent", "connected rd",
	"connected rd data", "connected fin", "connected data fin", "connected wr", "connected rdwr", "connected fin wr",
	"connected rst", "connected data rst", "connected data fin rst", "connected wr rst", "connected unspec",
};

static const char *const datagram_states[] = {
	"fresh", "fresh rd", "bound", "bound datagram", "bound empty", "connected", "connected datagram",
	"connected rd", "connected rd datagram", "connected wr", "nobody refused",
};

static long accepts(struct scene *s, long a, long b)
{
	int fd = accept(s->fd, NULL, NULL);

	(void)a, (void)b;
	if (fd < 0)
		return -1;
	note(" flags %x", fcntl(fd, F_GETFL));
	close(fd);
	return 0;
}

int main(void)
{
	static const struct call accepting[] = { { "accept", accepts, 0, 0 }, { NULL, NULL, 0, 0 } };
	static const struct call none[] = { { NULL, NULL, 0, 0 } };
	static const struct call *const calls[] = { receiving, sending, accepting, NULL };
	const struct suite streams = { tcp_steps, none, calls, blocking_shortly };
	const struct suite datagrams = { udp_steps, none, calls, blocking_shortly };

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(states); i++)
		call_each(&streams, states[i]);
	for (size_t i = 0; i < COUNT(datagram_states); i++)
		call_each(&datagrams, datagram_states[i]);
}
