//! Histories by a seed.

use super::others::peer_dial;
use super::scene::{Life, Scene};
use super::steps::{FORKING, STEPS, Step, listen, socket};

/// Steps of a history.
const LENGTH: usize = 45;

/// Steps, as a program takes them.
pub(super) type History = Vec<String>;

/// The history of a seed.
pub(super) fn history(seed: u64) -> History {
    let forking = seed % 4 == 3;
    let mut scene = Scene::new(seed, !forking);
    let table = if forking { FORKING } else { STEPS };
    let mut steps = match forking {
        true => Vec::new(),
        false => beginning(&mut scene),
    };
    while steps.len() < LENGTH {
        steps.extend(choice(&mut scene, table)(&mut scene));
    }
    steps
}

/// Something to begin with: few calls do anything on a fresh socket.
fn beginning(scene: &mut Scene) -> Vec<String> {
    match scene.chance.between(0, 4) {
        0 => {
            scene.put(0, Some(Life::Connected));
            vec!["socket 0 tcp".to_owned(), "connect 0 peer".to_owned()]
        }
        1 => {
            scene.put(0, Some(Life::Fresh));
            let first = "socket 0 tcp".to_owned();
            let rest = [listen, peer_dial, peer_dial]
                .iter()
                .filter_map(|step| step(scene));
            std::iter::once(first)
                .chain(rest.collect::<Vec<_>>())
                .collect()
        }
        2 => {
            scene.put(0, Some(Life::Datagrams));
            vec!["socket 0 udp".to_owned(), "connect 0 peer".to_owned()]
        }
        _ => socket(scene).into_iter().collect(),
    }
}

fn choice(scene: &mut Scene, table: &[(u64, Step)]) -> Step {
    let all = table.iter().map(|(weight, _)| weight).sum();
    let mut at = scene.chance.between(0, all);
    for (weight, step) in table {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return *step,
        }
    }
    unreachable!("`at` is less than all weights together")
}
