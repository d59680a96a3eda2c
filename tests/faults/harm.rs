//! What befalls the processes, by chance.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::chance::Chance;
use crate::lab::{Lab, PEER, Side, TEST};
use crate::processes::{
    await_end, executors, hard_limit, is_family, is_kept, keeper, members, memory, signal,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to a process on our stack: the first of its family, another, or any together with the keeper.
    KillFirst,
    KillOther,
    KillWithKeeper,
    KillPeer,
    KillKeeper,
    /// To the first one, and then to who goes on with what that had.
    KillExecutor,
    Stop,
    StopPeer,
    Flap,
    FlapPeer,
    Address,
    Mtu,
    Descriptors,
    /// Address space, and what may be written of it; the program takes what it has left of either.
    Memory,
    Data,
}

const FAULTS: [Fault; 15] = [
    Fault::KillFirst,
    Fault::KillOther,
    Fault::KillWithKeeper,
    Fault::KillPeer,
    Fault::KillKeeper,
    Fault::KillExecutor,
    Fault::Stop,
    Fault::StopPeer,
    Fault::Flap,
    Fault::FlapPeer,
    Fault::Address,
    Fault::Mtu,
    Fault::Descriptors,
    Fault::Memory,
    Fault::Data,
];

/// All, or those of FAULT_KINDS.
fn kinds() -> Vec<Fault> {
    let mut kinds = FAULTS.to_vec();
    if let Ok(said) = std::env::var("FAULT_KINDS") {
        kinds.retain(|kind| said.split(',').any(|name| name == format!("{kind:?}")));
    }
    kinds
}

/// A process that was killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Killed {
    pub(crate) pid: u32,
    /// Monotonic milliseconds.
    pub(crate) at: u64,
    /// A keeper goes on for it.
    pub(crate) kept: bool,
    pub(crate) side: Side,
}

/// What has befallen a run.
#[derive(Debug, Default)]
pub(crate) struct Harm {
    pub(crate) faults: Vec<Fault>,
    pub(crate) killed: Vec<Killed>,
    /// Those who went on with what others had.
    pub(crate) executors: Vec<Killed>,
    /// When there was no way between the two, in monotonic milliseconds.
    pub(crate) apart: Vec<(u64, u64)>,
    pub(crate) exhausted: bool,
    pub(crate) keeper_killed: bool,
}

/// Monotonic milliseconds.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Whom it may befall.
pub(crate) struct Victims<'lab> {
    pub(crate) lab: &'lab Lab,
    /// The first process on our stack, and the first of its peers.
    pub(crate) ours: u32,
    pub(crate) peer: u32,
}

