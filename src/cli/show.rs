//! `sidestack ss` and `sidestack stat`: ask running stacks what they are doing.
//!
//! Every process with a stack listens on an abstract AF_UNIX stream socket of its network namespace,
//! named `\0sidestack/<pid>`. Who connects sends one line, and gets plain text until end of file:
//!
//! | line | answer |
//! |---|---|
//! | `ss\n` | a header line, `Proto State Recv-Q Send-Q Local Peer Details`, then one line a socket: six words and, to the end of the line, `name:value` pairs and flags separated by blanks (`cubic ts sack cwnd:14480 rtt:412us/88us ...`, in bytes where ss(8) counts segments); the connections in TIME-WAIT share one line |
//! | `stat\n` | one counter a line: its name, a blank, its value |
//! | anything else | one line that begins with `error: ` |
//!
//! The process answers its own user and root, and closes without a word for others; a keeper lists to its guests what
//! is theirs. The command in
//! turn checks that the answering process is the one in the name: abstract names are free for all.
//! Both sides bound time and size, so a stopped process does not stop the command.

use std::fs;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{refuse, say};
use crate::command::peer_process;

/// What to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Every socket and its state.
    Sockets,
    /// The counters.
    Statistics {
        /// Those too that are zero.
        zeros: bool,
    },
}

/// The name of the sockets without the pid, as /proc/net/unix shows it.
const SHOWN_PREFIX: &str = "@sidestack/";
/// Longest wait for the next piece of an answer, and for all of it.
const PATIENCE: Duration = Duration::from_secs(2);
const WHOLE: Duration = Duration::from_secs(10);
/// Longest answer taken: ten thousand sockets need about 2 MB.
const MAX_ANSWER: usize = 64 << 20;
/// Bytes read of it at a time.
const PIECE: usize = 64 << 10;

/// Prints the answers of all processes, or of `pid`.
pub(crate) fn print(request: Request, pid: Option<u32>) -> ExitCode {
    let processes = match pid {
        Some(pid) => vec![pid],
        None => match running() {
            Ok(processes) => processes,
            Err(error) => return refuse(1, &format!("cannot read /proc/net/unix: {error}")),
        },
    };
    if processes.is_empty() {
        return refuse(1, "no program runs on a stack in this network namespace");
    }
    let (mut status, mut answers) = (ExitCode::SUCCESS, 0);
    for &running in &processes {
        match ask(request, running) {
            Ok(answer) => {
                answers += 1;
                print_answer(request, running, &answer);
            }
            // Of those that were not asked for by name nothing is to be said.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && pid.is_none() => {}
            Err(error) => status = refuse(1, &explain(running, &error)),
        }
    }
    match answers {
        0 if status == ExitCode::SUCCESS => refuse(
            1,
            "no program of yours runs on a stack in this network namespace",
        ),
        _ => status,
    }
}

/// The processes of this network namespace that have a stack.
fn running() -> io::Result<Vec<u32>> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let mut processes: Vec<u32> = table
        .lines()
        .filter_map(|line| line.split_whitespace().last()?.strip_prefix(SHOWN_PREFIX))
        .filter_map(|pid| pid.parse().ok())
        .collect();
    processes.sort_unstable();
    // A connection that is just being answered bears its listener's name.
    processes.dedup();
    Ok(processes)
}

/// Sends the request line and reads the answer.
fn ask(request: Request, pid: u32) -> io::Result<String> {
    let address = SocketAddr::from_abstract_name(format!("sidestack/{pid}"))?;
    let stream = UnixStream::connect_addr(&address)?;
    if u32::try_from(peer_process(&stream)?) != Ok(pid) {
        return Err(io::Error::other(
            "the name is used by another process, or by one of another PID namespace",
        ));
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = converse(stream, request).map_err(|error| match error.kind() {
        // Who is not answered is hung up on.
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            io::ErrorKind::PermissionDenied.into()
        }
        _ => error,
    })?;
    if answer.is_empty() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(String::from_utf8_lossy(&answer).replace(unprintable, "?"))
}

fn converse(mut stream: UnixStream, request: Request) -> io::Result<Vec<u8>> {
    stream.write_all(match request {
        Request::Sockets => b"ss\n",
        Request::Statistics { .. } => b"stat\n",
    })?;
    let end = Instant::now() + WHOLE;
    let (mut answer, mut piece) = (Vec::new(), vec![0; PIECE]);
    while answer.len() < MAX_ANSWER {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(_) if Instant::now() > end => {
                return Err(io::Error::other("its answer does not end"));
            }
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// Control characters other than the ends of lines: they would be the terminal's.
fn unprintable(character: char) -> bool {
    character.is_control() && character != '\n'
}

fn explain(pid: u32, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "no stack runs in it (or it is in another network namespace)".into()
        }
        io::ErrorKind::PermissionDenied => {
            "it belongs to another user, and serves none of yours".into()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no answer within {} s; is it stopped?", PATIENCE.as_secs())
        }
        _ => error.to_string(),
    };
    format!("process {pid}: {why}")
}

fn print_answer(request: Request, pid: u32, answer: &str) {
    say(&format!("{} (pid {pid})", program_name(pid)));
    match request {
        Request::Sockets => print_columns(answer),
        Request::Statistics { zeros } => answer
            .lines()
            .filter(|line| zeros || !line.ends_with(" 0"))
            .for_each(|line| say(&format!("  {line}"))),
    }
}

/// The program's name as /proc has it.
fn program_name(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => name.trim_end().replace(unprintable, "?"),
        Err(_) => "?".into(),
    }
}

/// Words of a socket line that are columns; the rest of the line is printed as it is.
const COLUMNS: usize = 6;

fn print_columns(answer: &str) {
    let rows: Vec<Vec<&str>> = answer
        .lines()
        .map(|line| line.splitn(COLUMNS + 1, ' ').collect())
        .collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, word) in widths.iter_mut().zip(row) {
            *width = word.len().max(*width);
        }
    }
    for row in &rows {
        let mut line = String::from(" ");
        for (column, word) in row.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or(0);
            line.push_str(&format!(" {word:<width$}"));
        }
        say(line.trim_end());
    }
}
