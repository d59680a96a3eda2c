//! Servers that stand before others, on our stack.

use crate::lab::payload::{self, KIB, MIB};
use crate::lab::{Lab, PEER, Running, TEST};
use crate::web::{load, nginx};

/// Fetches a file from a server of the peer's by the proxy, four times at once.
fn fetch(lab: &Lab, url: &str, how: &str) {
    let file = payload::of(4 * MIB);
    let start = |name: &str| {
        let curl = format!("curl -sSk {how} -o {name} {url}/{}", file.name);
        lab.peer(&curl).within(30).start()
    };
    let names = ["one", "two", "three", "four"];
    let running: Vec<Running<'_>> = names.iter().map(|name| start(name)).collect();
    running
        .into_iter()
        .for_each(|curl| drop(curl.finish().success()));
    for name in names {
        assert_eq!(payload::sha256(&lab.path(name)), file.sha256, "{name}");
    }
}

/// It binds as root, and its child, another user's, listens and asks the server.
#[test]
fn varnish_caches() {
    let lab = Lab::new();
    payload::of(KIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let own = lab.path("varnish");
    let varnish = format!(
        "varnishd -F -a 0.0.0.0:6081 -b {PEER}:80 -s malloc,100m -n {}",
        own.display()
    );
    let mut varnish = lab.sidestack(&varnish).within(30).start();
    varnish.prints("Child starts");
    fetch(
        &lab,
        &format!("http://{TEST}:6081"),
        "--retry 9 --retry-connrefused",
    );
    load(&lab, &format!("http://{TEST}:6081/1024.bin"));
    varnish.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn squid_fetches() {
    let lab = Lab::new();
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    lab.plain("chmod 777 .").succeeds();
    let configuration = lab.file(
        "squid.conf",
        "http_port 3128\nacl everybody src all\nhttp_access allow everybody\npinger_enable off
         pid_filename none\naccess_log none\ncache_log stdio:/dev/null\ncache deny all
         cache_effective_user nobody\nvisible_hostname lab\nshutdown_lifetime 1 seconds\n",
    );
    // Its shared memory is the whole machine's.
    let name = format!("lab{}", std::process::id());
    let squid = lab.sidestack(&format!("squid -N -n {name} -f {configuration}"));
    let mut squid = squid.serving_tcp(3128);
    fetch(
        &lab,
        &format!("http://{PEER}"),
        &format!("-x http://{TEST}:3128"),
    );
    squid.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn stunnel_encrypts() {
    let lab = Lab::new();
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    lab.plain(
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=lab -keyout key.pem -out cert.pem",
    )
    .succeeds();
    let configuration = lab.file(
        "stunnel.conf",
        &format!(
            "foreground = yes\npid =\n[web]\naccept = 443\nconnect = {PEER}:80\n\
             cert = {}\nkey = {}\n",
            lab.path("cert.pem").display(),
            lab.path("key.pem").display()
        ),
    );
    let stunnel = lab.sidestack(&format!("stunnel4 {configuration}"));
    let mut stunnel = stunnel.serving_tcp(443);
    fetch(&lab, &format!("https://{TEST}"), "");
    stunnel.still_runs();
    lab.kernel_was_silent();
}
