//! The interface changes while programs use it.

use std::thread::sleep;
use std::time::Duration;

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

#[test]
fn without_an_address_programs_hear_what_the_kernel_says() {
    let lab = Lab::new();
    let dial = root().join("tests/e2e/dial.py").display().to_string();
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,fork OPEN:/dev/null")
        .serving_tcp(7000);
    let mut program: Running<'_> = lab
        .sidestack(&format!(
            "/usr/bin/python3 {dial} {PEER} 7000 {}",
            lab.path("go").display()
        ))
        .start();
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
