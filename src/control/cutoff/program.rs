//! The program: an extended BPF one over the Ethernet frame.

use std::net::Ipv4Addr;

use super::WORDS_OF_ONE;
use crate::sys::bpf::Instruction;

/// More addresses than this are not compared with.
const MAX_ADDRESSES: usize = 64;

/// Offsets into the frame.
mod at {
    pub(super) const IP: i32 = 14;
    pub(super) const IP_FRAGMENT: i32 = 20;
    pub(super) const IP_PROTOCOL: i32 = 23;
    pub(super) const IP_DESTINATION: i32 = 30;
    /// Relative to the IP header's length.
    pub(super) const DESTINATION_PORT: i32 = 16;
}

/// Offsets into the kernel's `struct __sk_buff`.
mod fact {
    pub(super) const PACKET_TYPE: i16 = 4;
    pub(super) const PROTOCOL: i16 = 16;
    pub(super) const VLAN_PRESENT: i16 = 20;
}

/// More fragments follow, or this is not the first.
const FRAGMENT: i32 = 0x3fff;

/// Leave it to whoever is next: in the end the kernel.
const NEXT: i32 = -1;
/// Drop it.
const DROP: i32 = 2;

/// Jumps of this distance are pointed at the verdict [`NEXT`] in the end.
const TO_NEXT: i16 = i16::MAX;

/// The filter that admits nothing.
pub(super) const NOTHING: [Instruction; 2] = [set(0, 0), EXIT];

/// The program, for the table of descriptor `words`.
pub(super) fn program(words: i32, addresses: &[Ipv4Addr]) -> Vec<Instruction> {
    let mut program = vec![
        copy(6, 1),
        load_fact(2, fact::PROTOCOL),
        unless_equal(2, i32::from((libc::ETH_P_IP as u16).to_be()), TO_NEXT),
        load_fact(2, fact::VLAN_PRESENT),
        unless_equal(2, 0, TO_NEXT),
        load_fact(2, fact::PACKET_TYPE),
        unless_equal(2, i32::from(libc::PACKET_HOST), TO_NEXT),
        // R7: the protocol's first word.
        load_byte(at::IP_PROTOCOL),
        set(7, 0),
        if_equal(0, libc::IPPROTO_TCP, 2),
        unless_equal(0, libc::IPPROTO_UDP, TO_NEXT),
        set(7, WORDS_OF_ONE as i32),
        load_half(at::IP_FRAGMENT),
        if_any_bit(0, FRAGMENT, TO_NEXT),
        load_word(at::IP_DESTINATION),
    ];
    // With more addresses than can be compared with, none matches.
    let addresses = addresses
        .get(..MAX_ADDRESSES.min(addresses.len()))
        .unwrap_or(&[]);
    for (address, left) in addresses.iter().zip((0..addresses.len()).rev()) {
        let address = address.to_bits() as i32;
        program.push(if_equal_word(0, address, left as i16 + 1));
    }
    program.extend([
        jump(TO_NEXT),
        // R0: the port; its block is a word of the table, its place in it a bit.
        load_byte(at::IP),
        and(0, 0x0f),
        shift_left(0, 2),
        copy(8, 0),
        load_half_behind(8, at::DESTINATION_PORT),
        copy(9, 0),
        and(9, 63),
        shift_right(0, 6),
        add(0, 7),
        store_word(10, -4, 0),
    ]);
    program.extend(map(1, words));
    program.extend([
        copy(2, 10),
        add_constant(2, -4),
        LOOK_UP,
        if_equal(0, 0, TO_NEXT),
        load_double(0, 0),
        shift_right_by(0, 9),
        and(0, 1),
        if_equal(0, 0, TO_NEXT),
        set(0, DROP),
        EXIT,
    ]);
    let end = program.len();
    for (index, instruction) in program.iter_mut().enumerate() {
        if instruction.offset == TO_NEXT {
            instruction.offset = (end - index - 1) as i16;
        }
    }
    program.extend([set(0, NEXT), EXIT]);
    program
}

const fn instruction(code: u32, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code: code as u8,
        registers: from << 4 | to,
        offset,
        immediate,
    }
}

