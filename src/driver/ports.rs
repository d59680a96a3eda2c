//! The ports the stack may use, and who holds them.
//!
//! Sharing the host's address, each is leased from the kernel; with an address of its own, the
//! stack keeps the books itself. Either way a port is given back when its last user is gone, and
//! users include connections that live on after their descriptor (TIME-WAIT).

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::collections::HashMap;

use crate::control;
use crate::control::ephemeral::EphemeralPorts;
use crate::control::ephemeral::Protocol;
use crate::control::filter::FilterSpec;
use crate::control::lease::KernelAddress;
use crate::control::lease::LeaseOptions;
use crate::control::ports::PortSet;
use crate::stack::Stack;
use crate::stack::ids::SocketId;

/// Most backlog a kernel socket needs that only serves loopback clients.
const KERNEL_BACKLOG: u32 = 4096;

/// One use of a port: whoever has it may let the stack use the port, and must hand it on
/// ([`Ports::hold`]) or give it back ([`Ports::release`]).
#[derive(Debug)]
#[must_use = "a use that is dropped keeps its port leased for ever"]
pub struct Lease {
    protocol: Protocol,
    port: u16,
}

impl Lease {
    /// The protocol.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// A port in use.
struct Held {
    uses: u32,
    /// All users so far set SO_REUSEADDR.
    reusable: bool,
    /// It is one of the ephemeral ports, whose kernel sockets are kept there.
    ephemeral: bool,
    /// The kernel sockets that hold it.
    kernel: Vec<control::lease::Lease>,
    /// Some of them are watched for loopback clients or datagrams.
    watched: bool,
}

/// How a socket asks for a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// IP_FREEBIND.
    pub free_bind: bool,
    /// The socket is AF_INET6 and stands for both families, or for IPv6 alone.
    pub inet6: Option<control::lease::Inet6>,
}

/// Where ephemeral ports come from.
pub(super) enum Source {
    /// Leased from the kernel, for the interface of that index.
    Kernel(EphemeralPorts, u32),
    /// The whole range is the stack's: first, last, and a generator's state.
    Own { range: (u16, u16), next: u64 },
}

/// The books.
pub struct Ports {
    source: Source,
    held: HashMap<(Protocol, u16), Held>,
    holders: HashMap<SocketId, Lease>,
    /// What the packet socket's filter was made from last.
    filtered: Option<u64>,
    changes: u64,
}

