/* readv(2), writev(2), sendmsg(2) and recvmsg(2) on a stream. */
#include "check.h"

int main(void)
{
	int h, fd = connected(&h);
	unsigned char out[300], in[300] = { 0 };
	struct iovec three[3] = { { out, 100 }, { out + 100, 0 }, { out + 100, 200 } };
	struct iovec into[3] = { { in, 7 }, { in + 7, 0 }, { in + 7, 293 } };
	struct sockaddr_in name = { 0 };
	char control[64];
	struct msghdr message = { &name, sizeof name, into, 3, control, sizeof control, -1 };
	static struct iovec many[1025];

	fill(out, sizeof out, 0);
	say("writev: %s", result(writev(fd, three, 3)));
	say("the peer hears: %s", peer_says("recv %d 300", h));
	message.msg_iov = three;
	message.msg_name = NULL;
	message.msg_namelen = 0;
	message.msg_controllen = 0;
	message.msg_control = NULL;
	say("sendmsg: %s", result(sendmsg(fd, &message, 0)));
	say("the peer hears: %s", peer_says("recv %d 300", h));
	message.msg_iovlen = 0;
	say("sendmsg of no vectors: %s", result(sendmsg(fd, &message, 0)));
	say("writev of no vectors: %s", result(writev(fd, three, 0)));
	say("writev of -1 vectors: %s", result(writev(fd, three, minus_one)));
	peer("send %d 300", h);
	wait_for(fd, POLLIN);
	nap(20);
	say("readv: %s", result(readv(fd, into, 3)));
	say("intact: %d", memcmp(in, out, 300) == 0);
	say("readv of no vectors: %s", result(readv(fd, into, 0)));
	peer("send %d 300", h);
	message = (struct msghdr){ &name, sizeof name, into, 3, control, sizeof control, -1 };
	say("recvmsg WAITALL: %s", result(recvmsg(fd, &message, MSG_WAITALL)));
	say("namelen %u, controllen %zu, flags %#x", message.msg_namelen, message.msg_controllen, message.msg_flags);
	say("hash %016llx", (unsigned long long)fnv(FNV_START, in, 300));
	message.msg_iovlen = 0;
	say("recvmsg of no vectors: %s", result(recvmsg(fd, &message, MSG_DONTWAIT)));
	say("recvmsg DONTWAIT: %s", result((message.msg_iovlen = 1, recvmsg(fd, &message, MSG_DONTWAIT))));
	for (int i = 0; i < 1025; i++)
		many[i] = (struct iovec){ out, 0 };
	message.msg_iov = many;
	message.msg_iovlen = 1025;
	say("recvmsg of 1025 vectors: %s", result(recvmsg(fd, &message, MSG_DONTWAIT)));
	message.msg_namelen = 0;
	message.msg_controllen = 0;
	say("sendmsg of 1025 vectors: %s", result(sendmsg(fd, &message, 0)));
	say("readv of 1025 vectors: %s", result(readv(fd, many, 1025)));
	say("writev of 1025 vectors: %s", result(writev(fd, many, 1025)));
	many[0] = (struct iovec){ bad_pointer, 10 };
	message.msg_iovlen = 1;
	say("sendmsg of a bad vector: %s", result(sendmsg(fd, &message, 0)));
	say("writev of a bad vector: %s", result(writev(fd, many, 1)));
	peer("send %d 1", h);
	wait_for(fd, POLLIN);
	say("recvmsg into a bad vector: %s", result(recvmsg(fd, &message, 0)));
	say("the byte is still there: %s", result(recv(fd, in, 1, MSG_DONTWAIT)));
	say("sendmsg of a bad message: %s", result(sendmsg(fd, bad_pointer, 0)));
	say("recvmsg of a bad message: %s", result(recvmsg(fd, bad_pointer, MSG_DONTWAIT)));
}
