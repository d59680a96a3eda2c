//! Control messages for the program (cmsg(3)), laid out as the kernel's put_cmsg does.

use rustix::io::Errno;

use super::border::values;
use crate::socket::datagram::Told;
use crate::sys::cmsg::{self, ALIGN, HEADER};

/// Writes `told` to the message's control buffer as far as it fits (MSG_CTRUNC), and says how much
/// of it is used.
///
/// # Safety
/// `message` is the program's.
pub(super) unsafe fn give(message: &mut libc::msghdr, told: &[Told]) -> Result<(), Errno> {
    let room = match message.msg_control.is_null() {
        true => 0,
        false => message.msg_controllen,
    };
    let mut used = 0;
    for told in told {
        let left = room - used;
        let whole = HEADER + told.data.len();
        if left < whole {
            message.msg_flags |= libc::MSG_CTRUNC;
        }
        if left < HEADER {
            break;
        }
        let len = whole.min(left);
        let mut bytes = Vec::with_capacity(whole);
        bytes.extend_from_slice(&cmsg::header(len, told.level, told.kind));
        bytes.extend_from_slice(&told.data);
        let start = message.msg_control.cast::<u8>().wrapping_add(used);
        // SAFETY: the program's own buffer, of which `left` bytes follow.
        unsafe { values(start, len) }?.copy_from_slice(&bytes[..len]);
        used += whole.next_multiple_of(ALIGN).min(left);
    }
    message.msg_controllen = used;
    Ok(())
}
