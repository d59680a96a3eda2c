//! The steps that histories consist of, and how often each is taken. What they mean is in c-tests/random.

use super::asking::{
    defer, error, flags, get, get_size, ioctl, linger, names, set, set_connection, set_size,
    sockatmark, state,
};
use super::meanwhile::meanwhile;
use super::others::{
    child, fork, peer_close, peer_dial, peer_finish, peer_from, peer_narrow, peer_reset, peer_send,
    peer_shutdown, peer_take, peer_to, peer_urgent,
};
use super::scene::{Life, Scene};

/// Writes a step for the scene, if there is something it can act on.
pub(super) type Step = fn(&mut Scene) -> Option<String>;

pub(super) const STEPS: &[(u64, Step)] = &[
    (11, socket),
    (7, bind),
    (6, listen),
    (11, connect),
    (2, connect_to_nobody),
    (9, accept),
    (4, close),
    (2, dup),
    (1, dupfd),
    (1, pass),
    (1, dup2),
    (4, shutdown),
    (12, send),
    (6, sendto),
    (1, sendmmsg),
    (2, sendmsg),
    (15, recv),
    (1, recvmmsg),
    (1, readv),
    (1, preadv2),
    (1, pwritev2),
    (1, dprintf),
    (1, sendfile),
    (1, splice_to),
    (1, splice_from),
    (4, names),
    (10, set),
    (5, get),
    (1, set_size),
    (1, get_size),
    (1, linger),
    (1, defer),
    (3, error),
    (4, ioctl),
    (2, state),
    (1, flags),
    (1, sockatmark),
    (2, select),
    (1, pselect),
    (4, meanwhile),
    (2, poll),
    (1, ppoll),
    (6, epoll_ctl),
    (7, epoll_wait),
    (1, epoll_pwait2),
    (10, peer_dial),
    (12, peer_send),
    (8, peer_take),
    (2, peer_urgent),
    (3, peer_shutdown),
    (2, peer_close),
    (2, peer_reset),
    (6, peer_to),
    (6, peer_from),
    (1, peer_narrow),
];

/// Those of histories in which processes fork: of connections, which are everybody's, and their streams.
pub(super) const FORKING: &[(u64, Step)] = &[
    (6, stream),
    (6, listen),
    (6, connect_to_peer),
    (9, accept),
    (3, close),
    (2, dup),
    (3, shut_connection),
    (12, send_bytes),
    (15, recv),
    (4, names),
    (4, set_connection),
    (5, get),
    (3, ioctl),
    (3, state),
    (4, epoll_ctl),
    (4, epoll_wait),
    (10, peer_dial),
    (12, peer_send),
    (8, peer_take),
    (3, peer_finish),
    (1, peer_reset),
    (3, datagrams),
    (2, connect_to_peer),
    (4, sendto_peer),
    (4, peer_to),
    (4, peer_from),
    (12, child),
    (5, fork),
];

pub(super) const SIZES: &[&str] = &[
    "0", "1", "10", "100", "1000", "1472", "1473", "3000", "9000",
];

/// About the longest that UDP carries, and IP, and more than any length of theirs can say.
const LONG_SIZES: &[&str] = &["30000", "65507", "65508", "65535", "65536"];

pub(super) fn socket(scene: &mut Scene) -> Option<String> {
    let slot = scene.room()?;
    let kind = scene.of(&["tcp", "tcp", "tcp", "udp", "udp", "tcp6", "udp6"]);
    let life = if kind.starts_with("tcp") {
        Life::Fresh
    } else {
        Life::Datagrams
    };
    scene.put(slot, Some(life));
    Some(format!("socket {slot} {kind}"))
}

/// Where a socket may be bound. (TCP's on a broadcast address is the kernel's.)
const OWN: &[&str] = &[
    "own",
    "own",
    "own+0",
    "own+1",
    "any",
    "any",
    "any+0",
    "any+1",
    "everybody+2",
];

