//! Whatever arrives, nothing panics.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| sidestack_fuzz::run(input));
