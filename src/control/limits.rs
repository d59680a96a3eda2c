//! The system's limits (ip-sysctl, socket(7), tcp(7)), as this network namespace has them.

use std::sync::OnceLock;

use crate::sys::file;

/// The limits, where they were read before there might be no /proc to read them from.
static REMEMBERED: OnceLock<Limits> = OnceLock::new();

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// Whether the port is in the range.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// Bytes of a TCP buffer: the least, what a connection starts with, the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Kept even when memory is short.
    pub min: u32,
    /// At the start.
    pub default: u32,
    /// Where tuning by itself ends.
    pub max: u32,
}

/// Limits the stack obeys as the kernel's own does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// net.ipv4.tcp_rmem.
    pub tcp_rmem: Buffers,
    /// net.ipv4.tcp_wmem.
    pub tcp_wmem: Buffers,
    /// net.core.rmem_default: bytes of a UDP socket's receive queue.
    pub rmem_default: u32,
    /// net.core.wmem_default.
    pub wmem_default: u32,
    /// net.core.rmem_max: the most SO_RCVBUF grants.
    pub rmem_max: u32,
    /// net.core.wmem_max: the most SO_SNDBUF grants.
    pub wmem_max: u32,
    /// net.core.optmem_max: what the control messages of one sendmsg(2) must stay below, in bytes.
    pub optmem_max: u32,
    /// net.core.somaxconn: the longest accept queue.
    pub somaxconn: u32,
    /// net.ipv4.tcp_max_syn_backlog.
    pub tcp_max_syn_backlog: u32,
    /// net.ipv4.tcp_syncookies.
    pub tcp_syncookies: bool,
    /// net.ipv4.tcp_fastopen: bits of who may use Fast Open.
    pub tcp_fastopen: u32,
    /// net.ipv4.tcp_max_tw_buckets: connections in TIME_WAIT.
    pub tcp_max_tw_buckets: u32,
    /// net.ipv4.ip_local_port_range.
    pub ip_local_port_range: PortRange,
    /// net.ipv4.ip_local_reserved_ports: never chosen, only asked for by name.
    pub ip_local_reserved_ports: Vec<PortRange>,
    /// net.ipv4.ip_unprivileged_port_start: the first port that needs no privilege.
    pub ip_unprivileged_port_start: u16,
    /// net.ipv4.ip_default_ttl.
    pub ip_default_ttl: u8,
    /// net.ipv4.ipfrag_time: seconds that the fragments of a datagram wait for each other.
    pub ipfrag_time: u32,
    /// net.ipv4.ipfrag_high_thresh: bytes that all that wait may take.
    pub ipfrag_high_thresh: u32,
}

impl Default for Limits {
    /// Linux's defaults for a machine with a few GiB of memory.
    fn default() -> Self {
        Self {
            tcp_rmem: Buffers {
                min: 4096,
                default: 131_072,
                max: 6_291_456,
            },
            tcp_wmem: Buffers {
                min: 4096,
                default: 16_384,
                max: 4_194_304,
            },
            rmem_default: 212_992,
            wmem_default: 212_992,
            rmem_max: 212_992,
            wmem_max: 212_992,
            optmem_max: 131_072,
            somaxconn: 4096,
            tcp_max_syn_backlog: 1024,
            tcp_syncookies: true,
            tcp_fastopen: 1,
            tcp_max_tw_buckets: 65_536,
            ip_local_port_range: PortRange {
                first: 32_768,
                last: 60_999,
            },
            ip_local_reserved_ports: Vec::new(),
            ip_unprivileged_port_start: 1024,
            ip_default_ttl: 64,
            ipfrag_time: 30,
            ipfrag_high_thresh: 4 << 20,
        }
    }
}

impl Limits {
    /// Reads /proc/sys/net, if they are not remembered. What cannot be read or understood keeps its default.
    pub fn read() -> Self {
        REMEMBERED.get().cloned().unwrap_or_else(Self::read_now)
    }

    /// Reads them for all who ask later.
    pub fn remember() {
        REMEMBERED.get_or_init(Self::read_now);
    }

    fn read_now() -> Self {
        Self::from_source(|name| {
            let path = format!("/proc/sys/net/{name}");
            String::from_utf8(file::read(&path, 1 << 16).ok()?).ok()
        })
    }