/// Now and then an address that is none.
fn maybe_strange<'a>(scene: &mut Scene, place: &'a str) -> &'a str {
    match scene.chance.one_in(20) {
        true => scene.of(&["short", "odd", "foreign"]),
        false => place,
    }
}

fn bind(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| matches!(life, Life::Fresh | Life::Datagrams))?;
    let most = match scene.life(slot) {
        Some(Life::Datagrams) => OWN.len(),
        _ => OWN.len() - 1,
    };
    let place = scene.of(&OWN[..most]);
    Some(format!("bind {slot} {}", maybe_strange(scene, place)))
}

pub(super) fn listen(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Fresh)?;
    scene.becomes(slot, Life::Listening);
    let backlog = scene.of(&["-1", "0", "1", "2", "5"]);
    Some(format!("listen {slot} {backlog}"))
}

fn connect(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| matches!(life, Life::Fresh | Life::Datagrams))?;
    let place = match scene.life(slot) {
        Some(Life::Datagrams) => scene.of(&[
            "peer", "peer", "peer", "refused", "dark", "nowhere", "zero", "all",
        ]),
        _ => scene.of(&["peer", "peer", "peer", "peer", "refused", "dark"]),
    };
    let place = maybe_strange(scene, place);
    if place == "peer" {
        scene.becomes(slot, Life::Connected);
    }
    let call = format!("connect {slot} {place}");
    Some(maybe_blocking(scene, call))
}

fn stream(scene: &mut Scene) -> Option<String> {
    let slot = scene.room()?;
    scene.put(slot, Some(Life::Fresh));
    Some(format!("socket {slot} tcp"))
}

fn datagrams(scene: &mut Scene) -> Option<String> {
    let slot = scene.room()?;
    scene.put(slot, Some(Life::Datagrams));
    Some(format!("socket {slot} udp"))
}

fn connect_to_peer(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| matches!(life, Life::Fresh | Life::Datagrams))?;
    scene.becomes(slot, Life::Connected);
    let call = format!("connect {slot} peer");
    Some(maybe_blocking(scene, call))
}

fn connect_to_nobody(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    scene.becomes(slot, Life::Fresh);
    Some(format!("connect {slot} nobody"))
}

pub(super) fn accept(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Listening)?;
    let room = scene.room()?;
    scene.put(room, Some(Life::Connected));
    let how = scene.of(&[
        "0",
        "SOCK_NONBLOCK",
        "SOCK_NONBLOCK|SOCK_CLOEXEC",
        "SOCK_NONBLOCK",
        "1",
    ]);
    let call = format!("accept {slot} {room} {how}");
    Some(maybe_blocking(scene, call))
}

fn close(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    scene.put(slot, None);
    Some(format!("close {slot}"))
}

fn dup(scene: &mut Scene) -> Option<String> {
    let (slot, room) = (scene.any_socket()?, scene.room()?);
    let life = scene.life(slot);
    scene.put(room, life);
    Some(format!("dup {slot} {room}"))
}

fn dupfd(scene: &mut Scene) -> Option<String> {
    dup(scene).map(|call| call.replace("dup", "dupfd"))
}

fn pass(scene: &mut Scene) -> Option<String> {
    dup(scene).map(|call| call.replace("dup", "pass"))
}

fn dup2(scene: &mut Scene) -> Option<String> {
    let (slot, other) = (scene.any_socket()?, scene.any_socket()?);
    let life = scene.life(slot);
    scene.put(other, life);
    let how = scene.of(&["0", "O_CLOEXEC"]);
    Some(format!("dup2 {slot} {other} {how}"))
}

pub(super) fn shutdown(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let how = scene.of(&["SHUT_RD", "SHUT_WR", "SHUT_RDWR", "SHUT_RDWR", "3"]);
    Some(format!("shutdown {slot} {how}"))
}

/// What comes after a connection was shut down for reading, only the process with its stack can receive.
pub(super) fn shut_connection(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Connected)?;
    Some(format!("shutdown {slot} SHUT_WR"))
}

