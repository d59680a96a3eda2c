//! What all runs together have counted.

use std::collections::BTreeMap;
use std::fmt;

/// What became of a connection that is as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Whatever happened, it did not happen to those who had it.
    Lived,
    /// Nobody or nothing was there for it: no server, no way, no descriptor, no memory.
    TurnedAway,
    /// One who had it was killed. What he had sent came, and then the end.
    Ended,
    /// The process with its stack was killed just when it changed it.
    Reset,
    /// So was the keeper, or there was none yet, so that nobody could go on.
    Orphaned,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) runs: usize,
    pub(crate) fates: BTreeMap<Fate, usize>,
    /// Connections that are not as they must be.
    pub(crate) wrong: usize,
    /// Bytes that have come, each of which was looked at.
    pub(crate) received: u64,
    /// Bytes that `send` had accepted of processes that were killed then; how many of them came.
    pub(crate) left: u64,
    pub(crate) delivered: u64,
}

impl Account {
    pub(crate) fn add(&mut self, other: &Account) {
        self.runs += other.runs;
        for (fate, count) in &other.fates {
            *self.fates.entry(*fate).or_default() += count;
        }
        self.wrong += other.wrong;
        self.received += other.received;
        self.left += other.left;
        self.delivered += other.delivered;
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |fate| self.fates.get(&fate).copied().unwrap_or(0);
        writeln!(f, "{} runs", self.runs)?;
        writeln!(f, "connections")?;
        for (fate, words) in [
            (Fate::Lived, "should have lived, and did"),
            (Fate::Ended, "of killed processes ended as they should"),
            (
                Fate::Reset,
                "were reset with the stack that just changed them",
            ),
            (Fate::Orphaned, "had nobody to go on with them"),
            (Fate::TurnedAway, "found no server, no way or nothing left"),
        ] {
            writeln!(f, "{:>10} {words}", count(fate))?;
        }
        writeln!(f, "{:>10} are not as they should be", self.wrong)?;
        writeln!(f, "bytes")?;
        writeln!(
            f,
            "{:>10} MB have come as they were sent",
            self.received / 1_000_000
        )?;
        writeln!(
            f,
            "{:>10} MB were accepted of processes that were killed then",
            self.left / 1_000_000
        )?;
        write!(
            f,
            "{:>10} MB of these have come",
            self.delivered / 1_000_000
        )
    }
}
