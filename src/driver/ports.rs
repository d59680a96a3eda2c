//! The ports the stack may use, and who holds them.
//!
//! Sharing the host's address, each is leased from the kernel; with an address of its own, the
//! stack keeps the books itself. Either way a port is given back when its last user is gone, and
//! users include connections that live on after their descriptor (TIME-WAIT).

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::choice::{Parity, pick};
use super::convert::stack_protocol;
use super::holders::Holder;
use super::leasing::{inet6_side, lease_of_untaken, may_bind};
use super::uses::{Use, Uses};
use crate::control;
use crate::control::cutoff::CutOff;
use crate::control::ephemeral::EphemeralPorts;
use crate::control::ephemeral::Protocol;
use crate::control::lease::Driven;
use crate::control::log;
use crate::control::ports::PortSet;
use crate::stack::Stack;
use crate::stack::ids::SocketId;
use crate::stack::sharing::Sharing;
use crate::sys::owned::OwnedFd;
use crate::sys::strerror;

/// Most backlog a kernel socket needs that only serves loopback clients.
const KERNEL_BACKLOG: u32 = 4096;

/// One use of a port: whoever has it may let the stack use the port, and must hand it on
/// ([`Ports::hold`]) or give it back ([`Ports::release`]).
#[derive(Debug)]
#[must_use = "a use that is dropped keeps its port leased for ever"]
pub struct Lease {
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) used: Use,
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
#[derive(Default)]
pub(super) struct Held {
    pub(super) uses: Uses,
    /// How many of them are connections' in TIME-WAIT.
    pub(super) lingering: usize,
    /// It is one of the ephemeral ports, whose kernel sockets are kept there.
    pub(super) ephemeral: bool,
    /// What the link gives for it is the stack's.
    pub(super) on_link: bool,
    /// The kernel sockets that hold it.
    pub(super) kernel: Vec<control::lease::Lease>,
    /// How many of them, from the front, are watched for loopback clients or datagrams.
    pub(super) watched: usize,
}

impl Held {
    /// Whether the kernel sockets hold the port as is wished on `address`, too.
    fn covers(&self, address: Ipv4Addr, wish: &Wish) -> bool {
        let covers = |held: &control::lease::Lease| {
            let ip = *held.local().ip();
            let interface = held.interface();
            (ip.is_unspecified() || ip == address)
                && (interface.is_none() || interface == wish.interface)
        };
        self.ephemeral || self.kernel.iter().any(covers)
    }
}

/// How a socket asks for a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// TCP_REPAIR: whoever has the port.
    pub forced: bool,
    /// IP_FREEBIND.
    pub free_bind: bool,
    /// IP_LOCAL_PORT_RANGE; 0: none.
    pub port_range: u32,
    /// SO_BINDTODEVICE: the interface alone for which the port is wanted.
    pub interface: Option<u32>,
    /// The socket is AF_INET6 and stands for both families, or for IPv6 alone.
    pub inet6: Option<control::lease::Inet6>,
    /// Whose it is, where a keeper asks for another user.
    pub user: Option<u32>,
    /// Who may not have ports below ip_unprivileged_port_start.
    pub unprivileged: bool,
}

impl Wish {
    /// The use it would be of a port on `local`.
    fn to_use(self, local: Ipv4Addr) -> Use {
        Use {
            local,
            reuse_address: self.reuse_address,
            reuse_port: self.reuse_port,
            user: self.user,
            listening: false,
            pooled: false,
        }
    }
}

/// Where ephemeral ports come from.
pub(super) enum Source {
    /// Leased from the kernel, for the interface of that index; `None`: there is no link.
    Kernel(Box<EphemeralPorts>, Option<u32>),
    /// The whole range is the stack's: first, last, and a generator's state.
    Own { range: (u16, u16), next: u64 },
}

/// The books.
pub struct Ports {
    pub(super) source: Source,
    pub(super) held: HashMap<(Protocol, u16), Held>,
    pub(super) holders: HashMap<SocketId, Holder>,
    /// Uses of connections in TIME-WAIT, the oldest first: all wait equally long.
    pub(super) lingering: VecDeque<(SocketAddrV4, SocketAddrV4, Lease)>,
    /// What holds ports that connections of a dead process have.
    pub(super) inherited: Vec<control::lease::Lease>,
    /// TCP ports of what a dead process has left; others hold them at the kernel.
    pub(super) restored: PortSet,
    /// What the packet socket's filter was made from last.
    pub(super) filtered: Option<u64>,
    pub(super) changes: u64,
    /// Leases made so far, pooled ones aside.
    pub(super) made: u64,
    /// A TCP port was in use.
    pub(super) tcp: bool,
    /// The first port that needs no privilege.
    unprivileged: u16,
    /// Ports that a socket with SO_REUSEPORT has left.
    pub(super) left: Vec<(Protocol, u16)>,
    /// TCP ports that a listener has left to its connections.
    pub(super) unlistened: Vec<u16>,
}

