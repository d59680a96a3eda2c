//! The next library's functions, found when first called (dlsym(3), RTLD_NEXT).

use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::variadic::VaList;
use crate::sys::cancel::SetType;

/// A function of the next library's, of type `F`.
pub struct Next<F> {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
    _type: PhantomData<F>,
}

impl<F: Copy> Next<F> {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicPtr::new(ptr::null_mut()),
            _type: PhantomData,
        }
    }

    /// The function; `None` if this system has none of that name.
    #[inline]
    pub fn find(&self) -> Option<F> {
        let mut address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            // SAFETY: RTLD_NEXT and a C string.
            address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.address.store(address, Ordering::Relaxed);
        }
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: `F` is the function pointer type that the C library declares under this name
        // (signatures.rs proves it for ours, which are the same), and the address is not null.
        (!address.is_null()).then(|| unsafe { core::mem::transmute_copy(&address) })
    }

    /// The function, of one that every Linux C library has.
    #[inline]
    pub fn get(&self) -> F {
        self.find().unwrap_or_else(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "there is no program without these; going on would mean calling nothing"
            )]
            std::process::abort()
        })
    }
}

type Size = usize;
type Count = isize;
type Address = *const libc::sockaddr;
type AddressOut = *mut libc::sockaddr;
type Positioned =
    unsafe extern "C-unwind" fn(c_int, *const libc::iovec, c_int, libc::off_t, c_int) -> Count;
type Len = libc::socklen_t;

pub static DLOPEN: Next<unsafe extern "C-unwind" fn(*const c_char, c_int) -> *mut c_void> =
    Next::new(c"dlopen");
pub static SOCKET: Next<unsafe extern "C-unwind" fn(c_int, c_int, c_int) -> c_int> =
    Next::new(c"socket");
pub static BIND: Next<unsafe extern "C-unwind" fn(c_int, Address, Len) -> c_int> =
    Next::new(c"bind");
pub static LISTEN: Next<unsafe extern "C-unwind" fn(c_int, c_int) -> c_int> = Next::new(c"listen");
pub static ACCEPT4: Next<unsafe extern "C-unwind" fn(c_int, AddressOut, *mut Len, c_int) -> c_int> =
    Next::new(c"accept4");
pub static ACCEPT: Next<unsafe extern "C-unwind" fn(c_int, AddressOut, *mut Len) -> c_int> =
    Next::new(c"accept");
pub static CONNECT: Next<unsafe extern "C-unwind" fn(c_int, Address, Len) -> c_int> =
    Next::new(c"connect");
pub static SHUTDOWN: Next<unsafe extern "C-unwind" fn(c_int, c_int) -> c_int> =
    Next::new(c"shutdown");
pub static GETSOCKNAME: Next<unsafe extern "C-unwind" fn(c_int, AddressOut, *mut Len) -> c_int> =
    Next::new(c"getsockname");
pub static GETPEERNAME: Next<unsafe extern "C-unwind" fn(c_int, AddressOut, *mut Len) -> c_int> =
    Next::new(c"getpeername");
pub static GETSOCKOPT: Next<
    unsafe extern "C-unwind" fn(c_int, c_int, c_int, *mut c_void, *mut Len) -> c_int,
> = Next::new(c"getsockopt");
pub static SETSOCKOPT: Next<
    unsafe extern "C-unwind" fn(c_int, c_int, c_int, *const c_void, Len) -> c_int,
> = Next::new(c"setsockopt");

pub static SEND: Next<unsafe extern "C-unwind" fn(c_int, *const c_void, Size, c_int) -> Count> =
    Next::new(c"send");
pub static SENDTO: Next<
    unsafe extern "C-unwind" fn(c_int, *const c_void, Size, c_int, Address, Len) -> Count,
> = Next::new(c"sendto");
pub static SENDMSG: Next<unsafe extern "C-unwind" fn(c_int, *const libc::msghdr, c_int) -> Count> =
    Next::new(c"sendmsg");
