//! What the packet socket lets in: a classic BPF program over the Ethernet frame.
//!
//! ```text
//!   vlan tag? packet type? ──► ARP ──► replies (all, with an own address)
//!                          └─► IPv4 to our address ──► TCP, UDP: destination port in the set,
//!                                                  │             or a fragment without ports
//!                                                  └─► ICMP errors (everything, with an own
//!                                                      address)
//! ```
//!
//! Ports are looked up in a binary tree of comparisons: hundreds of ports cost about ten. Jumps
//! of classic BPF reach 255 instructions, so every section ends in its own verdict and is skipped
//! as a whole; a section that may be longer is skipped by the unconditional jump, which reaches
//! everywhere.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use rustix::io::Errno;

use super::ports::{self, PortSet};
use crate::sys::filter::{Instruction, MAX_INSTRUCTIONS};

/// What to admit.
#[derive(Clone, Debug, Default)]
pub struct FilterSpec {
    /// Destination addresses that are ours, or mean all hosts.
    pub destinations: Vec<Ipv4Addr>,
    /// The addresses belong to the stack alone: it answers ARP and ICMP and owns every port.
    pub own_address: bool,
    /// TCP ports of ours; unused with an own address.
    pub tcp_ports: PortSet,
    /// UDP ports of ours; unused with an own address.
    pub udp_ports: PortSet,
}

/// Keep the whole frame.
const ACCEPT: u32 = 0x40000;
/// Keep nothing of it.
const REJECT: u32 = 0;

/// More addresses than this are not compared one by one; every address is admitted then.
const MAX_ADDRESSES: usize = 128;

/// A kernel that has no room for this many instructions has none for a filter at all.
const SMALLEST_LIMIT: usize = 100;

/// Instructions a run of ports costs at least: two breakpoints, each a comparison and a verdict.
const PER_RUN: usize = 4;

/// Offsets into the frame.
mod at {
    pub(super) const ETHERTYPE: u32 = 12;
    pub(super) const ARP_OPERATION: u32 = 20;
    pub(super) const IP: u32 = 14;
    pub(super) const IP_FRAGMENT: u32 = 20;
    pub(super) const IP_PROTOCOL: u32 = 23;
    pub(super) const IP_DESTINATION: u32 = 30;
    /// Relative to the IP header's length.
    pub(super) const ICMP_TYPE: u32 = 14;
    /// Relative to the IP header's length.
    pub(super) const DESTINATION_PORT: u32 = 16;
}

/// ICMP messages that are errors (RFC 792; RFC 1122 section 3.2.2).
const ICMP_ERRORS: [u32; 5] = [3, 4, 5, 11, 12];

const ARP_REPLY: u32 = 2;
const FRAGMENT_OFFSET: u32 = 0x1fff;
const VLAN_ID: u32 = 0x0fff;

impl FilterSpec {
    /// The program, in at most `limit` instructions (but not fewer than the fixed part needs). If
    /// the ports need more, neighbouring ones are joined: the program admits more than asked,
    /// never less.
    pub fn program(&self, limit: usize) -> Vec<Instruction> {
        let mut program = vlan_and_packet_type();
        program.extend(self.arp());
        program.extend([equal(libc::ETH_P_IP as u32, 1, 0), verdict(REJECT)]);
        program.extend(self.destination());
        if self.own_address {
            program.push(verdict(ACCEPT));
            return program;
        }
        program.extend(icmp_errors());
        let room = limit.min(MAX_INSTRUCTIONS).saturating_sub(program.len());
        let mut most = room / PER_RUN;
        loop {
            let (tcp, udp) = self.runs(most);
            let ports = transport(&port_tree(&tcp), port_tree(&udp));
            if ports.len() <= room || most <= 1 {
                program.extend(ports);
                return program;
            }
            most -= most / 16 + 1;
        }
    }

    /// Hands the program, of at most `limit` instructions, to `attach`; a coarser one as long as
    /// that says ENOMEM.
    ///
    /// # Errors
    /// What `attach` says.
    pub fn install(
        &self,
        mut limit: usize,
        attach: impl Fn(&[Instruction]) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        loop {
            let program = self.program(limit);
            match attach(&program) {
                Err(Errno::NOMEM) if limit > SMALLEST_LIMIT => limit = program.len().min(limit) / 2,
                result => return result,
            }
        }
    }

    /// The ports of both protocols in at most `most` runs.
    fn runs(&self, most: usize) -> (Vec<RangeInclusive<u16>>, Vec<RangeInclusive<u16>>) {
        let (mut tcp, mut udp) = (self.tcp_ports.runs(), self.udp_ports.runs());
        if tcp.len() + udp.len() > most {
            let half = most / 2;
            let tcp_share = most - udp.len().min(half);
            ports::coarsen(&mut tcp, tcp_share);
            let udp_share = most - tcp.len().min(most - half);
            ports::coarsen(&mut udp, udp_share);
        }
        (tcp, udp)
    }

    /// Expects the Ethernet type loaded; leaves it loaded for all but ARP.
    fn arp(&self) -> Vec<Instruction> {
        let ethertype = libc::ETH_P_ARP as u32;
        if self.own_address {
            return vec![equal(ethertype, 0, 1), verdict(ACCEPT)];
        }
        vec![
            equal(ethertype, 0, 4),
            load_half(at::ARP_OPERATION),
            equal(ARP_REPLY, 0, 1),
            verdict(ACCEPT),
            verdict(REJECT),
        ]
    }

