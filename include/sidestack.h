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
     * TCP connections that ended by a reset or a timeout.
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
 * Is this descriptor a socket of the stack?
 *
 * Returns 1 if it is or will be unless its first address says otherwise, 0 if the kernel serves it
 * (or it is no socket), -1 with errno EBADF if it is not open.
 */
int sidestack_is_ours(int fd);

/**
 * Why does the kernel serve this descriptor?
 *
 * Writes a sentence to buffer, cut to size bytes including the NUL that always ends it, and returns
 * its whole length without the NUL, as snprintf(3) does: buffer may be NULL if size is 0. Returns 0
 * and an empty string if the stack serves it, -1 with errno EBADF if it is not open, EFAULT if
 * buffer is NULL and size is not 0.
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
 * older than the header, are set to 0. Returns 0; -1 with errno EFAULT if out is NULL, EINVAL if
 * size is no multiple of 8 or is 0. All counters are 0 in a process that has no stack (yet).
 *
 * # Safety
 *
 * `out` has room for `size` bytes.
 */
int sidestack_statistics(struct sidestack_statistics *out,
                         size_t size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

#endif /* SIDESTACK_H */
