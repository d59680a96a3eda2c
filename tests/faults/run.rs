//! One run.

use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::account::{Account, Fate};
use crate::book;
use crate::chance::Chance;
use crate::harm::{Harm, Victims};
use crate::judge::{Judge, Tally};
use crate::lab::{Lab, Running, Side, preloading};
use crate::left::{self, Before};
use crate::processes::{self, members, signal};
use crate::program::{self, Cast};

pub(crate) fn run(seed: u64, account: &Mutex<Account>) {
    let mut chance = Chance::new(seed);
    let cast = Cast::of(&mut chance);
    // Where a server was killed, the kernel is to say that nobody is there.
    let lab = Lab::with_plain_programs();
    let server = cast.server(&lab, seed);
    cast.warm_up(&lab, seed);
    let before = Before::of(&server);
    let clients = cast.load(&lab, seed);
    let harm = befall(&lab, cast, &server, &clients, &mut chance);
    // One of the clients' may have been killed.
    let first_killed = harm.killed.iter().any(|killed| killed.pid == clients.pid());
    let client = clients.pid();
    let ended = clients.finish();
    assert!(first_killed || ended.status.success(), "{ended}");
    await_clients(&lab, &cast, client);
    let mut server = server;
    if harm.killed.iter().all(|killed| killed.pid != server.pid()) {
        server.still_runs();
    }
    let tally = judge(seed, &lab, cast, &harm, server.pid());
    account
        .lock()
        .expect("nobody fails with it")
        .add(&tally.account);
    check(seed, &lab, cast, &harm, &tally);
    let server = survives(cast, &harm, &tally, server, &before);
    drop(server);
    end_all(&lab);
    left::nothing_is_open(&lab);
    // (A FIN that comes again once nobody sits out TIME-WAIT is the kernel's to answer.)
    if preloading()
        && !harm.keeper_killed
        && harm.killed.iter().all(|killed| killed.side == Side::Peer)
    {
        assert_eq!(
            lab.kernel_sent(),
            0,
            "packets that the test side's kernel sent itself {}",
            lab.kernel_said()
        );
    }
    left::nothing_runs(&lab);
}

/// Something befalls them, some times.
fn befall(
    lab: &Lab,
    cast: Cast,
    server: &Running<'_>,
    clients: &Running<'_>,
    chance: &mut Chance,
) -> Harm {
    let (ours, peer) = match cast.serves {
        true => (server.pid(), clients.pid()),
        false => (clients.pid(), server.pid()),
    };
    let victims = Victims { lab, ours, peer };
    let mut harm = Harm::default();
    for _ in 0..chance.between(1, 4) {
        chance.nap(50, 500);
        victims.befall(&mut harm, chance);
    }
    harm
}

/// Waits for clients whose parent was killed.
fn await_clients(lab: &Lab, cast: &Cast, first: u32) {
    let side = if cast.serves { Side::Peer } else { Side::Test };
    let end = Instant::now() + Duration::from_secs(100);
    while members(lab, side, first).iter().any(|pid| is_client(*pid)) {
        assert!(Instant::now() < end, "clients have not ended");
        sleep(Duration::from_millis(10));
    }
}

fn is_client(pid: u32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"client")
}

/// How long the last connections may take to end whose processes were killed.
const LAST: Duration = Duration::from_secs(10);

fn judge(seed: u64, lab: &Lab, cast: Cast, harm: &Harm, server: u32) -> Tally {
    let end = Instant::now() + LAST;
    let tally = loop {
        // Servers have a moment to learn of it.
        sleep(Duration::from_millis(200));
        let served = book::read(&program::book(lab, Side::Test));
        let judge = Judge {
            cast,
            harm,
            server,
            asked: book::read(&program::book(lab, Side::Peer)).connections,
            served: served.connections,
            strangers: served.strangers,
        };
        let tally = judge.tally();
        if tally.wrong.is_empty() || Instant::now() >= end {
            break tally;
        }
    };
    println!(
        "seed {seed}: {cast:?} {:?}: {:?}, {} MB{}",
        harm.faults,
        tally.hows,
        tally.account.received / 1_000_000,
        excused(harm, &tally)
    );
    tally
}

/// What was reset with its stack, how many had nobody to go on with them, and for whom there was no keeper.
fn excused(harm: &Harm, tally: &Tally) -> String {
    let resets = tally.resets.iter().map(|(owner, resets)| {
        let resets = resets.join("\n  ");
        format!("\n  reset by the death of {owner}: {resets}")
    });
    let resets: String = resets.collect();
    let Some(count) = tally.account.fates.get(&Fate::Orphaned) else {
        return resets;
    };
    let killed = harm.killed.iter().chain(&harm.executors);
    let alone: Vec<u32> = killed
        .filter(|killed| !killed.kept)
        .map(|killed| killed.pid)
        .collect();
    let executors = harm.executors.iter().filter(|killed| !killed.kept).count();
    format!(
        ", {count} had nobody: no keeper for {alone:?}, of which {executors} are executors{resets}"
    )
}

fn check(seed: u64, lab: &Lab, cast: Cast, harm: &Harm, tally: &Tally) {
    assert!(
        tally.wrong.is_empty(),
        "seed {seed}: {cast:?} {harm:?}\n{}\n{}{}\nthe kernel said {}",
        tally.wrong.join("\n"),
        processes::described(lab),
        left::sockets(lab),
        lab.kernel_said()
    );
    assert!(tally.account.received > 0, "seed {seed}: nothing came");
}

/// Fails unless a server that was not killed is there, with no more than it had before. A client that was killed with its
/// keeper is, to its server, one that is silent: nobody says that its connections have ended.
fn survives<'lab>(
    cast: Cast,
    harm: &Harm,
    tally: &Tally,
    mut server: Running<'lab>,
    before: &Before,
) -> Running<'lab> {
    if harm.killed.iter().all(|killed| killed.pid != server.pid()) {
        server.still_runs();
        let orphans = tally.account.fates.get(&Fate::Orphaned).copied();
        let clients = orphans.filter(|_| !cast.serves);
        before.is_left(&server, clients.unwrap_or(0));
    }
    server
}

/// Kills what is left of the families.
fn end_all(lab: &Lab) {
    for side in [Side::Test, Side::Peer] {
        for pid in members(lab, side, 0) {
            signal(pid, Signal::KILL);
        }
    }
}
