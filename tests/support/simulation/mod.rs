//! What the tests of the stack share.

pub(crate) mod host;
pub(crate) mod wire;
