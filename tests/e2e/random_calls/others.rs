//! The steps that others take: the peer, and forked processes.

use super::asking::{get, ioctl, names, set_connection, state};
use super::scene::{Life, Scene};
use super::steps::{SIZES, Step, recv, send_bytes, sendto_peer, shut_connection};

pub(super) fn peer_dial(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Listening)?;
    Some(format!("peer_dial {slot}"))
}

pub(super) fn peer_send(scene: &mut Scene) -> Option<String> {
    let size = scene.of(&SIZES[1..]);
    Some(format!("peer_send {} {size}", scene.handle()))
}

pub(super) fn peer_take(scene: &mut Scene) -> Option<String> {
    Some(format!("peer_take {}", scene.handle()))
}

pub(super) fn peer_urgent(scene: &mut Scene) -> Option<String> {
    Some(format!("peer_urgent {}", scene.handle()))
}

pub(super) fn peer_shutdown(scene: &mut Scene) -> Option<String> {
    let how = scene.of(&["SHUT_WR", "SHUT_WR", "SHUT_RD", "SHUT_RDWR"]);
    Some(format!("peer_shutdown {} {how}", scene.handle()))
}

/// It goes on to receive: elsewhere a reset is told of in another way.
pub(super) fn peer_finish(scene: &mut Scene) -> Option<String> {
    Some(format!("peer_shutdown {} SHUT_WR", scene.handle()))
}

pub(super) fn peer_close(scene: &mut Scene) -> Option<String> {
    Some(format!("peer_close {}", scene.handle()))
}

pub(super) fn peer_reset(scene: &mut Scene) -> Option<String> {
    Some(format!("peer_reset {}", scene.handle()))
}

pub(super) fn peer_to(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Datagrams)?;
    let size = scene.of(SIZES);
    Some(format!("peer_to {slot} {size}"))
}

pub(super) fn peer_from(scene: &mut Scene) -> Option<String> {
    scene.any_socket()?;
    Some("peer_from".to_owned())
}

pub(super) fn peer_narrow(scene: &mut Scene) -> Option<String> {
    Some(format!("peer_narrow {}", scene.of(&["6000", "100000"])))
}

/// What a forked process may do in one step: what it makes is gone with it.
const CHILDRENS: &[Step] = &[
    send_bytes,
    sendto_peer,
    recv,
    recv,
    shut_connection,
    names,
    set_connection,
    get,
    ioctl,
    state,
];

pub(super) fn child(scene: &mut Scene) -> Option<String> {
    let step = scene.chance.of(CHILDRENS)?(scene)?;
    Some(format!("child {step}"))
}

pub(super) fn fork(scene: &mut Scene) -> Option<String> {
    scene.any_socket()?;
    Some(format!("fork {}", scene.of(&["parent", "orphan"])))
}
