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
mod stack;
mod sys;

#[global_allocator]
static HEAP: sys::heap::Heap = sys::heap::Heap;
