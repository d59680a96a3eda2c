//! The steps that set and read what sockets have.

use super::options::{ONLY_SET, OPTIONS, READ};
use super::scene::{Life, Scene};

pub(super) fn names(scene: &mut Scene) -> Option<String> {
    Some(format!("names {}", scene.any_socket()?))
}

pub(super) fn set(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    set_of(scene, slot)
}

/// UDP_CORK is without effect on what others send (LD_PRELOAD.md).
pub(super) fn set_connection(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Connected)?;
    set_of(scene, slot)
}

pub(super) fn set_of(scene: &mut Scene, slot: usize) -> Option<String> {
    let table = match scene.chance.one_in(20) {
        true => ONLY_SET,
        false => OPTIONS,
    };
    let (name, values) = scene.chance.of(table)?;
    let value = scene.of(values);
    Some(format!("set {slot} {name} {value}"))
}

pub(super) fn get(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let name = match scene.chance.one_in(4) {
        true => scene.of(READ),
        false => scene.chance.of(OPTIONS)?.0,
    };
    Some(format!("get {slot} {name}"))
}

const LENGTHS: &[&str] = &["0", "1", "2", "3", "4", "5", "8", "16", "32", "-1"];

pub(super) fn set_size(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let (name, values) = scene.chance.of(OPTIONS)?;
    let (value, size) = (scene.of(values), scene.of(LENGTHS));
    Some(format!("setsize {slot} {name} {value} {size}"))
}

pub(super) fn get_size(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let (name, size) = (scene.chance.of(OPTIONS)?.0, scene.of(LENGTHS));
    Some(format!("getsize {slot} {name} {size}"))
}

pub(super) fn linger(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let how = scene.of(&["0 0", "1 0", "1 0", "1 1"]);
    Some(format!("linger {slot} {how}"))
}

/// Of a listener: elsewhere it holds the handshake's last ACK back (LD_PRELOAD.md).
pub(super) fn defer(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Listening)?;
    let listens = scene.life(slot) == Some(Life::Listening);
    let value = scene.of(&["0", "40"]);
    listens.then(|| format!("set {slot} TCP_DEFER_ACCEPT {value}"))
}

pub(super) fn error(scene: &mut Scene) -> Option<String> {
    Some(format!("get {} SO_ERROR", scene.any_socket()?))
}

pub(super) fn ioctl(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let request = scene.of(&["FIONREAD", "SIOCOUTQ", "SIOCATMARK", "SIOCOUTQNSD"]);
    Some(format!("ioctl {slot} {request}"))
}

pub(super) fn flags(scene: &mut Scene) -> Option<String> {
    Some(format!("flags {}", scene.any_socket()?))
}

pub(super) fn sockatmark(scene: &mut Scene) -> Option<String> {
    Some(format!("sockatmark {}", scene.any_socket()?))
}

pub(super) fn state(scene: &mut Scene) -> Option<String> {
    Some(format!("state {}", scene.any_socket()?))
}
