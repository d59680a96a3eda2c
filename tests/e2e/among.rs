//! Descriptors of the stack that lie among the program's: its limit cannot be raised, and the upper quarter of its numbers
//! is full.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::family::CONFINED;
use crate::lab::{Lab, PEER};
use crate::orphans::{engines, script};

/// More than the quarter of `CONFINED`'s numbers.
const MANY: u32 = 300;

#[test]
fn connections_end_with_the_last_who_has_them() {
    let lab = Lab::new();
    let counts = script(&format!("among.py counts 7000 {MANY}"));
    let server = lab.peer(&counts).within(60).serving_tcp(7000);
    let leaves = script(&format!("among.py leaves {PEER} 7000 {MANY}"));
    let leaves = lab.sidestack(&leaves).under(CONFINED).within(60).succeeds();
    assert!(leaves.stdout().starts_with("connected"), "{leaves}");
    let said = server.finish().success().stdout();
    assert_eq!(said, "accepted\nall ended");
    // One of the keeper's sits TIME-WAIT out.
    let heir = || {
        engines(&lab)
            .into_iter()
            .find(|pid| !lab.keepers().contains(pid))
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(heir) = heir() {
        assert!(Instant::now() < deadline, "{heir} stays");
        sleep(Duration::from_millis(10));
    }
    lab.kernel_was_silent();
}

#[test]
fn connections_that_the_program_keeps_go_on_when_it_closes_all_others() {
    for how in ["close", "close_range", "closefrom"] {
        let lab = Lab::new();
        let serve = script("echo.py serve 0.0.0.0 7000");
        let _server = lab.peer(&serve).serving_tcp(7000);
        let closes = script(&format!("among.py closes {PEER} 7000 {MANY} {how}"));
        let closes = lab.sidestack(&closes).under(CONFINED).within(60);
        assert_eq!(closes.succeeds().stdout(), "10 go on", "{how}");
        lab.kernel_was_silent();
    }
}

#[test]
fn no_descriptor_of_the_programs_takes_the_place_of_one_of_the_stacks() {
    let lab = Lab::new();
    let serve = script("echo.py serve 0.0.0.0 7000");
    let _server = lab.peer(&serve).serving_tcp(7000);
    let replaces = script(&format!("among.py replaces {PEER} 7000 {MANY}"));
    let replaces = lab.sidestack(&replaces).under(CONFINED).within(60);
    assert_eq!(replaces.succeeds().stdout(), format!("{MANY} go on"));
    lab.kernel_was_silent();
}

#[test]
fn a_program_that_is_started_inherits_no_more_than_the_sockets() {
    let lab = Lab::new();
    let spawns = script(&format!("among.py spawns {MANY}"));
    let spawns = lab.sidestack(&spawns).under(CONFINED);
    assert_eq!(spawns.succeeds().stdout(), MANY.to_string());
}
