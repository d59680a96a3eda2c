//! The shortest history that still differs.

use super::Difference;
use super::history::History;

/// Leaves out what is not needed for a difference: halves at first, single steps in the end. `plays` tells how the
/// kernel and the library differ on a history, if they do.
pub(super) fn shrunk(
    mut history: History,
    mut difference: Difference,
    mut plays: impl FnMut(&[String]) -> Option<Difference>,
) -> (History, Difference) {
    history.truncate(difference.step);
    let mut size = history.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < history.len() {
            let without = left_out(&history, at, size);
            match plays(&without) {
                Some(found) => {
                    history = without;
                    history.truncate(found.step);
                    difference = found;
                }
                None => at += size,
            }
        }
        if size == 1 {
            return (history, difference);
        }
        size = size.div_ceil(2);
    }
}

fn left_out(history: &[String], from: usize, many: usize) -> History {
    let to = history.len().min(from + many);
    [&history[..from], &history[to..]].concat()
}