impl Ports {
    pub(super) fn new(source: Source, unprivileged: u16) -> Self {
        Self {
            source,
            held: HashMap::new(),
            holders: HashMap::new(),
            lingering: VecDeque::new(),
            inherited: Vec::new(),
            restored: PortSet::default(),
            filtered: None,
            changes: 0,
            made: 0,
            tcp: false,
            unprivileged,
            left: Vec::new(),
            unlistened: Vec::new(),
        }
    }

    /// net.ipv4.ip_unprivileged_port_start.
    pub(super) fn unprivileged(&self) -> u16 {
        self.unprivileged
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
        self.forget_past(stack);
        // The kernel looks at the rights of this process, which are not those of its guests.
        if wish.unprivileged && (1..self.unprivileged).contains(&local.port()) {
            return Err(Errno::ACCESS);
        }
        let used = wish.to_use(*local.ip());
        if let Some(held) = self.held.get(&(protocol, local.port()))
            && !wish.forced
            && held.uses.bar(&used, protocol)
        {
            return Err(Errno::ADDRINUSE);
        }
        let held = self.held.get(&(protocol, local.port()));
        let covered = held.is_some_and(|held| held.covers(*local.ip(), wish));
        let kernel = match &mut self.source {
            Source::Kernel(..) if covered => None,
            Source::Kernel(ephemeral, interface) => {
                ephemeral.give_up(protocol, local.port());
                let taken = |port| self.held.contains_key(&(protocol, port));
                let mut kernel = lease_of_untaken(protocol, local, wish, taken)?;
                if protocol == Protocol::Tcp && interface.is_some() {
                    kernel.drop_ahead(*interface);
                }
                Some(kernel)
            }
            Source::Own { .. } if local.port() == 0 => {
                return self.choose(stack, protocol, *local.ip(), wish);
            }
            Source::Own { .. } => {
                may_bind(local.port())?;
                inet6_side(protocol, local, wish)?
            }
        };
        let port = kernel.as_ref().map_or(local.port(), |lease| lease.port());
        Ok(self.enter(stack, protocol, port, used, kernel))
    }

    /// Takes a port of the ephemeral range for which `is_free` holds.
    pub fn ephemeral(
        &mut self,
        stack: &mut Stack,
        protocol: Protocol,
        local: Ipv4Addr,
        wish: &Wish,
        is_free: impl Fn(&Stack, u16) -> bool,
    ) -> Result<Lease, Errno> {
        let held = &self.held;
        let port = match &mut self.source {
            Source::Kernel(ports, _) => ports.acquire(protocol, |port| is_free(stack, port))?,
            Source::Own { range, next } => {
                // UDP shares no port, nor does TCP with what was bound or is listening.
                let free = |port: u16| match held.get(&(protocol, port)) {
                    None => is_free(stack, port),
                    Some(held) => {
                        held.ephemeral && protocol == Protocol::Tcp && is_free(stack, port)
                    }
                };
                pick(*range, next, Parity::Even, free).ok_or(Errno::ADDRNOTAVAIL)?
            }
        };
        let used = Use {
            pooled: true,
            ..wish.to_use(local)
        };
        let lease = self.enter(stack, protocol, port, used, None);
        if let Some(held) = self.held.get_mut(&(protocol, port)) {
            held.ephemeral |= held.kernel.is_empty();
        }
        Ok(lease)
    }

    /// A port nobody has, of an address of our own.
    fn choose(
        &mut self,
        stack: &mut Stack,
        protocol: Protocol,
        local: Ipv4Addr,
        wish: &Wish,
    ) -> Result<Lease, Errno> {
        let held = &self.held;
        let Source::Own { range, next } = &mut self.source else {
            return Err(Errno::ADDRINUSE);
        };
        let free = |port| !held.contains_key(&(protocol, port));
        let port = pick(*range, next, Parity::Odd, free);
        let port = port.ok_or(Errno::ADDRINUSE)?;
        let kernel = inet6_side(protocol, SocketAddrV4::new(local, port), wish)?;
        Ok(self.enter(stack, protocol, port, wish.to_use(local), kernel))
    }

    fn enter(
        &mut self,
        stack: &mut Stack,
        protocol: Protocol,
        port: u16,
        used: Use,
        kernel: Option<control::lease::Lease>,
    ) -> Lease {
        let named = stack_protocol(protocol);
        let may_share = used.reuse_port && !used.pooled && self.shares_with_kernel();
        if may_share && !stack.is_port_shared(named, port) {
            // Others may have sockets there.
            stack.share_port(named, port, Sharing::unknown());
        }
        let held = self.held.entry((protocol, port)).or_default();
        if !held.on_link && stack.faces_link(used.local) {
            held.on_link = true;
            stack.set_port_owned(named, port, true);
            // A pooled port is admitted with its block.
            self.changes += u64::from(!used.pooled);
        }
        self.made += u64::from(kernel.is_some());
        self.tcp |= protocol == Protocol::Tcp;
        held.kernel.extend(kernel);
        held.uses.add(used);
        Lease {
            protocol,
            port,
            used,
        }
    }

