//! Calls of the C library that end in `bind`, `setsockopt` or `getsockopt` where no hook sees it:
//! bindresvport(3), and those of RFC 3678 that say whose multicast a socket hears.

use core::ffi::c_int;
use core::ops::RangeInclusive;
use rustix::io::Errno;

use super::border::{answer, bytes, errno, fail, read, result, values, write};
use super::{names, sockets};
use crate::sys::raw;

/// Ports that say that a privileged program speaks: those to be tried first, and the others.
const RESERVED: RangeInclusive<u16> = 600..=1023;
const RESERVED_TOO: RangeInclusive<u16> = 512..=599;
/// IP_MSFILTER and MCAST_MSFILTER of linux/in.h.
const IP_MSFILTER: c_int = 41;
const MCAST_MSFILTER: c_int = 48;
/// Most sources a filter may have here; the kernel's own bounds are far below.
const MOST_SOURCES: u32 = 4096;
/// `sizeof(struct sockaddr_storage)`.
const STORAGE: usize = size_of::<libc::sockaddr_storage>();

/// bindresvport(3): binds to a port that takes a right, and writes it, or the last it has tried, into `address`.
/// EADDRINUSE: none is free.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn bindresvport(fd: c_int, address: *mut libc::sockaddr_in) -> c_int {
    let given = match address.is_null() {
        true => Ok(libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: 0 },
            sin_zero: [0; 8],
        }),
        // SAFETY: the program's own argument.
        false => unsafe { read(address) },
    };
    let mut wanted = match given {
        Ok(given) if c_int::from(given.sin_family) == libc::AF_INET => given,
        Ok(_) => return fail(Errno::AFNOSUPPORT),
        Err(errno) => return fail(errno),
    };
    // Processes that start together begin at different ports.
    let turn = raw::process_id() as usize % RESERVED.len();
    let behind = RESERVED.skip(turn).chain(RESERVED.take(turn));
    for port in behind.chain(RESERVED_TOO) {
        wanted.sin_port = port.to_be();
        // As the C library, which writes what it tries.
        if !address.is_null()
            // SAFETY: read above.
            && let Err(errno) = unsafe { write(address, wanted) }
        {
            return fail(errno);
        }
        // SAFETY: an address of our own, which lives across the call.
        let bound = unsafe {
            let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            sockets::bind(fd, (&raw const wanted).cast(), len)
        };
        if bound == 0 || errno() != Errno::ADDRINUSE {
            return bound;
        }
    }
    -1
}

/// What a filter's option has in front of the mode, and how long one of its sources is.
struct Form {
    level: c_int,
    option: c_int,
    whom: Vec<u8>,
    source: usize,
}

impl Form {
    fn inet(group: libc::in_addr, interface: libc::in_addr) -> Self {
        let addresses = [group.s_addr, interface.s_addr];
        Self {
            level: libc::IPPROTO_IP,
            option: IP_MSFILTER,
            whom: addresses.map(u32::to_ne_bytes).concat(),
            source: size_of::<libc::in_addr>(),
        }
    }

    /// EINVAL: the group is of no family that has any.
    ///
    /// # Safety
    /// `group` is the program's.
    unsafe fn any(
        interface: u32,
        (group, len): (*const libc::sockaddr, libc::socklen_t),
    ) -> Result<Self, Errno> {
        // SAFETY: the caller's promise.
        let group = unsafe { bytes(group.cast(), (len as usize).min(STORAGE)) }?;
        let family = group.first_chunk().map(|two| u16::from_ne_bytes(*two));
        let level = match family.map(c_int::from) {
            Some(libc::AF_INET) => libc::IPPROTO_IP,
            Some(libc::AF_INET6) => libc::IPPROTO_IPV6,
            _ => return Err(Errno::INVAL),
        };
        let mut whom = vec![0; 8 + STORAGE];
        whom[..4].copy_from_slice(&interface.to_ne_bytes());
        whom[8..8 + group.len()].copy_from_slice(group);
        Ok(Self {
            level,
            option: MCAST_MSFILTER,
            whom,
            source: STORAGE,
        })
    }

