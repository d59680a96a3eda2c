/* TCP_WINDOW_CLAMP, read: the bound of the window, which a connection has with its handshake. */
#include "check.h"

static int clamp(int fd)
{
	return get_int(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP);
}

static const char *set(int fd, int value)
{
	return ok(setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &value, sizeof value));
}

static void without_connection(void)
{
	static const int values[] = { 1, 1151, 1153, 100000, 0, -1, 0 };
	int fd = tcp();

	say("fresh: %d", clamp(fd));
	for (size_t i = 0; i < COUNT(values); i++) {
		const char *said = set(fd, values[i]);

		say("set to %d: %s", values[i], said);
		say("then: %d", clamp(fd));
	}
	listen(fd, 5);
	say("listening: %d", clamp(fd));
	close(fd);
}

/* Nothing was set: what the receive buffer lets in. */
static void by_buffer(int size)
{
	int accepted, h, listener = peer("listen 0 5"), fd = tcp(), own = bound(tcp(), "0.0.0.0", 0);
	struct sockaddr_in a = address(PEER, peer("port %d", listener));

	if (size) {
		set_int(fd, SOL_SOCKET, SO_RCVBUF, size);
		set_int(own, SOL_SOCKET, SO_RCVBUF, size);
	}
	say("buffer %d: %d", size, clamp(fd));
	say("connected: %s", ok(connect(fd, SA(a), sizeof a)));
	say("then: %d", clamp(fd));
	listen(own, 5);
	h = peer("dial %d", port_of(own));
	accepted = accept(own, NULL, NULL);
	say("accepted: %d, listener: %d", clamp(accepted), clamp(own));
	set(accepted, 0);
	say("set to 0: %d", clamp(accepted));
	set(accepted, 3000);
	say("set to 3000: %d", clamp(accepted));
	connect(fd, &(struct sockaddr){ AF_UNSPEC }, sizeof(struct sockaddr));
	say("disconnected: %d", clamp(fd));
	close(accepted);
	close(own);
	close(fd);
	peer("close %d", h);
	peer("close %d", listener);
}

/* What was set goes with the connection. */
static void set_before(int value)
{
	int listener = peer("listen 0 5"), fd = tcp();
	struct sockaddr_in a = address(PEER, peer("port %d", listener)), nobody = address(PEER, 1);

	set(fd, value);
	say("set to %d, connected: %s", value, ok(connect(fd, SA(a), sizeof a)));
	say("then: %d", clamp(fd));
	connect(fd, &(struct sockaddr){ AF_UNSPEC }, sizeof(struct sockaddr));
	say("disconnected: %d", clamp(fd));
	set(fd, value);
	say("refused: %s", ok(connect(fd, SA(nobody), sizeof nobody)));
	say("then: %d", clamp(fd));
	close(fd);
	peer("close %d", listener);
}

static void ended(void)
{
	int h, fd = connected(&h);

	peer("reset %d", h);
	say("reset: %s", name_of(wait_for(fd, POLLERR) & POLLERR ? pending_error(fd) : 0));
	say("then: %d", clamp(fd));
	close(fd);
}

int main(void)
{
	static const int sizes[] = { 0, 1, 4000, 50000, 200000 };

	without_connection();
	for (size_t i = 0; i < COUNT(sizes); i++)
		by_buffer(sizes[i]);
	set_before(1);
	set_before(5000);
	set_before(50000);
	ended();
	return 0;
}
