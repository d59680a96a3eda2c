//! `sidestack`: what runs beside the library.
//!
//! It never loads the library's symbols, so std's own sockets and files are the kernel's here.

mod cli;

// Two layers of the library, so that the command reads settings and sees interfaces as it does.
#[expect(dead_code, reason = "the command uses the settings and the mirror")]
mod control;
#[expect(dead_code, reason = "what the library's other layers use")]
mod sys;

#[path = "sys/command.rs"]
mod command;

use std::process::ExitCode;

use cli::arguments::{self, Command};

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os()) {
        Ok(Command::Run(run)) => cli::run::execute(&run),
        Ok(Command::Doctor(run)) => cli::doctor::examine(&run),
        Ok(Command::Show(request, pid)) => cli::show::print(request, pid),
        Ok(Command::Keeper(keeper)) => cli::keeper::keep(&keeper),
        Ok(Command::Probe) => cli::doctor::probe::answer(),
        Ok(Command::Help(topic)) => cli::help::print(topic),
        Ok(Command::Version) => cli::help::print_version(),
        Err(problem) => cli::refuse(cli::USAGE, &problem),
    }
}
