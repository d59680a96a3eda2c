//! The interface that is driven, and the link through it; or none.

use rustix::fd::AsFd;
use rustix::io::Errno;

use super::refusal::{Obstacle, explain_packet_socket};
use crate::control::filter::FilterSpec;
use crate::control::log;
use crate::control::mirror::{Facts, Interface, Mirror, MirrorError};
use crate::control::ports::PortSet;
use crate::control::settings::{Address, Loopback, Settings};
use crate::link::{Capture, Impair, Impairments, Link, Nothing, PacketSocket};
use crate::sys::owned::OwnedFd;
use crate::sys::strerror;

/// Most instructions of the packet socket's filter (BPF_MAXINSNS).
pub(super) const FILTER_MAX: usize = 4096;

/// The interface that needs no link.
const LOOPBACK: &str = "lo";

/// The interface the settings ask for, and the link through it. Where there is none, and the stack
/// is to serve loopback, it serves that alone, unless it is required.
pub(super) fn open(settings: &Settings) -> Result<(Mirror, Box<dyn Link + Send>), Obstacle> {
    open_named(settings).or_else(|obstacle| {
        let needed = settings.required || settings.address != Address::Host;
        if settings.loopback == Loopback::Kernel || needed {
            return Err(obstacle);
        }
        let reason = obstacle.reason;
        log::warn(format_args!("{reason}; the stack serves loopback alone"));
        open_named(&Settings {
            interface: Some(LOOPBACK.to_owned()),
            ..settings.clone()
        })
    })
}

/// What there is to know of the interface, and the link through it.
fn open_named(settings: &Settings) -> Result<(Mirror, Box<dyn Link + Send>), Obstacle> {
    let named = settings.interface.as_deref();
    let mirror = Mirror::open(named).map_err(|error| no_interface(&error, named.is_some()))?;
    let Interface {
        name, up, loopback, ..
    } = &mirror.facts().interface;
    if !up {
        let reason = format!("interface \"{name}\" is down; set it up (ip link set {name} up)");
        return Err(reason.into());
    }
    if *loopback && settings.loopback == Loopback::Kernel {
        let reason = format!("interface \"{name}\" can only be had with SIDESTACK_LOOPBACK=stack");
        return Err(reason.into());
    }
    if *loopback && settings.address != Address::Host {
        return Err(format!("an own address needs another interface than \"{name}\"").into());
    }
    let link = open_link(settings, mirror.facts())?;
    Ok((mirror, link))
}

/// That none can be chosen does not matter to who may not drive one: a keeper drives its own.
fn no_interface(error: &MirrorError, named: bool) -> Obstacle {
    match !named && PacketSocket::lacks_right() {
        true => explain_packet_socket(Errno::PERM, ""),
        false => error.to_string().into(),
    }
}

fn open_link(settings: &Settings, facts: &Facts) -> Result<Box<dyn Link + Send>, Obstacle> {
    if facts.interface.loopback {
        let nothing = Nothing::open();
        let explain = |errno| format!("cannot make a descriptor: {}", strerror::of(errno));
        return Ok(Box::new(nothing.map_err(explain)?));
    }
    let nothing = FilterSpec {
        destinations: Vec::new(),
        own_address: false,
        tcp_ports: PortSet::default(),
        udp_ports: PortSet::default(),
    };
    let socket = PacketSocket::open(facts.interface.index, &nothing.program(FILTER_MAX))
        .map_err(|errno| explain_packet_socket(errno, &facts.interface.name))?;
    let link = impaired(settings, socket)?;
    match &settings.pcap {
        None => Ok(link),
        Some(path) => match Capture::create(link, path, &facts.interface.name, capture_ended) {
            Ok(capture) => Ok(Box::new(capture)),
            Err(errno) => {
                let reason = strerror::of(errno);
                Err(format!("cannot write SIDESTACK_PCAP={path}: {reason}").into())
            }
        },
    }
}

fn capture_ended(errno: Errno) {
    log::warn(format_args!(
        "cannot write SIDESTACK_PCAP: {}; the capture ends here",
        strerror::of(errno)
    ));
}

/// The link through the packet sockets of a dead process, which no capture goes on with.
pub(super) fn adopt_link(
    settings: &Settings,
    interface_index: u32,
    socket: OwnedFd,
    successor: Option<OwnedFd>,
) -> Result<Box<dyn Link + Send>, String> {
    let explain = |errno| format!("the packet socket: {}", strerror::of(errno));
    let adopted = match successor {
        Some(successor) => PacketSocket::adopt_both(socket, successor),
        // It may have been set aside for one with a ring that was not left.
        None => PacketSocket::take_back(socket.as_fd(), interface_index)
            .map(|()| PacketSocket::adopt(socket)),
    };
    impaired(settings, adopted.map_err(explain)?)
}

fn impaired(settings: &Settings, socket: PacketSocket) -> Result<Box<dyn Link + Send>, String> {
    let Some(spec) = &settings.impair else {
        return Ok(Box::new(socket));
    };
    let impairments = Impairments::parse(spec).map_err(|error| error.to_string())?;
    Ok(Box::new(Impair::new(socket, impairments)))
}
