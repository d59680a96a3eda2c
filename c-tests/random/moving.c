/* The steps that send and receive. */
#include "random.h"

#include <sys/mman.h>

static _Thread_local char buffer[70000];

static void sends(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%s", result(send(slot->fd, data, number_in(2), number_in(3))));
}

static void writes(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%s", result(write(slot->fd, data, number_in(2))));
}

static void writes_parts(void)
{
	struct slot *slot = slot_in(1);
	size_t count = number_in(2);
	struct iovec parts[3] = { { data, count / 3 }, { data, 0 }, { data + count / 3, count - count / 3 } };

	if (slot)
		tell("%s", result(writev(slot->fd, parts, 3)));
}

/* What has come, in short. (What an error queue gives may begin with addresses of the link.) */
static void tell_content(const char *bytes, long count, size_t room)
{
	if (count > 0 && (size_t)count <= room && !strstr(words[3], "ERRQUEUE"))
		tell(" #%04x", (unsigned)(fnv(FNV_START, bytes, count) & 0xffff));
}

static void reads_parts(void)
{
	struct slot *slot = slot_in(1);
	size_t size = number_in(2);
	struct iovec parts[3] = { { buffer, size / 4 }, { buffer, 0 }, { buffer + size / 4, size - size / 4 } };
	long count;

	if (!slot)
		return;
	count = readv(slot->fd, parts, 3);
	tell("%s", result(count));
	tell_content(buffer, count, size);
}

/* A control message of a sort; what it takes. */
static size_t control_of(const char *sort, char *room)
{
	const struct {
		const char *name;
		int level, type;
		size_t size;
		int value;
	} sorts[] = {
		{ "ttl", IPPROTO_IP, IP_TTL, 4, 5 }, { "ttl0", IPPROTO_IP, IP_TTL, 4, 0 }, { "tos", IPPROTO_IP, IP_TOS, 4, 16 },
		{ "pktinfo", IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo), 0 }, { "short", IPPROTO_IP, IP_PKTINFO, 4, 0 },
		{ "mark", SOL_SOCKET, SO_MARK, 4, 3 }, { "segment", IPPROTO_UDP, 103, 2, 100 }, { "priority", SOL_SOCKET, SO_PRIORITY, 4, 3 },
		{ "stamps", SOL_SOCKET, SO_TIMESTAMPING, 4, 2 }, { "hops", IPPROTO_IPV6, IPV6_HOPLIMIT, 4, 5 },
		{ "rights", SOL_SOCKET, SCM_RIGHTS, 4, 0 }, { "none", 77, 77, 4, 0 },
	};

	for (size_t i = 0; i < COUNT(sorts); i++) {
		struct cmsghdr *c = (void *)room;

		if (strcmp(sorts[i].name, sort))
			continue;
		c->cmsg_level = sorts[i].level;
		c->cmsg_type = sorts[i].type;
		c->cmsg_len = CMSG_LEN(sorts[i].size);
		memcpy(CMSG_DATA(c), &sorts[i].value, sorts[i].size < 4 ? sorts[i].size : 4);
		return CMSG_SPACE(sorts[i].size);
	}
	return 0;
}

/* sendmsg WHERE SIZE FLAGS CONTROL */
static void sends_message(void)
{
	struct slot *slot = slot_in(1);
	_Alignas(struct cmsghdr) char control[128] = { 0 };
	struct sockaddr_storage to;
	size_t size = number_in(3);
	struct iovec parts[2] = { { data, size / 2 }, { data + size / 2, size - size / 2 } };
	struct msghdr message = { NULL, 0, parts, 2, control, control_of(words[5], control), 0 };

	if (!slot)
		return;
	if (strcmp(words[2], "-")) {
		message.msg_name = &to;
		message.msg_namelen = place_in(2, &to, slot);
	}
	tell("%s", result(sendmsg(slot->fd, &message, number_in(4))));
}

static void sends_to(void)
{
	struct slot *slot = slot_in(1);
	struct sockaddr_storage to;
	socklen_t length;

	if (!slot)
		return;
	length = place_in(2, &to, slot);
	tell("%s", result(sendto(slot->fd, data, number_in(3), number_in(4), SA(to), length)));
}

/* Messages of growing length: sendmmsg WHERE SIZE FLAGS. */
static void sends_messages(void)
{
	struct slot *slot = slot_in(1);
	struct mmsghdr messages[3] = { 0 };
	struct iovec parts[3];
	struct sockaddr_storage to;
	size_t length;

	if (!slot)
		return;
	length = strcmp(words[2], "-") ? place_in(2, &to, slot) : 0;
	for (size_t i = 0; i < COUNT(messages); i++) {
		parts[i] = (struct iovec){ data, number_in(3) + i };
		messages[i].msg_hdr = (struct msghdr){ length ? &to : NULL, length, &parts[i], 1, NULL, 0, 0 };
	}
	tell("%s", result(sendmmsg(slot->fd, messages, COUNT(messages), number_in(4))));
	tell(" %u %u %u", messages[0].msg_len, messages[1].msg_len, messages[2].msg_len);
}

static void receives(void)
{
	struct slot *slot = slot_in(1);
	long count;

	if (!slot)
		return;
	count = recv(slot->fd, buffer, number_in(2), number_in(3));
	tell("%s", result(count));
	tell_content(buffer, count, number_in(2));
}

