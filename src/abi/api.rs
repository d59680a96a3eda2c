//! The `sidestack_*` API: what a program may ask when it knows whom it runs on.
//!
//! For programs that link the library (`pkg-config sidestack`), or look these names up with dlsym(3)
//! to work with and without it. Everything else a program needs is the standard socket calls.

use core::ffi::{c_char, c_int};
use core::mem::size_of;
use rustix::io::Errno;

use super::border::{answer, values};
use crate::socket::report;

/// The version as what(1) finds it in the file, from where `sidestack doctor` reads it.
#[used]
static VERSION_MARK: &str = concat!("@(#)libsidestack ", env!("CARGO_PKG_VERSION"), "\0");
/// Bytes of the mark before the version.
const VERSION_START: usize = "@(#)libsidestack ".len();

/// Counters of this process's stack since it started.
///
/// Later versions append fields and change none.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Statistics {
    /// Frames taken from the interface.
    pub frames_received: u64,
    /// Frames given to the interface; one of up to 64 KiB counts as one.
    pub frames_sent: u64,
    /// Bytes in frames_received, link headers included.
    pub bytes_received: u64,
    /// Bytes in frames_sent, link headers included.
    pub bytes_sent: u64,
    /// Frames the kernel dropped because the stack did not fetch them in time.
    pub frames_lost: u64,
    /// Frames the stack dropped: damaged, malformed, or for nobody.
    pub frames_refused: u64,
    /// TCP connections that exist now, in any state.
    pub tcp_connections: u64,
    /// TCP connections opened by connect().
    pub tcp_opened: u64,
    /// TCP connections opened by a peer.
    pub tcp_accepted: u64,
    /// TCP connections that were never established: refused, reset or timed out.
    pub tcp_failed: u64,
    /// TCP connections reset by their peer.
    pub tcp_resets_received: u64,
    /// TCP resets sent.
    pub tcp_resets_sent: u64,
    /// TCP segments received.
    pub tcp_segments_received: u64,
    /// TCP segments sent; one of up to 64 KiB counts as one.
    pub tcp_segments_sent: u64,
    /// TCP segments sent again.
    pub tcp_segments_retransmitted: u64,
    /// Internet sockets that were left to the kernel.
    pub sockets_left_to_kernel: u64,
}

/// The counters behind the fields of [`Statistics`], in their order, as `sidestack stat` names them.
const FIELDS: [&str; size_of::<Statistics>() / WORD] = [
    "frames_received",
    "frames_sent",
    "bytes_received",
    "bytes_sent",
    "frames_lost",
    "frames_refused",
    "tcp_connections",
    "tcp_opened",
    "tcp_accepted",
    "tcp_failed",
    "tcp_resets_received",
    "tcp_resets_sent",
    "tcp_segments_received",
    "tcp_segments_sent",
    "tcp_segments_retransmitted",
    "sockets_left_to_kernel",
];

/// Bytes of a field.
const WORD: usize = size_of::<u64>();

/// The version of the library, like "0.1.0". Never NULL; lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn sidestack_version() -> *const c_char {
    VERSION_MARK[VERSION_START..].as_ptr().cast()
}

/// Is this descriptor a socket of the stack?
///
/// Returns 1 if it is or will be unless its first address says otherwise, 0 if the kernel serves it
/// (or it is no socket), -1 with errno EBADF if it is not open.
#[unsafe(no_mangle)]
pub extern "C" fn sidestack_is_ours(fd: c_int) -> c_int {
    answer(|| report::is_ours(fd).map(c_int::from))
}

/// Why does the kernel serve this descriptor?
///
/// Writes a sentence to buffer, cut to size bytes including the NUL that always ends it, and returns
/// its whole length without the NUL, as snprintf(3) does: buffer may be NULL if size is 0. Returns 0
/// and an empty string if the stack serves it, -1 with errno EBADF if it is not open, EFAULT if
/// buffer has no room for size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sidestack_why_not(fd: c_int, buffer: *mut c_char, size: usize) -> c_int {
    answer(|| {
        let reason = report::why_not(fd)?.unwrap_or_default();
        let count = reason.len().min(size.saturating_sub(1));
        // SAFETY: the program's own buffer of `size` bytes.
        let room = unsafe { values(buffer.cast::<u8>(), size.min(count + 1)) }?;
        if let Some((end, text)) = room.split_last_mut() {
            text.copy_from_slice(&reason.as_bytes()[..count]);
            *end = 0;
        }
        Ok(c_int::try_from(reason.len()).unwrap_or(c_int::MAX))
    })
}

/// The counters of this process's stack.
///
/// Fills the first size bytes of out: give sizeof(*out). Fields that the library does not know, being
/// older than the header, are set to 0. Returns 0; -1 with errno EFAULT if out has no room for size
/// bytes, EINVAL if size is no multiple of 8 or is 0. All counters are 0 in a process that has no
/// stack (yet).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sidestack_statistics(out: *mut Statistics, size: usize) -> c_int {
    answer(|| {
        if size == 0 || !size.is_multiple_of(WORD) {
            return Err(Errno::INVAL);
        }
        // SAFETY: the program's own buffer of `size` bytes.
        let room = unsafe { values(out.cast::<u8>(), size) }?;
        let counters = report::counters();
        for (at, field) in room.chunks_exact_mut(WORD).enumerate() {
            let counter = counters.iter().find(|(name, _)| FIELDS.get(at) == Some(name));
            field.copy_from_slice(&counter.map_or(0, |(_, count)| *count).to_ne_bytes());
        }
        Ok(0)
    })
}
