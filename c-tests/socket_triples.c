/* socket(2): which domain, type and protocol go together, and with which errno the others are refused. */
#include "check.h"

static const char *triple(int domain, int type, int protocol)
{
	int fd = socket(domain, type, protocol), actual = -1, error = errno;
	socklen_t length = sizeof actual;
	static char text[64];

	if (fd < 0)
		return name_of(error);
	getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &actual, &length);
	close(fd);
	snprintf(text, sizeof text, "protocol %d", actual);
	return text;
}

int main(void)
{
	static const int protocols[] = { -1, 0, 1, 2, 6, 17, 41, 58, 132, 136, 255, 256, 262, 263, 1000 };
	static const int domains[] = { -1, 0, 3, 5, 9, 45, 46, 100 };

	for (unsigned i = 0; i < COUNT(protocols); i++)
		for (int type = -1; type <= 16; type++) {
			/* AF_PACKET by its old name, and ports of raw sockets the kernel alone decides on */
			if (type == SOCK_PACKET)
				continue;
			say("inet type %d protocol %d: %s", type, protocols[i], triple(AF_INET, type, protocols[i]));
			say("inet6 type %d protocol %d: %s", type, protocols[i], triple(AF_INET6, type, protocols[i]));
		}
	for (unsigned i = 0; i < COUNT(domains); i++)
		for (int type = SOCK_STREAM; type <= SOCK_RAW; type++)
			say("domain %d type %d: %s", domains[i], type, triple(domains[i], type, 0));
	say("unknown flag: %s", triple(AF_INET, SOCK_STREAM | 0x100, 0));
	say("unknown high flag: %s", triple(AF_INET, SOCK_STREAM | 0x40000000, 0));
	int pair[2];
	say("socketpair inet stream: %s", ok(socketpair(AF_INET, SOCK_STREAM, 0, pair)));
	say("socketpair inet dgram: %s", ok(socketpair(AF_INET, SOCK_DGRAM, 0, pair)));
	say("socketpair inet stream udp: %s", ok(socketpair(AF_INET, SOCK_STREAM, IPPROTO_UDP, pair)));
	say("socketpair unix: %s", ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)));
}
