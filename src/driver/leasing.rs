//! Leasing a port that a program chose, or has the kernel choose.

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::io::Errno;

use super::ports::Wish;
use crate::control;
use crate::control::ephemeral::Protocol;
use crate::control::lease::{Inet6, KernelAddress, LeaseOptions};

/// First port that needs no privilege on any system (ip_unprivileged_port_start may be lower).
const UNPRIVILEGED: u16 = 1024;
/// Most ports in a row that the kernel may have chosen in vain.
const CHOICES: usize = 64;

/// A lease of a port that is not `taken` if the kernel is to choose: it knows nothing of connections whose port went
/// back to it.
pub(super) fn lease_of_untaken(
    protocol: Protocol,
    local: SocketAddrV4,
    wish: &Wish,
    taken: impl Fn(u16) -> bool,
) -> Result<control::lease::Lease, Errno> {
    // Held meanwhile, so that it chooses others.
    let mut in_vain = Vec::new();
    loop {
        let lease = lease_from_kernel(protocol, local, wish)?;
        if local.port() != 0 || !taken(lease.port()) || in_vain.len() == CHOICES {
            return Ok(lease);
        }
        in_vain.push(lease);
    }
}

fn lease_from_kernel(
    protocol: Protocol,
    local: SocketAddrV4,
    wish: &Wish,
) -> Result<control::lease::Lease, Errno> {
    let options = LeaseOptions {
        reuse_address: wish.reuse_address,
        reuse_port: wish.reuse_port,
        owner: wish.user,
        free_bind: wish.free_bind,
        port_range: wish.port_range,
        interface: wish.interface,
    };
    let address = KernelAddress {
        local,
        inet6: wish.inet6,
    };
    match protocol {
        Protocol::Tcp => control::lease::Lease::tcp(address, &options),
        Protocol::Udp => control::lease::Lease::udp(address, &options),
    }
}

/// Where the address is the stack's alone, the kernel has a part in the ports of sockets of all addresses that speak IPv6,
/// too: that.
pub(super) fn inet6_side(
    protocol: Protocol,
    local: SocketAddrV4,
    wish: &Wish,
) -> Result<Option<control::lease::Lease>, Errno> {
    if wish.inet6 != Some(Inet6::Both) || !local.ip().is_unspecified() {
        return Ok(None);
    }
    let wish = Wish {
        inet6: Some(Inet6::Only),
        ..*wish
    };
    lease_from_kernel(protocol, local, &wish).map(Some)
}

/// EACCES: the program may not have the port (capabilities(7), CAP_NET_BIND_SERVICE). The kernel is
/// asked, with an address that is its own.
pub(super) fn may_bind(port: u16) -> Result<(), Errno> {
    if port >= UNPRIVILEGED {
        return Ok(());
    }
    let local = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    match lease_from_kernel(Protocol::Udp, local, &Wish::default()) {
        Err(Errno::ACCESS) => Err(Errno::ACCESS),
        _ => Ok(()),
    }
}
