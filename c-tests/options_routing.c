/* Options that choose a way: SO_DONTROUTE, IP_UNICAST_IF, SO_MARK and SO_PRIORITY with who may set them. */
#include "check.h"

#include <net/if.h>

static const char *set(int fd, int level, int option, int value)
{
	return ok(setsockopt(fd, level, option, &value, sizeof value));
}

static void neighbors_only(int fd, const char *what)
{
	struct sockaddr_in near = address(PEER, 9000), far = address("192.0.2.1", 9000);

	say("%s, DONTROUTE: %s", what, set(fd, SOL_SOCKET, SO_DONTROUTE, 1));
	say("to one behind a gateway: %s", ok(connect(fd, SA(far), sizeof far)));
	say("to a neighbor: %s", ok(connect(fd, SA(near), sizeof near)));
	close(fd);
}

static void interface(void)
{
	int index = if_nametoindex("lab0"), fd = udp(), other = udp(), h, connection = connected(&h);
	struct sockaddr_in to = address(PEER, 9000);

	say("UNICAST_IF: %s", set(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(index)));
	say("reads the same: %d", get_int(fd, IPPROTO_IP, IP_UNICAST_IF) == (int)htonl(index));
	say("send: %s", result(sendto(fd, "abc", 3, 0, SA(to), sizeof to)));
	say("off: %s", set(fd, IPPROTO_IP, IP_UNICAST_IF, 0));
	say("reads %d", get_int(fd, IPPROTO_IP, IP_UNICAST_IF));
	say("loopback's: %s", set(other, IPPROTO_IP, IP_UNICAST_IF, htonl(if_nametoindex("lo"))));
	say("none: %s", set(fd, IPPROTO_IP, IP_UNICAST_IF, htonl(999)));
	say("of a connection: %s", set(connection, IPPROTO_IP, IP_UNICAST_IF, htonl(index)));
	say("send: %s", result(send(connection, "abc", 3, 0)));
	close(fd);
	close(other);
	close(connection);
	peer("close %d", h);
}

static void service(void)
{
	static const int services[] = { 0x10, 0x08, 0x04, 0xb8, 0 };
	int fd = udp(), h, listener = listening(0, 5), child;

	for (unsigned i = 0; i < COUNT(services); i++) {
		say("TOS %#x: %s", services[i], set(fd, IPPROTO_IP, IP_TOS, services[i]));
		say("  PRIORITY %d", get_int(fd, SOL_SOCKET, SO_PRIORITY));
	}
	say("PRIORITY 5: %s", set(fd, SOL_SOCKET, SO_PRIORITY, 5));
	say("  TOS %d", get_int(fd, IPPROTO_IP, IP_TOS));
	close(fd);
	say("listener, TOS 0x10: %s", set(listener, IPPROTO_IP, IP_TOS, 0x10));
	say("  MARK 7: %s", set(listener, SOL_SOCKET, SO_MARK, 7));
	h = peer("connect %d", port_of(listener));
	child = accept(listener, NULL, NULL);
	say("accepted: TOS %d", get_int(child, IPPROTO_IP, IP_TOS));
	say("  PRIORITY %d", get_int(child, SOL_SOCKET, SO_PRIORITY));
	say("  MARK %d", get_int(child, SOL_SOCKET, SO_MARK));
	close(child);
	close(listener);
	peer("close %d", h);
}

static void privileges(void)
{
	int fd = tcp(), h, connection = connected(&h);

	say("root: MARK 3: %s", set(fd, SOL_SOCKET, SO_MARK, 3));
	say("root: PRIORITY 7: %s", set(fd, SOL_SOCKET, SO_PRIORITY, 7));
	if (setgid(65534) || setuid(65534))
		die("setuid");
	say("MARK 4: %s", set(fd, SOL_SOCKET, SO_MARK, 4));
	say("reads %d", get_int(fd, SOL_SOCKET, SO_MARK));
	say("of a connection, MARK 4: %s", set(connection, SOL_SOCKET, SO_MARK, 4));
	for (int i = 5; i <= 8; i++)
		say("PRIORITY %d: %s", i, set(connection, SOL_SOCKET, SO_PRIORITY, i));
	say("reads %d", get_int(connection, SOL_SOCKET, SO_PRIORITY));
	say("SNDBUFFORCE: %s", set(connection, SOL_SOCKET, SO_SNDBUFFORCE, 1 << 20));
	say("BUSY_POLL 50: %s", set(connection, SOL_SOCKET, SO_BUSY_POLL, 50));
	say("BUSY_POLL 0: %s", set(connection, SOL_SOCKET, SO_BUSY_POLL, 0));
	say("TRANSPARENT: %s", set(connection, IPPROTO_IP, IP_TRANSPARENT, 1));
	say("DEBUG: %s", set(connection, SOL_SOCKET, SO_DEBUG, 1));
	close(fd);
	close(connection);
	peer("close %d", h);
}

int main(void)
{
	neighbors_only(udp(), "UDP");
	neighbors_only(nonblocking(tcp()), "TCP");
	interface();
	service();
	privileges();
}
