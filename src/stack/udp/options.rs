//! What setsockopt says to a UDP socket, and what is asked back.

use core::net::SocketAddrV4;

use crate::stack::error::Error;
use crate::stack::ip_options::IpOptions;
use crate::stack::sendings::Stamps;
use crate::stack::transmit::Treatment;
use crate::stack::wire::{ipv4, udp};

/// Whether datagrams may be cut into fragments, as IP_MTU_DISCOVER says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathMtuDiscovery {
    /// IP_PMTUDISC_DONT: by us and by routers.
    Dont,
    /// IP_PMTUDISC_WANT: by us, where one exceeds the path's MTU; the others carry DF.
    #[default]
    Want,
    /// IP_PMTUDISC_DO: never; what exceeds the path's MTU is refused.
    Do,
    /// IP_PMTUDISC_PROBE: never; only what exceeds the link's MTU is refused.
    Probe,
    /// IP_PMTUDISC_INTERFACE: as `Probe`, but routers may.
    Interface,
    /// IP_PMTUDISC_OMIT: as `Interface`, and by us what exceeds the link's MTU.
    Omit,
}

impl PathMtuDiscovery {
    /// Whether the stack itself may cut a datagram that is too long.
    pub(super) fn may_fragment(self) -> bool {
        matches!(self, Self::Dont | Self::Want | Self::Omit)
    }

    /// Whether routers must not cut it (DF).
    pub(super) fn forbids_routers(self) -> bool {
        matches!(self, Self::Want | Self::Do | Self::Probe)
    }

    /// Whether what is known of the path does not count.
    pub(super) fn ignores_path(self) -> bool {
        matches!(self, Self::Probe | Self::Interface | Self::Omit)
    }
}

/// Options of a UDP socket; the defaults are Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// SO_RCVBUF as Linux counts it, in bytes; none: rmem_default.
    pub receive_buffer: Option<usize>,
    /// SO_SNDBUF as Linux counts it, in bytes; none: wmem_default.
    pub send_buffer: Option<usize>,
    /// IP_TTL.
    pub ttl: u8,
    /// IP_TOS.
    pub tos: u8,
    /// Options of the header (IP_RETOPTS), and the time that is noted in them, in nanoseconds since 1970.
    pub ip_options: Option<(IpOptions, u64)>,
    /// SO_MARK and SO_PRIORITY.
    pub treatment: Treatment,
    /// SO_BROADCAST.
    pub broadcast: bool,
    /// IP_MULTICAST_ALL: hear what others of this host have joined.
    pub all_groups: bool,
    /// SO_REUSEPORT: sockets with the same address share what arrives.
    pub reuse_port: bool,
    /// The program's socket is one of IPv6's: what fits one of IPv4's as well is that one's.
    pub both_families: bool,
    /// IP_MTU_DISCOVER.
    pub path_mtu_discovery: PathMtuDiscovery,
    /// Off with SO_NO_CHECK: then no checksum is sent.
    pub checksum: bool,
    /// IP_RECVERR: hear of every ICMP error, connected or not.
    pub receive_errors: bool,
    /// What is to be told of what is sent, and the key to tell it by (SO_TIMESTAMPING).
    pub stamps: Option<(Stamps, u32)>,
    /// UDP_GRO: take datagrams that were put together below as they come.
    pub receive_joined: bool,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            receive_buffer: None,
            send_buffer: None,
            ttl: 64,
            tos: 0,
            ip_options: None,
            treatment: Treatment::default(),
            broadcast: false,
            all_groups: true,
            reuse_port: false,
            both_families: false,
            path_mtu_discovery: PathMtuDiscovery::Want,
            checksum: true,
            receive_errors: false,
            stamps: None,
            receive_joined: false,
        }
    }
}

impl UdpOptions {
    /// Bytes that the options of a packet's header take.
    pub(super) fn ip_options_len(&self) -> usize {
        let options = self.ip_options.as_ref();
        options.map_or(0, |(options, _)| options.as_bytes().len())
    }

    /// Bytes of a datagram's headers.
    pub(super) fn headers_len(&self) -> usize {
        ipv4::HEADER_LEN + self.ip_options_len() + udp::HEADER_LEN
    }
}

/// What the outside of a UDP socket shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpStatus {
    /// Its address; unspecified if it receives on all.
    pub local: SocketAddrV4,
    /// Whom it is connected to.
    pub remote: Option<SocketAddrV4>,
    /// The error the next call reports.
    pub error: Option<Error>,
    /// Something has come while it was connected.
    pub has_heard: bool,
    /// Datagrams in its queue.
    pub queued: usize,
    /// Payload bytes in them.
    pub receive_len: usize,
    /// Bytes that its queue may cost.
    pub receive_buffer: usize,
    /// Bytes its send buffer has room for.
    pub send_space: usize,
    /// Datagrams dropped because its receive buffer was full.
    pub drops: u64,
}
