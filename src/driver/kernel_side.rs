//! Datagrams of UDP ports that the kernel's sockets of them carry: what is within the host, and what
//! is IPv6's.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::Engine;
use super::endpoint::{EndpointId, Endpoints};
use super::envelope::Arrived;
use super::passed::{Passed, count_passed};
use crate::control::ephemeral::Protocol;
use crate::control::lease::Lease;
use crate::stack::Stack;
use crate::stack::ip_options::IpOptions;
use crate::stack::reports::Origin;
use crate::stack::sink::Datagram;
use crate::sys::datagram::{self, Route6, Taken};
use crate::sys::{clock, pair};

/// The longest datagram, in bytes.
const LONGEST: usize = 65_536;
/// As much of a datagram as is kept of an error about it, in bytes.
const QUOTE: usize = 576;

impl Engine {
    /// A kernel socket of a port has datagrams, or errors.
    pub(super) fn receive_from_kernel(&mut self, port: u16) {
        self.short_cuts.kernel_news = true;
        self.hear_of_errors(port);
        self.settle_lagging_inet6();
        let mut buffer = vec![0; LONGEST];
        for lease in self.ports.kernel_sockets(Protocol::Udp, port) {
            while let Some(taken) = datagram::take(lease.fd(), &mut buffer) {
                let data = &buffer[..taken.len];
                match taken.from {
                    SocketAddr::V4(from) => {
                        let datagram = arrival(&taken, from);
                        self.stack.udp_receive_local(port, &datagram, data);
                    }
                    SocketAddr::V6(_) => {
                        give_inet6(&mut self.endpoints, &self.stack, port, &taken, data);
                    }
                }
            }
        }
    }

    /// What comes by IPv6 goes past the stack's queues, in which nothing older may be left.
    fn settle_lagging_inet6(&mut self) {
        let hears = |id: &EndpointId| {
            let endpoint = self.endpoints.get(*id);
            endpoint.is_some_and(|held| held.datagram && held.inet6)
        };
        let lagging = self.short_cuts.lagging.iter().copied();
        let behind: Vec<_> = lagging.filter(hears).collect();
        let now = self.now();
        behind.into_iter().for_each(|id| self.settle(now, id));
    }

    /// What ICMP says of datagrams that were sent by a port's kernel sockets.
    fn hear_of_errors(&mut self, port: u16) {
        let mut quote = [0; QUOTE];
        for lease in self.ports.kernel_sockets(Protocol::Udp, port) {
            while let Some(taken) = datagram::take_error(lease.fd(), &mut quote) {
                if let (Some(trouble), SocketAddr::V4(remote)) = (taken.trouble, taken.from) {
                    let local = SocketAddrV4::new(received_at(&taken), port);
                    let origin = Origin::Icmp {
                        offender: trouble.offender,
                        ttl: taken.ttl,
                        kind: trouble.kind,
                        code: trouble.code,
                    };
                    let told = (origin, trouble.mtu as usize);
                    self.stack
                        .udp_receive_local_error(local, remote, told, &quote[..taken.len]);
                }
            }
        }
    }

    /// Sends by the kernel socket that holds the port, so that the answer finds it, and, where a socket wants to hear
    /// of it, what ICMP has to say. Within the host that is there already.
    ///
    /// # Errors
    /// ENETUNREACH: none does that has to do with the address's family. What sendmsg(2) says.
    pub fn send_by_kernel(
        &mut self,
        port: u16,
        to: SocketAddr,
        payload: &[u8],
        route: &Route6,
        flags: i32,
    ) -> Result<usize, Errno> {
        count_passed(Passed::Datagram);
        let mut leases = self.ports.kernel_sockets(Protocol::Udp, port).iter();
        match to {
            SocketAddr::V4(to) => {
                let lease = leases.next().ok_or(Errno::NETUNREACH)?;
                let hears = self.stack.udp_hears_errors(port);
                if hears {
                    datagram::tell_errors(lease.fd(), true);
                }
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                let sent = rustix::net::sendto(lease.fd(), payload, flags, &to);
                if hears {
                    self.hear_of_errors(port);
                }
                sent
            }
            SocketAddr::V6(to) => {
                let lease = leases.find(|lease| lease.is_inet6());
                let lease = lease.ok_or(Errno::NETUNREACH)?;
                datagram::give(lease.fd(), payload, to, route, flags)
            }
        }
    }

    /// The kernel socket by which a port speaks IPv6.
    pub fn inet6_side(&self, port: u16) -> Option<&Lease> {
        let mut leases = self.ports.kernel_sockets(Protocol::Udp, port).iter();
        leases.find(|lease| lease.is_inet6())
    }
}

/// What the stack is told of a datagram that came by IPv4.
fn arrival(taken: &Taken, from: SocketAddrV4) -> Datagram {
    Datagram {
        from,
        to: received_at(taken),
        len: taken.len,
        ttl: taken.ttl,
        tos: taken.tos,
        segment: 0,
        fragment: 0,
        stamp: 0,
        drops: 0,
        options: IpOptions::checked(taken.options()),
    }
}

/// The address of ours that something came to by IPv4.
fn received_at(taken: &Taken) -> Ipv4Addr {
    match taken.to {
        Some(IpAddr::V4(to)) => to,
        _ => Ipv4Addr::LOCALHOST,
    }
}

/// Gives a datagram that came by IPv6 to the socket it is for. What its pair has no room for is lost,
/// as in a receive buffer that is full.
fn give_inet6(endpoints: &mut Endpoints, stack: &Stack, port: u16, taken: &Taken, data: &[u8]) {
    let header = Arrived {
        interface: taken.interface,
        ttl: taken.ttl,
        tos: taken.tos,
        at: clock::realtime(),
        ..Arrived::between(taken.from, taken.to.unwrap_or(Ipv6Addr::UNSPECIFIED.into()))
    };
    let hears = |socket| {
        let endpoint = endpoints.of_socket(socket).and_then(|id| endpoints.get(id));
        endpoint.is_some_and(|endpoint| endpoint.inet6 && !endpoint.read_finished)
    };
    let socket = stack.udp_on_all_addresses(port, &taken.from, hears);
    let id = socket.and_then(|socket| endpoints.of_socket(socket));
    if let Some(endpoint) = id.and_then(|id| endpoints.get_mut(id))
        && let Some(end) = &endpoint.end
        && pair::give_message(end, &header.encode(), data).is_ok()
    {
        endpoint.unread = true;
    }
}
