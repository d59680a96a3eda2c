//! The programs that faults befall: one side is on our stack, the other on the kernel's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::book;
use crate::chance::Chance;
use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, Program, Running, Side, TEST, root};
use crate::web;

/// How a server is made of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// One process, a thread for each connection.
    Threads,
    /// A process for each connection.
    Forking,
    /// A process for each connection, which executes another program.
    Inetd,
    /// Some processes that accept.
    Prefork,
    /// One process accepts, and hands its connections to some others.
    Handing,
    /// The same by Python's multiprocessing.
    Python,
    /// A master and two workers, an event loop each.
    Nginx,
}

impl Model {
    /// Whether the first process accepts.
    pub(crate) fn first_accepts(self) -> bool {
        self.workers().is_none()
    }

    /// How many others accept in its place.
    pub(crate) fn workers(self) -> Option<usize> {
        match self {
            Model::Prefork => Some(3),
            Model::Nginx => Some(2),
            _ => None,
        }
    }
}

const MODELS: [Model; 7] = [
    Model::Threads,
    Model::Forking,
    Model::Inetd,
    Model::Prefork,
    Model::Handing,
    Model::Python,
    Model::Nginx,
];

/// These, or those of FAULT_MODELS.
fn models(these: &[Model]) -> Vec<Model> {
    let mut models = these.to_vec();
    if let Ok(said) = std::env::var("FAULT_MODELS") {
        models.retain(|model| said.split(',').any(|name| name == format!("{model:?}")));
    }
    models
}

/// What runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    /// Whose side is on our stack: the server's, or the clients'.
    pub(crate) serves: bool,
    pub(crate) model: Model,
    pub(crate) impaired: bool,
}

/// Milliseconds that clients load.
const LOAD: u32 = 1500;
/// Processes of the clients, and threads of each.
const CLIENTS: (u32, u32) = (3, 4);

impl Cast {
    pub(crate) fn of(chance: &mut Chance) -> Cast {
        let serves = !chance.one_in(3);
        // What a client meets is much the same whatever its server is made of.
        let models = models(if serves { &MODELS[..] } else { &MODELS[..2] });
        Cast {
            serves,
            model: chance.of(&models).expect("FAULT_MODELS names one"),
            impaired: chance.one_in(3),
        }
    }

    /// The side that serves.
    pub(crate) fn servers(&self) -> Side {
        if self.serves { Side::Test } else { Side::Peer }
    }

    pub(crate) fn port(&self) -> u16 {
        if self.model == Model::Nginx { 80 } else { 7000 }
    }

    fn on<'lab>(&self, lab: &'lab Lab, ours: bool, command: &str, seed: u64) -> Program<'lab> {
        if !ours {
            return lab.peer(command);
        }
        let program = lab.sidestack(command);
        match self.impaired {
            true => program.env(
                "SIDESTACK_IMPAIR",
                &format!("loss=1%,reorder=2%,duplicate=1%,delay=1ms,seed={seed}"),
            ),
            false => program,
        }
    }

    /// Starts the server.
    pub(crate) fn server<'lab>(&self, lab: &'lab Lab, seed: u64) -> Running<'lab> {
        let (book, port) = (book(lab, Side::Test).display().to_string(), self.port());
        let model = format!("{:?}", self.model).to_lowercase();
        let command = match self.model {
            Model::Nginx => {
                payload::of(MIB);
                web::nginx_with_workers(lab, "off", &format!("{PEER}:9"))
            }
            Model::Python => {
                let script = root().join("tests/faults/family/handing.py");
                format!("/usr/bin/python3 {} {book} {port}", script.display())
            }
            _ => format!("{} {book} {model} {port}", family().display()),
        };
        self.on(lab, self.serves, &command, seed).serving_tcp(port)
    }

    /// Starts clients for so many milliseconds.
    fn clients<'lab>(&self, lab: &'lab Lab, seed: u64, load: u32) -> Running<'lab> {
        let (address, kinds) = match (self.serves, self.model) {
            (true, Model::Nginx) => (TEST, "h"),
            (true, Model::Python) => (TEST, "e"),
            (true, _) => (TEST, "epu"),
            (false, _) => (PEER, "epu"),
        };
        let command = format!(
            "{} {} client {address} {} {} {} {load} {seed} {kinds} {}",
            family().display(),
            book(lab, Side::Peer).display(),
            self.port(),
            CLIENTS.0,
            CLIENTS.1,
            payload::of(MIB).path.display(),
        );
        let program = self.on(lab, !self.serves, &command, seed);
        let mut running = program.within(120).start();
        running.prints("begins");
        running
    }

    /// Starts the clients.
    pub(crate) fn load<'lab>(&self, lab: &'lab Lab, seed: u64) -> Running<'lab> {
        self.clients(lab, seed, LOAD)
    }

    /// Has clients a moment, which brings what stays, such as the background thread.
    pub(crate) fn warm_up(&self, lab: &Lab, seed: u64) {
        self.clients(lab, seed, 100).finish().success();
    }
}

/// The book of the side that serves (`Test`), or of its clients.
pub(crate) fn book(lab: &Lab, side: Side) -> PathBuf {
    let path = lab.path(match side {
        Side::Test => "served",
        Side::Peer => "asked",
    });
    let file = File::options().create(true).append(true).open(&path);
    let sized = file.and_then(|file| file.set_len(book::SIZE));
    sized.expect("the lab's directory is writable");
    path
}

/// The program of family/.
pub(crate) fn family() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let sources = ["main", "talk", "serve", "client"];
        let sources = sources.map(|name| root().join(format!("tests/faults/family/{name}.c")));
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("family");
        let flags = "-O2 -g -Wall -Wextra -Werror -std=gnu11 -pthread -o";
        let compiled = Command::new("cc")
            .args(flags.split(' '))
            .arg(&program)
            .args(sources)
            .status()
            .expect("cc runs");
        assert!(compiled.success(), "the family does not compile");
        program
    })
}