    /// Goes on for packets to one of the addresses.
    fn destination(&self) -> Vec<Instruction> {
        if self.destinations.len() > MAX_ADDRESSES {
            return Vec::new();
        }
        let mut section = vec![load_word(at::IP_DESTINATION)];
        let count = self.destinations.len() as u8;
        for (address, index) in self.destinations.iter().zip(0..) {
            section.push(equal(address.to_bits(), count - index, 0));
        }
        section.push(verdict(REJECT));
        section
    }
}

/// Frames of another VLAN (the kernel strips the tag before we see them; tag 0 is priority only)
/// and frames not sent to this host are none of ours. Leaves the Ethernet type loaded.
fn vlan_and_packet_type() -> Vec<Instruction> {
    vec![
        load_word(ancillary(libc::SKF_AD_VLAN_TAG_PRESENT)),
        equal(0, 3, 0),
        load_word(ancillary(libc::SKF_AD_VLAN_TAG)),
        any_bit(VLAN_ID, 0, 1),
        verdict(REJECT),
        load_word(ancillary(libc::SKF_AD_PKTTYPE)),
        // PACKET_HOST is 0, PACKET_BROADCAST 1.
        greater(libc::PACKET_BROADCAST as u32, 0, 1),
        verdict(REJECT),
        load_half(at::ETHERTYPE),
    ]
}

/// Decides ICMP; goes on for other protocols.
fn icmp_errors() -> Vec<Instruction> {
    let mut section = vec![
        load_header_len(at::IP),
        load_byte_after_header(at::ICMP_TYPE),
    ];
    for (kind, index) in ICMP_ERRORS.into_iter().zip(0..) {
        section.push(equal(kind, ICMP_ERRORS.len() as u8 - index, 0));
    }
    section.extend([verdict(REJECT), verdict(ACCEPT)]);
    let length = section.len() as u8;
    let mut all = vec![
        load_byte(at::IP_PROTOCOL),
        equal(libc::IPPROTO_ICMP as u32, 0, length),
    ];
    all.extend(section);
    all
}

/// Decides TCP and UDP, and refuses the rest.
fn transport(tcp: &[Instruction], udp: Vec<Instruction>) -> Vec<Instruction> {
    let mut section = vec![
        load_byte(at::IP_PROTOCOL),
        equal(libc::IPPROTO_TCP as u32, 2, 0),
        equal(libc::IPPROTO_UDP as u32, 1, 0),
        verdict(REJECT),
        // A fragment but the first has no ports; the stack lets those age whose first did not come.
        load_half(at::IP_FRAGMENT),
        any_bit(FRAGMENT_OFFSET, 0, 1),
        verdict(ACCEPT),
        load_header_len(at::IP),
        load_byte(at::IP_PROTOCOL),
        equal(libc::IPPROTO_TCP as u32, 1, 0),
        jump(tcp.len() as u32 + 1),
        load_half_after_header(at::DESTINATION_PORT),
    ];
    section.extend(tcp);
    section.push(load_half_after_header(at::DESTINATION_PORT));
    section.extend(udp);
    section
}

/// Decides by the loaded port: in one of the runs or not.
fn port_tree(runs: &[RangeInclusive<u16>]) -> Vec<Instruction> {
    // Each breakpoint says what holds from it on, up to the next.
    let mut breakpoints = vec![(0, REJECT)];
    for run in runs {
        breakpoints.push((u32::from(*run.start()), ACCEPT));
        breakpoints.push((u32::from(*run.end()) + 1, REJECT));
    }
    subtree(&breakpoints)
}

fn subtree(breakpoints: &[(u32, u32)]) -> Vec<Instruction> {
    let (low, high) = match breakpoints {
        [] => return vec![verdict(REJECT)],
        [(_, here)] => return vec![verdict(*here)],
        _ => breakpoints.split_at(breakpoints.len() / 2),
    };
    let middle = high.first().map_or(0, |&(start, _)| start);
    let below = subtree(low);
    let mut tree = match u8::try_from(below.len()) {
        Ok(length) => vec![at_least(middle, length, 0)],
        Err(_) => vec![at_least(middle, 0, 1), jump(below.len() as u32)],
    };
    tree.extend(below);
    tree.extend(subtree(high));
    tree
}

/// Where the kernel's own facts about a frame are "loaded" from.
const fn ancillary(fact: i32) -> u32 {
    (libc::SKF_AD_OFF + fact) as u32
}

const fn instruction(code: u32, jump_true: u8, jump_false: u8, operand: u32) -> Instruction {
    Instruction {
        code: code as u16,
        jump_true,
        jump_false,
        operand,
    }
}

const fn verdict(length: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, length)
}

const fn load_word(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

const fn load_half(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, offset)
}

const fn load_byte(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, offset)
}

/// X = the length of the IP header at `offset`.
const fn load_header_len(offset: u32) -> Instruction {
    instruction(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, offset)
}

const fn load_byte_after_header(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_IND, 0, 0, offset)
}

const fn load_half_after_header(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 0, 0, offset)
}

const fn equal(value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    compare(libc::BPF_JEQ, value, jump_true, jump_false)
}

const fn greater(value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    compare(libc::BPF_JGT, value, jump_true, jump_false)
}

const fn at_least(value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    compare(libc::BPF_JGE, value, jump_true, jump_false)
}

const fn any_bit(mask: u32, jump_true: u8, jump_false: u8) -> Instruction {
    compare(libc::BPF_JSET, mask, jump_true, jump_false)
}

const fn compare(operation: u32, value: u32, jump_true: u8, jump_false: u8) -> Instruction {
    let code = libc::BPF_JMP | operation | libc::BPF_K;
    instruction(code, jump_true, jump_false, value)
}

const fn jump(distance: u32) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, distance)
}
