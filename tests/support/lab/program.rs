//! Programs that run in the lab's namespaces, and what became of them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Lab, Side, library, payload};

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A command to run; built up in words, ended by `run`, `succeeds`, `sha256`, `start` or `serving_*`.
#[must_use]
pub(crate) struct Program<'lab> {
    lab: &'lab Lab,
    side: Side,
    words: Vec<String>,
    wrapper: Vec<String>,
    environment: Vec<String>,
    input: Option<PathBuf>,
    deadline: Duration,
}

impl<'lab> Program<'lab> {
    pub(super) fn new(lab: &'lab Lab, side: Side, command: &str, preload: bool) -> Program<'lab> {
        let mut environment = vec![
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "LC_ALL=C".to_owned(),
        ];
        if preload {
            environment.push(format!("LD_PRELOAD={}", library().display()));
        }
        let (wrapper, deadline) = (Vec::new(), Duration::from_secs(20));
        Program {
            lab,
            side,
            words: words(command),
            wrapper,
            environment,
            input: None,
            deadline,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// Runs the command under another one (`setpriv …`, `prlimit …`), which is not preloaded.
    pub(crate) fn under(mut self, wrapper: &str) -> Self {
        self.wrapper.extend(words(wrapper));
        self
    }

    pub(crate) fn input(mut self, path: &Path) -> Self {
        self.input = Some(path.to_owned());
        self
    }

    /// How long it may take; 20 s unless told.
    pub(crate) fn within(mut self, seconds: u64) -> Self {
        self.deadline = Duration::from_secs(seconds);
        self
    }

    /// Starts it and does not wait.
    pub(crate) fn start(self) -> Running<'lab> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (
            self.lab.path(&format!("{serial}.out")),
            self.lab.path(&format!("{serial}.err")),
        );
        let stdout = Stdio::from(File::create(&out).expect("the lab's directory is writable"));
        let child = self.spawn(stdout, &err);
        Running {
            lab: self.lab,
            side: self.side,
            name: self.words.join(" "),
            child,
            deadline: self.deadline,
            out,
            err,
        }
    }

    /// Starts it and waits until it listens at the TCP port.
    pub(crate) fn serving_tcp(self, port: u16) -> Running<'lab> {
        self.serving("tcp", "0A", port)
    }

    /// Starts it and waits until it has the UDP port.
    pub(crate) fn serving_udp(self, port: u16) -> Running<'lab> {
        self.serving("udp", "07", port)
    }

    fn serving(self, table: &str, state: &str, port: u16) -> Running<'lab> {
        let mut running = self.start();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !running.holds(table, state, port) {
            if running.has_ended() || Instant::now() > deadline {
                let finished = running.stop();
                panic!(
                    "{} does not serve {table} port {port}\n{finished}",
                    finished.name
                );
            }
            sleep(Duration::from_millis(5));
        }
        running
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(self) -> Finished {
        self.start().finish()
    }

    /// Runs it to its end, which must be success.
    pub(crate) fn succeeds(self) -> Finished {
        self.run().success()
    }

    /// Runs it successfully; the SHA-256 of what it printed, which is not kept.
    pub(crate) fn sha256(self) -> String {
        let err = self
            .lab
            .path(&format!("{}.err", SERIAL.fetch_add(1, Ordering::Relaxed)));
        let mut child = self.spawn(Stdio::piped(), &err);
        let printed = child.stdout.take().expect("the output is piped");
        let mut sum = Command::new("sha256sum");
        let sum = sum
            .stdin(printed)
            .stdout(Stdio::piped())
            .spawn()
            .expect("sha256sum runs");
        let name = self.words.join(" ");
        let out = PathBuf::new();
        Running {
            lab: self.lab,
            side: self.side,
            name,
            child,
            deadline: self.deadline,
            out,
            err,
        }
        .finish()
        .success();
        let line = sum
            .wait_with_output()
            .expect("sha256sum ends with its input")
            .stdout;
        payload::first_word(&String::from_utf8_lossy(&line))
    }

    /// Writes a script that runs it, with the script's own arguments besides, for programs that start it themselves;
    /// the script's path.
    pub(crate) fn script(self, name: &str) -> String {
        let inside = format!("ip netns exec {}", self.lab.namespace(self.side));
        let words = [
            &self.wrapper[..],
            &["env".to_owned()],
            &self.environment,
            &self.words,
        ];
        let text = format!(
            "#!/bin/sh\nexec {inside} {} \"$@\"\n",
            words.concat().join(" ")
        );
        let path = self.lab.file(name, &text);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, executable).expect("the file is ours");
        path
    }

    fn spawn(&self, stdout: Stdio, err: &Path) -> Child {
        let stdin = match &self.input {
            Some(path) => Stdio::from(File::open(path).expect("the input exists")),
            None => Stdio::null(),
        };
        Command::new("ip")
            .args(["netns", "exec", self.lab.namespace(self.side)])
            .args(&self.wrapper)
            .arg("env")
            .args(&self.environment)
            .args(&self.words)
            .current_dir(&self.lab.directory)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(File::create(err).expect("the lab's directory is writable"))
            .spawn()
            .expect("ip runs")
    }
}

