/* sidestack.h: the BSD socket calls over a stack of one's own; see libsidestack(7).
   Generated from src/abi by cbindgen: do not edit. SPDX-License-Identifier: MIT OR Apache-2.0 */

#ifndef SIDESTACK_H
#define SIDESTACK_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* Not all of these are defined for every choice of _GNU_SOURCE, _POSIX_C_SOURCE and -std. */
struct epoll_event;
struct iovec;
struct mmsghdr;
struct timespec;

/* With _GNU_SOURCE the C library's address arguments are unions of pointers: the same call, but not
   the same type to the letter of ISO C. */
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif


/**
 * Counters of this process's stack since it started.
 *
 * Later versions append fields and change none.
 */
struct sidestack_statistics {
    /**
     * Frames taken from the interface.
     */
    uint64_t frames_received;
    /**
     * Frames given to the interface; one of up to 64 KiB counts as one.
     */
    uint64_t frames_sent;
    /**
     * Bytes in frames_received, link headers included.
     */
    uint64_t bytes_received;
    /**
     * Bytes in frames_sent, link headers included.
     */
    uint64_t bytes_sent;
    /**
     * Frames the kernel dropped because the stack did not fetch them in time.
     */
    uint64_t frames_lost;
    /**
     * Frames the stack dropped: damaged, malformed, or for nobody.
     */
    uint64_t frames_refused;
    /**
     * TCP connections that exist now, in any state.
     */
    uint64_t tcp_connections;
    /**
     * TCP connections opened by connect().
     */
    uint64_t tcp_opened;
    /**
     * TCP connections opened by a peer.
     */
    uint64_t tcp_accepted;
    /**
     * TCP connections that their peers have reset.
     */
    uint64_t tcp_aborted;
    /**
     * TCP segments received.
     */
    uint64_t tcp_segments_received;
    /**
     * TCP segments sent.
     */
    uint64_t tcp_segments_sent;
    /**
     * TCP segments sent again.
     */
    uint64_t tcp_segments_retransmitted;
    /**
     * UDP datagrams received.
     */
    uint64_t udp_datagrams_received;
    /**
     * UDP datagrams sent.
     */
    uint64_t udp_datagrams_sent;
    /**
     * Internet sockets that were left to the kernel.
     */
    uint64_t sockets_left_to_kernel;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, like "0.1.0". Never NULL; lives as long as the library.
 */
const char *sidestack_version(void);

/**
 * Whether this descriptor is a socket of the stack.
 *
 * Returns 1 if it is or will be unless its first address says otherwise, 0 if the kernel serves it
 * (or it is no socket), -1 with errno EBADF if it is not open.
 */
int sidestack_is_ours(int fd);

/**
 * Why the kernel serves this descriptor.
 *
 * Writes a sentence to buffer, cut to size bytes including the NUL that always ends it, and returns
 * its whole length without the NUL, as snprintf(3) does: buffer may be NULL if size is 0. Returns 0
 * and an empty string if the stack serves it, -1 with errno EBADF if it is not open, EFAULT if
 * buffer points nowhere and size is not 0.
 *
 * # Safety
 *
 * `buffer` has room for `size` bytes.
 */
int sidestack_why_not(int fd,
                      char *buffer,
                      size_t size);

/**
 * The counters of this process's stack.
 *
 * Fills the first size bytes of out: give sizeof(*out). Fields that the library does not know, being
 * older than the header, are set to 0. Returns 0; -1 with errno EFAULT if out points nowhere, EINVAL
 * if size is no multiple of 8 or is 0. All counters are 0 in a process that has no stack (yet).
 *
 * # Safety
 *
 * `out` has room for `size` bytes.
 */
int sidestack_statistics(struct sidestack_statistics *out,
                         size_t size);

/**
 * close(2).
 */
int close(int fd);

/**
 * close_range(2): ours stay open.
 */
int close_range(unsigned int first, unsigned int last, int flags);

/**
 * closefrom(3): ours stay open.
 */
void closefrom(int first);

/**
 * dup(2).
 */
int dup(int fd);

/**
 * dup2(2).
 */
int dup2(int old, int new_);

/**
 * dup3(2).
 */
int dup3(int old, int new_, int flags);

/**
 * epoll_create(2).
 */
int epoll_create(int size);

/**
 * epoll_create1(2).
 */
int epoll_create1(int flags);

/**
 * epoll_ctl(2).
 */
int epoll_ctl(int set, int operation, int fd, struct epoll_event *event);

/**
 * epoll_wait(2).
 */
int epoll_wait(int set, struct epoll_event *events, int most, int timeout);

/**
 * epoll_pwait(2).
 */
int epoll_pwait(int set,
                struct epoll_event *events,
                int most,
                int timeout,
                const sigset_t *mask);

/**
 * epoll_pwait2(2).
 */
int epoll_pwait2(int set,
                 struct epoll_event *events,
                 int most,
                 const struct timespec *timeout,
                 const sigset_t *mask);

/**
 * sendmsg(2).
 */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags);

