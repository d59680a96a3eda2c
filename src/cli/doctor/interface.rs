//! The interface the stack would drive, and what state it is in.

use netlink_packet_route::link::LinkLayerType;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::Finding;
use super::network::{Interface, interfaces};
use crate::cli::settings::Settings;
use crate::sys::probe;

/// What the findings are headed by.
const WHAT: &str = "interface";

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    let known = match interfaces() {
        Ok(known) => known,
        Err(error) => {
            return vec![Finding::fail(
                WHAT,
                format!("the kernel does not list its interfaces: {error}"),
                "lift the seccomp filter that forbids netlink sockets",
            )];
        }
    };
    let named = settings.text("SIDESTACK_INTERFACE");
    if named.is_empty() {
        return match choose(&known) {
            Ok(chosen) => examine(chosen, settings),
            Err(finding) => vec![finding],
        };
    }
    let mut findings = Vec::new();
    for name in named.split(',').map(str::trim) {
        match known.iter().find(|interface| interface.name == name) {
            Some(interface) => findings.extend(examine(interface, settings)),
            None => findings.push(Finding::fail(
                WHAT,
                format!("there is no interface '{name}'"),
                format!("use one of: {}", names(&known)),
            )),
        }
    }
    findings
}

/// The default: the interface with the default route, else the only one that is up and not loopback.
fn choose(known: &[Interface]) -> Result<&Interface, Finding> {
    let routed = known
        .iter()
        .filter(|interface| interface.default_route.is_some())
        .min_by_key(|interface| interface.default_route);
    if let Some(interface) = routed {
        return Ok(interface);
    }
    let up: Vec<&Interface> = known
        .iter()
        .filter(|interface| interface.up && interface.layer != LinkLayerType::Loopback)
        .collect();
    match up[..] {
        [only] => Ok(only),
        [] => Err(Finding::fail(
            WHAT,
            "none is up but loopback",
            format!("ip link set IF up, with IF one of: {}", names(known)),
        )),
        _ => Err(Finding::fail(
            WHAT,
            "several are up and none has the default route",
            format!("name one with --interface: {}", names(known)),
        )),
    }
}

fn names(known: &[Interface]) -> String {
    let names: Vec<&str> = known
        .iter()
        .filter(|interface| interface.layer != LinkLayerType::Loopback)
        .map(|interface| interface.name.as_str())
        .collect();
    if names.is_empty() {
        return "(there is none)".into();
    }
    names.join(" ")
}

fn examine(interface: &Interface, settings: &Settings) -> Vec<Finding> {
    vec![
        check_state(interface),
        check_layer(interface),
        check_mtu(interface),
        check_address(interface, settings),
        check_route(interface),
        check_offloads(interface),
    ]
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
    Finding::ok(WHAT, format!("{name} is up"))
}

fn check_layer(interface: &Interface) -> Finding {
    match interface.layer {
        LinkLayerType::Ether => Finding::ok("link type", "Ethernet"),
        LinkLayerType::Loopback => Finding::fail(
            "link type",
            "loopback belongs to the kernel",
            "name another interface with --interface",
        ),
        other => Finding::fail(
            "link type",
            format!("{other}: only Ethernet-like interfaces are driven so far"),
            "name another interface with --interface",
        ),
    }
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

fn check_address(interface: &Interface, settings: &Settings) -> Finding {
    let own = settings.text("SIDESTACK_ADDRESS");
    if !own.is_empty() && own != "host" {
        return Finding::ok("address", format!("{own}, the stack's own"));
    }
    match &interface.addresses[..] {
        [] => Finding::fail(
            "address",
            format!("{} has no IPv4 address to share", interface.name),
            format!(
                "ip address add ADDRESS/PREFIX dev {}, or give the stack its own with --address",
                interface.name
            ),
        ),
        several => {
            let shown: Vec<String> = several.iter().map(ToString::to_string).collect();
            Finding::ok(
                "address",
                format!("{}, shared with the host", shown.join(" ")),
            )
        }
    }
}

fn check_route(interface: &Interface) -> Finding {
    match interface.default_route {
        Some((_, Some(gateway))) => Finding::ok("route", format!("default by {gateway}")),
        Some((_, None)) => Finding::ok("route", "default, on the link"),
        None => Finding::ok(
            "route",
            "no default: the networks routed over it are served, others stay the kernel's",
        ),
    }
}

fn check_offloads(interface: &Interface) -> Finding {
    let name = &interface.name;
    let flags = SocketFlags::CLOEXEC;
    let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None) else {
        return Finding::warn("offloads", "not known", "");
    };
    let offloads = probe::offloads(&socket, name);
    let mut missing = Vec::new();
    for (feature, on) in [
        ("tso", offloads.tso),
        ("gso", offloads.gso),
        ("gro", offloads.gro),
    ] {
        if on == Some(false) {
            missing.push(feature);
        }
    }
    if missing.is_empty() {
        return Finding::ok("offloads", "tso, gso, gro on");
    }
    let switches: Vec<String> = missing
        .iter()
        .map(|feature| format!("{feature} on"))
        .collect();
    Finding::warn(
        "offloads",
        format!(
            "{} off: bulk transfer is several times slower than it could be",
            missing.join(", ")
        ),
        format!("ethtool -K {name} {}", switches.join(" ")),
    )
}
