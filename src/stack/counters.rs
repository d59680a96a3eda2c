//! What the stack counted: frames, and why some were dropped.

/// Why a frame, a packet or a message went no further. Each reason indexes a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// A frame shorter than its header, or from a group address.
    EthernetMalformed,
    /// A frame to another station, or to a group we are not in.
    EthernetNotOurs,
    /// A frame that carries neither ARP nor IPv4.
    EthernetType,
    /// ARP of other sizes or operations than those of IPv4 over Ethernet, or from an address no
    /// host may have.
    ArpMalformed,
    /// ARP from another station that says it has an address of ours.
    ArpConflict,
    /// An IPv4 header that contradicts itself or the frame.
    Ipv4Malformed,
    /// A wrong IPv4 header checksum.
    Ipv4Checksum,
    /// A packet whose sender chose its route.
    Ipv4SourceRoute,
    /// A source that no host on a wire may have (RFC 1122 section 3.2.1.3).
    Ipv4Martian,
    /// A destination that is no address of ours.
    Ipv4NotOurs,
    /// Fragments that are no datagram: they overlap, or are longer than one can be.
    Ipv4ReassemblyFailed,
    /// A datagram some fragments of which did not come in time.
    Ipv4ReassemblyExpired,
    /// The same, where the first did not come: at a shared address, another program's.
    Ipv4ReassemblyHeadless,
    /// A datagram that was not whole when there were too many of them.
    Ipv4ReassemblyFull,
    /// A protocol the stack does not have.
    Ipv4Protocol,
    /// An ICMP message shorter than its header, or an error that quotes too little.
    IcmpMalformed,
    /// A wrong ICMP checksum.
    IcmpChecksum,
    /// An ICMP message the stack has no use for.
    IcmpIgnored,
    /// An ICMP error about a packet that no socket of ours can have sent.
    IcmpUnmatched,
    /// An ICMP message we did not send because too many were sent lately.
    IcmpRateLimited,
    /// A UDP header that contradicts itself or the packet.
    UdpMalformed,
    /// A wrong UDP checksum.
    UdpChecksum,
    /// A datagram to a port of ours without a socket that takes it.
    UdpNoSocket,
    /// A datagram to a socket whose receive buffer is full.
    UdpQueueFull,
    /// A TCP header that contradicts itself or the packet.
    TcpMalformed,
    /// A wrong TCP checksum.
    TcpChecksum,
    /// A TCP segment that was not sent to us alone.
    TcpBroadcast,
    /// A segment or datagram to a port that is the kernel's.
    PortNotOwned,
    /// No route to where a packet of ours should go.
    NoRoute,
    /// Too many frames of ours waited for an answer to ARP.
    NeighborQueueFull,
    /// A frame of ours waited for an answer to ARP that never came.
    NeighborUnreachable,
    /// Too many frames of ours waited for the link.
    OutboxFull,
    /// A frame of ours when the link was down.
    LinkDown,
}