pub static SENDMMSG: Next<
    unsafe extern "C-unwind" fn(c_int, *mut libc::mmsghdr, c_uint, c_int) -> c_int,
> = Next::new(c"sendmmsg");
pub static RECV: Next<unsafe extern "C-unwind" fn(c_int, *mut c_void, Size, c_int) -> Count> =
    Next::new(c"recv");
pub static RECVFROM: Next<
    unsafe extern "C-unwind" fn(c_int, *mut c_void, Size, c_int, AddressOut, *mut Len) -> Count,
> = Next::new(c"recvfrom");
pub static RECVMSG: Next<unsafe extern "C-unwind" fn(c_int, *mut libc::msghdr, c_int) -> Count> =
    Next::new(c"recvmsg");
pub static RECVMMSG: Next<
    unsafe extern "C-unwind" fn(
        c_int,
        *mut libc::mmsghdr,
        c_uint,
        c_int,
        *mut libc::timespec,
    ) -> c_int,
> = Next::new(c"recvmmsg");
pub static READ: Next<unsafe extern "C-unwind" fn(c_int, *mut c_void, Size) -> Count> =
    Next::new(c"read");
pub static READV: Next<unsafe extern "C-unwind" fn(c_int, *const libc::iovec, c_int) -> Count> =
    Next::new(c"readv");
pub static WRITE: Next<unsafe extern "C-unwind" fn(c_int, *const c_void, Size) -> Count> =
    Next::new(c"write");
pub static WRITEV: Next<unsafe extern "C-unwind" fn(c_int, *const libc::iovec, c_int) -> Count> =
    Next::new(c"writev");
pub static PREADV2: Next<Positioned> = Next::new(c"preadv2");
pub static PWRITEV2: Next<Positioned> = Next::new(c"pwritev2");
pub static SENDFILE: Next<
    unsafe extern "C-unwind" fn(c_int, c_int, *mut libc::off_t, Size) -> Count,
> = Next::new(c"sendfile");

pub static CLOSE: Next<unsafe extern "C-unwind" fn(c_int) -> c_int> = Next::new(c"close");
pub static CLOSE_RANGE: Next<unsafe extern "C-unwind" fn(c_uint, c_uint, c_int) -> c_int> =
    Next::new(c"close_range");
pub static DUP: Next<unsafe extern "C-unwind" fn(c_int) -> c_int> = Next::new(c"dup");
pub static DUP2: Next<unsafe extern "C-unwind" fn(c_int, c_int) -> c_int> = Next::new(c"dup2");
pub static DUP3: Next<unsafe extern "C-unwind" fn(c_int, c_int, c_int) -> c_int> =
    Next::new(c"dup3");
pub static FCNTL: Next<unsafe extern "C-unwind" fn(c_int, c_int, ...) -> c_int> =
    Next::new(c"fcntl");
pub static FCNTL64: Next<unsafe extern "C-unwind" fn(c_int, c_int, ...) -> c_int> =
    Next::new(c"fcntl64");
pub static IOCTL: Next<unsafe extern "C-unwind" fn(c_int, c_ulong, ...) -> c_int> =
    Next::new(c"ioctl");
pub static FDOPEN: Next<unsafe extern "C-unwind" fn(c_int, *const c_char) -> *mut libc::FILE> =
    Next::new(c"fdopen");
pub static FREOPEN: Next<
    unsafe extern "C-unwind" fn(*const c_char, *const c_char, *mut libc::FILE) -> *mut libc::FILE,
> = Next::new(c"freopen");
pub static FREOPEN64: Next<
    unsafe extern "C-unwind" fn(*const c_char, *const c_char, *mut libc::FILE) -> *mut libc::FILE,
> = Next::new(c"freopen64");
pub static VDPRINTF: Next<unsafe extern "C-unwind" fn(c_int, *const c_char, *mut VaList) -> c_int> =
    Next::new(c"vdprintf");
pub static VDPRINTF_CHK: Next<
    unsafe extern "C-unwind" fn(c_int, c_int, *const c_char, *mut VaList) -> c_int,
