/* What a process can do with a socket that another one has held, too, when that has closed it, was killed, or has become
 * this one by execve(2): a few calls in each state, for each way. */
#include "states/states.h"

#include <sys/mman.h>

/* The last but two are a pair's alone once the process is killed that had them first, the last ones if it has closed them,
 * too. */
static const char *const tcp_states[] = {
	"listening", "listening caller", "connected", "accepted", "connected data", "connected fin", "connected data fin",
	"connected wr", "connected data wr",
	"bound", "connected wr data fin", "connected rst", "refused",
};
#define FEW 2
#define BASE (COUNT(tcp_states) - 2 * FEW)
static const char *const udp_states[] = {
	"bound", "bound datagram", "connected", "connected datagram", "connected empty", "bound datagram empty datagram",
};
static const char *const tcp_names[] = {
	"recv 100", "recv 100 PEEK", "recv 4 TRUNC", "read 100", "recvmsg 4", "send 1", "write 1", "writev 3+5", "sendfile 10",
	"connect", "bind", "listen", "accept", "shutdown RD", "shutdown WR", "shutdown RDWR", "SO_ERROR", "set SO_KEEPALIVE",
	"set TCP_NODELAY", "set IP_TTL", "close", "close, linger 0",
};
static const char *const udp_names[] = {
	"recv 100", "recv 100 PEEK", "read 100", "recvfrom 100", "send 1", "write 1", "sendto 1", "connect", "connect AF_UNSPEC",
	"bind", "shutdown WR", "SO_ERROR", "set IP_TTL", "close",
};

#define MOST 32

static const struct call *const calls[] = { receiving, sending, changing, NULL };

static const struct kind {
	const char *name;
	struct suite suite;
	const char *const *states, *const *names;
	size_t state_count, name_count;
} kinds[] = {
	{ "TCP", { tcp_steps, tcp_looks, calls, NULL }, tcp_states, tcp_names, BASE, COUNT(tcp_names) },
	{ "UDP", { udp_steps, udp_looks, calls, NULL }, udp_states, udp_names, COUNT(udp_states), COUNT(udp_names) },
	{ "TCP", { tcp_steps, tcp_looks, calls, NULL }, tcp_states + BASE, tcp_names, FEW, COUNT(tcp_names) },
	{ "TCP", { tcp_steps, tcp_looks, calls, NULL }, tcp_states + BASE + FEW, tcp_names, FEW, COUNT(tcp_names) },
};

static struct scene *scenes;
static size_t count;
static int done;                                /* where it is said that all calls were made */

static void close_all(void)
{
	for (size_t i = 0; i < count; i++)
		close(scenes[i].fd);
}

/* Each way returns in the process that makes the calls. `gone` is readable once the other one is done with its sockets. */

static pid_t forked(int *gone)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		die("pipe");
	fflush(stdout);
	pid = fork();
	close(ends[pid == 0]);
	*gone = ends[pid != 0];
	return pid;
}

static void await_gone(int gone)
{
	char b;

	if (read(gone, &b, 1) != 0)
		die("read");
	close(gone);
}

static void parent_closes(void)
{
	int gone, status;
	pid_t pid = forked(&gone);

	if (pid == 0) {
		await_gone(gone);
		return;
	}
	close_all();
	close(gone);
	waitpid(pid, &status, 0);
	_exit(WEXITSTATUS(status));
}

static void parent_is_killed(void)
{
	pid_t parent = getpid();
	int gone;

	if (forked(&gone) == 0) {
		await_gone(gone);
		/* It closes its descriptors one by one. */
		while (getppid() == parent)
			nap(1);
		return;
	}
	await_keeper();
	kill(getpid(), SIGKILL);
}

