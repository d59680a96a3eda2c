//! What `--help` and `--version` print.

use std::process::ExitCode;

use super::say;
use super::settings::SETTINGS;

/// Which command the help is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The command as a whole.
    All,
    /// `run`.
    Run,
    /// `pcap`.
    Pcap,
    /// `doctor`.
    Doctor,
    /// `ss` and `stat`.
    Show,
    /// `keeper`.
    Keeper,
}

impl Topic {
    /// The topic of a command.
    pub(crate) fn of(command: &str) -> Option<Self> {
        match command {
            "run" => Some(Topic::Run),
            "pcap" => Some(Topic::Pcap),
            "doctor" => Some(Topic::Doctor),
            "ss" | "stat" => Some(Topic::Show),
            "keeper" => Some(Topic::Keeper),
            _ => None,
        }
    }

    /// The command in one line.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Topic::All => "sidestack COMMAND",
            Topic::Run => "sidestack run [OPTIONS] -- PROGRAM [ARGUMENTS]",
            Topic::Pcap => "sidestack pcap -o FILE [OPTIONS] -- PROGRAM [ARGUMENTS]",
            Topic::Doctor => "sidestack doctor [OPTIONS]",
            Topic::Show => "sidestack ss [--pid PID] | stat [--pid PID] [--all]",
            Topic::Keeper => "sidestack keeper [OPTIONS] [--allow-user NAME]...",
        }
    }
}

const COMMANDS: &str = "\
Runs programs on a TCP/IP stack of their own, beside the kernel's.

Usage:
  sidestack run [OPTIONS] -- PROGRAM [ARGUMENTS]   run a program on the stack
  sidestack pcap -o FILE -- PROGRAM [ARGUMENTS]    the same, and capture its frames
  sidestack doctor [OPTIONS]                       can this machine run it, and if not, why
  sidestack ss [--pid PID]                         sockets of running programs
  sidestack stat [--pid PID] [--all]               counters of running programs
  sidestack keeper [OPTIONS]                       serve users who have no right of their own
  sidestack help [COMMAND]                         this, or how to use a command
  sidestack --version

Options of run, pcap, doctor and keeper:
";

const KEEPER: &str = "  --allow-user NAME   serve this user's programs; once for each user
  --sockets N         sockets each of them may have (default: 4096)
  --listener FD       listen on this descriptor, and end when idle: how the library starts one
";

/// Prints the help on `topic`.
pub(crate) fn print(topic: Topic) -> ExitCode {
    match topic {
        Topic::All => say(&format!("{COMMANDS}{}", options())),
        Topic::Show => say(&format!(
            "Usage: {}\n\nShows what the stacks of running programs in this network namespace are \
             doing.\n`ss` lists their sockets, `stat` their counters, \
             those that are zero only with --all.",
            topic.usage()
        )),
        Topic::Keeper => say(&format!(
            "Usage: {}\n\nServes the programs of users who may not open a packet socket, until a \
             signal ends it.\n\nOptions:\n{KEEPER}{}",
            topic.usage(),
            options()
        )),
        Topic::Run | Topic::Pcap | Topic::Doctor => {
            say(&format!(
                "Usage: {}\n\nOptions:\n{}",
                topic.usage(),
                options()
            ));
        }
    }
    ExitCode::SUCCESS
}

/// Prints the version.
pub(crate) fn print_version() -> ExitCode {
    say(concat!("sidestack ", env!("CARGO_PKG_VERSION")));
    ExitCode::SUCCESS
}

fn options() -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let option = format!("--{} {}", setting.option, setting.value.unwrap_or(""));
        text.push_str(&format!("  {option:<19} {}\n", setting.help));
    }
    let library = "--library PATH";
    text.push_str(&format!(
        "  {library:<19} the library to preload (default: the one beside this command)\n"
    ));
    text.push_str(
        "\nEach option sets the variable of its name: --log-file sets SIDESTACK_LOG_FILE.",
    );
    text
}
