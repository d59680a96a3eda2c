/* Every call in each state of a TCP connection that ends or has ended. */
#include "states/states.h"

static const char *const states[] = {
	"connected fin", "accepted fin", "connected data fin", "connected data fin read",
	"connected peer-closed send-to-closed", "connected data peer-closed send-to-closed",
	"connected full fin",
	"connected wr", "connected data wr", "connected wr data", "connected full wr",
	"connected rdwr", "connected data rdwr",
	"connected fin wr", "connected data fin wr", "connected wr fin", "connected wr data fin",
	"connected wr data fin read", "connected fin rd", "connected fin rdwr",
	"connected rst", "accepted rst", "connected poll rst", "connected rst poll", "connected data rst",
	"connected data rst read", "connected data rst error", "connected data rst recv",
	"connected rst error", "connected rst recv", "connected rst send", "connected rst unspec",
	"connected fin rst", "connected data fin rst", "connected wr rst", "connected data wr rst", "connected rd rst",
	"connected full rst", "connected dup rst",
	"connected deaf keepalive", "connected data deaf unheard", "connected deaf unheard recv",
};

int main(void)
{
	static const struct call *const calls[] = { receiving, sending, changing, NULL };
	const struct suite suite = { tcp_steps, tcp_looks, calls, NULL };

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(states); i++)
		call_each(&suite, states[i]);
}