static void reads(void)
{
	struct slot *slot = slot_in(1);
	long count;

	if (!slot)
		return;
	count = read(slot->fd, buffer, number_in(2));
	tell("%s", result(count));
	tell_content(buffer, count, number_in(2));
}

/* preadv2 SIZE FLAGS: at no position */
static void reads_at(void)
{
	struct slot *slot = slot_in(1);
	struct iovec part = { buffer, number_in(2) };
	long count;

	if (!slot)
		return;
	count = preadv2(slot->fd, &part, 1, -1, number_in(3));
	tell("%s", result(count));
	tell_content(buffer, count, number_in(2));
}

static void writes_at(void)
{
	struct slot *slot = slot_in(1);
	struct iovec part = { data, number_in(2) };

	if (slot)
		tell("%s", result(pwritev2(slot->fd, &part, 1, -1, number_in(3))));
}

static void prints(void)
{
	struct slot *slot = slot_in(1);

	if (slot)
		tell("%s", result(dprintf(slot->fd, "%0*d", (int)number_in(2), 7)));
}

static void receives_from(void)
{
	struct slot *slot = slot_in(1);
	struct sockaddr_storage name = { 0 };
	socklen_t length = sizeof name;
	long count;

	if (!slot)
		return;
	count = recvfrom(slot->fd, buffer, number_in(2), number_in(3), SA(name), &length);
	tell("%s", result(count));
	tell_content(buffer, count, number_in(2));
	if (count >= 0)
		tell(" from %s", shown(0, &name, length));
}

static void tell_message(struct msghdr *message)
{
	tell(" from %s", shown(0, message->msg_name, message->msg_namelen));
	/* Control messages of connections come to the process with the stack alone (LD_PRELOAD.md). */
	if (is_descendant)
		return;
	tell(" flags %x", message->msg_flags);
	tell(" control %zu", message->msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		tell(" %d/%d/%zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
}

/* recvmsg SIZE FLAGS CONTROL */
static void receives_message(void)
{
	struct slot *slot = slot_in(1);
	struct sockaddr_storage name = { 0 };
	static _Thread_local char control[512];
	size_t size = number_in(2);
	struct iovec parts[2] = { { buffer, size / 2 }, { buffer + size / 2, size - size / 2 } };
	struct msghdr message = { &name, sizeof name, parts, 2, control, number_in(4), 0 };
	long count;

	if (!slot)
		return;
	count = recvmsg(slot->fd, &message, number_in(3));
	tell("%s", result(count));
	tell_content(buffer, count, size);
	if (count >= 0)
		tell_message(&message);
}

static void receives_messages(void)
{
	struct slot *slot = slot_in(1);
	struct mmsghdr messages[3] = { 0 };
	struct iovec parts[3];
	int count;

	if (!slot)
		return;
	for (size_t i = 0; i < COUNT(messages); i++) {
		parts[i] = (struct iovec){ buffer + i * 10000, number_in(2) };
		messages[i].msg_hdr = (struct msghdr){ NULL, 0, &parts[i], 1, NULL, 0, 0 };
	}
	count = recvmmsg(slot->fd, messages, COUNT(messages), number_in(3), NULL);
	tell("%s", result(count));
	for (int i = 0; i < count; i++) {
		tell(" %u flags %x", messages[i].msg_len, messages[i].msg_hdr.msg_flags);
		tell_content(buffer + i * 10000, messages[i].msg_len, number_in(2));
	}
}

/* sendfile SIZE OFFSET */
static void sends_file(void)
{
	struct slot *slot = slot_in(1);
	off_t offset = *words[3] ? number_in(3) : 10;
	int file;

	if (!slot)
		return;
	file = memfd_create("data", 0);
	if (write(file, data, sizeof data) != sizeof data)
		die("memfd_create");
	tell("%s", result(sendfile(slot->fd, file, &offset, number_in(2))));
	tell(" to %ld", (long)offset);
	close(file);
}

/* splice_to SIZE: out of a pipe */
static void splices_to(void)
{
	struct slot *slot = slot_in(1);
	int ends[2];

	if (!slot)
		return;
	if (pipe(ends) || write(ends[1], data, 10000) != 10000)
		die("pipe");
	tell("%s", result(splice(ends[0], NULL, slot->fd, NULL, number_in(2), SPLICE_F_NONBLOCK)));
	close(ends[0]);
	close(ends[1]);
}

/* splice_from SIZE: into a pipe */
static void splices_from(void)
{
	struct slot *slot = slot_in(1);
	long count;
	int ends[2];

	if (!slot)
		return;
	if (pipe(ends))
		die("pipe");
	count = splice(slot->fd, NULL, ends[1], NULL, number_in(2), SPLICE_F_NONBLOCK);
	tell("%s", result(count));
	if (count > 0)
		tell_content(buffer, read(ends[0], buffer, sizeof buffer), sizeof buffer);
	close(ends[0]);
	close(ends[1]);
}

const struct verb moving[] = {
	{ "send", sends }, { "write", writes }, { "writev", writes_parts }, { "sendto", sends_to }, { "sendmmsg", sends_messages },
	{ "recv", receives }, { "read", reads }, { "recvfrom", receives_from }, { "recvmsg", receives_message },
	{ "recvmmsg", receives_messages }, { "readv", reads_parts }, { "preadv2", reads_at }, { "pwritev2", writes_at }, { "dprintf", prints },
	 { "sendmsg", sends_message },
	{ "sendfile", sends_file }, { "splice_to", splices_to }, { "splice_from", splices_from }, { NULL, NULL },
};
