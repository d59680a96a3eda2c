//! The same things in the words of two layers: what `control` and `link` say, as the stack has it, and the reverse. None of
//! the three knows the others.

use std::time::Duration;

use crate::control::ephemeral::Protocol;
use crate::stack::address::Ipv4Cidr;
use crate::{control, link, stack};

/// A transport protocol.
pub(super) fn stack_protocol(protocol: Protocol) -> stack::ports::Protocol {
    match protocol {
        Protocol::Tcp => stack::ports::Protocol::Tcp,
        Protocol::Udp => stack::ports::Protocol::Udp,
    }
}

/// The congestion control that connections start with.
pub(super) const fn congestion(
    congestion: control::settings::Congestion,
) -> stack::config::Congestion {
    match congestion {
        control::settings::Congestion::Cubic => stack::config::Congestion::Cubic,
        control::settings::Congestion::Reno => stack::config::Congestion::Reno,
    }
}

/// The system's limits.
pub(super) fn limits(limits: &control::limits::Limits) -> stack::config::Limits {
    let buffers = |buffers: &control::limits::Buffers| {
        [
            buffers.min as usize,
            buffers.default as usize,
            buffers.max as usize,
        ]
    };
    stack::config::Limits {
        optmem_max: limits.optmem_max as usize,
        somaxconn: limits.somaxconn,
        max_syn_backlog: limits.tcp_max_syn_backlog,
        syn_cookies: limits.tcp_syncookies,
        fast_open: limits.tcp_fastopen,
        max_time_wait: limits.tcp_max_tw_buckets as usize,
        tcp_rmem: buffers(&limits.tcp_rmem),
        tcp_wmem: buffers(&limits.tcp_wmem),
        rmem_max: limits.rmem_max as usize,
        wmem_max: limits.wmem_max as usize,
        rmem_default: limits.rmem_default as usize,
        wmem_default: limits.wmem_default as usize,
        fragment_lifetime: Duration::from_secs(limits.ipfrag_time.into()),
        fragment_memory: limits.ipfrag_high_thresh as usize,
        ..stack::config::Limits::default()
    }
}

/// A route of the kernel's.
pub(super) fn route(route: &control::routes::Route) -> stack::routes::Route {
    stack::routes::Route {
        destination: Ipv4Cidr::new(route.destination.address, route.destination.prefix_len),
        gateway: route.gateway,
        source: route.source,
        mtu: route.mtu.map(|mtu| mtu as usize),
        metric: route.metric,
        egress: match route.egress {
            control::routes::Egress::Stack => stack::routes::Egress::Stack,
            control::routes::Egress::Local => stack::routes::Egress::Local,
            control::routes::Egress::Kernel => stack::routes::Egress::Kernel,
            control::routes::Egress::Unreachable => stack::routes::Egress::Unreachable,
        },
    }
}

/// The stack's offload as the link names it.
pub(super) fn offload(offload: stack::transmit::Offload) -> link::Offload {
    link::Offload {
        checksum_start: offload.checksum_start,
        checksum_offset: offload.checksum_offset,
        gso: offload.gso.map(|gso| link::Gso {
            size: gso.size,
            header_len: gso.header_len,
        }),
    }
}

/// What goes with a frame, as the link names it.
pub(super) const fn treatment(treatment: stack::transmit::Treatment) -> link::Treatment {
    link::Treatment {
        mark: treatment.mark,
        priority: treatment.priority,
    }
}

/// The link's checksum verdict as the stack names it.
pub(super) fn checksum(checksum: link::Checksum) -> stack::ethernet::Checksum {
    match checksum {
        link::Checksum::Verify => stack::ethernet::Checksum::Verify,
        link::Checksum::Trusted => stack::ethernet::Checksum::Trusted,
    }
}