impl Drop {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 33] = [
        Self::EthernetMalformed,
        Self::EthernetNotOurs,
        Self::EthernetType,
        Self::ArpMalformed,
        Self::ArpConflict,
        Self::Ipv4Malformed,
        Self::Ipv4Checksum,
        Self::Ipv4SourceRoute,
        Self::Ipv4Martian,
        Self::Ipv4NotOurs,
        Self::Ipv4ReassemblyFailed,
        Self::Ipv4ReassemblyExpired,
        Self::Ipv4ReassemblyHeadless,
        Self::Ipv4ReassemblyFull,
        Self::Ipv4Protocol,
        Self::IcmpMalformed,
        Self::IcmpChecksum,
        Self::IcmpIgnored,
        Self::IcmpUnmatched,
        Self::IcmpRateLimited,
        Self::UdpMalformed,
        Self::UdpChecksum,
        Self::UdpNoSocket,
        Self::UdpQueueFull,
        Self::TcpMalformed,
        Self::TcpChecksum,
        Self::TcpBroadcast,
        Self::PortNotOwned,
        Self::NoRoute,
        Self::NeighborQueueFull,
        Self::NeighborUnreachable,
        Self::OutboxFull,
        Self::LinkDown,
    ];

    /// The counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EthernetMalformed => "ethernet_malformed",
            Self::EthernetNotOurs => "ethernet_not_ours",
            Self::EthernetType => "ethernet_type",
            Self::ArpMalformed => "arp_malformed",
            Self::ArpConflict => "arp_conflict",
            Self::Ipv4Malformed => "ipv4_malformed",
            Self::Ipv4Checksum => "ipv4_checksum",
            Self::Ipv4SourceRoute => "ipv4_source_route",
            Self::Ipv4Martian => "ipv4_martian",
            Self::Ipv4NotOurs => "ipv4_not_ours",
            Self::Ipv4ReassemblyFailed => "ipv4_reassembly_failed",
            Self::Ipv4ReassemblyExpired => "ipv4_reassembly_expired",
            Self::Ipv4ReassemblyHeadless => "ipv4_reassembly_headless",
            Self::Ipv4ReassemblyFull => "ipv4_reassembly_full",
            Self::Ipv4Protocol => "ipv4_protocol",
            Self::IcmpMalformed => "icmp_malformed",
            Self::IcmpChecksum => "icmp_checksum",
            Self::IcmpIgnored => "icmp_ignored",
            Self::IcmpUnmatched => "icmp_unmatched",
            Self::IcmpRateLimited => "icmp_rate_limited",
            Self::UdpMalformed => "udp_malformed",
            Self::UdpChecksum => "udp_checksum",
            Self::UdpNoSocket => "udp_no_socket",
            Self::UdpQueueFull => "udp_queue_full",
            Self::TcpMalformed => "tcp_malformed",
            Self::TcpChecksum => "tcp_checksum",
            Self::TcpBroadcast => "tcp_broadcast",
            Self::PortNotOwned => "port_not_owned",
            Self::NoRoute => "no_route",
            Self::NeighborQueueFull => "neighbor_queue_full",
            Self::NeighborUnreachable => "neighbor_unreachable",
            Self::OutboxFull => "outbox_full",
            Self::LinkDown => "link_down",
        }
    }
}

/// Counts since the stack was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames from the link.
    pub frames_received: u64,
    /// Bytes in them.
    pub bytes_received: u64,
    /// Frames to the link; one that the link cuts counts once.
    pub frames_sent: u64,
    /// Bytes in them.
    pub bytes_sent: u64,
    /// Datagrams put together from fragments.
    pub ipv4_reassembled: u64,
    /// Datagrams that arrived for a socket.
    pub udp_received: u64,
    /// Datagrams sent.
    pub udp_sent: u64,
    drops: Drops,
}

/// A count for each reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drops([u64; Drop::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; Drop::ALL.len()])
    }
}

impl Counters {
    /// How often something was dropped for `reason`.
    pub fn drops(&self, reason: Drop) -> u64 {
        self.drops.0[reason as usize]
    }

    /// Frames that were dropped because they were damaged, malformed, or for nobody here.
    pub fn refused(&self) -> u64 {
        let arriving = &self.drops.0[..=Drop::PortNotOwned as usize];
        arriving.iter().sum::<u64>() - self.drops(Drop::UdpQueueFull)
    }

    /// Every counter with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let frames = [
            ("frames_received", self.frames_received),
            ("bytes_received", self.bytes_received),
            ("frames_sent", self.frames_sent),
            ("bytes_sent", self.bytes_sent),
            ("ipv4_reassembled", self.ipv4_reassembled),
            ("udp_received", self.udp_received),
            ("udp_sent", self.udp_sent),
        ];
        let drops = Drop::ALL.map(|reason| (reason.name(), self.drops(reason)));
        frames.into_iter().chain(drops)
    }

    pub(crate) fn drop(&mut self, reason: Drop) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&mut self, reason: Drop, count: u64) {
        self.drops.0[reason as usize] += count;
    }
}
