//! The executor: a process that goes on with the stack of a dead one, until all is done.
//!
//! It does what the kernel does for a process that dies: what `send` had accepted is delivered, unless
//! received data was left unread; listeners and attempts to connect are gone; TIME-WAIT is kept. Sockets
//! that other processes have it serves as their process did ([`heritage`](super::heritage)).
//!
//! 1. It ends by itself. The stack bounds how long a peer may be waited for, and TIME-WAIT lasts no
//!    longer than the keeper, which is there as long as the user's programs are.
//! 2. A port that a program chose goes back to the kernel first of all, with stand-ins for the connections
//!    that go on there ([`orphans`](crate::driver::orphans)), so that a server can be started anew. Where that cannot
//!    be, it does as soon as nothing of ours is unacknowledged there, and peers had a moment to close. From then on only
//!    connections that the stack knows are answered. The port of a listener that goes on is held like any process's.
//! 3. It may be killed in its turn. What was left it only looks at, and changes nothing but the memory file and what lies
//!    in the pairs, as the dead process might have, until the keeper has its own will instead: before a port is given
//!    back, and before a connection is handed on of which nobody would know. So whenever it is killed another finds all
//!    there is to know.

use core::time::Duration;
use rustix::fd::{AsFd, AsRawFd, RawFd};
use rustix::io::Errno;

use super::ends;
use super::messages::{Legacy, REVOCATION, STARTED, Text};
use super::ports::Chosen;
use super::will::serve_alone;
use crate::control::log;
use crate::control::mirror::Mirror;
use crate::control::settings::{Address, Settings};
use crate::control::vault::LeaseCopy;
use crate::driver::inspect::Office;
use crate::driver::interface;
use crate::driver::seat::Seat;
use crate::driver::start::{self, Site};
use crate::driver::{Engine, Guard, take_in};
use crate::memory::Region;
use crate::stack::tcp::Restored;
use crate::sys::collected::Collected;
use crate::sys::owned::OwnedFd;
use crate::sys::wait::{entry, poll_for};
use crate::sys::{clock, descriptor, option, pair, process, strerror};

/// How often it is looked whether a port can go back, at least.
const LOOK: Duration = Duration::from_millis(5);
/// The same for the name of the dead process, once nobody is kept waiting.
const SELDOM: Duration = Duration::from_millis(50);
/// How long who asks for a port may be kept waiting for peers that have yet to acknowledge.
const SOON: Duration = Duration::from_millis(350);
/// How long a process may take to end, of which one descriptor is closed. It may have closed that itself.
const ENDING: Duration = Duration::from_millis(50);
/// How long a port is held for peers that have yet to close.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a process leaves, once it is dead.
pub(super) struct Estate {
    text: Text,
    memory: OwnedFd,
    packets: OwnedFd,
    vault: OwnedFd,
    ends: OwnedFd,
    /// The process ([`peer_process`](crate::sys::local::peer_process)). `None`: an executor, which has nothing of the
    /// program's, or one that cannot be known.
    process: Option<OwnedFd>,
}

impl Estate {
    /// What the will of a process says. `None`: it is none.
    pub(super) fn of(
        message: &[u8],
        descriptors: Vec<OwnedFd>,
        process: Option<OwnedFd>,
    ) -> Option<Self> {
        let text = Text::decode(message)?;
        let [memory, packets, vault, ends] = <[OwnedFd; 4]>::try_from(descriptors).ok()?;
        Some(Self {
            text,
            memory,
            packets,
            vault,
            ends,
            process,
        })
    }

    fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let left = [&self.memory, &self.packets, &self.vault, &self.ends];
        left.into_iter()
            .chain(&self.process)
            .map(AsRawFd::as_raw_fd)
    }

    /// Lets it go, and does not wait for the end of what takes long to end.
    pub(super) fn close_apart(self) {
        let collected = Collected::new();
        if let Ok(collected) = &collected {
            for fd in [&self.packets, &self.ends] {
                // Else it ends here.
                let _ = collected.put(fd.as_fd());
            }
        }
        drop(self);
    }

    /// A process closes its descriptors in no order to rely on, the one that told of its end not last;
    /// only when all are closed is it known what others still have.
    fn await_end(process: Option<&OwnedFd>) {
        if let Some(process) = process {
            let _ = poll_for(
                &mut [entry(process.as_raw_fd(), libc::POLLIN)],
                Some(ENDING),
                None,
            );
        }
    }

    /// What the executor does. `keeper` is its connection to the keeper, which has a copy of all this.
    pub(super) fn execute(self, keeper: OwnedFd) -> ! {
        let mut kept = vec![keeper.as_raw_fd()];
        kept.extend(self.descriptors());
        kept.extend(log::descriptor());
        descriptor::close_all_but(&kept);
        log::leave_standard_error();
        let mut keeper = Some(keeper);
        match Executor::begin(self, &mut keeper) {
            Ok(mut executor) => executor.carry_on(),
            Err(reason) => {
                log::warn(format_args!("what a process left is lost: {reason}"));
                // Nor can another.
                let _ = keeper.map(|keeper| pair::give(keeper, REVOCATION));
            }
        }
        process::end(0)
    }
}