> = Next::new(c"__vdprintf_chk");
pub static FCLOSE: Next<unsafe extern "C-unwind" fn(*mut libc::FILE) -> c_int> =
    Next::new(c"fclose");

pub static MMAP: Next<
    unsafe extern "C-unwind" fn(*mut c_void, Size, c_int, c_int, c_int, libc::off_t) -> *mut c_void,
> = Next::new(c"mmap");

pub static POLL: Next<
    unsafe extern "C-unwind" fn(*mut libc::pollfd, libc::nfds_t, c_int) -> c_int,
> = Next::new(c"poll");
pub static PPOLL: Next<
    unsafe extern "C-unwind" fn(
        *mut libc::pollfd,
        libc::nfds_t,
        *const libc::timespec,
        *const libc::sigset_t,
    ) -> c_int,
> = Next::new(c"ppoll");
pub static SELECT: Next<
    unsafe extern "C-unwind" fn(
        c_int,
        *mut libc::fd_set,
        *mut libc::fd_set,
        *mut libc::fd_set,
        *mut libc::timeval,
    ) -> c_int,
> = Next::new(c"select");
pub static PSELECT: Next<
    unsafe extern "C-unwind" fn(
        c_int,
        *mut libc::fd_set,
        *mut libc::fd_set,
        *mut libc::fd_set,
        *const libc::timespec,
        *const libc::sigset_t,
    ) -> c_int,
> = Next::new(c"pselect");
pub static EPOLL_CREATE: Next<unsafe extern "C-unwind" fn(c_int) -> c_int> =
    Next::new(c"epoll_create");
pub static EPOLL_CREATE1: Next<unsafe extern "C-unwind" fn(c_int) -> c_int> =
    Next::new(c"epoll_create1");
pub static EPOLL_CTL: Next<
    unsafe extern "C-unwind" fn(c_int, c_int, c_int, *mut libc::epoll_event) -> c_int,
> = Next::new(c"epoll_ctl");
pub static EPOLL_WAIT: Next<
    unsafe extern "C-unwind" fn(c_int, *mut libc::epoll_event, c_int, c_int) -> c_int,
> = Next::new(c"epoll_wait");
pub static EPOLL_PWAIT: Next<
    unsafe extern "C-unwind" fn(
        c_int,
        *mut libc::epoll_event,
        c_int,
        c_int,
        *const libc::sigset_t,
    ) -> c_int,
> = Next::new(c"epoll_pwait");
pub static EPOLL_PWAIT2: Next<
    unsafe extern "C-unwind" fn(
        c_int,
        *mut libc::epoll_event,
        c_int,
        *const libc::timespec,
        *const libc::sigset_t,
    ) -> c_int,
> = Next::new(c"epoll_pwait2");

pub static SYSCONF: Next<unsafe extern "C-unwind" fn(c_int) -> c_long> = Next::new(c"sysconf");
pub static GETDTABLESIZE: Next<unsafe extern "C-unwind" fn() -> c_int> =
    Next::new(c"getdtablesize");
pub static GETRLIMIT: Next<
    unsafe extern "C-unwind" fn(libc::__rlimit_resource_t, *mut libc::rlimit) -> c_int,
> = Next::new(c"getrlimit");
pub static SETRLIMIT: Next<
    unsafe extern "C-unwind" fn(libc::__rlimit_resource_t, *const libc::rlimit) -> c_int,
> = Next::new(c"setrlimit");
pub static PRLIMIT: Next<
    unsafe extern "C-unwind" fn(
        libc::pid_t,
        libc::__rlimit_resource_t,
        *const libc::rlimit,
        *mut libc::rlimit,
    ) -> c_int,
> = Next::new(c"prlimit");

type Strings = *const *const c_char;
type Spawn = unsafe extern "C-unwind" fn(
    *mut libc::pid_t,
    *const c_char,
    *const libc::posix_spawn_file_actions_t,
    *const libc::posix_spawnattr_t,
    *const *mut c_char,
    *const *mut c_char,
) -> c_int;