impl Ports {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            held: HashMap::new(),
            holders: HashMap::new(),
            filtered: None,
            changes: 0,
        }
    }

    /// Whether the kernel has a part in every port.
    pub fn shares_with_kernel(&self) -> bool {
        matches!(self.source, Source::Kernel(..))
    }

    /// Takes `local`'s port for a socket; port 0 is chosen. EADDRINUSE, EACCES, EADDRNOTAVAIL and
    /// the other errors of bind(2).
    pub fn bind(
        &mut self,
        stack: &mut Stack,
        protocol: Protocol,
        local: SocketAddrV4,
        wish: &Wish,
    ) -> Result<Lease, Errno> {
        if local.port() != 0
            && let Some(held) = self.held.get_mut(&(protocol, local.port()))
        {
            let shareable = wish.reuse_port || (wish.reuse_address && held.reusable);
            if !shareable {
                return Err(Errno::ADDRINUSE);
            }
            held.uses += 1;
            return Ok(Lease {
                protocol,
                port: local.port(),
            });
        }
        let (port, kernel) = match &mut self.source {
            Source::Kernel(..) => {
                let lease = lease_from_kernel(protocol, local, wish)?;
                (lease.port(), vec![lease])
            }
            Source::Own { .. } if local.port() != 0 => (local.port(), Vec::new()),
            Source::Own { .. } => {
                return self.ephemeral(stack, protocol, wish.reuse_address, |_, _| true);
            }
        };
        self.enter(stack, protocol, port, wish.reuse_address, kernel);
        Ok(Lease { protocol, port })
    }

    /// Takes a port of the ephemeral range for which `is_free` holds.
    pub fn ephemeral(
        &mut self,
        stack: &mut Stack,
        protocol: Protocol,
        reusable: bool,
        is_free: impl Fn(&Stack, u16) -> bool,
    ) -> Result<Lease, Errno> {
        let port = match &mut self.source {
            Source::Kernel(ports, _) => {
                let port = ports.acquire(protocol, |port| is_free(stack, port))?;
                stack.set_port_owned(owned(protocol), port, true);
                if let Some(held) = self.held.get_mut(&(protocol, port)) {
                    held.uses += 1;
                    return Ok(Lease { protocol, port });
                }
                port
            }
            Source::Own { range, next } => {
                let held = &self.held;
                let taken =
                    |port: u16| protocol == Protocol::Udp && held.contains_key(&(protocol, port));
                let port = pick(*range, next, |port| !taken(port) && is_free(stack, port))
                    .ok_or(Errno::ADDRNOTAVAIL)?;
                if let Some(held) = self.held.get_mut(&(protocol, port)) {
                    held.uses += 1;
                    return Ok(Lease { protocol, port });
                }
                port
            }
        };
        self.enter(stack, protocol, port, reusable, Vec::new());
        if let Some(held) = self.held.get_mut(&(protocol, port)) {
            held.ephemeral = true;
        }
        Ok(Lease { protocol, port })
    }

    fn enter(
        &mut self,
        stack: &mut Stack,
        protocol: Protocol,
        port: u16,
        reusable: bool,
        kernel: Vec<control::lease::Lease>,
    ) {
        stack.set_port_owned(owned(protocol), port, true);
        let held = Held {
            uses: 1,
            reusable,
            ephemeral: false,
            kernel,
            watched: false,
        };
        self.held.insert((protocol, port), held);
        self.changes += 1;
    }

    /// A listener or a client takes the port up: from now on the kernel keeps silent there.
    /// Errors are those of listen(2).
    pub fn silence(&mut self, lease: &Lease) -> Result<(), Errno> {
        let interface = match &self.source {
            Source::Kernel(_, interface) => *interface,
            Source::Own { .. } => return Ok(()),
        };
        let Some(held) = self.held.get_mut(&(lease.protocol, lease.port)) else {
            return Ok(());
        };
        for kernel in &mut held.kernel {
            match lease.protocol {
                Protocol::Tcp => kernel.listen_dropped(Some(interface), KERNEL_BACKLOG)?,
                Protocol::Udp => kernel.drop_arrivals(Some(interface))?,
            }
        }
        Ok(())
    }

    /// The kernel's sockets of a port that are not watched yet; they count as watched now.
    pub(super) fn unwatched(&mut self, lease: &Lease) -> Vec<BorrowedFd<'_>> {
        match self.held.get_mut(&(lease.protocol, lease.port)) {
            Some(held) if !held.watched => {
                held.watched = true;
                held.kernel.iter().map(control::lease::Lease::fd).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The kernel's sockets of a port.
    pub fn kernel_sockets(&self, protocol: Protocol, port: u16) -> &[control::lease::Lease] {
        self.held
            .get(&(protocol, port))
            .map_or(&[], |held| &held.kernel)
    }

    /// Takes the kernel's socket out of a port that this use alone has, so that it becomes the
    /// program's descriptor; the use ends.
    pub fn into_kernel_socket(
        &mut self,
        stack: &mut Stack,
        lease: Lease,
    ) -> Option<rustix::fd::OwnedFd> {
        let key = (lease.protocol, lease.port);
        let socket = match self.held.get_mut(&key) {
            Some(held) if held.uses == 1 => held.kernel.pop().map(control::lease::Lease::into_fd),
            _ => None,
        };
        self.release(stack, lease);
        socket
    }

    /// Another use of a port that is held: an accepted connection's.
    pub fn share(&mut self, protocol: Protocol, port: u16) -> Option<Lease> {
        let held = self.held.get_mut(&(protocol, port))?;
        held.uses += 1;
        Some(Lease { protocol, port })
    }

    /// Lets `socket` have the use for as long as the stack has the socket.
    pub fn hold(&mut self, socket: SocketId, lease: Lease) {
        self.holders.insert(socket, lease);
    }

    /// Takes the use back from a socket that is about to be closed.
    pub fn take_back(&mut self, socket: SocketId) -> Option<Lease> {
        self.holders.remove(&socket)
    }

    /// Gives back what `socket` held if the stack has forgotten it.
    pub fn forget_if_gone(&mut self, stack: &mut Stack, socket: SocketId) {
        if !stack.exists(socket)
            && let Some(lease) = self.holders.remove(&socket)
        {
            self.release(stack, lease);
        }
    }

    /// Gives a use back.
    pub fn release(&mut self, stack: &mut Stack, lease: Lease) {
        let key = (lease.protocol, lease.port);
        let Some(held) = self.held.get_mut(&key) else {
            return;
        };
        held.uses -= 1;
        let ephemeral = held.ephemeral;
        if held.uses == 0 {
            self.held.remove(&key);
        }
        match &mut self.source {
            // Leased on for the next one, and still the stack's to answer for.
            Source::Kernel(ports, _) if ephemeral => ports.release(lease.protocol, lease.port),
            _ if !self.held.contains_key(&key) => {
                stack.set_port_owned(owned(lease.protocol), lease.port, false);
                self.changes += 1;
            }
            _ => {}
        }
    }

    /// What the packet socket should admit, if that has changed since it was asked last.
    pub(super) fn changed_filter(&mut self, addresses: &[Ipv4Addr]) -> Option<FilterSpec> {
        let leased = match &self.source {
            Source::Kernel(ports, _) => ports.changes(),
            Source::Own { .. } => 0,
        };
        let now = self.changes << 32 ^ leased;
        if self.filtered == Some(now) {
            return None;
        }
        self.filtered = Some(now);
        let (mut tcp_ports, mut udp_ports) = (PortSet::default(), PortSet::default());
        for (&(protocol, port), held) in &self.held {
            match protocol {
                _ if held.ephemeral => {}
                Protocol::Tcp => tcp_ports.insert(port),
                Protocol::Udp => udp_ports.insert(port),
            }
        }
        if let Source::Kernel(ports, _) = &self.source {
            ports
                .blocks(Protocol::Tcp)
                .for_each(|block| tcp_ports.insert_block(block));
            ports
                .blocks(Protocol::Udp)
                .for_each(|block| udp_ports.insert_block(block));
        }
        let own_address = !self.shares_with_kernel();
        Some(FilterSpec {
            addresses: addresses.to_vec(),
            own_address,
            tcp_ports,
            udp_ports,
        })
    }

    /// Makes the next [`Ports::changed_filter`] give one, whatever has changed.
    pub(super) fn refilter(&mut self) {
        self.filtered = None;
    }
}

fn owned(protocol: Protocol) -> crate::stack::ports::Protocol {
    match protocol {
        Protocol::Tcp => crate::stack::ports::Protocol::Tcp,
        Protocol::Udp => crate::stack::ports::Protocol::Udp,
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
        free_bind: wish.free_bind,
        interface: None,
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

/// A port of the range for which `is_free` holds, from a random start on.
fn pick(range: (u16, u16), state: &mut u64, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    // An LCG's high bits are good enough to start from: the range is scanned from there.
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let count = u32::from(range.1.saturating_sub(range.0)) + 1;
    let start = (*state >> 33) as u32 % count;
    (0..count)
        .map(|step| range.0 + ((start + step) % count) as u16)
        .find(|&port| is_free(port))
}
