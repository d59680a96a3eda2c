/* Waiting until everything is at rest; see random.h.
 *
 * What can be seen of all sockets, on both sides, is looked at until it stays the same: for long, if one of them has
 * something on its way that will be answered (an acknowledgment may be delayed by 40 ms), longer if there are bytes that
 * may yet be sent (what is corked is after 200 ms), else for a moment. */
#include "random.h"

#define A_MOMENT 6
#define DELAYED_ACK 70
#define CORKED 260
#define AT_MOST 2000

struct view {
	uint64_t hash;
	int rest;               /* ms that it has to stay the same */
};

static void later(struct view *view, int ms)
{
	if (view->rest < ms)
		view->rest = ms;
}

static void look_at_stream(struct view *view, int fd)
{
	int state = tcp_state(fd), queues[4] = { state, 0, 0, 0 };

	if (state != TCP_LISTEN) {
		ioctl(fd, FIONREAD, &queues[1]);
		ioctl(fd, SIOCOUTQ, &queues[2]);
		ioctl(fd, SIOCOUTQNSD, &queues[3]);
	}
	if (state == TCP_SYN_SENT || state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK || queues[2] > 0)
		later(view, DELAYED_ACK);
	if (queues[3] > 0 && state != TCP_CLOSE && state != TCP_SYN_SENT)
		later(view, CORKED);
	view->hash = fnv(view->hash, queues, sizeof queues);
}

static struct view look(void)
{
	struct view view = { FNV_START, A_MOMENT };
	unsigned long long far_hash = 0;
	int far_moving = 0;

	for (int i = 0; i < SLOTS; i++) {
		int events;

		if (slots[i].fd < 0)
			continue;
		events = events_now(slots[i].fd);
		view.hash = fnv(view.hash, &events, sizeof events);
		if (slots[i].type == SOCK_STREAM)
			look_at_stream(&view, slots[i].fd);
	}
	sscanf(peer_says("look"), "%llx %d", &far_hash, &far_moving);
	view.hash = fnv(view.hash, &far_hash, sizeof far_hash);
	if (far_moving)
		later(&view, DELAYED_ACK);
	return view;
}

void settle(void)
{
	long long start = milliseconds(), since = start;
	struct view before = look();

	while (milliseconds() - since < before.rest && milliseconds() - start < AT_MOST) {
		struct view now;

		nap(2);
		now = look();
		if (now.hash != before.hash)
			since = milliseconds();
		before = now;
	}
}