impl Victims<'_> {
    /// Something befalls them.
    pub(crate) fn befall(&self, harm: &mut Harm, chance: &mut Chance) {
        let fault = chance.of(&kinds()).expect("FAULT_KINDS names one");
        harm.faults.push(fault);
        match fault {
            Fault::KillFirst => self.kill(harm, self.ours, Side::Test),
            Fault::KillOther => self.kill_other(harm, chance, Side::Test),
            Fault::KillPeer => self.kill_other(harm, chance, Side::Peer),
            Fault::KillKeeper => self.kill_keeper(harm, chance),
            Fault::KillExecutor => self.kill_executor(harm, chance),
            Fault::KillWithKeeper => {
                let program_first = chance.one_in(2);
                if program_first {
                    self.kill(harm, self.ours, Side::Test);
                }
                self.kill_keeper(harm, chance);
                if !program_first {
                    self.kill(harm, self.ours, Side::Test);
                    self.lose_keeper(harm);
                }
            }
            Fault::Stop => self.stop(chance, Side::Test, self.ours),
            Fault::StopPeer => self.stop(chance, Side::Peer, self.peer),
            Fault::Flap => self.flap(harm, chance, Side::Test),
            Fault::FlapPeer => self.flap(harm, chance, Side::Peer),
            Fault::Address => self.take_address(harm, chance),
            Fault::Mtu => self.change_mtu(chance),
            Fault::Descriptors => self.exhaust(harm, chance, Resource::Nofile),
            Fault::Memory => self.exhaust(harm, chance, Resource::As),
            Fault::Data => self.exhaust(harm, chance, Resource::Data),
        }
    }

    fn kill(&self, harm: &mut Harm, pid: u32, side: Side) {
        // Who has no stack needs no keeper.
        let kept = side == Side::Peer || is_kept(self.lab, pid).unwrap_or(true);
        harm.killed.extend(killed(pid, side, kept));
    }

    fn kill_executor(&self, harm: &mut Harm, chance: &mut Chance) {
        self.kill(harm, self.ours, Side::Test);
        chance.nap(1, 200);
        if let Some(pid) = chance.of(&executors(self.lab)) {
            // Who has made it has what it has, until it says otherwise.
            let kept = is_kept(self.lab, pid).unwrap_or(!harm.keeper_killed);
            harm.executors.extend(killed(pid, Side::Test, kept));
        }
    }

    fn first(&self, side: Side) -> u32 {
        match side {
            Side::Test => self.ours,
            Side::Peer => self.peer,
        }
    }

    fn kill_other(&self, harm: &mut Harm, chance: &mut Chance, side: Side) {
        let first = self.first(side);
        let mut members = members(self.lab, side, first);
        members.retain(|pid| *pid != first);
        // It may have ended by itself.
        if let Some(pid) = chance.of(&members) {
            self.kill(harm, pid, side);
        }
    }

    fn kill_keeper(&self, harm: &mut Harm, chance: &mut Chance) {
        let how = [Signal::KILL, Signal::TERM];
        if let (Some(keeper), Some(how)) = (keeper(self.lab), chance.of(&how)) {
            harm.keeper_killed = true;
            signal(keeper, how);
            self.lose_keeper(harm);
            if how == Signal::KILL {
                // Where too much runs it takes its time, and does nothing more for anybody.
                await_end(keeper);
            }
        }
    }

    /// Nobody goes on for those that were killed just before.
    fn lose_keeper(&self, harm: &mut Harm) {
        let now = now();
        let fresh = |killed: &&mut Killed| killed.at + 200 > now;
        let killed = harm.killed.iter_mut().chain(&mut harm.executors);
        killed.filter(fresh).for_each(|killed| killed.kept = false);
    }

    /// Stops the whole family or one of it for a while.
    fn stop(&self, chance: &mut Chance, side: Side, first: u32) {
        let all = members(self.lab, side, first);
        let stopped = match chance.between(0, 3) {
            0 => all,
            1 => vec![first],
            _ => chance.of(&all).into_iter().collect(),
        };
        for pid in &stopped {
            signal(*pid, Signal::STOP);
        }
        chance.nap(1, 1000);
        for pid in &stopped {
            signal(*pid, Signal::CONT);
        }
    }

    fn flap(&self, harm: &mut Harm, chance: &mut Chance, side: Side) {
        let began = now();
        for _ in 0..chance.between(1, 4) {
            match side {
                Side::Test => {
                    self.ip(side, "link set lab0 down");
                    chance.nap(1, 300);
                    self.ip(side, "link set lab0 up");
                    self.restore_route();
                }
                Side::Peer => {
                    self.ip(side, "link set lab1 down");
                    chance.nap(1, 300);
                    self.ip(side, "link set lab1 up");
                }
            }
            chance.nap(1, 100);
        }
        harm.apart.push((began, now()));
    }

    fn take_address(&self, harm: &mut Harm, chance: &mut Chance) {
        let began = now();
        self.ip(Side::Test, &format!("addr del {TEST}/24 dev lab0"));
        chance.nap(1, 400);
        self.ip(Side::Test, &format!("addr add {TEST}/24 dev lab0"));
        self.restore_route();
        harm.apart.push((began, now()));
    }

    fn change_mtu(&self, chance: &mut Chance) {
        let mtu = chance.between(576, 1500);
        self.ip(Side::Test, &format!("link set lab0 mtu {mtu}"));
        self.ip(Side::Peer, &format!("link set lab1 mtu {mtu}"));
        chance.nap(1, 400);
        self.ip(Side::Peer, "link set lab1 mtu 1500");
        self.ip(Side::Test, "link set lab0 mtu 1500");
    }

    /// Leaves the first process little of something for a while.
    fn exhaust(&self, harm: &mut Harm, chance: &mut Chance, what: Resource) {
        harm.exhausted = true;
        let little = match what {
            // It has the lowest of these.
            Resource::Nofile => chance.between(8, 40),
            _ => {
                let name = match what {
                    Resource::As => "VmSize:",
                    _ => "VmData:",
                };
                let now = memory(self.ours, name).unwrap_or(0);
                (now + chance.between(0, 600)).saturating_sub(300) * 1024
            }
        };
        let Some(pid) = Pid::from_raw(self.ours as i32) else {
            return;
        };
        let limit = Rlimit {
            current: Some(little),
            maximum: hard_limit(self.ours, what),
        };
        // An error is that it is dead.
        if let Ok(before) = prlimit(Some(pid), what, limit) {
            let takes_all = what != Resource::Nofile && is_family(self.ours);
            if takes_all {
                signal(self.ours, Signal::USR1);
            }
            chance.nap(1, 600);
            if takes_all {
                signal(self.ours, Signal::USR2);
            }
            let _ = prlimit(Some(pid), what, before);
        }
    }

    fn ip(&self, side: Side, words: &str) {
        let ip = format!("ip {words}");
        let program = match side {
            Side::Test => self.lab.plain(&ip),
            Side::Peer => self.lab.peer(&ip),
        };
        program.succeeds();
    }

    fn restore_route(&self) {
        self.ip(
            Side::Test,
            &format!("route replace default via {PEER} dev lab0"),
        );
        sleep(Duration::from_millis(1));
    }
}

/// Kills a process. `None`: there was nobody.
fn killed(pid: u32, side: Side, kept: bool) -> Option<Killed> {
    let at = now();
    signal(pid, Signal::KILL).then_some(Killed {
        pid,
        at,
        kept,
        side,
    })
}
