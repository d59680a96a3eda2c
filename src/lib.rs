//! `libsidestack.so`: the BSD socket calls over our own stack.
//!
//! `abi → socket → driver → {stack, link, control, memory} → sys`

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod abi;
mod control;
mod driver;
mod link;
mod memory;
mod socket;
#[expect(
    dead_code,
    reason = "a part of the stack's contract is used by the tests only"
)]
mod stack;
mod sys;
