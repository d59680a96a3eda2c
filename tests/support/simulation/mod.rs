//! What the tests of the stack share.

pub(crate) mod host;
pub(crate) mod region;
pub(crate) mod wire;
