/* Every call in each state of a TCP socket that has no connection, or not yet. */
#include "states/states.h"

static const char *const states[] = {
	"fresh", "fresh rd", "fresh error", "bound",
	"dark", "dark rd", "dark wr", "dark rdwr", "dark rdwr error", "dark unspec",
	"refused", "refused error", "refused recv", "refused send", "refused poll", "refused error redialed",
	"timed-out", "timed-out recv", "timed-out unspec",
	"listening", "listening caller", "listening caller caller-resets", "listening-narrow caller",
	"listening rd", "listening-there rd", "listening-there unspec", "listening wr", "listening unspec",
};

int main(void)
{
	static const struct call *const calls[] = { receiving, sending, changing, NULL };
	const struct suite suite = { tcp_steps, tcp_looks, calls, NULL };

	count_signal(SIGPIPE, 0);
	for (size_t i = 0; i < COUNT(states); i++)
		call_each(&suite, states[i]);
}
