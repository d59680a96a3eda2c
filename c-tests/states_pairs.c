/* Two calls in a row: what the first leaves for the second, an error that is told once above all. */
#include "states/states.h"

static const char *const states[] = {
	"fresh", "bound", "dark", "refused", "refused error", "listening", "listening caller",
	"connected", "accepted data", "connected full", "connected fin", "connected data fin", "connected wr",
	"connected data rd", "connected fin wr", "connected rst", "connected data rst", "connected data fin rst",
	"connected wr rst", "connected unspec",
};

static const char *const telling[] = {
	"recv 1", "recv 100 PEEK", "send 1 NOSIGNAL", "SO_ERROR", "poll all", "getpeername", "getsockname",
	"connect", "connect AF_UNSPEC", "bind", "listen", "accept", "shutdown RD", "shutdown WR", "close a copy",
};

static const char *const datagram_states[] = {
	"fresh", "bound datagram", "connected datagram", "nobody refused", "nobody recverr refused", "connected unspec",
	"connected rd", "connected wr", "bound datagram rd",
};

static const char *const telling_of_datagrams[] = {
	"recv 1", "recv 100 PEEK", "recv 100 ERRQUEUE", "SO_ERROR", "poll all", "getpeername", "getsockname",
	"connect AF_UNSPEC", "bind", "shutdown RD", "shutdown WR", "sendto 0", "set IP_RECVERR",
};

int main(void)
{
	static const struct call *const calls[] = { receiving, sending, changing, tcp_looks, NULL };
	const struct suite streams = { tcp_steps, tcp_looks, calls, NULL };
	const struct suite datagrams = { udp_steps, udp_looks, calls, NULL };

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(states); i++)
		call_pairs(&streams, states[i], telling, COUNT(telling));
	for (size_t i = 0; i < COUNT(datagram_states); i++)
		call_pairs(&datagrams, datagram_states[i], telling_of_datagrams, COUNT(telling_of_datagrams));
}
