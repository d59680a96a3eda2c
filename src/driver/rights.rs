//! The right to open a packet socket, when the program gives it up before it has a stack.

use super::{ENGINE, Section, lifeline, start};
use crate::link::reserve;
use crate::sys::handlers;
use crate::sys::process::{is_secure, is_vfork_child};

/// The program is about to give the right up, if it has it: a packet socket is kept for the stack it may need. A
/// process whose parent serves it needs none.
pub fn keep_right() {
    if start::is_untried() && !is_vfork_child() && !is_secure() && !lifeline::is_held() {
        undisturbed(reserve::keep);
    }
}

/// The process is about to end, or to become another program.
pub(super) fn leave_right() {
    undisturbed(reserve::leave);
}

/// Runs `work` where no handler of the program's and no fork comes between.
fn undisturbed(work: fn()) {
    if !handlers::enter() {
        let section = Section;
        let slot = ENGINE.lock();
        work();
        drop(slot);
        drop(section);
    }
}
