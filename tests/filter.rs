//! The packet socket's filter, instruction by instruction.

#[expect(dead_code, reason = "only the filter is tested here")]
#[path = "../src/control/mod.rs"]
mod control;
#[expect(dead_code, reason = "only the filter's types are used here")]
#[path = "../src/sys/mod.rs"]
mod sys;

#[path = "common/bpf.rs"]
mod bpf;

use std::cell::RefCell;
use std::net::Ipv4Addr;

use bpf::Facts;
use control::filter::FilterSpec;
use control::ports::{PortSet, block_of, coarsen};
use rustix::io::Errno;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

/// An IPv4 frame with `options` bytes of IP options and the destination port (or ICMP type).
struct Packet {
    destination: Ipv4Addr,
    protocol: u8,
    port: u16,
    options: usize,
    fragment: u16,
}

impl Packet {
    fn new(protocol: u8, port: u16) -> Self {
        Self {
            destination: OURS,
            protocol,
            port,
            options: 0,
            fragment: 0,
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + self.options];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14] = 0x40 | (5 + self.options / 4) as u8;
        frame[20..22].copy_from_slice(&self.fragment.to_be_bytes());
        frame[23] = self.protocol;
        frame[30..34].copy_from_slice(&self.destination.octets());
        let [high, low] = self.port.to_be_bytes();
        match self.protocol {
            ICMP => frame.extend([low, 0, 0, 0, 0, 0, 0, 0]),
            _ => frame.extend([0x12, 0x34, high, low, 0, 0, 0, 0]),
        }
        frame
    }
}

fn arp(operation: u16) -> Vec<u8> {
    let mut frame = vec![0; 42];
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    frame[20..22].copy_from_slice(&operation.to_be_bytes());
    frame
}

fn host(tcp: &[u16], udp: &[u16]) -> FilterSpec {
    let set = |ports: &[u16]| {
        let mut set = PortSet::default();
        ports.iter().for_each(|&port| set.insert(port));
        set
    };
    FilterSpec {
        destinations: vec![OURS],
        own_address: false,
        tcp_ports: set(tcp),
        udp_ports: set(udp),
    }
}

fn admits(spec: &FilterSpec, frame: &[u8]) -> bool {
    admits_with(spec, frame, Facts::default())
}

fn admits_with(spec: &FilterSpec, frame: &[u8], facts: Facts) -> bool {
    match bpf::run(&spec.program(4096), frame, facts).0 {
        0 => false,
        0x40000 => true,
        other => panic!("keeps {other} bytes"),
    }
}

#[test]
fn admits_exactly_the_ports_of_the_set() {
    let mut spec = host(&[22, 80, 65_535, 0], &[53]);
    spec.tcp_ports.insert_block(block_of(40_000));
    spec.tcp_ports.insert(40_001);
    let program = spec.program(4096);
    for port in 0..=u16::MAX {
        for (protocol, set) in [(TCP, &spec.tcp_ports), (UDP, &spec.udp_ports)] {
            let frame = Packet::new(protocol, port).frame();
            let (kept, _) = bpf::run(&program, &frame, Facts::default());
            assert_eq!(
                kept != 0,
                set.contains(port),
                "protocol {protocol} port {port}"
            );
        }
    }
}

#[test]
fn an_empty_set_admits_no_port() {
    let spec = host(&[], &[]);
    assert!(!admits(&spec, &Packet::new(TCP, 80).frame()));
    assert!(!admits(&spec, &Packet::new(UDP, 0).frame()));
}

#[test]
fn hundreds_of_ports_cost_few_comparisons() {
    let ports: Vec<u16> = (0..400).map(|n| 1024 + n * 131).collect();
    let spec = host(&ports, &ports);
    let program = spec.program(4096);
    assert!(program.len() <= 4096, "{} instructions", program.len());
    let worst = (0..=u16::MAX)
        .map(|port| {
            let frame = Packet::new(UDP, port).frame();
            let (kept, steps) = bpf::run(&program, &frame, Facts::default());
            assert_eq!(kept != 0, spec.udp_ports.contains(port));
            steps
        })
        .max();
    assert!(worst <= Some(48), "{worst:?} steps");
}

#[test]
fn finds_ports_behind_ip_options() {
    let spec = host(&[80], &[]);
    for options in (0..=40).step_by(4) {
        let packet = |port| Packet {
            options,
            ..Packet::new(TCP, port)
        };
        assert!(admits(&spec, &packet(80).frame()));
        assert!(!admits(&spec, &packet(81).frame()));
    }
}

#[test]
fn admits_fragments_without_ports() {
    let spec = host(&[80], &[]);
    let packet = |protocol, fragment| Packet {
        fragment,
        ..Packet::new(protocol, 81)
    };
    assert!(admits(&spec, &packet(TCP, 1).frame()));
    assert!(admits(&spec, &packet(UDP, 0x3fff).frame()));
    // The first fragment (offset 0, "more fragments") and an unfragmented packet have ports.
    assert!(!admits(&spec, &packet(TCP, 0x2000).frame()));
    assert!(!admits(&spec, &packet(TCP, 0x4000).frame()));
}

#[test]
fn refuses_other_addresses_and_packet_types() {
    let spec = host(&[80], &[]);
    let ours = Packet::new(TCP, 80).frame();
    let other = Packet {
        destination: OTHER,
        ..Packet::new(TCP, 80)
    };
    assert!(admits(&spec, &ours));
    assert!(!admits(&spec, &other.frame()));
    for (packet_type, admitted) in [(0, true), (1, true), (2, false), (3, false), (4, false)] {
        let facts = Facts {
            packet_type,
            ..Facts::default()
        };
        assert_eq!(
            admits_with(&spec, &ours, facts),
            admitted,
            "type {packet_type}"
        );
    }
    let nobody = FilterSpec::default();
    assert!(!admits(&nobody, &ours));
}

