//! Uses of ports that last as long as a socket of the stack's, and through TIME-WAIT.

use core::net::SocketAddrV4;
use std::collections::HashMap;

use super::ports::{Held, Lease, Ports};
use super::uses::Use;
use crate::control::ephemeral::Protocol;
use crate::stack::Stack;
use crate::stack::ids::SocketId;

/// What was set of sharing a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// SO_REUSEADDR.
    Address(bool),
    /// SO_REUSEPORT.
    Port(bool),
}

/// Who holds a use.
pub(super) struct Holder {
    lease: Lease,
    /// A connection's addresses, here and there: it may leave them in TIME-WAIT.
    addresses: Option<(SocketAddrV4, SocketAddrV4)>,
}

impl Holder {
    /// Whether it is a use of this port.
    pub(super) fn is_on(&self, protocol: Protocol, port: u16) -> bool {
        (self.lease.protocol, self.lease.port) == (protocol, port)
    }
}

impl Ports {
    /// Whether one more holder has room.
    pub(super) fn make_room(&mut self) -> bool {
        self.holders.try_reserve(1).is_ok()
    }

    /// Another use of a port that is held: an accepted connection's, which inherits from the
    /// listener.
    pub fn share(&mut self, protocol: Protocol, port: u16) -> Option<Lease> {
        let held = self.held.get_mut(&(protocol, port))?;
        let used = Use {
            listening: false,
            pooled: false,
            ..held.uses.chief()?
        };
        held.uses.add(used);
        Some(Lease {
            protocol,
            port,
            used,
        })
    }

    /// Lets a listener or UDP socket have the use for as long as the stack has the socket.
    pub fn hold(&mut self, socket: SocketId, lease: Lease) {
        let holder = Holder {
            lease,
            addresses: None,
        };
        self.holders.insert(socket, holder);
    }

    /// Lets a connection from `local` to `remote` have the use, until after TIME-WAIT.
    pub fn hold_between(
        &mut self,
        connection: SocketId,
        lease: Lease,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) {
        let holder = Holder {
            lease,
            addresses: Some((local, remote)),
        };
        self.holders.insert(connection, holder);
    }

    /// How to share was set on a socket of the stack's that has its port: it counts for who asks for the
    /// port next. Whether it shares by SO_REUSEPORT then.
    pub fn reuse_held(&mut self, socket: SocketId, reuse: Reuse) -> bool {
        let holder = self.holders.get_mut(&socket);
        holder.is_some_and(|holder| apply(&mut self.held, &mut holder.lease, reuse))
    }

    /// The same of a socket that is only bound.
    pub fn reuse_bound(&mut self, lease: &mut Lease, reuse: Reuse) -> bool {
        apply(&mut self.held, lease, reuse)
    }

    /// Takes the use back from a socket that is about to be closed.
    pub fn take_back(&mut self, socket: SocketId) -> Option<Lease> {
        self.holders.remove(&socket).map(|holder| holder.lease)
    }

    /// Gives back what `socket` held if the stack has forgotten it.
    pub fn forget_if_gone(&mut self, stack: &mut Stack, socket: SocketId) {
        if stack.exists(socket) {
            return;
        }
        let Some(Holder { lease, addresses }) = self.holders.remove(&socket) else {
            return;
        };
        match addresses {
            Some((local, remote)) if !stack.tcp_tuple_free(local, remote) => {
                self.keep_lingering(local, remote, lease);
            }
            _ => self.release(stack, lease),
        }
        self.forget_past(stack);
    }

    /// A connection in TIME-WAIT has the use, later than all others.
    pub(super) fn keep_lingering(
        &mut self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        lease: Lease,
    ) {
        if let Some(held) = self.held.get_mut(&(lease.protocol, lease.port)) {
            held.lingering += 1;
        }
        self.lingering.push_back((local, remote, lease));
    }

    /// Gives back what was held by connections whose TIME-WAIT is over.
    pub(super) fn forget_past(&mut self, stack: &mut Stack) {
        while let Some((local, remote, _)) = self.lingering.front()
            && stack.tcp_tuple_free(*local, *remote)
            && let Some((_, _, lease)) = self.lingering.pop_front()
        {
            if let Some(held) = self.held.get_mut(&(lease.protocol, lease.port)) {
                held.lingering = held.lingering.saturating_sub(1);
            }
            self.release(stack, lease);
        }
    }
}

fn apply(ports: &mut HashMap<(Protocol, u16), Held>, lease: &mut Lease, reuse: Reuse) -> bool {
    let Some(held) = ports.get_mut(&(lease.protocol, lease.port)) else {
        return lease.used.reuse_port;
    };
    if !held.uses.remove(lease.used) {
        return lease.used.reuse_port;
    }
    match reuse {
        Reuse::Address(on) => lease.used.reuse_address = on,
        // As on Linux, whoever has shared a TCP port does so to the end.
        Reuse::Port(false) if lease.protocol == Protocol::Tcp => {}
        Reuse::Port(on) => lease.used.reuse_port = on,
    }
    held.uses.add(lease.used);
    let (by_address, by_port) = (
        held.uses.all(|used| used.reuse_address),
        held.uses.all(|used| used.reuse_port),
    );
    for kernel in &mut held.kernel {
        match reuse {
            Reuse::Address(_) => kernel.reuse_address(by_address),
            Reuse::Port(_) => kernel.reuse_port(by_port),
        }
    }
    lease.used.reuse_port
}
