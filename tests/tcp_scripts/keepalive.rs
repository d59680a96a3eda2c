//! Keep-alive: RFC 9293 section 3.8.4.

use core::time::Duration;

use crate::closing::ESTABLISHED;
use crate::script::Script;

fn keepalive(lines: &str) {
    let mut script = Script::new();
    script.options.keepalive = true;
    script.options.keep_idle = Duration::from_secs(10);
    script.options.keep_interval = Duration::from_secs(2);
    script.options.keep_count = 3;
    script.run(&format!("{ESTABLISHED}{lines}"));
}

#[test]
fn probes_are_answered() {
    keepalive(
        "
        +10 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        +10 > . 0:0(0) ack 1
        < . 1:1(0) ack 1 win 65535
        = state Established
    ",
    );
}

#[test]
fn the_peer_is_dead() {
    keepalive(
        "
        +10 > . 0:0(0) ack 1
        +2 > . 0:0(0) ack 1
        +2 > . 0:0(0) ack 1
        +2 > R. 1:1(0) ack 1
        = state Closed
        = error Some(TimedOut)
    ",
    );
}

#[test]
fn data_puts_it_off() {
    keepalive(
        "
        +6
        < P. 1:11(10) ack 1 win 65535
        > . 1:1(0) ack 11
        +10 > . 0:0(0) ack 11
        < . 11:11(0) ack 1 win 65535
    ",
    );
}

/// RFC 9293 MUST-25: off unless asked for.
#[test]
fn off_by_default() {
    Script::new().run(&format!(
        "{ESTABLISHED}
        +100000
        = state Established
    "
    ));
}

#[test]
fn switched_on_later() {
    let mut script = Script::new();
    script.run(ESTABLISHED);
    script.options.keepalive = true;
    script.options.keep_idle = Duration::from_secs(5);
    script.run(
        "
        ! options
        +5 > . 0:0(0) ack 1
    ",
    );
}
