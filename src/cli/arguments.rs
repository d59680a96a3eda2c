//! The words of the command line as plain data.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use super::help::Topic;
use super::keeper::Keeper;
use super::settings::{SETTINGS, Settings};
use super::show::Request;

/// What the user asked for.
pub(crate) enum Command {
    /// Execute a program on the stack.
    Run(Run),
    /// Examine the machine as `run` with the same options would find it.
    Doctor(Run),
    /// Ask running processes; `None` is all of them.
    Show(Request, Option<u32>),
    /// Serve programs that may not open a packet socket.
    Keeper(Keeper),
    /// What `doctor` starts with the library preloaded; not for users.
    Probe,
    /// Say how to use a command.
    Help(Topic),
    /// Say which version this is.
    Version,
}

/// What `run`, `pcap` and `doctor` have in common.
#[derive(Default)]
pub(crate) struct Run {
    /// The variables to set.
    pub(crate) settings: Settings,
    /// `--library`.
    pub(crate) library: Option<PathBuf>,
    /// The program and its arguments; empty for `doctor`.
    pub(crate) program: Vec<OsString>,
    /// `--help` was among the options.
    help: bool,
}

/// Takes the command line apart. The error is a sentence for the user.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    parse_command(Parser::from_iter(words)).map_err(|problem| problem.to_string())
}

fn parse_command(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let name = match parser.next()? {
        Some(Arg::Long("version") | Arg::Short('V')) => return Ok(Command::Version),
        Some(Arg::Long("help") | Arg::Short('h')) | None => return Ok(Command::Help(Topic::All)),
        Some(Arg::Value(name)) => name.string()?,
        Some(other) => return Err(other.unexpected()),
    };
    match name.as_str() {
        "run" => parse_program(parser, Topic::Run),
        "pcap" => parse_program(parser, Topic::Pcap),
        "doctor" => parse_doctor(parser),
        "ss" => parse_show(parser, Request::Sockets),
        "stat" => parse_show(parser, Request::Statistics { zeros: false }),
        "keeper" => parse_keeper(parser),
        "help" => parse_help(parser),
        "probe" => Ok(Command::Probe),
        _ => Err(no_command(&name).into()),
    }
}

fn parse_help(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let topic = match parser.next()? {
        None => Topic::All,
        Some(Arg::Value(name)) => {
            let name = name.string()?;
            Topic::of(&name).ok_or_else(|| no_command(&name))?
        }
        Some(other) => return Err(other.unexpected()),
    };
    Ok(Command::Help(topic))
}

fn no_command(name: &str) -> String {
    format!("there is no command '{name}' (see sidestack --help)")
}

/// `run` and `pcap`: options, then the program and everything after it.
fn parse_program(mut parser: Parser, topic: Topic) -> Result<Command, lexopt::Error> {
    let run = parse_options(&mut parser, topic)?;
    if run.help {
        return Ok(Command::Help(topic));
    }
    if run.program.is_empty() {
        let usage = topic.usage();
        return Err(format!("no program to run. Usage: {usage}").into());
    }
    if topic == Topic::Pcap
        && run
            .settings
            .get("SIDESTACK_PCAP")
            .is_none_or(|file| file.is_empty())
    {
        return Err("pcap needs the file to write: -o FILE".into());
    }
    Ok(Command::Run(run))
}

fn parse_doctor(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let run = parse_options(&mut parser, Topic::Doctor)?;
    if run.help {
        return Ok(Command::Help(Topic::Doctor));
    }
    match run.program.first() {
        Some(word) => Err(Arg::Value(word.clone()).unexpected()),
        None => Ok(Command::Doctor(run)),
    }
}

/// Options up to `--` or the first word that is none.
fn parse_options(parser: &mut Parser, topic: Topic) -> Result<Run, lexopt::Error> {
    let mut run = Run::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => run.help = true,
            Arg::Long("library") => run.library = Some(parser.value()?.into()),
            Arg::Short('o') if topic == Topic::Pcap => {
                run.settings.set("SIDESTACK_PCAP", parser.value()?);
            }
            Arg::Long(option) => match variable(option) {
                Some((variable, true)) => run.settings.set(variable, parser.value()?),
                Some((variable, false)) => run.settings.set(variable, "1".into()),
                None => return Err(argument.unexpected()),
            },
            Arg::Value(program) => {
                run.program.push(program);
                run.program.extend(parser.raw_args()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(run)
}

fn parse_show(mut parser: Parser, mut request: Request) -> Result<Command, lexopt::Error> {
    let mut pid = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(Topic::Show)),
            Arg::Long("pid") | Arg::Short('p') => pid = Some(parser.value()?.parse()?),
            Arg::Long("all") | Arg::Short('a') if request != Request::Sockets => {
                request = Request::Statistics { zeros: true };
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Show(request, pid))
}

fn parse_keeper(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let mut keeper = Keeper::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(Topic::Keeper)),
            Arg::Long("library") => keeper.library = Some(parser.value()?.into()),
            Arg::Long("allow-user") => keeper.users.push(parser.value()?),
            Arg::Long("sockets") => keeper.sockets = Some(parser.value()?.parse()?),
            Arg::Long("listener") => keeper.listener = Some(parser.value()?.parse()?),
            Arg::Long(option) => match variable(option) {
                Some((variable, true)) => keeper.settings.set(variable, parser.value()?),
                _ => return Err(argument.unexpected()),
            },
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Keeper(keeper))
}

/// The variable an option sets, and whether the option has a value.
fn variable(option: &str) -> Option<(&'static str, bool)> {
    let setting = SETTINGS.iter().find(|setting| setting.option == option)?;
    Some((setting.variable, setting.value.is_some()))
}