/// Classes and modes of `linux/bpf.h` that classic BPF does not have.
const ALU64: u32 = 0x07;
const JMP32: u32 = 0x06;
const STX: u32 = libc::BPF_STX;
const MOV: u32 = 0xb0;
const DW: u32 = 0x18;
const JNE: u32 = 0x50;
const MEM: u32 = libc::BPF_MEM;

const EXIT: Instruction = instruction(libc::BPF_JMP | 0x90, 0, 0, 0, 0);

/// R0 = where R1's element of key `*R2` is, or 0 (bpf_map_lookup_elem).
const LOOK_UP: Instruction = instruction(libc::BPF_JMP | 0x80, 0, 0, 0, 1);

const fn copy(to: u8, from: u8) -> Instruction {
    instruction(ALU64 | MOV | libc::BPF_X, to, from, 0, 0)
}

const fn set(to: u8, value: i32) -> Instruction {
    instruction(ALU64 | MOV | libc::BPF_K, to, 0, 0, value)
}

/// A fact about the packet, whose context is in R6.
const fn load_fact(to: u8, offset: i16) -> Instruction {
    instruction(libc::BPF_LDX | MEM | libc::BPF_W, to, 6, offset, 0)
}

const fn load_double(to: u8, from: u8) -> Instruction {
    instruction(libc::BPF_LDX | MEM | DW, to, from, 0, 0)
}

const fn store_word(to: u8, offset: i16, from: u8) -> Instruction {
    instruction(STX | MEM | libc::BPF_W, to, from, offset, 0)
}

/// Into R0, as the other loads from the frame; a frame that is too short is the kernel's.
const fn load_byte(offset: i32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_ABS | libc::BPF_B, 0, 0, 0, offset)
}

const fn load_half(offset: i32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_ABS | libc::BPF_H, 0, 0, 0, offset)
}

const fn load_word(offset: i32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_ABS | libc::BPF_W, 0, 0, 0, offset)
}

const fn load_half_behind(from: u8, offset: i32) -> Instruction {
    instruction(
        libc::BPF_LD | libc::BPF_IND | libc::BPF_H,
        0,
        from,
        0,
        offset,
    )
}

/// The address of the table of descriptor `words`, a value of two instructions.
const fn map(to: u8, words: i32) -> [Instruction; 2] {
    const BPF_PSEUDO_MAP_FD: u8 = 1;
    [
        instruction(
            libc::BPF_LD | libc::BPF_IMM | DW,
            to,
            BPF_PSEUDO_MAP_FD,
            0,
            words,
        ),
        instruction(0, 0, 0, 0, 0),
    ]
}

const fn and(to: u8, value: i32) -> Instruction {
    instruction(ALU64 | libc::BPF_AND | libc::BPF_K, to, 0, 0, value)
}

const fn add(to: u8, from: u8) -> Instruction {
    instruction(ALU64 | libc::BPF_ADD | libc::BPF_X, to, from, 0, 0)
}

const fn add_constant(to: u8, value: i32) -> Instruction {
    instruction(ALU64 | libc::BPF_ADD | libc::BPF_K, to, 0, 0, value)
}

const fn shift_left(to: u8, bits: i32) -> Instruction {
    instruction(ALU64 | libc::BPF_LSH | libc::BPF_K, to, 0, 0, bits)
}

const fn shift_right(to: u8, bits: i32) -> Instruction {
    instruction(ALU64 | libc::BPF_RSH | libc::BPF_K, to, 0, 0, bits)
}

const fn shift_right_by(to: u8, from: u8) -> Instruction {
    instruction(ALU64 | libc::BPF_RSH | libc::BPF_X, to, from, 0, 0)
}

const fn jump(distance: i16) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, distance, 0)
}

const fn if_equal(of: u8, value: i32, distance: i16) -> Instruction {
    instruction(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        of,
        0,
        distance,
        value,
    )
}

/// As [`if_equal`], of the lower 32 bits.
const fn if_equal_word(of: u8, value: i32, distance: i16) -> Instruction {
    instruction(JMP32 | libc::BPF_JEQ | libc::BPF_K, of, 0, distance, value)
}

const fn unless_equal(of: u8, value: i32, distance: i16) -> Instruction {
    instruction(libc::BPF_JMP | JNE | libc::BPF_K, of, 0, distance, value)
}

const fn if_any_bit(of: u8, mask: i32, distance: i16) -> Instruction {
    instruction(
        libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
        of,
        0,
        distance,
        mask,
    )
}