#[test]
fn many_addresses_are_admitted_unseen() {
    let mut spec = host(&[80], &[]);
    spec.destinations = (0..128).map(|n| Ipv4Addr::new(10, 1, 0, n)).collect();
    for address in spec.destinations.clone() {
        let packet = |destination, port| Packet {
            destination,
            ..Packet::new(TCP, port)
        };
        assert!(admits(&spec, &packet(address, 80).frame()));
        assert!(!admits(&spec, &packet(address, 81).frame()));
    }
    assert!(!admits(&spec, &Packet::new(TCP, 80).frame()));
    spec.destinations.push(OTHER);
    assert!(admits(&spec, &Packet::new(TCP, 80).frame()));
    assert!(!admits(&spec, &Packet::new(TCP, 81).frame()));
}

#[test]
fn refuses_frames_of_another_vlan() {
    let spec = host(&[80], &[]);
    let frame = Packet::new(TCP, 80).frame();
    let tagged = |vlan| Facts {
        vlan: Some(vlan),
        ..Facts::default()
    };
    assert!(!admits_with(&spec, &frame, tagged(5)));
    assert!(!admits_with(&spec, &frame, tagged(0xe005)));
    // Priority only.
    assert!(admits_with(&spec, &frame, tagged(0xe000)));
}

#[test]
fn admits_icmp_errors_only() {
    let spec = host(&[], &[]);
    for kind in 0..=255 {
        let admitted = admits(&spec, &Packet::new(ICMP, kind).frame());
        assert_eq!(admitted, [3, 4, 5, 11, 12].contains(&kind), "type {kind}");
    }
}

#[test]
fn admits_arp_replies_only() {
    let spec = host(&[], &[]);
    assert!(!admits(&spec, &arp(1)));
    assert!(admits(&spec, &arp(2)));
}

#[test]
fn refuses_other_protocols() {
    let spec = host(&[80], &[80]);
    assert!(!admits(&spec, &Packet::new(47, 80).frame()));
    let mut ipv6 = Packet::new(TCP, 80).frame();
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    assert!(!admits(&spec, &ipv6));
}

#[test]
fn an_own_address_gets_everything_sent_to_it() {
    let spec = FilterSpec {
        own_address: true,
        ..host(&[], &[])
    };
    assert!(admits(&spec, &arp(1)));
    assert!(admits(&spec, &arp(2)));
    for (protocol, port) in [(TCP, 81), (UDP, 9), (ICMP, 8), (47, 0)] {
        assert!(admits(&spec, &Packet::new(protocol, port).frame()));
        let other = Packet {
            destination: OTHER,
            ..Packet::new(protocol, port)
        };
        assert!(!admits(&spec, &other.frame()));
    }
}

#[test]
fn cut_frames_are_refused() {
    let spec = host(&[80], &[]);
    let frame = Packet::new(TCP, 80).frame();
    for length in 0..38 {
        assert!(!admits(&spec, &frame[..length]), "{length} bytes");
    }
}

#[test]
fn a_limit_makes_it_coarser_never_finer() {
    let ports: Vec<u16> = (0..2000).map(|n| n * 32).collect();
    let mut spec = host(&ports, &[53, 123]);
    spec.udp_ports.insert_block(700);
    for limit in [0, 48, 100, 500, 1000, 4096, 100_000] {
        let program = spec.program(limit);
        assert!(
            program.len() <= limit.clamp(80, 4096),
            "limit {limit}: {}",
            program.len()
        );
        for port in (0..=u16::MAX).filter(|port| spec.tcp_ports.contains(*port)) {
            let frame = Packet::new(TCP, port).frame();
            assert_ne!(bpf::run(&program, &frame, Facts::default()).0, 0);
        }
    }
}

#[test]
fn install_retries_with_shorter_programs() {
    let ports: Vec<u16> = (0..600).map(|n| n * 64).collect();
    let spec = host(&ports, &[]);
    let tried = RefCell::new(Vec::new());
    let attach = |program: &[sys::filter::Instruction]| {
        tried.borrow_mut().push(program.len());
        if program.len() > 300 {
            Err(Errno::NOMEM)
        } else {
            Ok(())
        }
    };
    assert_eq!(spec.install(4096, attach), Ok(()));
    let tried = tried.into_inner();
    assert!(
        tried.is_sorted_by(|a, b| a > b) && tried.len() < 8,
        "{tried:?}"
    );
    assert_eq!(spec.install(4096, |_| Err(Errno::NOMEM)), Err(Errno::NOMEM));
    assert_eq!(spec.install(4096, |_| Err(Errno::PERM)), Err(Errno::PERM));
}

#[test]
fn coarsen_joins_the_closest_runs() {
    let mut runs = vec![1..=1, 5..=6, 100..=100, 103..=103, 60_000..=60_000];
    coarsen(&mut runs, 3);
    assert_eq!(runs, [1..=6, 100..=103, 60_000..=60_000]);
    coarsen(&mut runs, 0);
    assert_eq!(runs, [1..=60_000]);
}

#[test]
fn runs_join_neighbors() {
    let mut set = PortSet::default();
    set.insert_block(1);
    set.insert_block(2);
    [63, 192, 200, 65_535]
        .into_iter()
        .for_each(|port| set.insert(port));
    assert_eq!(set.runs(), [63..=192, 200..=200, 65_535..=65_535]);
    set.insert_block(1023);
    assert_eq!(set.runs().last(), Some(&(65_472..=65_535)));
}
