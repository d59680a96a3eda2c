//! Every instruction of a turn: what lies in the memory at each is enough to go on with.

use crate::app::{Stream, check_frame};
use crate::peer::{Peer, keys};
use crate::process::{Process, Task, TurnEnd, share};
use crate::stack::random::Random;
use crate::stack::time::Instant;
use crate::support::host::{Host, US};
use crate::support::region::Region;
use crate::users::Users;

/// Enough for a few connections, and little to copy.
const LEN: usize = 512 << 10;
/// As far as the connections reach: what they say is what counts.
const RECORDS: usize = 48 << 10;

/// The process's memory, and a place for copies of it.
struct Memory {
    live: *const u8,
    copy: Region,
    last: Vec<u8>,
}

impl Memory {
    /// A copy of the memory as it is, if the connections are not what they were before.
    fn changed(&mut self) -> Option<&'static mut [u8]> {
        // SAFETY: mapped for ever, and the process is stopped.
        let live = unsafe { core::slice::from_raw_parts(self.live, LEN) };
        if live[..RECORDS] == self.last {
            return None;
        }
        self.last.copy_from_slice(&live[..RECORDS]);
        let copy = self.copy.again();
        copy.copy_from_slice(live);
        Some(copy)
    }
}

/// Looks at `TURNS` turns of a process instruction by instruction, after at most so many others.
pub(crate) fn sweep<const TURNS: usize>(seed: u64, most_before: usize) {
    let mut random = Random::new(seed);
    let task = Task {
        connects: 2,
        to_send: 40_000,
        to_get: 40_000,
        passes: random.below(2) == 0,
    };
    let users = task.passes.then(|| Users::new(&task, keys(&task)));
    let live = share::<u8>(LEN);
    let mut memory = Memory {
        live,
        copy: Region::new(LEN).0,
        last: vec![0; RECORDS],
    };
    let turns = random.below(most_before);
    let mut peer = Peer::new(task, random);
    // SAFETY: mapped for ever; only the process writes it.
    let whole = || unsafe { core::slice::from_raw_parts_mut(live, LEN) };
    let mut process = Process::start(task, users.clone(), whole);
    let mut before = peer.run_process(&mut process, turns);
    for _ in 0..TURNS {
        let frame = peer.next_frame(before.deadline);
        let now = peer.now;
        let turn = process.turn_stepped(now, &frame, || {
            if let Some(copy) = memory.changed() {
                check(seed, now, copy, &before, users.as_ref());
            }
            true
        });
        process.run_on();
        peer.receive(turn.frames);
        before = turn.end.expect("a turn has an end");
    }
}

/// Another stack goes on with a copy: every connection that was open lives, has lost no byte that it had
/// accepted, and sends the right ones.
fn check(
    seed: u64,
    now: Instant,
    memory: &'static mut [u8],
    before: &TurnEnd,
    users: Option<&Users>,
) {
    let (mut host, restored) = Host::restored(US, memory, now);
    let lost = (restored.unreadable, restored.reset);
    assert_eq!(lost, (0, 0), "seed {seed}: {restored:?}");
    let mut streams: Vec<Stream> = Vec::new();
    for known in before.streams.iter().filter(|known| known.first.is_some()) {
        let mut stream = *known;
        let Some(status) = host.stack.tcp_status(stream.id) else {
            // Closed by its user, who had all.
            continue;
        };
        assert!(status.error.is_none(), "seed {seed}: {known:?} {status:?}");
        stream.resume(&status);
        let onward = stream.sent >= known.sent && stream.got >= known.got;
        assert!(onward, "seed {seed}: {known:?} fell back to {stream:?}");
        stream.check_received(&host.stack);
        if let Some(users) = users {
            let passed = users.passed(stream.key);
            assert_eq!(passed, (stream.sent, stream.got), "seed {seed}: {stream:?}");
        }
        streams.push(stream);
    }
    for frame in host.frames() {
        check_frame(&frame, &streams);
    }
}
