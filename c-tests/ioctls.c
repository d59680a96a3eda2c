/* ioctl(2): every request that a socket of Linux knows, in every state of one, and some that none knows. */
#include "check.h"

#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>

/* asm-generic/sockios.h, linux/sockios.h, linux/if_bridge.h, asm-generic/ioctls.h */
#ifndef SIOCGSTAMPNS
#define SIOCGSTAMPNS 0x8907
#endif

static void say_number(const char *state, const char *name, int fd, unsigned long request)
{
	int value = -77, asked = ioctl(fd, request, &value);

	say("%s %s: %s, %d", state, name, ok(asked), asked ? 0 : value);
	say("%s %s, to nowhere: %s", state, name, ok(ioctl(fd, request, bad_pointer)));
}

/* What queues hold, and where marks are. */
static void counts(const char *state, int fd)
{
#define NUMBER(request) say_number(state, #request, fd, request)
	NUMBER(FIONREAD);
	NUMBER(SIOCINQ);
	NUMBER(TIOCOUTQ);
	NUMBER(SIOCOUTQNSD);
	NUMBER(SIOCATMARK);
#undef NUMBER
}

static void modes(const char *state, int fd)
{
	int on = 1, off = 0, own = getpid(), none = 0;

	say("%s FIONBIO: %s, flags %#x", state, ok(ioctl(fd, FIONBIO, &on)), fcntl(fd, F_GETFL) & O_NONBLOCK);
	say("%s FIONBIO to nowhere: %s", state, ok(ioctl(fd, FIONBIO, bad_pointer)));
	say("%s FIONBIO off: %s", state, ok(ioctl(fd, FIONBIO, &off)));
	say("%s flags %#x", state, fcntl(fd, F_GETFL) & O_NONBLOCK);
	say("%s FIOASYNC: %s", state, ok(ioctl(fd, FIOASYNC, &on)));
	say("%s flags %#x", state, fcntl(fd, F_GETFL) & O_ASYNC);
	say("%s FIOASYNC off: %s", state, ok(ioctl(fd, FIOASYNC, &off)));
	say("%s FIOASYNC to nowhere: %s", state, ok(ioctl(fd, FIOASYNC, bad_pointer)));
	say("%s FIOCLEX: %s", state, ok(ioctl(fd, FIOCLEX)));
	say("%s flags %#x", state, fcntl(fd, F_GETFD));
	say("%s FIONCLEX: %s", state, ok(ioctl(fd, FIONCLEX)));
	say("%s flags %#x", state, fcntl(fd, F_GETFD));
	say("%s SIOCSPGRP: %s", state, ok(ioctl(fd, SIOCSPGRP, &own)));
	own = 0;
	say("%s SIOCGPGRP: %s", state, ok(ioctl(fd, SIOCGPGRP, &own)));
	say("%s its own: %d", state, own == getpid());
	own = 0;
	say("%s FIOGETOWN: %s", state, ok(ioctl(fd, FIOGETOWN, &own)));
	say("%s its own: %d", state, own == getpid());
	say("%s FIOSETOWN: %s", state, ok(ioctl(fd, FIOSETOWN, &none)));
	say("%s SIOCGPGRP to nowhere: %s", state, ok(ioctl(fd, SIOCGPGRP, bad_pointer)));
	say("%s SIOCSPGRP from nowhere: %s", state, ok(ioctl(fd, SIOCSPGRP, bad_pointer)));
}

