//! `sidestack`: what runs beside the library.
//!
//! It never loads the library's symbols, so std's own sockets and files are the kernel's here.

mod cli;

/// The few system calls of the library's bottom layer that the command needs as well.
mod sys {
    pub(crate) mod probe;
}

use std::process::ExitCode;

use cli::arguments::{self, Command};

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os()) {
        Ok(Command::Run(run)) => cli::run::execute(&run),
        Ok(Command::Doctor(run)) => cli::doctor::examine(&run),
        Ok(Command::Show(request, pid)) => cli::show::print(request, pid),
        Ok(Command::Keeper) => cli::keeper_is_missing(),
        Ok(Command::Probe) => cli::doctor::probe::answer(),
        Ok(Command::Help(topic)) => cli::help::print(topic),
        Ok(Command::Version) => cli::help::print_version(),
        Err(problem) => cli::refuse(cli::USAGE, &problem),
    }
}