struct Executor {
    engine: Guard,
    chosen: Chosen,
    /// In monotonic nanoseconds.
    patient_until: u64,
}

impl Executor {
    /// Takes `keeper` once the keeper is to have this process's will.
    fn begin(estate: Estate, keeper: &mut Option<OwnedFd>) -> Result<Self, String> {
        descriptor::set_apart();
        let mut left = ends::all(&estate.ends);
        let successor = left.extract_if(.., |(what, _)| matches!(what, Legacy::Successor));
        let successor = successor.last().map(|(_, socket)| socket);
        let loaded = Settings::load(estate.text.settings, "").map_err(|error| error.message)?;
        let own_address = loaded.settings.address != Address::Host;
        let copies = LeaseCopy::all(&estate.vault);
        let (mut engine, found) = restore(
            estate.text.engine,
            loaded.settings,
            estate.memory,
            (estate.packets, successor),
        )?;
        engine.office = Office::Executor;
        engine.leave_given_back(&found, &copies);
        if !left.is_empty() {
            Estate::await_end(estate.process.as_ref());
        }
        engine.time = clock::monotonic();
        engine.driving.seat = Seat::Background;
        // What had come before the process died: many a peer may have closed. Datagrams wait for their sockets.
        if !left.iter().any(|(what, _)| what.is_of_datagrams()) {
            engine.take_arrived();
        }
        let taken = engine.take_up_ends(&found, left);
        if own_address && taken.is_empty() {
            // Another process may have the address by now.
            engine.stack.share_all_ports();
        }
        engine.close_what_nobody_has();
        let copies = engine.take_up_leases(&found, &taken, copies);
        let mut chosen = Chosen::of(&copies);
        engine.ports.inherit(copies);
        // The packet socket may have been succeeded by one with a ring, and admit nothing since.
        engine.refilter();
        engine.revive(&taken);
        if let Some(keeper) = keeper.take() {
            engine.replace_will(keeper, [estate.vault, estate.ends]);
        }
        chosen.leave(&mut engine);
        if !taken.is_empty() {
            engine.open_to_questions();
        }
        engine.serve_taken(&taken);
        engine.lifelines.end_announcements();
        Ok(Self {
            patient_until: engine.time + nanoseconds(PATIENCE),
            engine: take_in(engine),
            chosen,
        })
    }

    fn carry_on(&mut self) {
        let tell_by = self.engine.time + nanoseconds(SOON);
        // Whether the keeper is the one that has made this process.
        let (mut told, mut kept) = (false, true);
        loop {
            let settled = self.give_ports_back();
            let engine = &mut self.engine;
            kept &= engine.will.is_deposited();
            let serves = engine.has_sockets();
            let empty = engine.stack.tcp_is_empty() || !kept && engine.stack.tcp_is_done();
            if empty && !serves {
                return engine.revoke();
            }
            // For a moment the name may still be the dead process's.
            let ready = !serves || engine.doors.desk.is_some() || engine.reopen_desk();
            if kept && !told && (settled && ready || engine.time >= tell_by) {
                engine.tell_keeper(STARTED);
                told = true;
            }
            // Where too much runs for too few processors, it may take the dead process long to be gone.
            let looks = !settled || !ready;
            let soon = if settled && told { SELDOM } else { LOOK };
            if !serve_alone(engine, &mut [], looks.then_some(soon)) {
                return;
            }
        }
    }

    /// Whether all that are to be given back are.
    fn give_ports_back(&mut self) -> bool {
        if self.chosen.is_empty() {
            return true;
        }
        // Most peers close at once; the kernel would have to answer them after.
        let peers = self.engine.time < self.patient_until;
        let unfinished = self.engine.stack.tcp_unfinished_ports(peers);
        self.chosen.give_back_but(&mut self.engine, &unfinished);
        self.chosen.is_empty()
    }
}

fn explain(what: &str, errno: Errno) -> String {
    format!("{what}: {}", strerror::of(errno))
}

fn restore(
    id: u64,
    settings: Settings,
    memory: OwnedFd,
    (packets, successor): (OwnedFd, Option<OwnedFd>),
) -> Result<(Engine, Restored), String> {
    let is_packet_socket = |fd: &OwnedFd| {
        option::integer(fd.as_fd(), libc::SOL_SOCKET, libc::SO_DOMAIN) == Ok(libc::AF_PACKET)
    };
    if !is_packet_socket(&packets) {
        return Err("there is no packet socket".into());
    }
    let mirror = Mirror::open(settings.interface.as_deref()).map_err(|error| error.to_string())?;
    let index = mirror.facts().interface.index;
    let successor = successor.filter(is_packet_socket);
    let link = interface::adopt_link(&settings, index, packets, successor)?;
    let region = Region::open(memory).map_err(|errno| explain("the memory file", errno))?;
    let site = Site {
        settings,
        mirror,
        link,
    };
    start::restore(id, site, region)
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
