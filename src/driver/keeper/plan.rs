//! What a keeper was started with.

use rustix::fd::{FromRawFd, RawFd};

use crate::sys::local;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::borrow;

/// What the command line says.
#[derive(Debug, Default)]
pub struct Plan {
    /// Names and values of variables, which are the settings of its stack.
    pub(super) settings: Vec<(Vec<u8>, Vec<u8>)>,
    /// Users whom it serves besides root and its own.
    pub(super) admitted: Vec<u32>,
    /// Sockets each of them may have.
    pub(super) sockets: Option<usize>,
    /// Where it listens, if whoever started it has made that.
    pub(super) listener: Option<OwnedFd>,
}

impl Plan {
    /// Reads the command's words: `allow=<uid>`, `sockets=<count>`, `listener=<fd>`, and `SIDESTACK_<NAME>=<value>`. The
    /// error is a sentence.
    ///
    /// # Errors
    /// A word is none of these.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, String> {
        let mut plan = Self::default();
        for word in words {
            let shown = String::from_utf8_lossy(word);
            let unknown = || format!("the command and its library do not agree about \"{shown}\"");
            let at = word.iter().position(|&byte| byte == b'=');
            let (name, value) = word.split_at(at.ok_or_else(unknown)?);
            let value = &value[1..];
            let number = || core::str::from_utf8(value).ok()?.parse::<u32>().ok();
            match name {
                b"allow" => plan.admitted.push(number().ok_or_else(unknown)?),
                b"sockets" => plan.sockets = Some(number().ok_or_else(unknown)? as usize),
                b"listener" => {
                    let fd = number().and_then(|fd| RawFd::try_from(fd).ok());
                    let fd = fd.ok_or_else(unknown)?;
                    rustix::io::fcntl_getfd(borrow(fd))
                        .map_err(|_| format!("descriptor {fd}, to listen on, is not open"))?;
                    // SAFETY: the descriptor is open, for this process, which has no other use for
                    // the number.
                    plan.listener = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                }
                _ if name.starts_with(b"SIDESTACK_") => {
                    plan.settings.push((name.to_vec(), value.to_vec()));
                }
                _ => return Err(unknown()),
            }
        }
        Ok(plan)
    }

    /// Whether a user's programs are served.
    pub(super) fn admits(&self, user: u32) -> bool {
        user == 0 || user == local::own_user() || self.admitted.contains(&user)
    }
}
