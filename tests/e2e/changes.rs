//! The interface changes while programs use it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, Running, root};
use crate::web::nginx;

/// A download of about three seconds, which `disturb` disturbs after one; it must arrive whole.
fn download_survives(disturb: impl Fn(&Lab)) {
    let lab = Lab::new();
    let file = payload::of(64 * MIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let fetch = format!(
        "curl -sS --limit-rate 20M -o got http://{PEER}/{}",
        file.name
    );
    let curl = lab.sidestack(&fetch).within(60).start();
    sleep(Duration::from_secs(1));
    disturb(&lab);
    curl.finish().success();
    assert_eq!(payload::sha256(&lab.path("got")), file.sha256);
    lab.kernel_was_silent();
}

#[test]
fn a_connection_survives_its_interface_going_down_and_up() {
    download_survives(|lab| {
        lab.plain("ip link set lab0 down").succeeds();
        sleep(Duration::from_millis(500));
        lab.plain("ip link set lab0 up").succeeds();
        lab.plain(&format!("ip route add default via {PEER} dev lab0"))
            .succeeds();
    });
}

#[test]
fn a_connection_survives_a_change_of_the_mtu() {
    download_survives(|lab| {
        lab.plain("ip link set lab0 mtu 1000").succeeds();
        lab.peer("ip link set lab1 mtu 1000").succeeds();
        sleep(Duration::from_millis(500));
        lab.peer("ip link set lab1 mtu 1500").succeeds();
        lab.plain("ip link set lab0 mtu 1500").succeeds();
    });
}

#[test]
fn a_connection_survives_its_address_being_away() {
    download_survives(|lab| {
        lab.plain("ip addr del 10.23.7.2/24 dev lab0").succeeds();
        sleep(Duration::from_millis(500));
        lab.plain("ip addr add 10.23.7.2/24 dev lab0").succeeds();
        lab.plain(&format!("ip route replace default via {PEER} dev lab0"))
            .succeeds();
    });
}

/// What `dial` connects to.
fn server(lab: &Lab) -> Running<'_> {
    lab.peer("socat TCP4-LISTEN:7000,fork OPEN:/dev/null")
        .serving_tcp(7000)
}

/// Connects at once, and whenever a file `go.2` to `go.4` appears.
fn dial(lab: &Lab) -> Running<'_> {
    let script = root().join("tests/e2e/dial.py").display().to_string();
    let go = lab.path("go").display().to_string();
    lab.sidestack(&format!("/usr/bin/python3 {script} {PEER} 7000 {go}"))
        .start()
}

/// Waits until the kernel knows that the peer's interface is down, which takes it up to a second; and a moment longer.
fn await_loss_of_carrier(lab: &Lab) {
    let end = Instant::now() + Duration::from_secs(5);
    let routes = || lab.plain("ip route").succeeds().stdout();
    while !routes().contains("linkdown") {
        assert!(Instant::now() < end, "lab0 still has a carrier");
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(200));
}

#[test]
fn connecting_waits_for_a_carrier() {
    let lab = Lab::new();
    let _server = server(&lab);
    let mut program = dial(&lab);
    program.prints("1: connected");
    lab.peer("ip link set lab1 down").succeeds();
    await_loss_of_carrier(&lab);
    lab.file("go.2", "");
    sleep(Duration::from_millis(500));
    lab.peer("ip link set lab1 up").succeeds();
    program.prints("2: connected");
    lab.kernel_was_silent();
}

#[test]
fn without_an_address_programs_hear_what_the_kernel_says() {
    let lab = Lab::new();
    let _server = server(&lab);
    let mut program = dial(&lab);
    program.prints("1: connected");
    lab.plain("ip addr del 10.23.7.2/24 dev lab0").succeeds();
    sleep(Duration::from_millis(200));
    lab.file("go.2", "");
    program.prints("2: ENETUNREACH");
    lab.plain("ip addr add 10.23.7.2/24 dev lab0").succeeds();
    sleep(Duration::from_millis(200));
    lab.file("go.3", "");
    program.prints("3: connected");
    lab.plain("ip link set lab0 down").succeeds();
    sleep(Duration::from_millis(200));
    lab.file("go.4", "");
    program.prints("4: ENETUNREACH");
    program.finish().success();
    lab.kernel_was_silent();
}
