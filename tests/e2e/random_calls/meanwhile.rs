//! Steps of which one thread takes the one, which blocks, and another the other, while it does.

use super::asking::set;
use super::others::{
    peer_close, peer_dial, peer_reset, peer_send, peer_shutdown, peer_take, peer_to, peer_urgent,
};
use super::scene::Scene;
use super::steps::{
    Step, accept, blocking, epoll_ctl, epoll_wait, poll, recv, select, send, shutdown,
};

/// As long as a thread waits, in milliseconds.
const LONG: &str = "200";

const CALLS: &[Step] = &[recv, recv, recv, accept, send];

const WAKING: &[Step] = &[
    peer_send,
    peer_send,
    peer_to,
    peer_dial,
    peer_take,
    peer_shutdown,
    peer_close,
    peer_reset,
    peer_urgent,
    shutdown,
    shutdown,
    send,
    epoll_ctl,
    set,
    signal,
];

pub(super) fn meanwhile(scene: &mut Scene) -> Option<String> {
    let first = match scene.chance.between(0, 6) {
        0 => waiting(&epoll_wait(scene)?, 1),
        1 => waiting(&poll(scene)?, 3),
        2 => waiting(&select(scene)?, 2),
        _ => {
            let call = scene.chance.of(CALLS)?(scene)?;
            match call.starts_with("wait") {
                true => call,
                false => blocking(&call),
            }
        }
    };
    let second = scene.chance.of(WAKING)?(scene)?;
    Some(format!("meanwhile {first} then {second}"))
}

/// The step with another limit of its time, which is this word.
fn waiting(step: &str, limit: usize) -> String {
    let mut words: Vec<&str> = step.split(' ').collect();
    words[limit] = LONG;
    words.join(" ")
}

fn signal(scene: &mut Scene) -> Option<String> {
    Some(format!("signal {}", scene.of(&["0", "SA_RESTART"])))
}