pub static EXECVE: Next<unsafe extern "C-unwind" fn(*const c_char, Strings, Strings) -> c_int> =
    Next::new(c"execve");
pub static EXECVPE: Next<unsafe extern "C-unwind" fn(*const c_char, Strings, Strings) -> c_int> =
    Next::new(c"execvpe");
pub static FEXECVE: Next<unsafe extern "C-unwind" fn(c_int, Strings, Strings) -> c_int> =
    Next::new(c"fexecve");
pub static EXECVEAT: Next<
    unsafe extern "C-unwind" fn(c_int, *const c_char, Strings, Strings, c_int) -> c_int,
> = Next::new(c"execveat");
pub static POSIX_SPAWN: Next<Spawn> = Next::new(c"posix_spawn");
pub static POSIX_SPAWNP: Next<Spawn> = Next::new(c"posix_spawnp");
pub static POPEN: Next<
    unsafe extern "C-unwind" fn(*const c_char, *const c_char) -> *mut libc::FILE,
> = Next::new(c"popen");
pub static PERROR: Next<unsafe extern "C-unwind" fn(*const c_char)> = Next::new(c"perror");
pub static MLOCKALL: Next<unsafe extern "C-unwind" fn(c_int) -> c_int> = Next::new(c"mlockall");
pub static ISFDTYPE: Next<unsafe extern "C-unwind" fn(c_int, c_int) -> c_int> =
    Next::new(c"isfdtype");
pub static SPLICE: Next<
    unsafe extern "C-unwind" fn(
        c_int,
        *mut libc::loff_t,
        c_int,
        *mut libc::loff_t,
        Size,
        c_uint,
    ) -> Count,
> = Next::new(c"splice");
pub type Signal = unsafe extern "C-unwind" fn(c_int, libc::sighandler_t) -> libc::sighandler_t;

pub static SIGACTION: Next<
    unsafe extern "C-unwind" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int,
> = Next::new(c"sigaction");
pub static SIGNAL: Next<Signal> = Next::new(c"signal");
pub static BSD_SIGNAL: Next<Signal> = Next::new(c"bsd_signal");
pub static SSIGNAL: Next<Signal> = Next::new(c"ssignal");
pub static SYSV_SIGNAL: Next<Signal> = Next::new(c"sysv_signal");
pub static SIGINTERRUPT: Next<unsafe extern "C-unwind" fn(c_int, c_int) -> c_int> =
    Next::new(c"siginterrupt");

pub static PTHREAD_CANCEL: Next<unsafe extern "C-unwind" fn(libc::pthread_t) -> c_int> =
    Next::new(c"pthread_cancel");
pub static PTHREAD_SETCANCELTYPE: Next<SetType> = Next::new(c"pthread_setcanceltype");
type User = libc::uid_t;
pub static SETUID: Next<unsafe extern "C-unwind" fn(User) -> c_int> = Next::new(c"setuid");
pub static SETEUID: Next<unsafe extern "C-unwind" fn(User) -> c_int> = Next::new(c"seteuid");
pub static SETREUID: Next<unsafe extern "C-unwind" fn(User, User) -> c_int> =
    Next::new(c"setreuid");
pub static SETRESUID: Next<unsafe extern "C-unwind" fn(User, User, User) -> c_int> =
    Next::new(c"setresuid");
pub static CHROOT: Next<unsafe extern "C-unwind" fn(*const c_char) -> c_int> = Next::new(c"chroot");
pub static CAPSET: Next<unsafe extern "C-unwind" fn(*mut c_void, *const c_void) -> c_int> =
    Next::new(c"capset");
pub static SYSTEM: Next<unsafe extern "C-unwind" fn(*const c_char) -> c_int> = Next::new(c"system");
pub static FORK_ONLY: Next<unsafe extern "C-unwind" fn() -> libc::pid_t> = Next::new(c"_Fork");
pub static EXIT: Next<unsafe extern "C-unwind" fn(c_int) -> !> = Next::new(c"_exit");