    /// The option's value, with room for `count` sources.
    fn value(&self, mode: u32, count: u32) -> Result<Vec<u8>, Errno> {
        if count > MOST_SOURCES {
            return Err(Errno::NOBUFS);
        }
        let mut value = self.whom.clone();
        value.extend(mode.to_ne_bytes());
        value.extend(count.to_ne_bytes());
        value.resize(value.len() + count as usize * self.source, 0);
        Ok(value)
    }

    /// Where the sources begin.
    fn head(&self) -> usize {
        self.whom.len() + 8
    }

    /// # Safety
    /// `sources` are the program's.
    unsafe fn set(
        &self,
        fd: c_int,
        (mode, count, sources): (u32, u32, *const u8),
    ) -> Result<c_int, Errno> {
        let mut value = self.value(mode, count)?;
        let room = &mut value[self.head()..];
        // SAFETY: the caller's promise.
        room.copy_from_slice(unsafe { bytes(sources.cast(), room.len()) }?);
        let len = value.len() as libc::socklen_t;
        // SAFETY: a buffer of our own, which lives across the call.
        let outcome =
            unsafe { names::setsockopt(fd, self.level, self.option, value.as_ptr().cast(), len) };
        result(outcome)
    }

    /// # Safety
    /// `mode`, `count` and `sources` are the program's.
    unsafe fn get(
        &self,
        fd: c_int,
        (mode, count, sources): (*mut u32, *mut u32, *mut u8),
    ) -> Result<c_int, Errno> {
        // SAFETY: the caller's promise.
        let room = unsafe { read(count) }?;
        let mut value = self.value(0, room)?;
        let mut len = value.len() as libc::socklen_t;
        // SAFETY: a buffer of our own, which lives across the call.
        result(unsafe {
            let buffer = value.as_mut_ptr().cast();
            names::getsockopt(fd, self.level, self.option, buffer, &raw mut len)
        })?;
        let word = |at: usize| {
            value[at..]
                .first_chunk()
                .map_or(0, |four| u32::from_ne_bytes(*four))
        };
        let there = word(self.whom.len() + 4);
        let known = room.min(there) as usize * self.source;
        // SAFETY: the caller's promise.
        unsafe { values(sources, known) }?.copy_from_slice(&value[self.head()..][..known]);
        // SAFETY: the caller's promise.
        unsafe { write(mode, word(self.whom.len())) }?;
        // SAFETY: read above.
        unsafe { write(count, there) }.map(|()| 0)
    }
}

/// setipv4sourcefilter(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setipv4sourcefilter(
    fd: c_int,
    interface: libc::in_addr,
    group: libc::in_addr,
    mode: u32,
    count: u32,
    sources: *const libc::in_addr,
) -> c_int {
    let form = Form::inet(group, interface);
    // SAFETY: the program's own arguments.
    answer(|| unsafe { form.set(fd, (mode, count, sources.cast())) })
}

/// getipv4sourcefilter(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getipv4sourcefilter(
    fd: c_int,
    interface: libc::in_addr,
    group: libc::in_addr,
    mode: *mut u32,
    count: *mut u32,
    sources: *mut libc::in_addr,
) -> c_int {
    let form = Form::inet(group, interface);
    // SAFETY: the program's own arguments.
    answer(|| unsafe { form.get(fd, (mode, count, sources.cast())) })
}

/// setsourcefilter(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn setsourcefilter(
    fd: c_int,
    interface: u32,
    group: *const libc::sockaddr,
    group_len: libc::socklen_t,
    mode: u32,
    count: u32,
    sources: *const libc::sockaddr_storage,
) -> c_int {
    // SAFETY: the program's own arguments.
    answer(|| unsafe {
        Form::any(interface, (group, group_len))?.set(fd, (mode, count, sources.cast()))
    })
}

/// getsourcefilter(3).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn getsourcefilter(
    fd: c_int,
    interface: u32,
    group: *const libc::sockaddr,
    group_len: libc::socklen_t,
    mode: *mut u32,
    count: *mut u32,
    sources: *mut libc::sockaddr_storage,
) -> c_int {
    // SAFETY: the program's own arguments.
    answer(|| unsafe {
        Form::any(interface, (group, group_len))?.get(fd, (mode, count, sources.cast()))
    })
}
