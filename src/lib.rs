//! `libsidestack.so`: the BSD socket calls over our own stack.
//!
//! `abi → socket → driver → {stack, link, control, memory} → sys`

mod control;
mod link;
mod stack;
mod sys;
