//! The right to open a packet socket, when the program gives it up.

use super::{ENGINE, Engine, Section, lifeline, start};
use crate::link::kept;
use crate::sys::handlers;
use crate::sys::process::{is_secure, is_vfork_child};

/// The program is about to give the right up, if it has it. Packet sockets are kept for the stack that it may need, or
/// for the ring of the one it has. A process whose parent serves it needs none.
pub fn keep_right() {
    if is_vfork_child() || is_secure() {
        return;
    }
    undisturbed(|engine| {
        kept::keep(match engine {
            Some(engine) => usize::from(!engine.intake.ring_asked),
            None if start::is_untried() && !lifeline::is_held() => 2,
            None => 0,
        });
    });
}

/// Runs `work` where no handler of the program's and no fork comes between.
fn undisturbed(work: impl FnOnce(Option<&Engine>)) {
    if !handlers::enter() {
        let section = Section;
        let slot = ENGINE.lock();
        work(slot.as_deref());
        drop(slot);
        drop(section);
    }
}