const SENDING: &[&str] = &[
    "MSG_MORE",
    "MSG_OOB",
    "MSG_DONTROUTE",
    "MSG_CONFIRM",
    "MSG_EOR",
    "MSG_ZEROCOPY",
    "MSG_NOSIGNAL",
    "MSG_DONTWAIT",
    "MSG_TRUNC",
    "MSG_PEEK",
];

fn sending_socket(scene: &mut Scene) -> Option<usize> {
    scene.socket(|life| matches!(life, Life::Connected | Life::Datagrams))
}

pub(super) fn send(scene: &mut Scene) -> Option<String> {
    let slot = sending_socket(scene)?;
    Some(send_by(scene, slot))
}

/// What a process holds back of a datagram others do not add to (LD_PRELOAD.md).
pub(super) fn send_bytes(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Connected)?;
    Some(send_by(scene, slot))
}

fn send_by(scene: &mut Scene, slot: usize) -> String {
    let size = scene.of(SIZES);
    let flags = scene.flags(SENDING);
    let call = match scene.chance.between(0, 4) {
        0 => format!("write {slot} {size}"),
        1 => format!("writev {slot} {size}"),
        _ => format!("send {slot} {size} {flags}"),
    };
    maybe_blocking(scene, call)
}

const DESTINATIONS: &[&str] = &[
    "peer", "peer", "peer", "peer", "refused", "dark", "nowhere", "all", "zero",
];

fn sendto(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Datagrams)?;
    let place = scene.of(DESTINATIONS);
    let size = match scene.chance.one_in(8) {
        true => scene.of(LONG_SIZES),
        false => scene.of(SIZES),
    };
    let place = maybe_strange(scene, place);
    let flags = scene.flags(SENDING);
    Some(format!("sendto {slot} {place} {size} {flags}"))
}

pub(super) fn sendto_peer(scene: &mut Scene) -> Option<String> {
    let slot = scene.socket(|life| life == Life::Datagrams)?;
    Some(format!("sendto {slot} peer {} 0", scene.of(SIZES)))
}

fn sendmmsg(scene: &mut Scene) -> Option<String> {
    // Of what is sent elsewhere Linux may hear before the call is through.
    let slot = scene.socket(|life| life == Life::Datagrams)?;
    let place = "peer";
    let (size, flags) = (scene.of(&SIZES[..6]), scene.flags(SENDING));
    Some(format!("sendmmsg {slot} {place} {size} {flags}"))
}

const CONTROLS: &[&str] = &[
    "ttl", "ttl0", "tos", "pktinfo", "short", "mark", "segment", "priority", "stamps", "hops",
    "rights", "none", "-",
];

fn sendmsg(scene: &mut Scene) -> Option<String> {
    let slot = sending_socket(scene)?;
    let place = scene.of(&["-", "-", "peer", "refused"]);
    let (size, control) = (scene.of(SIZES), scene.of(CONTROLS));
    let flags = scene.flags(SENDING);
    Some(format!("sendmsg {slot} {place} {size} {flags} {control}"))
}

const RECEIVING: &[&str] = &[
    "MSG_PEEK",
    "MSG_PEEK",
    "MSG_TRUNC",
    "MSG_OOB",
    "MSG_WAITALL",
    "MSG_ERRQUEUE",
    "MSG_CTRUNC",
    "MSG_DONTWAIT",
];

pub(super) fn recv(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    let flags = scene.flags(RECEIVING);
    let call = match scene.chance.between(0, 5) {
        0 => format!("read {slot} {size}"),
        1 => format!("recvfrom {slot} {size} {flags}"),
        2 => {
            let control = scene.of(&["0", "10", "16", "20", "100", "400"]);
            format!("recvmsg {slot} {size} {flags} {control}")
        }
        _ => format!("recv {slot} {size} {flags}"),
    };
    Some(maybe_blocking(scene, call))
}

