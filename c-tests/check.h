/* What the C tests share. Each test prints lines that depend on nothing but the behaviour of the calls it makes:
 * no time, no address it did not choose, no descriptor number beyond the first. Its output on the kernel is what
 * is expected of it everywhere else. A line shows one call: C does not say in which order arguments are evaluated.
 *
 * The peer (peer.c) is a program on the other side of the wire, always on the kernel's stack; see there for what
 * it can be asked. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The lab's addresses; see tests/support/lab. */
#define PEER "10.23.7.1"
#define TEST "10.23.7.2"
#define EVERYBODY "10.23.7.255"
#define GROUP "239.23.7.1"
#define ABSENT "10.23.7.99"
#define BLACKHOLE 9
#define UNREACHABLE 4000

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Output */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *result(long returned);     /* the number, or errno's name for -1 */
const char *ok(long returned);         /* "ok", or errno's name for -1 */
const char *name_of(int error);        /* errno's name; "0" for 0 */
const char *poll_flags(int flags);     /* "IN|OUT", "none" */
const char *epoll_flags(unsigned flags);
void die(const char *what);            /* a failure of the test itself */

/* Asking the peer. The reply's first number; dies when the peer reports an error. */
long peer(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *peer_says(const char *format, ...) __attribute__((format(printf, 1, 2))); /* the whole reply */

/* The peer's handles end with the connection to it: a program that executes another leaves it that, which takes it. */
void leave_peer(void);
void take_peer(void);

/* Addresses */
struct sockaddr_in address(const char *ip, int port);
int port_of(int fd);                   /* the local port */
#define SA(a) ((struct sockaddr *)&(a))

/* Sockets; each dies when it fails */
int tcp(void);
int udp(void);
int nonblocking(int fd);               /* returns fd */
int bound(int fd, const char *ip, int port);
int listening(int port, int backlog);  /* on 0.0.0.0 */
int dialed(int port);                  /* a connection to the peer's port */
int connected(int *handle);            /* a connection to the peer and the peer's handle of it */
int accepted(int *handle);             /* a connection that the peer opened, likewise */
int pending_error(int fd);             /* SO_ERROR */
void set_int(int fd, int level, int option, int value);
int get_int(int fd, int level, int option);
int tcp_state(int fd);                 /* tcpi_state */
void pass(int to, int fd);             /* passes fd on (SCM_RIGHTS) */
int take_passed(int from);             /* takes what was passed */

/* What no program may read or write, and a length nobody may give; the compiler does not see through them. */
extern void *volatile bad_pointer;
extern volatile int minus_one;

/* Waiting; all end */
int events_now(int fd);                /* every poll event, without waiting */
int wait_for(int fd, int events);      /* until one of events, or 3 s: what poll reports */
int wait_state(int fd, int state);     /* until the connection is in that state, or 3 s: the one it is in */
void nap(int milliseconds);
long long milliseconds(void);
/* "at once" (nothing was expected), "in time", "early" or "late": whether `since` lies `expected` ms back */
const char *elapsed(long long since, int expected);

/* Data: byte i of every stream is pattern(i) */
unsigned char pattern(uint64_t i);
void fill(void *buffer, size_t count, uint64_t offset);
uint64_t fnv(uint64_t hash, const void *data, size_t count);
#define FNV_START UINT64_C(0xcbf29ce484222325)
void send_all(int fd, size_t count);   /* pattern(0..count) */
uint64_t hash_all(int fd, size_t count); /* receives count bytes, or to the end */

/* Until somebody will go on with this process's sockets when it is killed */
void await_keeper(void);

/* Signals */
extern volatile sig_atomic_t signals_seen;
void count_signal(int number, int flags); /* installs a handler that counts */
void signal_later(int number, int milliseconds_from_now); /* to the calling thread */

#endif
