//! What a stack is told when it is made.

pub use super::tcp::Congestion;

use core::time::Duration;

/// Everything a stack must know before its first frame.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Of the interface.
    pub hardware_address: [u8; 6],
    /// Of the interface: the longest IP packet, in bytes.
    pub mtu: usize,
    /// Whether the addresses are the stack's alone. Then it answers ARP, ICMP echo and every
    /// unknown port itself. If not, they are shared with the kernel, which does all that, and only
    /// ports marked with [`set_port_owned`](super::Stack::set_port_owned) are the stack's.
    pub own_address: bool,
    /// Whether packets to the host's own addresses, 127.0.0.0/8 among them, turn round in the stack.
    /// If not, they are the kernel's (but for addresses that are the stack's alone).
    pub loopback: bool,
    /// Whether `poll_transmit` may give TCP segments beyond the MTU for the link to cut.
    pub super_packets: bool,
    /// For new connections.
    pub congestion: Congestion,
    /// Bounds of tables and queues.
    pub limits: Limits,
    /// Key of initial sequence numbers (RFC 6528 section 3) and of hash tables.
    pub secret: [u8; 16],
    /// Seed of all else that should not be guessed.
    pub seed: u64,
}

/// Bounds of tables and queues; the defaults are Linux's. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What the control messages of one call must stay below (net.core.optmem_max).
    pub optmem_max: usize,
    /// Longest accept queue (net.core.somaxconn).
    pub somaxconn: u32,
    /// Connections a listener may have in SYN-RECEIVED (net.ipv4.tcp_max_syn_backlog).
    pub max_syn_backlog: u32,
    /// Whether SYNs beyond that are answered by cookies, else dropped (net.ipv4.tcp_syncookies).
    pub syn_cookies: bool,
    /// Who may use Fast Open, and how: the bits of net.ipv4.tcp_fastopen.
    pub fast_open: u32,
    /// Connections of all states but TIME-WAIT, half-open ones included.
    pub max_connections: usize,
    /// Connections in TIME-WAIT; beyond it the oldest go (net.ipv4.tcp_max_tw_buckets).
    pub max_time_wait: usize,
    /// Receive queue: smallest, first and largest autotuned size (net.ipv4.tcp_rmem).
    pub tcp_rmem: [usize; 3],
    /// Send queue: smallest, first and largest autotuned size (net.ipv4.tcp_wmem).
    pub tcp_wmem: [usize; 3],
    /// Largest receive buffer a program may ask for (net.core.rmem_max).
    pub rmem_max: usize,
    /// Largest send buffer a program may ask for (net.core.wmem_max).
    pub wmem_max: usize,
    /// Receive buffer of a UDP socket that asked for none (net.core.rmem_default).
    pub rmem_default: usize,
    /// Send buffer of a UDP socket that asked for none (net.core.wmem_default).
    pub wmem_default: usize,
    /// How long the fragments of a datagram wait for each other (net.ipv4.ipfrag_time).
    pub fragment_lifetime: Duration,
    /// What all that wait may take (net.ipv4.ipfrag_high_thresh).
    pub fragment_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            optmem_max: 131_072,
            somaxconn: 4096,
            max_syn_backlog: 4096,
            syn_cookies: true,
            fast_open: 1,
            max_connections: 1 << 20,
            max_time_wait: 65_536,
            tcp_rmem: [4096, 131_072, 6_291_456],
            tcp_wmem: [4096, 16_384, 4_194_304],
            rmem_max: 212_992,
            wmem_max: 212_992,
            rmem_default: 212_992,
            wmem_default: 212_992,
            fragment_lifetime: Duration::from_secs(30),
            fragment_memory: 4 << 20,
        }
    }
}
