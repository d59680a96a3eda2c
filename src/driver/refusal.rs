//! Why the stack cannot serve a process, in words that tell what to do.

use core::fmt;
use rustix::io::Errno;

use crate::sys::words;

/// Why the stack cannot serve.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) required: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.required {
            "socket calls fail, as SIDESTACK_REQUIRED asks"
        } else {
            "this program runs on the kernel's stack"
        };
        write!(f, "{}; {rest}", self.reason)
    }
}

/// Why there is no packet socket.
pub(super) fn explain_packet_socket(errno: Errno, interface: &str) -> String {
    match errno {
        Errno::PERM | Errno::ACCESS => {
            "no right to open a packet socket: CAP_NET_RAW is missing; run as root or with that \
             capability in the ambient set (`sidestack doctor` says how; not by setcap on the \
             program, which makes the loader ignore LD_PRELOAD)"
                .into()
        }
        Errno::MFILE | Errno::NFILE => "no descriptor left for the packet socket".into(),
        Errno::NOPROTOOPT => "the kernel is too old for the packet socket's options".into(),
        errno => format!(
            "cannot open a packet socket on interface \"{interface}\": {}",
            words::of(errno)
        ),
    }
}
