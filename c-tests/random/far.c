/* The peer's steps. */
#include "random.h"

long far_listener, far_listener_port, far_udp, far_udp_port, far[HANDLES];

static void keep(long handle)
{
	for (int i = 0; i < HANDLES; i++) {
		if (far[i])
			continue;
		far[i] = handle;
		return;
	}
	peer("reset %ld", handle);
}

void far_accepts(void)
{
	long handle;

	while ((handle = atol(peer_says("admit %ld", far_listener))) > 0)
		keep(handle);
}

void far_ends(void)
{
	for (int i = 0; i < HANDLES; i++)
		if (far[i])
			peer("reset %ld", far[i]);
}

/* The connection that a word numbers; 0: there is none. */
static long handle_in(int word)
{
	return far[number_in(word)];
}

static int port_in(int word, int type)
{
	struct slot *slot = slot_in(word);

	return slot && slot->type == type ? port_of(slot->fd) : 0;
}

/* Where nobody listens the host's kernel would answer. */
static void dials(void)
{
	int port = port_in(1, SOCK_STREAM);
	long handle;

	if (!port || !get_int(slots[number_in(1)].fd, SOL_SOCKET, SO_ACCEPTCONN))
		return;
	handle = peer("dial %d", port);
	settle();
	if (peer("state %ld", handle) == TCP_SYN_SENT) {
		/* The queue is full. It would try again, whenever that is. */
		peer("reset %ld", handle);
		tell("waits");
		return;
	}
	keep(handle);
	tell("ok");
}

static void asked(const char *verb, const char *more)
{
	long handle = handle_in(1);

	if (handle)
		tell("%s", peer_says("%s %ld %s", verb, handle, more));
}

static void sends(void)
{
	asked("send", words[2]);
}

static void urges(void)
{
	asked("urgent", "");
}

static void shuts(void)
{
	asked("shutdown", !strcmp(words[2], "SHUT_RD") ? "0" : !strcmp(words[2], "SHUT_WR") ? "1" : "2");
}

static void closes(void)
{
	asked("close", "");
	far[number_in(1)] = 0;
}

static void resets(void)
{
	asked("reset", "");
	far[number_in(1)] = 0;
}

const char *far_takes(long handle)
{
	static char all[64];
	long sum = 0, got;
	char end[32] = "";

	do {
		got = 0;
		sscanf(peer_says("take %ld", handle), "%ld %*s %31s", &got, end);
		sum += got;
		if (got)
			settle();
	} while (got);
	snprintf(all, sizeof all, "%ld %s", sum, end);
	return all;
}

static void takes(void)
{
	if (handle_in(1))
		tell("%s", far_takes(handle_in(1)));
}

static void sends_datagram(void)
{
	int port = port_in(1, SOCK_DGRAM);

	if (port)
		tell("%s", peer_says("to %ld %d %ld", far_udp, port, number_in(2)));
}

static void takes_datagram(void)
{
	tell("%.22s", peer_says("pick %ld", far_udp));
}

/* What it accepts from now on has little room. */
static void narrows(void)
{
	tell("%s", peer_says("option %ld %d %d %ld", far_listener, SOL_SOCKET, SO_RCVBUF, number_in(1)));
}

const struct verb far_verbs[] = {
	{ "peer_dial", dials }, { "peer_send", sends }, { "peer_urgent", urges }, { "peer_shutdown", shuts },
	{ "peer_close", closes }, { "peer_reset", resets }, { "peer_take", takes }, { "peer_to", sends_datagram },
	{ "peer_from", takes_datagram }, { "peer_narrow", narrows }, { NULL, NULL },
};
