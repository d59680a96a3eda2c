/* Every call in each state of a TCP connection that both sides can still use. */
#include "states/states.h"

static const char *const states[] = {
	"connected", "accepted", "accepted-alone", "connected dup",
	"connected data", "accepted data", "connected data recv",
	"connected full", "connected data full",
	"connected urgent", "connected data urgent", "connected data urgent read",
	"connected rd", "connected data rd", "connected rd data",
	"connected unspec", "connected data unspec", "connected unspec redialed",
};

int main(void)
{
	static const struct call *const calls[] = { receiving, sending, changing, NULL };
	const struct suite suite = { tcp_steps, tcp_looks, calls, NULL };

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(states); i++)
		call_each(&suite, states[i]);
}
