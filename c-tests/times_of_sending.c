/* SO_TIMESTAMPING's times of sending (the kernel's timestamping.rst): what the error queue tells of what was sent. */
#include "check.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>

static const char *kind_of(unsigned info)
{
	return info == SCM_TSTAMP_SND ? "sent" : info == SCM_TSTAMP_SCHED ? "scheduled" : info == SCM_TSTAMP_ACK ? "acked" : "?";
}

/* Whether the time is that of the last ten seconds. */
static int lately(const struct timespec *at)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return at->tv_sec <= now.tv_sec && at->tv_sec >= now.tv_sec - 10;
}

static void take(const char *what, int fd)
{
	char payload[256], control[512];
	struct iovec part = { payload, sizeof payload };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);

	say("%s: %s", what, result(n));
	if (n < 0)
		return;
	say("  flags%s%s", m.msg_flags & MSG_ERRQUEUE ? " ERRQUEUE" : "", m.msg_flags & MSG_TRUNC ? " TRUNC" : "");
	if (n >= 5)
		say("  ends \"%.5s\"", payload + n - 5);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		const struct sock_extended_err *e = (const void *)CMSG_DATA(c);

		say("  message %d %d of %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
		if (c->cmsg_level == SOL_SOCKET) {
			say("  lately: %d", lately((const void *)CMSG_DATA(c)));
		} else if (c->cmsg_type == IP_RECVERR) {
			const struct sockaddr_in *offender = (const void *)SO_EE_OFFENDER(e);

			say("  %s, origin %d, %s, key %u", name_of(e->ee_errno), e->ee_origin, kind_of(e->ee_info), e->ee_data);
			say("  offender %d %s", offender->sin_family, inet_ntoa(offender->sin_addr));
		} else if (c->cmsg_type == IP_PKTINFO) {
			const struct in_pktinfo *info = (const void *)CMSG_DATA(c);

			say("  to %s", inet_ntoa(info->ipi_addr));
			say("  from %s, by an interface: %d", inet_ntoa(info->ipi_spec_dst), info->ipi_ifindex > 1);
		} else {
			say("  %d", *(const int *)(const void *)CMSG_DATA(c));
		}
	}
}

static const char *ask(int fd, int flags)
{
	return ok(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags));
}

static void datagrams(void)
{
	int fd = udp();
	struct sockaddr_in to = address(PEER, BLACKHOLE);

	connect(fd, SA(to), sizeof to);
	say("first, to be known to the neighbor: %s", result(send(fd, "0", 1, 0)));
	nap(100);
	say("UDP: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE |
				   SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY));
	say("reads %#x", get_int(fd, SOL_SOCKET, SO_TIMESTAMPING));
	for (int i = 0; i < 2; i++)
		say("send: %s", result(send(fd, "hello", 5, 0)));
	say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
	nap(50);
	for (int i = 0; i < 5; i++)
		take("queue", fd);
	say("poll: %s", poll_flags(events_now(fd)));
	say("whole: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	wait_for(fd, POLLERR);
	take("queue", fd);
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_int(fd, IPPROTO_IP, IP_RECVTTL, 1);
	say("with what is told of datagrams: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
								 SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_CMSG));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	wait_for(fd, POLLERR);
	take("queue", fd);
	say("without keys: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY |
					SOF_TIMESTAMPING_OPT_CMSG));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	wait_for(fd, POLLERR);
	take("queue", fd);
	say("with keys again: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
					   SOF_TIMESTAMPING_OPT_TSONLY));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	wait_for(fd, POLLERR);
	take("queue", fd);
	say("made, not told: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	nap(100);
	take("queue", fd);
	say("off: %s", ask(fd, 0));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	nap(100);
	take("queue", fd);
	close(fd);
}

/* Sends with times of sending asked for by a control message. */
static void asked_for(int fd, uint32_t flags)
{
	char control[CMSG_SPACE(sizeof flags)] = "";
	struct iovec part = { "hello", 5 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof flags), .cmsg_level = SOL_SOCKET, .cmsg_type = SO_TIMESTAMPING };
	memcpy(CMSG_DATA(c), &flags, sizeof flags);
	say("sendmsg: %s", result(sendmsg(fd, &m, 0)));
	nap(100);
	take("queue", fd);
	take("queue", fd);
}

static void by_message(void)
{
	int fd = udp();
	struct sockaddr_in to = address(PEER, BLACKHOLE);

	connect(fd, SA(to), sizeof to);
	say("told, made when asked: %s", ask(fd, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	asked_for(fd, SOF_TIMESTAMPING_TX_SOFTWARE);
	close(fd);
}

static void connection(void)
{
	int h, fd = connected(&h);

	say("send: %s", result(send(fd, "before", 6, 0)));
	peer("recv %d 6", h);
	nap(50);
	say("TCP: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK |
				   SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY));
	say("reads %#x", get_int(fd, SOL_SOCKET, SO_TIMESTAMPING));
	for (int i = 0; i < 2; i++) {
		say("send: %s", result(send(fd, "hello", 5, 0)));
		peer("recv %d 5", h);
		say("poll: %s", poll_flags(wait_for(fd, POLLERR)));
		nap(100);
		for (int k = 0; k < 4; k++)
			take("queue", fd);
	}
	say("poll: %s", poll_flags(events_now(fd)));
	say("parts: %s", result(writev(fd, (struct iovec[]){ { "hel", 3 }, { "lo", 2 } }, 2)));
	peer("recv %d 5", h);
	nap(100);
	for (int k = 0; k < 4; k++)
		take("queue", fd);
	say("off: %s", ask(fd, 0));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	nap(100);
	take("queue", fd);
	say("told, made when asked: %s", ask(fd, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY));
	asked_for(fd, SOF_TIMESTAMPING_TX_ACK);
	asked_for(fd, SOF_TIMESTAMPING_TX_SOFTWARE);
	say("send: %s", result(send(fd, "hello", 5, 0)));
	nap(100);
	take("queue", fd);
	close(fd);
	peer("close %d", h);
}

/* The packet comes along: with its headers, or, when it is acknowledged, what it carried. What leaves together is told
 * of once. */
static void with_packets(void)
{
	int h, fd = connected(&h);

	say("TCP, with packets: %s", ask(fd, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_ACK |
						 SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID));
	say("send: %s", result(send(fd, "hello", 5, 0)));
	peer("recv %d 5", h);
	nap(100);
	for (int k = 0; k < 4; k++)
		take("queue", fd);
	say("two, of which the first waits: %s", result(send(fd, "hello", 5, MSG_MORE)));
	say("send: %s", result(send(fd, "world!", 6, 0)));
	peer("recv %d 11", h);
	nap(100);
	for (int k = 0; k < 4; k++)
		take("queue", fd);
	close(fd);
	peer("close %d", h);
}

int main(void)
{
	int fresh = tcp();

	say("of a fresh TCP socket: %s", ask(fresh, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_OPT_ID));
	say("without keys: %s", ask(fresh, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE));
	close(fresh);
	datagrams();
	by_message();
	connection();
	with_packets();
}
