/* Every call in each state of a UDP socket. */
#include "states/states.h"

static const char *const states[] = {
	"fresh", "fresh rd", "bound", "bound datagram", "bound empty", "bound long", "bound datagram empty datagram",
	"connected", "connected datagram", "connected empty", "connected dup", "connected datagram recv",
	"nobody refused", "nobody refused error", "nobody refused recv", "nobody recverr refused",
	"bound recverr refused-one",
	"connected unspec", "bound unspec", "bound datagram unspec",
	"connected rd", "connected wr", "connected rdwr", "connected datagram rd", "connected rd datagram",
	"connected datagram rdwr", "bound rd", "bound rd datagram",
};

int main(void)
{
	static const struct call *const calls[] = { receiving, sending, changing, NULL };
	const struct suite suite = { udp_steps, udp_looks, calls, NULL };

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(states); i++)
		call_each(&suite, states[i]);
}