    /// The same from any source of the files' contents, by their names below /proc/sys/net.
    pub fn from_source(contents: impl Fn(&str) -> Option<String>) -> Self {
        let defaults = Self::default();
        let number = |name: &str, default: u32| {
            contents(name)
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(default)
        };
        let buffers = |name: &str, default: Buffers| {
            contents(name)
                .and_then(|text| parse_buffers(&text))
                .unwrap_or(default)
        };
        Self {
            tcp_rmem: buffers("ipv4/tcp_rmem", defaults.tcp_rmem),
            tcp_wmem: buffers("ipv4/tcp_wmem", defaults.tcp_wmem),
            rmem_default: number("core/rmem_default", defaults.rmem_default),
            wmem_default: number("core/wmem_default", defaults.wmem_default),
            rmem_max: number("core/rmem_max", defaults.rmem_max),
            wmem_max: number("core/wmem_max", defaults.wmem_max),
            optmem_max: number("core/optmem_max", defaults.optmem_max),
            somaxconn: number("core/somaxconn", defaults.somaxconn),
            tcp_max_syn_backlog: number("ipv4/tcp_max_syn_backlog", defaults.tcp_max_syn_backlog),
            tcp_syncookies: number("ipv4/tcp_syncookies", 1) != 0,
            tcp_fastopen: number("ipv4/tcp_fastopen", defaults.tcp_fastopen),
            tcp_max_tw_buckets: number("ipv4/tcp_max_tw_buckets", defaults.tcp_max_tw_buckets),
            ip_local_port_range: contents("ipv4/ip_local_port_range")
                .and_then(|text| parse_port_range(&text))
                .unwrap_or(defaults.ip_local_port_range),
            ip_local_reserved_ports: contents("ipv4/ip_local_reserved_ports")
                .map(|text| parse_port_list(&text))
                .unwrap_or_default(),
            ip_unprivileged_port_start: u16::try_from(number(
                "ipv4/ip_unprivileged_port_start",
                1024,
            ))
            .unwrap_or(u16::MAX),
            ip_default_ttl: u8::try_from(number("ipv4/ip_default_ttl", 64))
                .ok()
                .filter(|&ttl| ttl > 0)
                .unwrap_or(defaults.ip_default_ttl),
            ipfrag_time: number("ipv4/ipfrag_time", defaults.ipfrag_time),
            ipfrag_high_thresh: number("ipv4/ipfrag_high_thresh", defaults.ipfrag_high_thresh),
        }
    }
}

/// net.ipv4.tcp_fastopen_key, with which this host makes the cookies of its clients. `None`: it has none yet, or this user
/// may not read it.
pub fn fast_open_key() -> Option<[u8; 16]> {
    let text = file::read("/proc/sys/net/ipv4/tcp_fastopen_key", 1 << 8).ok()?;
    parse_key(core::str::from_utf8(&text).ok()?).filter(|key| *key != [0; 16])
}

/// `00112233-44556677-8899aabb-ccddeeff`, and after a comma the one that was before.
fn parse_key(text: &str) -> Option<[u8; 16]> {
    let newest = text.split(',').next()?.trim();
    let mut key = [0; 16];
    let mut words = newest.split('-');
    for place in key.chunks_exact_mut(4) {
        let word = u32::from_str_radix(words.next()?, 16).ok()?;
        place.copy_from_slice(&word.to_le_bytes());
    }
    words.next().is_none().then_some(key)
}

/// `4096 131072 6291456`
fn parse_buffers(text: &str) -> Option<Buffers> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    let mut next = || words.next()?.ok();
    Some(Buffers {
        min: next()?,
        default: next()?,
        max: next()?,
    })
}

/// `32768 60999`
fn parse_port_range(text: &str) -> Option<PortRange> {
    let mut words = text.split_ascii_whitespace().map(str::parse);
    let mut next = || words.next()?.ok();
    let (first, last) = (next()?, next()?);
    (first <= last).then_some(PortRange { first, last })
}

/// `8080,9148-9200`
fn parse_port_list(text: &str) -> Vec<PortRange> {
    let parse = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(PortRange {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
        })
    };
    text.trim().split(',').filter_map(parse).collect()
}
