//! Users of a keeper who ask for what is not theirs, take too much, or mean no good.

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, preloading};
use crate::served::{ADMITTED, OTHER, keeper, keeper_of, of, script, started, version};
use crate::web::nginx;

#[test]
fn nobody_is_told_of_sockets_he_does_not_have() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "");
    let pretends = lab.plain(&script("pretends")).under(&format!(
        "setpriv --reuid {OTHER} --regid {OTHER} --clear-groups --inh-caps -all --bounding-set -all"
    ));
    let said = pretends.succeeds().stdout();
    assert_eq!(said, "True stream datagram\nENOTSOCK\nEACCES");
}

/// The names that a keeper and its guests meet under are free for all.
#[test]
fn who_takes_a_keepers_name_is_named_and_not_asked() {
    if !preloading() {
        return;
    }
    let lab = Lab::with_plain_programs();
    let version = version(&lab);
    let users = [0, ADMITTED];
    let names = users.map(|user| format!("keeper/{user}/{version} wills/{user}/{version}"));
    let names = names.join(" ");
    let takes = lab.plain(&script(&format!("takes_names {names}")));
    let mut taker = takes
        .under(&format!("setpriv --reuid {OTHER} --clear-groups"))
        .start();
    taker.prints("listening");
    let told = format!("user {OTHER} has the name \"@sidestack/keeper/0/{version}\"");
    let refused = keeper_of(&lab, "").run().exits_with(1);
    assert!(refused.stderr.contains(&told), "{refused}");
    let client = of(&lab, ADMITTED, &script("bind 7000")).succeeds();
    assert_eq!(client.stdout(), "done");
    assert!(client.stderr.contains(&told), "{client}");
    drop(taker);
    let _keeper = keeper(&lab, "");
    let client = of(&lab, ADMITTED, &script("bind 7000")).succeeds();
    assert_eq!(
        (client.stdout().as_str(), client.stderr.as_str()),
        ("done", "")
    );
}

#[test]
fn who_says_rubbish_hurts_nobody() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(MIB);
    let mut keeper = keeper(&lab, "");
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let says = |user| {
        let says = lab.plain(&script("rubbish 3000"));
        let user = format!("setpriv --reuid {user} --regid {user} --clear-groups");
        says.under(&user).within(60).start()
    };
    let users = [says(OTHER), says(OTHER)];
    let url = format!("http://{PEER}/{}", file.name);
    for _ in 0..5 {
        let fetch = of(&lab, ADMITTED, &format!("curl -sS {url}"));
        assert_eq!(fetch.sha256(), file.sha256);
    }
    for user in users {
        assert_eq!(user.finish().success().stdout(), "said");
    }
    keeper.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn a_user_has_as_many_sockets_as_he_may() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let _keeper = keeper(&lab, "--sockets 8");
    let _server = lab
        .peer("socat TCP4-LISTEN:7000,fork,backlog=100 PIPE")
        .serving_tcp(7000);
    let many = of(&lab, ADMITTED, &script(&format!("many 20 {PEER} 7000")));
    assert_eq!(many.succeeds().stdout(), "9 EMFILE\ndone");
    lab.kernel_was_silent();
}

#[test]
fn a_user_who_takes_much_memory_leaves_enough_to_others() {
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let file = payload::of(MIB);
    // With so little address space the memory file is a small one.
    let _keeper = started(keeper_of(&lab, "").under("prlimit --as=150000000"));
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let endless = "socat TCP4-LISTEN:7000,fork,backlog=100 OPEN:/dev/zero";
    let _server = lab.peer(endless).serving_tcp(7000);
    let fill = of(&lab, ADMITTED, &script(&format!("fill {PEER} 7000")));
    let mut fill = fill.within(30).start();
    fill.prints("ENOBUFS");
    let fetch = of(
        &lab,
        OTHER,
        &format!("curl -sS http://{PEER}/{}", file.name),
    );
    assert_eq!(fetch.sha256(), file.sha256);
    lab.kernel_was_silent();
}
