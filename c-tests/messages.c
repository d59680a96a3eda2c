/* sendmmsg(2) and recvmmsg(2), on datagrams and on a stream. */
#include "check.h"

static unsigned char buffers[8][100];
static struct iovec vectors[8];
static struct mmsghdr messages[8];
static struct sockaddr_in names[8];

static void prepare(size_t length, int with_names)
{
	for (int i = 0; i < 8; i++) {
		memset(buffers[i], 0, sizeof buffers[i]);
		vectors[i] = (struct iovec){ buffers[i], length };
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &vectors[i], .msg_iovlen = 1 } };
		if (with_names) {
			messages[i].msg_hdr.msg_name = &names[i];
			messages[i].msg_hdr.msg_namelen = sizeof names[i];
		}
	}
}

static void lengths(const char *what, int count)
{
	for (int i = 0; i < count; i++)
		say("%s %d: %u bytes, flags %#x, hash %016llx", what, i, messages[i].msg_len, messages[i].msg_hdr.msg_flags,
		    (unsigned long long)fnv(FNV_START, buffers[i],
					    messages[i].msg_len < 100 ? messages[i].msg_len : 100));
}

int main(void)
{
	int h = peer("udp 7000"), fd = bound(udp(), "0.0.0.0", 5000), count;
	struct sockaddr_in to = address(PEER, 7000);
	struct timespec limit = { 0, 200000000 };
	long long start;

	prepare(0, 0);
	for (int i = 0; i < 5; i++) {
		vectors[i].iov_len = 10 * (i + 1);
		fill(buffers[i], vectors[i].iov_len, 0);
		messages[i].msg_hdr.msg_name = &to;
		messages[i].msg_hdr.msg_namelen = sizeof to;
	}
	say("sendmmsg: %s", result(sendmmsg(fd, messages, 5, 0)));
	for (int i = 0; i < 5; i++) {
		say("length %u", messages[i].msg_len);
		say("the peer hears: %s", peer_says("from %d", h));
	}
	messages[2].msg_hdr.msg_namelen = 3;
	say("sendmmsg, the third bad: %s", result(sendmmsg(fd, messages, 5, 0)));
	say("the third alone: %s", result(sendmmsg(fd, messages + 2, 1, 0)));
	say("none: %s", result(sendmmsg(fd, messages, 0, 0)));
	for (int i = 0; i < 4; i++)
		peer("to %d 5000 %d", h, 20 * (i + 2));
	nap(50);
	prepare(70, 1);
	say("recvmmsg: %s", result(recvmmsg(fd, messages, 8, MSG_DONTWAIT, NULL)));
	lengths("message", 4);
	say("from %s:%d, length %u", inet_ntoa(names[3].sin_addr), ntohs(names[3].sin_port),
	    messages[3].msg_hdr.msg_namelen);
	say("empty: %s", result(recvmmsg(fd, messages, 8, MSG_DONTWAIT, NULL)));
	peer("to %d 5000 10", h);
	prepare(70, 1);
	say("WAITFORONE: %s", result(recvmmsg(fd, messages, 8, MSG_WAITFORONE, NULL)));
	lengths("message", 1);
	peer("to %d 5000 11", h);
	peer("to %d 5000 12", h);
	prepare(70, 1);
	say("two of two: %s", result(recvmmsg(fd, messages, 2, 0, &limit)));
	lengths("message", 2);
	close(fd);

	fd = connected(&h);
	prepare(50, 0);
	for (int i = 0; i < 3; i++)
		fill(buffers[i], 50, 50 * i);
	say("stream sendmmsg: %s", result(sendmmsg(fd, messages, 3, 0)));
	say("the peer hears: %s", peer_says("recv %d 150", h));
	peer("send %d 120", h);
	nap(50);
	prepare(50, 0);
	count = recvmmsg(fd, messages, 8, MSG_DONTWAIT, NULL);
	say("stream recvmmsg: %d", count);
	lengths("piece", count);
	start = milliseconds();
	say("stream empty: %s", result(recvmmsg(fd, messages, 8, MSG_DONTWAIT, NULL)));
	say("%s", elapsed(start, 0));
	say("bad pointer: %s", result(sendmmsg(fd, bad_pointer, 1, 0)));
	say("bad descriptor: %s", result(sendmmsg(999, messages, 1, 0)));
}
