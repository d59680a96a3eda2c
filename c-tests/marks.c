/* What goes with a frame beside its bytes: SO_MARK, SO_PRIORITY and what sets them, as the host's own egress filter
 * sees them. */
#include "check.h"

/* Counts frames on the way out, by mark and priority. */
static const char rules[] =
	"table netdev marks {\n"
	" counter seven { }\n counter nine { }\n counter none { }\n counter two { }\n counter six { }\n"
	" chain egress {\n"
	"  type filter hook egress device lab0 priority 0;\n"
	"  meta l4proto != { tcp, udp } accept\n"
	"  meta mark 7 counter name seven\n"
	"  meta mark 9 counter name nine\n"
	"  meta mark 0 counter name none\n"
	"  meta priority 0:2 counter name two\n"
	"  meta priority 0:6 counter name six\n"
	" }\n"
	"}\n";

static void watch(void)
{
	FILE *nft = popen("nft -f -", "w");

	if (!nft || fputs(rules, nft) < 0 || pclose(nft) != 0)
		die("nft");
}

static int counted(const char *name)
{
	char command[64], line[128];
	int packets = -1;
	FILE *nft;

	snprintf(command, sizeof command, "nft reset counter netdev marks %s", name);
	nft = popen(command, "r");
	while (nft && fgets(line, sizeof line, nft))
		sscanf(line, " packets %d", &packets);
	if (!nft || pclose(nft) != 0 || packets < 0)
		die(command);
	return packets;
}

/* Which counters have counted since the last time. */
static void say_seen(const char *what)
{
	static const char *const names[] = { "seven", "nine", "none", "two", "six" };
	char seen[64] = "";

	for (unsigned i = 0; i < COUNT(names); i++)
		if (counted(names[i]) > 0)
			strcat(strcat(seen, " "), names[i]);
	say("%s:%s", what, seen);
}

static void connection(void)
{
	long listener = peer("listen 7000 5");
	struct sockaddr_in a = address(PEER, 7000);
	int fd = tcp(), h;

	set_int(fd, SOL_SOCKET, SO_MARK, 7);
	set_int(fd, SOL_SOCKET, SO_PRIORITY, 6);
	connect(fd, SA(a), sizeof a);
	h = peer("accept %ld", listener);
	say_seen("connect");
	send_all(fd, 100000);
	peer("recv %d 100000", h);
	say_seen("send");
	set_int(fd, SOL_SOCKET, SO_MARK, 9);
	send_all(fd, 10);
	peer("recv %d 10", h);
	say_seen("another mark");
	set_int(fd, SOL_SOCKET, SO_MARK, 0);
	set_int(fd, IPPROTO_IP, IP_TOS, 0x08);
	send_all(fd, 10);
	peer("recv %d 10", h);
	say_seen("IP_TOS for throughput");
	shutdown(fd, SHUT_RDWR);
	peer_says("ending %d", h);
	close(fd);
	peer("close %d", h);
	say_seen("end");
}

static void listener(void)
{
	int fd = listening(0, 5), h, child;

	set_int(fd, SOL_SOCKET, SO_MARK, 7);
	set_int(fd, IPPROTO_IP, IP_TOS, 0x10);
	h = peer("connect %d", port_of(fd));
	child = accept(fd, NULL, NULL);
	counted("six");
	say_seen("accept");
	send_all(child, 10);
	peer("recv %d 10", h);
	say_seen("its connection");
	/* The peer's end comes first: so nothing of ours is on its way when this one has left. */
	peer("close %d", h);
	say("  recv: %s", result(recv(child, &(char){ 0 }, 1, 0)));
	close(child);
	close(fd);
	say_seen("end");
}

/* Sends a datagram with one control message, if any. */
static void send_with(int fd, int to, int level, int name, int value)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof value)];
	} control = { .header = { CMSG_LEN(sizeof value), level, name } };
	struct sockaddr_in a = address(PEER, to);
	struct iovec part = { "abc", 3 };
	struct msghdr message = { .msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &part, .msg_iovlen = 1 };

	memcpy(CMSG_DATA(&control.header), &value, sizeof value);
	if (name) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
	}
	say("  sendmsg: %s", result(sendmsg(fd, &message, 0)));
}

static void datagrams(void)
{
	int far = peer("udp 0"), port = peer("port %d", far), fd = bound(udp(), TEST, 0), other = bound(udp(), TEST, 0);

	send_with(fd, port, 0, 0, 0);
	say_seen("plain");
	send_with(fd, port, SOL_SOCKET, SO_MARK, 9);
	say_seen("marked by itself");
	set_int(fd, SOL_SOCKET, SO_MARK, 7);
	set_int(fd, SOL_SOCKET, SO_PRIORITY, 2);
	send_with(fd, port, 0, 0, 0);
	say_seen("of a marked socket");
	send_with(other, port, 0, 0, 0);
	say_seen("of another one");
	send_with(fd, port, IPPROTO_IP, IP_TOS, 0x10);
	say_seen("with a type of service");
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	set_int(fd, SOL_SOCKET, SO_PRIORITY, 6);
	say("in pieces: %s", result(sendto(fd, (char[4000]){ 0 }, 4000, 0, SA(((struct sockaddr_in[]){ address(PEER, port) })[0]),
					   sizeof(struct sockaddr_in))));
	say("  all marked: %d", counted("seven") == 3);
	say_seen("  as");
	if (setgid(65534) || setuid(65534))
		die("setuid");
	send_with(other, port, SOL_SOCKET, SO_MARK, 9);
	send_with(other, port, IPPROTO_IP, IP_TOS, 0x10);
	close(fd);
	close(other);
	peer("close %d", far);
}

int main(void)
{
	watch();
	connection();
	listener();
	datagrams();
}