static void child_ends(int killed)
{
	int gone, status;
	pid_t pid = forked(&gone);

	if (pid == 0) {
		if (killed)
			kill(getpid(), SIGKILL);
		close_all();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	close(gone);
}

static void child_closes(void)
{
	child_ends(0);
}

static void child_is_killed(void)
{
	child_ends(1);
}

static const struct way {
	const char *name;
	void (*go)(void);                       /* NULL: by execve(2) */
	size_t kinds;
} ways[] = {
	{ "the parent closes", parent_closes, 3 }, { "the child closes", child_closes, 4 },
	{ "the child is killed", child_is_killed, 4 }, { "the parent is killed", parent_is_killed, 2 }, { "executed", NULL, 3 },
};

/* Whether a call goes as the kernel's in another process: a listener's pair that is shut down there stays so. */
static int is_told_alike(const char *state, const char *name)
{
	int shuts = !strcmp(name, "shutdown RD") || !strcmp(name, "shutdown RDWR");

	return !(shuts && !strncmp(state, "listening", 9));
}

/* The name that a socket's file has on its own, if it is a unix one's. */
static void unix_name(int fd, char name[128])
{
	char link[64], file[64] = "", line[256];
	FILE *names = fopen("/proc/net/unix", "r");
	unsigned long inode = 0, other;

	sprintf(link, "/proc/self/fd/%d", fd);
	if (readlink(link, file, sizeof file - 1) > 0)
		sscanf(file, "socket:[%lu]", &inode);
	name[0] = 0;
	while (names && !name[0] && fgets(line, sizeof line, names))
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu %127s", &other, name) != 2 || other != inode)
			name[0] = 0;
	if (names)
		fclose(names);
}

/* Whether somebody listens under a name. */
static int is_there(const char *name)
{
	char line[256];
	FILE *names = fopen("/proc/net/unix", "r");
	int found = 0;

	while (names && !found && fgets(line, sizeof line, names))
		found = strstr(line, name) != NULL;
	if (names)
		fclose(names);
	return found;
}

/* Who goes on with the sockets may have to be waited for: the call gives them the name that says who. */
static void await_owner(void)
{
	char name[128], owner[64];
	unsigned long long engine;

	get_int(scenes[0].fd, SOL_SOCKET, SO_DOMAIN);
	unix_name(scenes[0].fd, name);
	if (sscanf(name, "@sidestack/socket/%16llx", &engine) != 1)
		return;
	sprintf(owner, "@sidestack/stack/%016llx", engine);
	for (int i = 0; !is_there(owner); i++, nap(5))
		if (i == 2000)
			die("nobody goes on with the sockets");
}

static void make_calls(const char *way, const struct kind *kind, const char *state)
{
	const struct call *named[MOST];
	struct call looks[64] = { 0 };
	struct suite suite = kind->suite;
	char label[128];
	size_t alike = 0, looked = 0;

	await_owner();
	for (const struct call *look = suite.looks; look->name && looked < COUNT(looks) - 1; look++)
		if (is_told_alike(state, look->name))
			looks[looked++] = *look;
	suite.looks = looks;
	for (size_t i = 0; i < kind->name_count; i++) {
		named[alike] = call_named(&suite, kind->names[i]);
		alike += is_told_alike(state, kind->names[i]);
	}
	snprintf(label, sizeof label, "%s: %s %s", way, kind->name, state);
	/* What is not called is left with the rest. */
	scenes[alike] = scenes[count - 1];
	call_in(&suite, label, scenes, named, alike);
	fflush(stdout);
	if (write(done, "d", 1) != 1)
		die("write");
	_exit(0);
}

static struct scene *shared_scenes(int memory)
{
	scenes = mmap(NULL, MOST * sizeof *scenes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (scenes == MAP_FAILED)
		die("mmap");
	return scenes;
}

/* The process that has the sockets first. */
static void lead_there(const char *self, const struct way *way, size_t kind, size_t state)
{
	const struct kind *k = &kinds[kind];
	int memory = memfd_create("scenes", 0);
	char words[4][24];

	if (memory < 0 || ftruncate(memory, MOST * sizeof *scenes))
		die("memfd_create");
	shared_scenes(memory);
	count = k->name_count + 1;
	lead(k->states[state], k->suite.steps, scenes, count);
	if (way->go) {
		way->go();
		make_calls(way->name, k, k->states[state]);
	}
	sprintf(words[0], "%d", memory);
	sprintf(words[1], "%zu", kind);
	sprintf(words[2], "%zu", state);
	sprintf(words[3], "%d", done);
	leave_peer();
	execv(self, (char *const[]){ (char *)self, words[0], words[1], words[2], words[3], NULL });
	die("execv");
}

static void await_family(pid_t leader, int end)
{
	struct pollfd p = { end, POLLIN, 0 };
	char b;

	if (poll(&p, 1, 60000) != 1 || read(end, &b, 1) != 1)
		die("a family that has not made its calls");
	waitpid(leader, NULL, 0);
	close(end);
}

int main(int words, char **arguments)
{
	if (words == 5) {
		const struct kind *kind = &kinds[atoi(arguments[2])];

		shared_scenes(atoi(arguments[1]));
		count = kind->name_count + 1;
		done = atoi(arguments[4]);
		take_peer();
		if (kind == &kinds[1])
			know_datagram_peer(scenes[0].peer);
		count_signal(SIGPIPE, 0);
		make_calls("executed", kind, kind->states[atoi(arguments[3])]);
	}
	count_signal(SIGPIPE, 0);
	for (size_t way = 0; way < COUNT(ways); way++)
		for (size_t kind = 0; kind < ways[way].kinds; kind++)
			for (size_t state = 0; state < kinds[kind].state_count; state++) {
				int ends[2];
				pid_t leader;

				if (pipe(ends))
					die("pipe");
				fflush(stdout);
				leader = fork();
				if (leader == 0) {
					close(ends[0]);
					done = ends[1];
					lead_there(arguments[0], &ways[way], kind, state);
				}
				close(ends[1]);
				await_family(leader, ends[0]);
			}
	return 0;
}
