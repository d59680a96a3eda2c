//! Runs inputs the fuzzer saved, or random ones if none is named.

use std::process::ExitCode;

const RANDOM_INPUTS: u64 = 1000;

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        (0..RANDOM_INPUTS).for_each(|seed| sidestack_fuzz::run(&sidestack_fuzz::random(seed)));
    }
    for file in files {
        match std::fs::read(&file) {
            Ok(input) => sidestack_fuzz::run(&input),
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
