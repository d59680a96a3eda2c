//! `sidestack`: what runs beside the library.

fn main() {}
