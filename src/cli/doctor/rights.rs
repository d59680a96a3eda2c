//! Rights: CAP_NET_RAW, and what it opens.

use rustix::fd::AsFd;
use rustix::thread::{CapabilitySet, capabilities};

use super::{Finding, keeper};
use crate::cli::os_error;
use crate::control::settings::Settings;
use crate::sys::filter::{self, Instruction};
use crate::sys::owned::OwnedFd;
use crate::sys::packet;

pub(super) fn check(settings: &Settings) -> Vec<Finding> {
    if !effective(CapabilitySet::NET_RAW)
        && let Some(keeper) = keeper::check(settings)
    {
        // The packet socket is the keeper's business then.
        return vec![Finding::ok("CAP_NET_RAW", "not held"), keeper];
    }
    let mut findings = vec![check_net_raw(), check_net_admin()];
    match packet::open() {
        Err(errno) => findings.push(Finding::fail(
            "AF_PACKET",
            format!("no packet socket: {}", os_error(errno)),
            "needs CAP_NET_RAW, a kernel with CONFIG_PACKET, and no seccomp filter that forbids it",
        )),
        Ok(socket) => {
            findings.push(Finding::ok("AF_PACKET", "packet sockets can be opened"));
            findings.push(check_vnet_header(&socket));
            findings.push(check_filter(&socket));
        }
    }
    findings
}

fn effective(capability: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

fn check_net_raw() -> Finding {
    if effective(CapabilitySet::NET_RAW) {
        return Finding::ok("CAP_NET_RAW", "held");
    }
    Finding::fail(
        "CAP_NET_RAW",
        "not held: the stack cannot reach an interface",
        "run as root, or: sudo setpriv --reuid=$USER --regid=$(id -g) --init-groups --inh-caps=+net_raw \
         --ambient-caps=+net_raw PROGRAM; in a container: --cap-add=NET_RAW; in a systemd unit: \
         AmbientCapabilities=CAP_NET_RAW. Not with setcap on the program: the loader then ignores \
         LD_PRELOAD. Or have an administrator start a keeper that admits you: sidestack-keeper(8)",
    )
}

fn check_net_admin() -> Finding {
    if effective(CapabilitySet::NET_ADMIN) {
        Finding::ok("CAP_NET_ADMIN", "held (not needed)")
    } else {
        Finding::ok(
            "CAP_NET_ADMIN",
            "not held; not needed, some speed-ups are left out",
        )
    }
}

fn check_vnet_header(socket: &OwnedFd) -> Finding {
    match packet::set_vnet_header(socket.as_fd()) {
        Ok(()) => Finding::ok("PACKET_VNET_HDR", "super-packets and checksum offload work"),
        Err(errno) => Finding::fail(
            "PACKET_VNET_HDR",
            format!("refused: {}", os_error(errno)),
            "use a Linux kernel from 5.10 on (gVisor and similar sandboxes lack it)",
        ),
    }
}

fn check_filter(socket: &OwnedFd) -> Finding {
    // BPF_RET | BPF_K of 0: keep nothing.
    let drop_all = Instruction {
        code: 0x06,
        jump_true: 0,
        jump_false: 0,
        operand: 0,
    };
    match filter::attach(socket.as_fd(), &[drop_all]) {
        Ok(()) => Finding::ok("SO_ATTACH_FILTER", "packet filters can be attached"),
        Err(errno) => Finding::fail(
            "SO_ATTACH_FILTER",
            format!("refused: {}", os_error(errno)),
            "raise net.core.optmem_max, or use a Linux kernel from 5.10 on",
        ),
    }
}
