/* Programs that give up the right to open packet sockets before their first Internet socket, in each of the ways there
 * are, and what they do then. */
#include "check.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NOBODY 65534
#define NET_RAW (1u << 13)

int capset(cap_user_header_t header, const cap_user_data_t data);

static void exchanges(const char *who, int fd, int h)
{
	char byte;

	peer("send %d 1", h);
	say("%s: recv %s", who, result(recv(fd, &byte, 1, 0)));
	send_all(fd, 10);
	say("%s: the peer received %s", who, peer_says("recv %d 10", h));
	close(fd);
	peer("close %d", h);
}

/* As a client, as a server, and with datagrams. */
static void uses_sockets(const char *who)
{
	int h, fd = connected(&h);
	struct sockaddr_in to;

	exchanges(who, fd, h);
	fd = accepted(&h);
	exchanges(who, fd, h);
	fd = udp();
	h = peer("udp 7");
	to = address(PEER, 7);
	say("%s: sendto %s", who, result(sendto(fd, "", 1, 0, SA(to), sizeof to)));
	say("%s: the peer has %.1s", who, peer_says("from %d", h));
	close(fd);
	peer("close %d", h);
	say("%s: a packet socket: %s", who, result(socket(AF_PACKET, SOCK_RAW, 0)));
}

static void becomes_nobody(void)
{
	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		die("setuid");
}

static void by_setuid(const char *who)
{
	becomes_nobody();
	uses_sockets(who);
}

static void by_setresuid(const char *who)
{
	if (setresuid(NOBODY, NOBODY, NOBODY))
		die("setresuid");
	uses_sockets(who);
}

static void by_setreuid(const char *who)
{
	if (setreuid(NOBODY, NOBODY))
		die("setreuid");
	uses_sockets(who);
}

static void by_number(const char *who)
{
	if (syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY))
		die("SYS_setresuid");
	uses_sockets(who);
}

/* Rights that come and go. */
static void for_the_moment(const char *who)
{
	for (int i = 0; i < 3; i++)
		if (seteuid(NOBODY) || seteuid(0))
			die("seteuid");
	if (seteuid(NOBODY))
		die("seteuid");
	uses_sockets(who);
	if (seteuid(0))
		die("seteuid");
	uses_sockets(who);
}

static void drop_capabilities(int by_number)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		die("capget");
	data[0].effective &= ~NET_RAW;
	data[0].permitted &= ~NET_RAW;
	if (by_number ? syscall(SYS_capset, &header, data) : capset(&header, data))
		die("capset");
}

static void by_capset(const char *who)
{
	drop_capabilities(0);
	uses_sockets(who);
}

static void by_capset_and_number(const char *who)
{
	drop_capabilities(1);
	uses_sockets(who);
}

/* Where there is nothing, no /proc either. */
static void in_a_root_of_its_own(const char *who)
{
	char root[] = "rootXXXXXX";

	if (!mkdtemp(root) || chroot(root) || chdir("/"))
		die("chroot");
	becomes_nobody();
	uses_sockets(who);
}

/* What servers do to be sure that they inherit nothing. */
static void closes_everything(const char *who)
{
	becomes_nobody();
	for (int fd = 3; fd < 300; fd++)
		close(fd);
	close_range(400, ~0u, 0);
	uses_sockets(who);
}

static void goes_to_the_background(const char *who)
{
	int end[2];
	char byte;

	if (pipe(end))
		die("pipe");
	becomes_nobody();
	if (fork() == 0) {
		close(end[0]);
		setsid();
		if (fork() != 0)
			_exit(0);
		uses_sockets(who);
		_exit(0);
	}
	close(end[1]);
	say("%s: its end: %s", who, result(read(end[0], &byte, 1)));
}

/* A filter that lets no packet socket be opened. */
static void is_confined(const char *who)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_PACKET, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT(filter), filter };

	becomes_nobody();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("seccomp");
	uses_sockets(who);
}

/* What it executes finds nothing open, and the limits as they were. */
static void becomes_another(const char *who)
{
	char text[30];
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	snprintf(text, sizeof text, "%lu", (unsigned long)limit.rlim_cur);
	becomes_nobody();
	execl("/proc/self/exe", "rights", who, text, NULL);
	die("execl");
}

static void looks(const char *who, const char *before)
{
	struct rlimit limit;
	int open = 0;

	getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = 3; fd < 500000; fd++)
		open += fcntl(fd, F_GETFD) != -1;
	say("%s: %d open, the limit is as it was: %d", who, open, (rlim_t)atol(before) == limit.rlim_cur);
}

static void in_a_process(void (*body)(const char *who), const char *who)
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		alarm(30);
		peer("close %ld", peer("udp 7"));
		body(who);
		fflush(stdout);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(who);
}

int main(int count, char **arguments)
{
	if (count == 3) {
		looks(arguments[1], arguments[2]);
		return 0;
	}
	in_a_process(by_setuid, "setuid");
	in_a_process(by_setresuid, "setresuid");
	in_a_process(by_setreuid, "setreuid");
	in_a_process(by_number, "by number");
	in_a_process(for_the_moment, "for the moment");
	in_a_process(by_capset, "capset");
	in_a_process(by_capset_and_number, "capset by number");
	in_a_process(in_a_root_of_its_own, "chroot");
	in_a_process(closes_everything, "closes everything");
	in_a_process(goes_to_the_background, "in the background");
	in_a_process(is_confined, "confined");
	in_a_process(becomes_another, "executes");
}