/// The file has 70,000 bytes. (Of a datagram in fragments, of which an odd number of bytes is in the file's first page, Linux
/// sends a wrong checksum.)
const OFFSETS: &[&str] = &["0", "10", "4094", "69990", "70000", "80000", "-1"];

fn sendfile(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    let call = format!("sendfile {slot} {size} {}", scene.of(OFFSETS));
    Some(maybe_blocking(scene, call))
}

fn splice_to(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    Some(format!("splice_to {slot} {size}"))
}

fn splice_from(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    Some(format!("splice_from {slot} {size}"))
}

const AT_NO_POSITION: &[&str] = &[
    "0",
    "0",
    "RWF_NOWAIT",
    "RWF_HIPRI",
    "RWF_DSYNC",
    "RWF_APPEND",
];

fn preadv2(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    let call = format!("preadv2 {slot} {size} {}", scene.of(AT_NO_POSITION));
    Some(maybe_blocking(scene, call))
}

fn pwritev2(scene: &mut Scene) -> Option<String> {
    preadv2(scene).map(|call| call.replace("preadv2", "pwritev2"))
}

fn dprintf(scene: &mut Scene) -> Option<String> {
    let slot = sending_socket(scene)?;
    Some(format!("dprintf {slot} {}", scene.of(&SIZES[1..])))
}

fn recvmmsg(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    let flags = scene.flags(&RECEIVING[..3]);
    Some(format!("recvmmsg {slot} {size} {flags}"))
}

fn readv(scene: &mut Scene) -> Option<String> {
    let (slot, size) = (sending_socket(scene)?, scene.of(SIZES));
    Some(maybe_blocking(scene, format!("readv {slot} {size}")))
}

pub(super) fn select(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let limit = scene.of(&["0", "0", "30"]);
    Some(format!("select {slot} {limit}"))
}

pub(super) fn poll(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let (mask, limit) = (
        scene.of(&["IN", "OUT", "0", "IN|PRI|RDHUP", "RDNORM|WRNORM"]),
        scene.of(&["0", "30"]),
    );
    Some(format!("poll {slot} {mask} {limit}"))
}

fn pselect(scene: &mut Scene) -> Option<String> {
    select(scene).map(|call| call.replace("select", "pselect"))
}

fn ppoll(scene: &mut Scene) -> Option<String> {
    poll(scene).map(|call| call.replace("poll", "ppoll"))
}

pub(super) fn epoll_ctl(scene: &mut Scene) -> Option<String> {
    let slot = scene.any_socket()?;
    let operation = scene.of(&["add", "add", "mod", "del"]);
    let mask = scene.of(&[
        "IN",
        "IN|ET",
        "IN|OUT|RDHUP|ET",
        "OUT",
        "OUT|ET",
        "IN|ONESHOT",
        "IN|OUT|ONESHOT|ET",
        "PRI|IN",
        "IN|EXCLUSIVE",
        "IN|OUT|ET|EXCLUSIVE",
        "RDHUP",
        "0",
    ]);
    let set = scene.epoll_set();
    Some(format!("epoll_ctl {operation} {slot} {mask} {set}"))
}

pub(super) fn epoll_wait(scene: &mut Scene) -> Option<String> {
    let limit = scene.of(&["0", "0", "30"]);
    Some(format!("epoll_wait {limit} {}", scene.epoll_set()))
}

fn epoll_pwait2(scene: &mut Scene) -> Option<String> {
    epoll_wait(scene).map(|call| call.replace("epoll_wait", "epoll_pwait2"))
}

/// One in so many calls that may block does.
const BLOCKING: u64 = 8;

fn maybe_blocking(scene: &mut Scene, call: String) -> String {
    match scene.chance.one_in(BLOCKING) {
        true => blocking(&call),
        false => call,
    }
}

/// The step by a descriptor that blocks.
pub(super) fn blocking(call: &str) -> String {
    let mut words = call.split(' ');
    let (verb, slot) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let rest: Vec<&str> = words.collect();
    format!("wait {slot} {verb} {}", rest.join(" "))
}
