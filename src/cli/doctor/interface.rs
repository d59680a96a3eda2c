//! The interface the stack would drive, chosen by the library's own code, and its state.

use std::fs;

use rustix::fd::AsFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::Finding;
use crate::control::mirror::{Facts, Interface, Mirror, MirrorError};
use crate::control::routes::Egress;
use crate::control::settings::{Address, Loopback, Settings};
use crate::sys::ethtool::{self, GET_TSO};

/// ETHTOOL_GGSO and ETHTOOL_GGRO of linux/ethtool.h: the kernel cuts TCP super-packets up late, and joins segments early.
const GET_GSO: u32 = 0x23;
const GET_GRO: u32 = 0x2b;

/// What the findings are headed by.
const WHAT: &str = "interface";

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let mirror = match Mirror::open(settings.interface.as_deref()) {
        Ok(mirror) => mirror,
        Err(error) => {
            let remedy = remedy(&error);
            return vec![Finding::fail(WHAT, error.to_string(), remedy)];
        }
    };
    let facts = mirror.facts();
    if facts.interface.loopback {
        return vec![check_loopback(settings)];
    }
    vec![
        check_state(&facts.interface),
        check_mtu(&facts.interface),
        check_address(facts, &settings.address),
        check_route(facts, settings),
        check_offloads(&facts.interface),
    ]
}

fn check_loopback(settings: &Settings) -> Finding {
    match settings.loopback {
        Loopback::Stack => Finding::ok(WHAT, "loopback alone"),
        Loopback::Kernel => {
            Finding::fail(WHAT, "loopback is the kernel's", "give --loopback stack")
        }
    }
}

fn remedy(error: &MirrorError) -> String {
    match error {
        MirrorError::System(_) => "lift the seccomp filter that forbids netlink sockets".into(),
        MirrorError::NoDefault(up) if up.is_empty() => {
            format!("ip link set IF up; there is: {}", names())
        }
        _ => format!("give --interface IF; there is: {}", names()),
    }
}

/// The interfaces of this network namespace but loopback.
fn names() -> String {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten();
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != "lo")
        .collect();
    if names.is_empty() {
        return "none but loopback".into();
    }
    names.join(" ")
}

fn check_state(interface: &Interface) -> Finding {
    let name = &interface.name;
    if !interface.up {
        let remedy = format!("ip link set {name} up");
        return Finding::fail(WHAT, format!("{name} is down"), remedy);
    }
    if !interface.running {
        let found = format!("{name} is up but has no carrier");
        return Finding::fail(WHAT, found, "plug it in, or set its other end up");
    }
    Finding::ok(WHAT, format!("{name}, Ethernet, up"))
}

fn check_mtu(interface: &Interface) -> Finding {
    let found = format!("{} bytes", interface.mtu);
    // RFC 791: every host must be able to receive 576 bytes.
    if interface.mtu < 576 {
        let remedy = format!("ip link set {} mtu 1500", interface.name);
        return Finding::warn("MTU", found, remedy);
    }
    Finding::ok("MTU", found)
}

fn check_address(facts: &Facts, address: &Address) -> Finding {
    let (addresses, whose) = match address {
        Address::Own(own) => (own, "the stack's own"),
        Address::Host => (&facts.addresses, "shared with the host"),
    };
    if addresses.is_empty() {
        let name = &facts.interface.name;
        return Finding::fail(
            "address",
            format!("{name} has no IPv4 address to share"),
            format!(
                "ip address add ADDRESS/PREFIX dev {name}, or give the stack its own: --address"
            ),
        );
    }
    let shown: Vec<String> = addresses
        .iter()
        .map(|cidr| format!("{}/{}", cidr.address, cidr.prefix_len))
        .collect();
    Finding::ok("address", format!("{}, {whose}", shown.join(" ")))
}

fn check_route(facts: &Facts, settings: &Settings) -> Finding {
    const WHAT: &str = "route";
    let own = settings.address != Address::Host;
    let gateway = match settings.gateway.filter(|_| own) {
        Some(gateway) => Some(Some(gateway)),
        None if own => None,
        None => facts
            .routes
            .iter()
            .filter(|route| route.destination.prefix_len == 0 && route.egress == Egress::Stack)
            .min_by_key(|route| route.metric)
            .map(|route| route.gateway),
    };
    match gateway {
        Some(Some(gateway)) => Finding::ok(WHAT, format!("default by {gateway}")),
        Some(None) => Finding::ok(WHAT, "default, on the link"),
        None if own => Finding::ok(
            WHAT,
            "no --gateway: only the address's own network is reached",
        ),
        None => Finding::ok(
            WHAT,
            "no default: the networks routed over it are served, others stay the kernel's",
        ),
    }
}

fn check_offloads(interface: &Interface) -> Finding {
    const WHAT: &str = "offloads";
    let flags = SocketFlags::CLOEXEC;
    let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None) else {
        return Finding::warn(WHAT, "not known: no socket to ask with", "");
    };
    let is_off = |command| ethtool::does(socket.as_fd(), &interface.name, command) == Ok(false);
    let features = [("tso", GET_TSO), ("gso", GET_GSO), ("gro", GET_GRO)];
    let off: Vec<&str> = features
        .into_iter()
        .filter(|&(_, command)| is_off(command))
        .map(|(feature, _)| feature)
        .collect();
    if off.is_empty() {
        return Finding::ok(WHAT, "tso, gso, gro on");
    }
    Finding::warn(
        WHAT,
        format!(
            "{} off: bulk transfer is slower than it could be",
            off.join(", ")
        ),
        format!("ethtool -K {} {} on", interface.name, off.join(" on ")),
    )
}