    /// A listener takes the port up; see [`Self::silence`]. EADDRINUSE: one that may not share it
    /// did before.
    pub fn listen(&mut self, lease: &mut Lease) -> Result<(), Errno> {
        let Some(held) = self.held.get_mut(&(lease.protocol, lease.port)) else {
            return Ok(());
        };
        held.uses.remove(lease.used);
        let barred = held.uses.bar(&lease.used, lease.protocol);
        lease.used.listening = !barred;
        held.uses.add(lease.used);
        if barred {
            return Err(Errno::ADDRINUSE);
        }
        self.silence(lease)
    }

    /// A listener or a client takes the port up: from now on the kernel keeps silent there.
    /// Errors are those of listen(2).
    pub fn silence(&mut self, lease: &Lease) -> Result<(), Errno> {
        let (ephemeral, interface) = match &self.source {
            Source::Kernel(ephemeral, interface) => (ephemeral, *interface),
            Source::Own { .. } => return self.listen_by_inet6(lease),
        };
        let Some(held) = self.held.get_mut(&(lease.protocol, lease.port)) else {
            return Ok(());
        };
        let wanted = lease.used.local;
        let exact = |kernel: &control::lease::Lease| *kernel.local().ip() == wanted;
        let addresses = ephemeral.cut_off().addresses();
        let driven = interface.map(|interface| Driven {
            interface,
            addresses: &addresses,
        });
        let own = held.kernel.iter().any(exact);
        for kernel in held
            .kernel
            .iter_mut()
            .filter(|kernel| !own || exact(kernel))
        {
            match (lease.protocol, interface) {
                (Protocol::Tcp, Some(_)) => kernel.listen_dropped(driven, KERNEL_BACKLOG)?,
                (Protocol::Udp, Some(_)) => kernel.drop_arrivals(interface)?,
                // Without a link, what arrives is all for the kernel's side.
                (Protocol::Tcp, None) => kernel.listen(KERNEL_BACKLOG)?,
                (Protocol::Udp, None) => {}
            }
            kernel.cut_off(ephemeral.cut_off());
        }
        Ok(())
    }

    /// What the kernel has of a listener's port, if the address is the stack's alone, listens, too.
    fn listen_by_inet6(&self, lease: &Lease) -> Result<(), Errno> {
        let listens = lease.protocol == Protocol::Tcp && lease.used.listening;
        let sides = self.kernel_sockets(lease.protocol, lease.port).iter();
        sides
            .filter(|_| listens)
            .try_for_each(|side| side.listen(KERNEL_BACKLOG))
    }

    /// The interface has other addresses.
    pub(super) fn set_addresses(&mut self, addresses: &[Ipv4Addr]) {
        let kernel = self.held.values_mut().flat_map(|held| &mut held.kernel);
        kernel.for_each(|lease| lease.set_addresses(addresses));
        if let Some(cut_off) = self.cut_off()
            && let Err(errno) = cut_off.set_addresses(addresses)
        {
            log::debug(format_args!(
                "the kernel sees packets to new addresses: {}",
                strerror::of(errno)
            ));
        }
    }

    /// Where ports are cut off from the kernel, if it has a part in them.
    pub(super) fn cut_off(&self) -> Option<&Arc<CutOff>> {
        match &self.source {
            Source::Kernel(ephemeral, _) => Some(ephemeral.cut_off()),
            Source::Own { .. } => None,
        }
    }

    /// The kernel's sockets of a port that are not watched yet; they count as watched now.
    pub(super) fn unwatched(&mut self, lease: &Lease) -> &[control::lease::Lease] {
        match self.held.get_mut(&(lease.protocol, lease.port)) {
            Some(held) => {
                let watched = core::mem::replace(&mut held.watched, held.kernel.len());
                &held.kernel[watched..]
            }
            None => &[],
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
    pub fn take_kernel_socket(&mut self, stack: &mut Stack, lease: Lease) -> Option<OwnedFd> {
        let key = (lease.protocol, lease.port);
        let socket = match self.held.get_mut(&key) {
            Some(held) if held.uses.is_single() => {
                let socket = held.kernel.pop().map(control::lease::Lease::into_fd);
                held.watched = held.watched.min(held.kernel.len());
                socket
            }
            _ => None,
        };
        self.release(stack, lease);
        socket
    }

    /// Gives a use back.
    pub fn release(&mut self, stack: &mut Stack, lease: Lease) {
        let key = (lease.protocol, lease.port);
        let Some(held) = self.held.get_mut(&key) else {
            return;
        };
        if !held.uses.remove(lease.used) {
            return;
        }
        if held.uses.is_empty() {
            self.held.remove(&key);
        } else if lease.used.listening {
            self.unlistened.push(lease.port);
        }
        if lease.used.reuse_port {
            self.left.push(key);
        }
        match &mut self.source {
            // Leased on for the next one, and still the stack's to answer for.
            Source::Kernel(ports, _) if lease.used.pooled => {
                ports.release(lease.protocol, lease.port);
            }
            _ if !self.held.contains_key(&key) => {
                stack.set_port_owned(stack_protocol(lease.protocol), lease.port, false);
                self.changes += 1;
            }
            _ => {}
        }
    }
}
