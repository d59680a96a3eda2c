//! The programs of c-tests/ as guests of a keeper's: each runs as a user without rights, on the kernel and served by the
//! keeper, and must print the same, but for what c-tests/deviations_keeper.txt says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::c_tests;
use crate::lab::{Lab, Program, preloading, root};
use crate::served::{ADMITTED, keeper, of, without_rights};

/// In place of a line that only one of the two prints; both: the test is not for guests.
const NOTHING: &str = "-";
/// In place of our piece: the lines that begin as the kernel's do may differ.
const ANYHOW: &str = "...";
/// What the reason begins with where a line differs at times only.
const AT_TIMES: &str = "at times";
/// Listed pieces that one line may differ by.
const PIECES: usize = 4;

/// Lines that are meant to differ, or pieces of lines.
struct Deviation {
    kernel: String,
    ours: String,
    why: String,
}

pub(crate) fn prints_the_same(name: &str) {
    if !preloading() {
        return;
    }
    let listed = deviations(name);
    if listed.iter().any(Deviation::is_of_all) {
        return;
    }
    let program = c_tests::compiled(name, &[]).display().to_string();
    let lab = Lab::with_plain_programs();
    let expected = printed(&lab, |lab| without_rights(ADMITTED, lab.plain(&program)));
    drop(lab);
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let actual = printed(&lab, |lab| of(lab, ADMITTED, &program));
    compare(&expected, &actual, &listed);
    lab.kernel_was_silent();
}

/// What a program prints that others than root may run.
fn printed(lab: &Lab, program: impl Fn(&Lab) -> Program<'_>) -> String {
    lab.plain("chmod 777 .").succeeds();
    c_tests::printed(lab, |lab| {
        lab.plain("chmod 777 peer").succeeds();
        program(lab)
    })
}

/// Those of the list: the test, the kernel's piece, ours and the reason, a tab between each.
fn deviations(name: &str) -> Vec<Deviation> {
    let path = root().join("c-tests/deviations_keeper.txt");
    let text = fs::read_to_string(path).expect("the list of deviations exists");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let columns = lines.map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        <[&str; 4]>::try_from(columns)
            .unwrap_or_else(|_| panic!("four columns are expected: {line:?}"))
    });
    let own = columns.filter(|[test, ..]| *test == name);
    own.map(|[_, kernel, ours, why]| Deviation {
        kernel: kernel.to_owned(),
        ours: ours.to_owned(),
        why: why.to_owned(),
    })
    .collect()
}

impl Deviation {
    fn is_of_all(&self) -> bool {
        self.kernel == NOTHING && self.ours == NOTHING
    }

    /// Whether it is of all such lines.
    fn covers(&self, kernel: &str, ours: &str) -> bool {
        let begins = |line: &str| line.starts_with(&self.kernel);
        self.ours == ANYHOW && begins(kernel) && begins(ours)
    }

    /// The lines that a line may be in its place.
    fn apply(&self, line: &str) -> Vec<String> {
        let places = line.match_indices(&self.kernel);
        let changed = |at: usize| {
            let behind = &line[at + self.kernel.len()..];
            [&line[..at], &self.ours, behind].concat()
        };
        places.map(|(at, _)| changed(at)).collect()
    }
}

/// Fails unless the lines are the same but for the deviations that are listed, all of which must occur.
fn compare(expected: &str, actual: &str, listed: &[Deviation]) {
    let (expected, actual): (Vec<_>, Vec<_>) =
        (expected.lines().collect(), actual.lines().collect());
    let (mut at, mut found) = (0, 0);
    let mut occurred = BTreeSet::new();
    let mut differences = Vec::new();
    while at < expected.len() || found < actual.len() {
        let kernel = expected.get(at).copied().unwrap_or(NOTHING);
        let ours = actual.get(found).copied().unwrap_or(NOTHING);
        let is = |held: &Deviation, kernel, ours| held.kernel == kernel && held.ours == ours;
        if let Some(used) = explained(kernel, ours, listed) {
            occurred.extend(used);
        } else if let Some(covers) = listed.iter().position(|held| held.covers(kernel, ours)) {
            occurred.insert(covers);
        } else if let Some(missing) = listed.iter().position(|held| is(held, kernel, NOTHING)) {
            occurred.insert(missing);
            at += 1;
            continue;
        } else if let Some(more) = listed.iter().position(|held| is(held, NOTHING, ours)) {
            occurred.insert(more);
            found += 1;
            continue;
        } else {
            differences.push(format!("  kernel: {kernel}\n  ours:   {ours}"));
        }
        (at, found) = (at + 1, found + 1);
    }
    let must = |at: &usize| !listed[*at].why.starts_with(AT_TIMES);
    let gone = (0..listed.len()).filter(|at| must(at) && !occurred.contains(at));
    differences.extend(gone.map(|at| {
        let Deviation { kernel, ours, .. } = &listed[at];
        format!("  listed, but does not occur: {kernel} / {ours}")
    }));
    let shown = &differences[..differences.len().min(40)];
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        shown.join("\n")
    );
}

/// The deviations by which the kernel's line becomes ours, by their places in the list. `None`: it does not.
fn explained(kernel: &str, ours: &str, listed: &[Deviation]) -> Option<Vec<usize>> {
    let mut lines = BTreeMap::from([(kernel.to_owned(), Vec::new())]);
    for _ in 0..=PIECES {
        if let Some(used) = lines.remove(ours) {
            return Some(used);
        }
        let mut next = BTreeMap::new();
        for (line, used) in &lines {
            for (at, held) in listed.iter().enumerate() {
                let used = [&used[..], &[at]].concat();
                next.extend(
                    held.apply(line)
                        .into_iter()
                        .map(|line| (line, used.clone())),
                );
            }
        }
        lines = next;
    }
    None
}
