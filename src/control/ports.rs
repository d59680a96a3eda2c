//! Sets of ports, as the packet socket's filter sees them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Ports to a block. Blocks are aligned: block `n` holds the ports `n * 64` to `n * 64 + 63`.
pub const BLOCK: u16 = 64;

/// The block a port lies in.
pub const fn block_of(port: u16) -> u16 {
    port / BLOCK
}

/// The ports of a block.
pub const fn block_ports(block: u16) -> RangeInclusive<u16> {
    let first = block.saturating_mul(BLOCK);
    first..=first | (BLOCK - 1)
}

/// Single ports and aligned blocks of 64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet {
    singles: BTreeSet<u16>,
    blocks: BTreeSet<u16>,
}

impl PortSet {
    /// Adds one port.
    pub fn insert(&mut self, port: u16) {
        self.singles.insert(port);
    }

    /// Adds a block, by its number (see [`block_of`]).
    pub fn insert_block(&mut self, block: u16) {
        self.blocks.insert(block);
    }

    /// Whether the port is in the set, alone or in a block.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests ask"))]
    pub fn contains(&self, port: u16) -> bool {
        self.singles.contains(&port) || self.blocks.contains(&block_of(port))
    }

    /// The set as ranges in ascending order with gaps between them.
    pub fn runs(&self) -> Vec<RangeInclusive<u16>> {
        let singles = self.singles.iter().map(|&port| port..=port);
        let blocks = self.blocks.iter().map(|&block| block_ports(block));
        let mut ranges: Vec<_> = singles.chain(blocks).collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut runs: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match runs.last_mut() {
                Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => runs.push(range),
            }
        }
        runs
    }
}

/// Joins the runs with the smallest gaps between them until at most `most` are left: a superset
/// with fewer runs.
pub fn coarsen(runs: &mut Vec<RangeInclusive<u16>>, most: usize) {
    let excess = runs.len().saturating_sub(most.max(1));
    if excess == 0 {
        return;
    }
    let mut gaps: Vec<(u16, usize)> = runs
        .windows(2)
        .enumerate()
        .filter_map(|(index, pair)| match pair {
            [left, right] => Some((right.start().saturating_sub(*left.end()), index + 1)),
            _ => None,
        })
        .collect();
    gaps.sort_unstable();
    let joined: BTreeSet<usize> = gaps.iter().take(excess).map(|&(_, index)| index).collect();
    let mut coarse: Vec<RangeInclusive<u16>> = Vec::with_capacity(runs.len() - excess);
    for (index, run) in runs.drain(..).enumerate() {
        match coarse.last_mut() {
            Some(last) if joined.contains(&index) => *last = *last.start()..=*run.end(),
            _ => coarse.push(run),
        }
    }
    *runs = coarse;
}