static void interfaces(const char *state, int fd)
{
	static const struct {
		unsigned long request;
		const char *name;
	} requests[] = {
#define R(request) { request, #request }
		R(SIOCGIFFLAGS), R(SIOCGIFADDR), R(SIOCGIFDSTADDR), R(SIOCGIFBRDADDR), R(SIOCGIFNETMASK), R(SIOCGIFMETRIC),
		R(SIOCGIFMEM), R(SIOCGIFMTU), R(SIOCGIFHWADDR), R(SIOCGIFINDEX), R(SIOCGIFSLAVE), R(SIOCGIFMAP), R(SIOCGIFTXQLEN),
		R(SIOCGIFPFLAGS), R(SIOCGIFENCAP), R(SIOCGIFCOUNT),
#undef R
	};
	struct ifreq r;
	struct ifconf all = { 0 };
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK };
	struct vlan_ioctl_args vlan = { .cmd = GET_VLAN_VID_CMD };
	struct ifreq many[8];
	int known;

	for (size_t i = 0; i < COUNT(requests); i++) {
		memset(&r, 0, sizeof r);
		strcpy(r.ifr_name, "lo");
		say("%s %s: %s", state, requests[i].name, ok(ioctl(fd, requests[i].request, &r)));
		strcpy(r.ifr_name, "none");
		say("%s %s of none: %s", state, requests[i].name, ok(ioctl(fd, requests[i].request, &r)));
		say("%s %s to nowhere: %s", state, requests[i].name, ok(ioctl(fd, requests[i].request, bad_pointer)));
	}
	memset(&r, 0, sizeof r);
	r.ifr_ifindex = 1;
	known = ioctl(fd, SIOCGIFNAME, &r);
	say("%s SIOCGIFNAME: %s, %s", state, ok(known), r.ifr_name);
	say("%s SIOCGIFCONF: %s", state, ok(ioctl(fd, SIOCGIFCONF, &all)));
	say("%s its length: %d", state, all.ifc_len > 0);
	all.ifc_len = sizeof many;
	all.ifc_req = many;
	say("%s SIOCGIFCONF: %s", state, ok(ioctl(fd, SIOCGIFCONF, &all)));
	say("%s the first: %s", state, many[0].ifr_name);
	say("%s SIOCGIFCONF to nowhere: %s", state, ok(ioctl(fd, SIOCGIFCONF, bad_pointer)));
	strcpy(r.ifr_name, "lo");
	r.ifr_data = (void *)&link;
	say("%s SIOCETHTOOL: %s", state, ok(ioctl(fd, SIOCETHTOOL, &r)));
	say("%s its link: %u", state, link.data);
	r.ifr_data = bad_pointer;
	say("%s SIOCETHTOOL to nowhere: %s", state, ok(ioctl(fd, SIOCETHTOOL, &r)));
	strcpy(vlan.device1, "lo");
	say("%s SIOCGIFVLAN: %s", state, ok(ioctl(fd, SIOCGIFVLAN, &vlan)));
	say("%s SIOCGIFVLAN to nowhere: %s", state, ok(ioctl(fd, SIOCGIFVLAN, bad_pointer)));
}

static void others(const char *state, int fd)
{
	static const unsigned long requests[] = { 0, 1, TCGETS, TIOCGWINSZ, 2 /* FIGETBSZ */, FIOQSIZE, 0x8900, 0x89e0, 0x89e1, 0x89f0, 0x8999,
		0xdeadbeef };
	struct arpreq arp = { 0 };
	long b[64] = { 0 };

	for (size_t i = 0; i < COUNT(requests); i++)
		say("%s %#lx: %s", state, requests[i], ok(ioctl(fd, requests[i], b)));
	say("%s SIOCGARP: %s", state, ok(ioctl(fd, SIOCGARP, &arp)));
	say("%s SIOCGSTAMP: %s", state, ok(ioctl(fd, SIOCGSTAMP, b)));
	say("%s SIOCGSTAMPNS: %s", state, ok(ioctl(fd, SIOCGSTAMPNS, b)));
	say("%s SIOCGSTAMP to nowhere: %s", state, ok(ioctl(fd, SIOCGSTAMP, bad_pointer)));
}

static void all(const char *state, int fd)
{
	counts(state, fd);
	modes(state, fd);
	interfaces(state, fd);
	others(state, fd);
}

int main(void)
{
	int h, fd = tcp(), from;
	char b[64];

	all("fresh", fd);
	close(fd);
	fd = bound(tcp(), TEST, 0);
	all("bound", fd);
	close(fd);
	fd = listening(0, 5);
	all("listening", fd);
	close(fd);
	fd = connected(&h);
	all("connected", fd);
	peer("send %d 100", h);
	wait_for(fd, POLLIN);
	counts("with data", fd);
	say("SIOCGSTAMP: %s", ok(ioctl(fd, SIOCGSTAMP, b)));
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	counts("with some data", fd);
	shutdown(fd, SHUT_RD);
	counts("shut for reading", fd);
	shutdown(fd, SHUT_WR);
	nap(100);
	counts("shut", fd);
	peer("close %d", h);
	wait_for(fd, POLLHUP);
	all("over", fd);
	close(fd);
	fd = connected(&h);
	peer("reset %d", h);
	wait_for(fd, POLLERR);
	all("reset", fd);
	close(fd);
	fd = udp();
	all("UDP fresh", fd);
	close(fd);
	fd = bound(udp(), TEST, 0);
	from = peer("udp 0");
	all("UDP bound", fd);
	peer("to %d %d 0", from, port_of(fd));
	peer("to %d %d 50", from, port_of(fd));
	wait_for(fd, POLLIN);
	counts("UDP with an empty one", fd);
	say("recv: %s", result(recv(fd, b, sizeof b, 0)));
	wait_for(fd, POLLIN);
	counts("UDP with one", fd);
	shutdown(fd, SHUT_RD);
	counts("UDP, shut in vain", fd);
	close(fd);
	peer("close %d", from);
}