/**
 * sendmmsg(2).
 */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags);

/**
 * recvmsg(2).
 */
ssize_t recvmsg(int fd, struct msghdr *message, int flags);

/**
 * recvmmsg(2).
 */
int recvmmsg(int fd,
             struct mmsghdr *messages,
             unsigned int count,
             int flags,
             struct timespec *timeout);

/**
 * getsockname(2).
 */
int getsockname(int fd, struct sockaddr *address, socklen_t *len);

/**
 * getpeername(2).
 */
int getpeername(int fd, struct sockaddr *address, socklen_t *len);

/**
 * setsockopt(2).
 */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len);

/**
 * getsockopt(2).
 */
int getsockopt(int fd, int level, int name, void *value, socklen_t *len);

/**
 * poll(2).
 */
int poll(struct pollfd *fds, nfds_t count, int timeout);

/**
 * ppoll(2).
 */
int ppoll(struct pollfd *fds,
          nfds_t count,
          const struct timespec *timeout,
          const sigset_t *mask);

/**
 * perror(3), which makes a copy of the descriptor of standard error if it can, and changes errno by that. A program that
 * tells of EMFILE, and then looks at errno, relies on there being no number for the copy.
 */
void perror(const char *text);

/**
 * mlockall(2), of all memory but the library's own, which may become large.
 */
int mlockall(int flags);

/**
 * pthread_setcanceltype(3): within calls of ours no thread is cancelled at any moment.
 */
int pthread_setcanceltype(int kind, int *old);

/**
 * select(2).
 */
int select(int count,
           fd_set *readable,
           fd_set *writable,
           fd_set *exceptional,
           struct timeval *timeout);

/**
 * pselect(2).
 */
int pselect(int count,
            fd_set *readable,
            fd_set *writable,
            fd_set *exceptional,
            const struct timespec *timeout,
            const sigset_t *mask);

/**
 * socket(2).
 */
int socket(int domain, int kind, int protocol);

/**
 * bind(2).
 */
int bind(int fd, const struct sockaddr *address, socklen_t len);

/**
 * listen(2).
 */
int listen(int fd, int backlog);

/**
 * connect(2).
 */
int connect(int fd, const struct sockaddr *address, socklen_t len);

/**
 * accept(2).
 */
int accept(int fd, struct sockaddr *address, socklen_t *len);

/**
 * accept4(2).
 */
int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

/**
 * shutdown(2).
 */
int shutdown(int fd, int how);

/**
 * send(2).
 */
ssize_t send(int fd, const void *buffer, size_t len, int flags);

/**
 * sendto(2).
 */
ssize_t sendto(int fd,
                 const void *buffer,
                 size_t len,
                 int flags,
                 const struct sockaddr *to,
                 socklen_t to_len);

/**
 * recv(2).
 */
ssize_t recv(int fd, void *buffer, size_t len, int flags);

/**
 * recvfrom(2).
 */
ssize_t recvfrom(int fd,
                   void *buffer,
                   size_t len,
                   int flags,
                   struct sockaddr *from,
                   socklen_t *from_len);

/**
 * read(2).
 */
ssize_t read(int fd, void *buffer, size_t len);

/**
 * write(2).
 */
ssize_t write(int fd, const void *buffer, size_t len);

/**
 * readv(2).
 */
ssize_t readv(int fd, const struct iovec *parts, int count);

/**
 * writev(2).
 */
ssize_t writev(int fd, const struct iovec *parts, int count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

#endif /* SIDESTACK_H */