/// A program under way; killed when dropped.
pub(crate) struct Running<'lab> {
    lab: &'lab Lab,
    side: Side,
    name: String,
    child: Child,
    deadline: Duration,
    out: PathBuf,
    err: PathBuf,
}

impl Running<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_some()
    }

    /// Fails if the program is gone.
    pub(crate) fn still_runs(&mut self) {
        assert!(
            !self.has_ended(),
            "{} is gone\n{}",
            self.name,
            self.text(&self.err)
        );
    }

    /// What it has printed on standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.text(&self.out)
    }

    /// Waits until it has printed `text` on standard output or standard error.
    pub(crate) fn prints(&mut self, text: &str) {
        let deadline = Instant::now() + self.deadline;
        while !self.text(&self.out).contains(text) && !self.text(&self.err).contains(text) {
            let (out, err) = (self.text(&self.out), self.text(&self.err));
            assert!(
                !self.has_ended(),
                "{} ended before it printed {text:?}\n{out}{err}",
                self.name
            );
            assert!(
                Instant::now() < deadline,
                "{} did not print {text:?}\n{out}{err}",
                self.name
            );
            sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn kill(&mut self, signal: &str) {
        super::shell(&format!("kill -{signal} {}", self.child.id()));
    }

    /// Waits for its end; one that is late is killed and fails the test.
    pub(crate) fn finish(mut self) -> Finished {
        let deadline = Instant::now() + self.deadline;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return self.finished(status);
            }
            if Instant::now() > deadline {
                let (seconds, finished) = (self.deadline.as_secs(), self.stop());
                panic!(
                    "{} has not ended within {seconds} s\n{finished}",
                    finished.name
                );
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// Kills it.
    pub(crate) fn stop(mut self) -> Finished {
        // An error means that it has ended by itself, which `wait` tells.
        let _ = self.child.kill();
        let status = self.child.wait().expect("the child is ours");
        self.finished(status)
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        let (stdout, stderr) = (self.text(&self.out), self.text(&self.err));
        Finished {
            name: self.name.clone(),
            status,
            stdout,
            stderr,
        }
    }

    fn text(&self, path: &Path) -> String {
        fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Whether the namespace's kernel lists a socket of this state and port. The table is read through
    /// the program's own /proc directory once the program is in its namespace.
    fn holds(&self, table: &str, state: &str, port: u16) -> bool {
        let inode = |path: String| fs::metadata(path).map(|m| m.ino()).ok();
        let namespace = inode(format!("/run/netns/{}", self.lab.namespace(self.side)));
        if inode(format!("/proc/{}/ns/net", self.pid())) != namespace {
            return false;
        }
        [table.to_owned(), format!("{table}6")].iter().any(|file| {
            let sockets =
                fs::read_to_string(format!("/proc/{}/net/{file}", self.pid())).unwrap_or_default();
            sockets.lines().skip(1).any(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let local = fields.next().unwrap_or_default();
                local.ends_with(&format!(":{port:04X}")) && fields.nth(1) == Some(state)
            })
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) status: ExitStatus,
    stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn success(self) -> Finished {
        assert!(self.status.success(), "{}\n{self}", self.name);
        self
    }

    /// Fails unless it exited with this code.
    pub(crate) fn exits_with(self, code: i32) -> Finished {
        assert_eq!(self.status.code(), Some(code), "{}\n{self}", self.name);
        self
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.trim_end().to_owned()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tail = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        write!(
            f,
            "{}\nstdout: {}\nstderr: {}",
            self.status,
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

/// Splits a command at white space; single quotes hold words together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in command.split('\'').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}
