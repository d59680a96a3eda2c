//! Two network namespaces joined by a veth pair, gone with the value that made them.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// `left` has interface `va`, 10.77.0.1/24, and `right` has `vb`, 10.77.0.2/24. Each knows the
/// other's hardware address.
pub struct Pair {
    pub left: Namespace,
    pub right: Namespace,
}

impl Pair {
    pub fn new() -> Self {
        let pair = Self {
            left: Namespace::new(),
            right: Namespace::new(),
        };
        let (left, right) = (&pair.left, &pair.right);
        left.ip(&format!(
            "link add va address 02:00:00:00:00:01 type veth \
             peer name vb address 02:00:00:00:00:02 netns {}",
            right.name
        ));
        for (side, device, own, peer) in [(left, "va", 1, 2), (right, "vb", 2, 1)] {
            side.ip("link set lo up");
            side.ip(&format!("address add 10.77.0.{own}/24 dev {device}"));
            side.ip(&format!("link set {device} up"));
            // No ARP between the two: it would be in the way of tests that count frames.
            side.ip(&format!(
                "neighbor add 10.77.0.{peer} lladdr 02:00:00:00:00:0{peer} dev {device} nud permanent"
            ));
        }
        pair
    }
}

/// A network namespace.
pub struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sidestack-test-{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name }
    }

    /// Runs `ip` with these words inside.
    pub fn ip(&self, words: &str) {
        let mut all = vec!["-n", &self.name];
        all.extend(words.split(' '));
        ip(&all);
    }

    /// Runs `ip -batch` with these lines inside.
    pub fn ip_batch(&self, lines: &str) {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("iproute2");
        let mut stdin = child.stdin.take().expect("pipe");
        stdin.write_all(lines.as_bytes()).expect("write");
        drop(stdin);
        assert!(child.wait().expect("wait").success());
    }

    /// Runs `ethtool` with these words inside.
    pub fn ethtool(&self, words: &str) {
        let mut all = vec!["netns", "exec", &self.name, "ethtool"];
        all.extend(words.split(' '));
        ip(&all);
    }

    /// Runs `inside` in a thread that lives in the namespace; its sockets stay there.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let namespace = File::open(format!("/run/netns/{}", self.name)).expect("namespace");
            move_into_link_name_space(borrow(&namespace), Some(LinkNameSpaceType::Network))
                .expect("setns");
            inside()
        };
        thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|panic| {
            std::panic::resume_unwind(panic);
        })
    }
}

fn borrow(file: &File) -> rustix::fd::BorrowedFd<'_> {
    use std::os::fd::AsRawFd;
    // SAFETY: the file owns the descriptor, and the result lives no longer than the file.
    unsafe { rustix::fd::BorrowedFd::borrow_raw(file.as_raw_fd()) }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("iproute2");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {stderr}", words.join(" "));
}
