//! Interfaces as rtnetlink lists them, and which of them to drive.

use std::fmt;

use netlink_packet_route::link::LinkMessageBuffer;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::routes::ListedRoute;
use super::rtnetlink::{hardware_address, number};
use crate::sys::{ethtool, strerror};

/// The driven interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in this network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It is the loopback interface, which is not driven: then the stack has no link.
    pub loopback: bool,
    /// Its MAC address.
    pub hardware_address: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// Is it administratively up? False, too, when it is gone.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// It takes TCP super-packets whole. If not, the kernel cuts them up before.
    pub takes_super_packets: bool,
}

/// Why there is no interface to drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorError {
    /// No interface has that name.
    NoSuchInterface(String),
    /// None was named, there is no default route, and not exactly one interface is up; these are.
    NoDefault(Vec<String>),
    /// The interface has no Ethernet header.
    NotEthernet {
        /// Its name.
        name: String,
        /// Its type (ARPHRD_* of `linux/if_arp.h`).
        hardware_type: u16,
    },
    /// rtnetlink failed.
    System(Errno),
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchInterface(name) => write!(f, "there is no interface \"{name}\""),
            Self::NoDefault(up) if up.is_empty() => {
                f.write_str("no interface is up; set one up (ip link set IF up)")
            }
            Self::NoDefault(up) => write!(
                f,
                "there is no default route and more than one interface is up ({}); \
                 name one with SIDESTACK_INTERFACE",
                up.join(", ")
            ),
            Self::NotEthernet {
                name,
                hardware_type,
            } => write!(
                f,
                "interface \"{name}\" is not Ethernet (hardware type {hardware_type}), \
                 which is not supported yet"
            ),
            Self::System(errno) => {
                let words = strerror::of(*errno);
                write!(f, "cannot read the network's state: {words}")
            }
        }
    }
}

impl From<Errno> for MirrorError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// An interface as rtnetlink lists it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) index: u32,
    hardware_type: u16,
    flags: u32,
    name: String,
    mtu: u32,
    hardware_address: Option<[u8; 6]>,
}

impl Link {
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let message = LinkMessageBuffer::new_checked(payload).ok()?;
        let mut link = Self {
            index: message.link_index(),
            hardware_type: message.link_layer_type(),
            flags: message.flags(),
            name: String::new(),
            mtu: 0,
            hardware_address: None,
        };
        for attribute in message.attributes().map_while(Result::ok) {
            match attribute.kind() {
                libc::IFLA_IFNAME => {
                    let name = attribute.value().split(|&byte| byte == 0).next()?;
                    link.name = String::from_utf8_lossy(name).into_owned();
                }
                libc::IFLA_MTU => link.mtu = number(&attribute)?,
                libc::IFLA_ADDRESS => link.hardware_address = hardware_address(&attribute),
                _ => {}
            }
        }
        Some(link)
    }

    fn is_candidate(&self) -> bool {
        self.flags & libc::IFF_UP as u32 != 0 && !self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        self.flags & libc::IFF_LOOPBACK as u32 != 0
    }

    /// What there is to know of it; `socket` is one of its network namespace.
    pub(super) fn interface(self, socket: BorrowedFd<'_>) -> Result<Interface, MirrorError> {
        let hardware_address = match self.hardware_address {
            Some(address) if self.hardware_type == libc::ARPHRD_ETHER || self.is_loopback() => {
                address
            }
            _ => {
                return Err(MirrorError::NotEthernet {
                    name: self.name,
                    hardware_type: self.hardware_type,
                });
            }
        };
        Ok(Interface {
            takes_super_packets: ethtool::does(socket, &self.name, ethtool::GET_TSO)
                .unwrap_or(true),
            index: self.index,
            loopback: self.is_loopback(),
            name: self.name,
            hardware_address,
            mtu: self.mtu,
            up: self.flags & libc::IFF_UP as u32 != 0,
            running: self.flags & libc::IFF_RUNNING as u32 != 0,
        })
    }
}

/// The interface of that name; else the one with the default route; else the only one that is up
/// and not loopback.
pub(super) fn choose(
    links: &[Link],
    routes: &[ListedRoute],
    name: Option<&str>,
) -> Result<Link, MirrorError> {
    if let Some(name) = name {
        let named = links.iter().find(|link| link.name == name).cloned();
        return named.ok_or_else(|| MirrorError::NoSuchInterface(name.to_owned()));
    }
    let default = routes
        .iter()
        .filter_map(|route| Some((route.metric, route.default_interface()?)))
        .min()
        .and_then(|(_, index)| links.iter().find(|link| link.index == index));
    if let Some(link) = default {
        return Ok(link.clone());
    }
    let candidates: Vec<&Link> = links.iter().filter(|link| link.is_candidate()).collect();
    match candidates.as_slice() {
        [only] => Ok((*only).clone()),
        several => Err(MirrorError::NoDefault(
            several.iter().map(|link| link.name.clone()).collect(),
        )),
    }
}
