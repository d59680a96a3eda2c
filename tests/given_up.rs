//! Descriptors of a process that gives up its stack.

#[expect(dead_code, reason = "only descriptors are used here")]
#[path = "../src/sys/mod.rs"]
mod sys;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::AsRawFd;

use sys::{descriptor, raw};

/// What a thread has at that moment it drops later. The number may be the program's by then.
#[test]
fn who_drops_what_was_closed_by_its_number_leaves_that_to_whoever_has_it() {
    descriptor::set_apart();
    let make = || eventfd(0, EventfdFlags::CLOEXEC);
    let ours = descriptor::high(make).expect("a descriptor");
    let number = ours.as_raw_fd();
    assert!(descriptor::is_ours(number));
    descriptor::close_ours_but(&[]);
    assert!(raw::fcntl(number, libc::F_GETFD, 0).is_err(), "it is open");
    raw::dup3(0, number, 0).expect("the number is free");
    drop(ours);
    assert!(raw::fcntl(number, libc::F_GETFD, 0).is_ok(), "it is closed");
}
