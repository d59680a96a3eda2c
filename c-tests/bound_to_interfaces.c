/* SO_BINDTODEVICE: which names it takes and gives, who may set it, and what a socket reaches that is bound to an
 * interface. */
#include "check.h"

#include <net/if.h>

static long bind_to(int fd, const char *name)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, strlen(name));
}

/* What is read back, of so much room. */
static void reads(const char *what, int fd, socklen_t room)
{
	char name[100] = "untouched";
	long done = getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &room);

	say("%s: %s, \"%.20s\", length %u", what, ok(done), done ? "" : room ? name : "none", room);
}

static void names(int fd, const char *what)
{
	static const struct {
		const char *name;
		socklen_t length;
	} tried[] = { { "lab0", 4 }, { "lab0", 5 }, { "lab0", IFNAMSIZ }, { "lab0 and more", 4 }, { "lab0", 3 },
		      { "nonesuch0", 9 }, { "a name that is too long for one", 31 }, { "lab0", 0 }, { "", 1 },
		      { "lo", 2 }, { "lab0", 4 } };
	char name[100];

	reads(what, fd, sizeof name);
	for (unsigned i = 0; i < COUNT(tried); i++) {
		memset(name, 0, sizeof name);
		strcpy(name, tried[i].name);
		say("\"%s\", %u bytes: %s", name, tried[i].length,
		    ok(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, tried[i].length)));
		reads("  it", fd, sizeof name);
	}
	for (socklen_t room = 0; room <= IFNAMSIZ + 1; room++)
		reads("room", fd, room);
	say("nobody's memory: %s", ok(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, bad_pointer, 4)));
	say("a negative length: %s", ok(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lab0", minus_one)));
	say("the index: %d", get_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX) == (int)if_nametoindex("lab0"));
	close(fd);
}

static void connections(void)
{
	int fd = tcp(), listener, handle, child;
	struct sockaddr_in to;
	char b[10];

	listener = listening(0, 5);
	say("a listener: %s", ok(bind_to(listener, "lab0")));
	handle = peer("connect %d", port_of(listener));
	child = accept(listener, NULL, NULL);
	reads("accepted", child, IFNAMSIZ);
	peer("send %d 5", handle);
	say("recv %s", result(recv(child, b, sizeof b, 0)));
	close(child);
	peer("close %d", handle);
	handle = peer("listen 0 5");
	to = address(PEER, peer("port %d", handle));
	say("bound before it connects: %s", ok(bind_to(fd, "lab0")));
	say("connect: %s", ok(connect(fd, SA(to), sizeof to)));
	reads("connected", fd, IFNAMSIZ);
	say("set again: %s", ok(bind_to(fd, "lab0")));
	say("and not any more: %s", ok(bind_to(fd, "")));
	reads("then", fd, IFNAMSIZ);
	say("send %s", result(send(fd, "hello", 5, 0)));
	close(fd);
	close(listener);
	peer("close %d", handle);
}

static int of_interface(int fd, const char *name, const char *ip, int port)
{
	struct sockaddr_in here = address(ip, port);

	if (bind_to(fd, name))
		die("SO_BINDTODEVICE");
	say("%s %d, by %s: %s", ip, port, name, ok(bind(fd, SA(here), sizeof here)));
	return fd;
}

/* A port may be had once by each interface. */
static void ports(int (*make)(void))
{
	int driven = of_interface(make(), "lab0", "0.0.0.0", 7810);
	int other = of_interface(make(), "lo", "0.0.0.0", 7810);
	int again = of_interface(make(), "lab0", "0.0.0.0", 7810);
	int any = make();
	struct sockaddr_in here = address("0.0.0.0", 7810);

	say("by any: %s", ok(bind(any, SA(here), sizeof here)));
	close(driven);
	close(other);
	say("once they are closed: %s", ok(bind(any, SA(here), sizeof here)));
	close(any);
	close(again);
}

/* Each hears what comes by its interface. */
static void datagrams(void)
{
	int driven = of_interface(udp(), "lab0", "0.0.0.0", 7811), other = of_interface(udp(), "lo", "0.0.0.0", 7811);
	int within = udp(), handle = peer("udp 0");
	struct sockaddr_in here = address("127.0.0.1", 7811), there = address(PEER, peer("port %d", handle));
	char b[10];

	say("the peer: %ld", peer("to %d 7811 5", handle));
	say("by lab0: %d", wait_for(driven, POLLIN) == POLLIN);
	say("recv %s", result(recv(driven, b, sizeof b, MSG_DONTWAIT)));
	say("by lo: %s", result(recv(other, b, sizeof b, MSG_DONTWAIT)));
	say("to this host: %s", result(sendto(within, "here", 4, 0, SA(here), sizeof here)));
	say("by lo: %d", wait_for(other, POLLIN) == POLLIN);
	say("recv %s", result(recv(other, b, sizeof b, MSG_DONTWAIT)));
	say("by lab0: %s", result(recv(driven, b, sizeof b, MSG_DONTWAIT)));
	say("lab0 to the peer: %s", result(sendto(driven, "there", 5, 0, SA(there), sizeof there)));
	say("the peer: %.1s", peer_says("from %d", handle));
	close(driven);
	close(other);
	close(within);
	peer("close %d", handle);
}

/* Without rights a socket is bound to an interface once. */
static void privileges(void)
{
	int fresh, bound;

	if (setgid(65534) || setuid(65534))
		die("setuid");
	fresh = tcp();
	bound = udp();
	say("fresh, to lab0: %s", ok(bind_to(fresh, "lab0")));
	say("again: %s", ok(bind_to(fresh, "lab0")));
	say("to lo: %s", ok(bind_to(fresh, "lo")));
	say("to none: %s", ok(bind_to(fresh, "")));
	reads("it is", fresh, IFNAMSIZ);
	say("to none, first: %s", ok(bind_to(bound, "")));
	say("to nonesuch0: %s", ok(bind_to(bound, "nonesuch0")));
	say("to lo: %s", ok(bind_to(bound, "lo")));
	say("to lab0: %s", ok(bind_to(bound, "lab0")));
	close(fresh);
	close(bound);
}

int main(void)
{
	names(tcp(), "TCP");
	names(udp(), "UDP");
	connections();
	ports(tcp);
	ports(udp);
	datagrams();
	privileges();
}
