//! An interpreter of classic BPF, as strict as the kernel's checker where it matters here: jumps
//! stay inside the program and every path ends in a verdict.

use crate::sys::filter::Instruction;

/// What the kernel knows about a frame besides its bytes.
#[derive(Clone, Copy, Default)]
pub struct Facts {
    pub packet_type: u32,
    pub vlan: Option<u16>,
    pub interface: u32,
}

const OUTSIDE: u32 = 0xffff_f000;

/// How many bytes of the frame the program keeps, and how many instructions that took.
pub fn run(program: &[Instruction], frame: &[u8], facts: Facts) -> (u32, usize) {
    let (mut a, mut x, mut at, mut steps) = (0u32, 0u32, 0usize, 0usize);
    loop {
        let instruction = program[at];
        let k = instruction.operand;
        at += 1;
        steps += 1;
        let branch = |holds: bool| {
            usize::from(if holds {
                instruction.jump_true
            } else {
                instruction.jump_false
            })
        };
        match instruction.code {
            0x20 if k >= OUTSIDE => a = fact(k - OUTSIDE, facts),
            0x20 | 0x28 | 0x30 => match load(frame, k, instruction.code & 0x18) {
                Some(value) => a = value,
                None => return (0, steps),
            },
            0x48 | 0x50 => match load(frame, x + k, instruction.code & 0x18) {
                Some(value) => a = value,
                None => return (0, steps),
            },
            0xb1 => match load(frame, k, 0x10) {
                Some(value) => x = 4 * (value & 0xf),
                None => return (0, steps),
            },
            0x05 => at += k as usize,
            0x15 => at += branch(a == k),
            0x25 => at += branch(a > k),
            0x35 => at += branch(a >= k),
            0x45 => at += branch(a & k != 0),
            0x06 => return (k, steps),
            other => panic!("instruction {other:#x} at {}", at - 1),
        }
    }
}

fn fact(number: u32, facts: Facts) -> u32 {
    match number {
        4 => facts.packet_type,
        8 => facts.interface,
        44 => facts.vlan.unwrap_or(0).into(),
        48 => facts.vlan.is_some().into(),
        other => panic!("fact {other}"),
    }
}

fn load(frame: &[u8], offset: u32, size: u16) -> Option<u32> {
    let offset = offset as usize;
    let length = match size {
        0x00 => 4,
        0x08 => 2,
        _ => 1,
    };
    let bytes = frame.get(offset..offset + length)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| value << 8 | u32::from(*byte)),
    )
}
