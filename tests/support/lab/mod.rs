//! The lab: two network namespaces joined by a veth pair.
//!
//! ```text
//!   peer namespace (always the kernel)          test namespace
//!   lab1 10.23.7.1/24  ─────────────────────  lab0 10.23.7.2/24, default route
//!                                             nftables: what the kernel itself sends on lab0
//!                                             as TCP, UDP or ICMP is counted and dropped
//! ```
//!
//! A frame sent through AF_PACKET does not pass the output hook, so whatever reaches the peer was
//! sent by our stack, and `kernel_sent` must stay zero.
//!
//! 1. Every wait has an end: a program that does not finish in time fails its test.
//! 2. A lab leaves nothing behind. Its guard is a separate process that waits for the end of a pipe
//!    this process holds, so it also cleans up when the tests are killed; it ends programs by the
//!    namespace they run in and by nothing else.
//! 3. `LAB_STACK=kernel` runs everything without the library: the tests themselves are tested on the
//!    kernel, which is the oracle.

mod guard;
pub(crate) mod payload;
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use guard::Guard;
pub(crate) use program::{Finished, Program, Running};

/// The address of the namespace whose sockets are always the kernel's.
pub(crate) const PEER: &str = "10.23.7.1";
/// The address that our stack shares with the test namespace's kernel.
pub(crate) const TEST: &str = "10.23.7.2";
/// The peer drops what arrives at this port without an answer.
pub(crate) const BLACKHOLE: u16 = 9;
/// The peer answers what arrives at `UNREACHABLE + code` with ICMP destination unreachable of that code.
pub(crate) const UNREACHABLE: u16 = 4000;

/// Labs run side by side; one that measures runs alone.
static QUIET: RwLock<()> = RwLock::new(());
static SERIAL: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Peer,
    Test,
}

/// Held for the lab's lifetime; see `QUIET`.
enum Turn {
    Shared {
        _turn: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _turn: RwLockWriteGuard<'static, ()>,
    },
}

pub(crate) struct Lab {
    peer: String,
    test: String,
    directory: PathBuf,
    silenced: bool,
    // Fields are dropped in this order: the namespaces are gone before the next lab's turn.
    _guard: Guard,
    _turn: Turn,
}

impl Lab {
    /// A lab in which the test namespace's kernel must not speak on the wire.
    pub(crate) fn new() -> Lab {
        Lab::build(
            Turn::Shared {
                _turn: QUIET.read().unwrap_or_else(|e| e.into_inner()),
            },
            true,
        )
    }

    /// As `new`, while no other lab exists: for figures that a busy machine would spoil.
    pub(crate) fn quiet() -> Lab {
        Lab::build(
            Turn::Alone {
                _turn: QUIET.write().unwrap_or_else(|e| e.into_inner()),
            },
            true,
        )
    }

    /// A lab in which the test namespace's kernel may use the interface too.
    pub(crate) fn with_plain_programs() -> Lab {
        Lab::build(
            Turn::Shared {
                _turn: QUIET.read().unwrap_or_else(|e| e.into_inner()),
            },
            false,
        )
    }

    fn build(turn: Turn, silenced: bool) -> Lab {
        let id = format!(
            "lab{}-{}",
            std::process::id(),
            SERIAL.fetch_add(1, Ordering::Relaxed)
        );
        let (peer, test) = (format!("{id}p"), format!("{id}t"));
        let directory = std::env::temp_dir().join(&id);
        fs::create_dir_all(&directory).expect("a directory for the lab's files");
        let guard = Guard::new(&[&peer, &test], &directory);
        let lab = Lab {
            silenced: silenced && preloading(),
            peer,
            test,
            directory,
            _guard: guard,
            _turn: turn,
        };
        lab.join_namespaces();
        lab.load_rules(Side::Test, &own_traffic(lab.silenced));
        lab.load_rules(Side::Peer, &unanswering());
        lab
    }

    fn join_namespaces(&self) {
        let (p, t) = (&self.peer, &self.test);
        shell(&format!(
            "ip netns add {p}; ip netns add {t}
             ip link add lab1 netns {p} type veth peer name lab0 netns {t}
             for n in {p} {t}; do
                 # Every error is told, however many there were before it.
                 ip netns exec $n sysctl -qw net.ipv4.icmp_ratelimit=0
                 # Servers, too, may use Fast Open.
                 ip netns exec $n sysctl -qw net.ipv4.tcp_fastopen=3
                 # (Older kernels have these two for all namespaces together.)
                 ip netns exec $n sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=1000 2>/dev/null || :
                 # CUBIC where the host lets namespaces choose it, else Reno, which every host does; never BBR, which paces.
                 ip netns exec $n sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null ||
                     ip netns exec $n sysctl -qw net.ipv4.tcp_congestion_control=reno
             done
             ip -n {p} -b - <<END
             link set lo up
             addr add {PEER}/24 dev lab1
             link set lab1 up
END
             ip -n {t} -b - <<END
             link set lo up
             addr add {TEST}/24 dev lab0
             link set lab0 up
             route add default via {PEER} dev lab0
END"
        ));
    }

    fn load_rules(&self, side: Side, rules: &str) {
        shell(&format!(
            "ip netns exec {} nft -f - <<END\n{rules}\nEND",
            self.namespace(side)
        ));
    }

    /// A program on the peer side, on the kernel's stack.
    pub(crate) fn peer(&self, command: &str) -> Program<'_> {
        Program::new(self, Side::Peer, command, false)
    }

    /// A program on the test side, on the kernel's stack.
    pub(crate) fn plain(&self, command: &str) -> Program<'_> {
        Program::new(self, Side::Test, command, false)
    }

    /// A program on the test side, unmodified, with the library preloaded.
    pub(crate) fn sidestack(&self, command: &str) -> Program<'_> {
        Program::new(self, Side::Test, command, preloading())
    }

    /// How many TCP, UDP and ICMP packets the test side's kernel has tried to send on the wire itself.
    pub(crate) fn kernel_sent(&self) -> u64 {
        let listing = self
            .plain("nft list counter inet lab kernel_sent")
            .succeeds()
            .stdout();
        let mut words = listing.split_whitespace().skip_while(|w| *w != "packets");
        words
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("nft prints a counter")
    }

    /// Of what TCP segments these were: where they went, and by which ports.
    pub(crate) fn kernel_said(&self) -> String {
        let listing = self.plain("nft list set inet lab kernel_said").run();
        let listing = listing.stdout();
        let elements = listing.split_once("elements").map(|(_, said)| said);
        elements.unwrap_or_default().trim().to_owned()
    }

    /// The processes in a namespace.
    pub(crate) fn processes(&self, side: Side) -> Vec<u32> {
        let listed = Command::new("ip")
            .args(["netns", "pids", self.namespace(side)])
            .output()
            .expect("ip runs");
        let pids = String::from_utf8_lossy(&listed.stdout).into_owned();
        let pids = pids.lines().filter_map(|pid| pid.trim().parse().ok());
        pids.collect()
    }

    /// The processes of the test namespace that execute our command: keepers, and what they leave.
    pub(crate) fn keepers(&self) -> Vec<u32> {
        let is_ours = |pid: &u32| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == command())
        };
        self.processes(Side::Test)
            .into_iter()
            .filter(is_ours)
            .collect()
    }

    /// Fails unless all that the test side said on the wire was our stack's.
    pub(crate) fn kernel_was_silent(&self) {
        let sent = if self.silenced { self.kernel_sent() } else { 0 };
        assert_eq!(
            sent,
            0,
            "packets that the test side's kernel wanted to send itself {}",
            self.kernel_said()
        );
    }

    /// The path of a file in this lab's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file into the lab's directory and returns its path.
    pub(crate) fn file(&self, name: &str, contents: &str) -> String {
        let path = self.path(name);
        fs::write(&path, contents).expect("the lab's directory is writable");
        path.display().to_string()
    }

    fn namespace(&self, side: Side) -> &str {
        match side {
            Side::Peer => &self.peer,
            Side::Test => &self.test,
        }
    }
}

/// False when the tests try themselves on the kernel.
pub(crate) fn preloading() -> bool {
    std::env::var("LAB_STACK").as_deref() != Ok("kernel")
}

/// The library under test: `LAB_LIBRARY`, else the one that cargo built beside the command.
pub(crate) fn library() -> PathBuf {
    match std::env::var_os("LAB_LIBRARY") {
        Some(path) => PathBuf::from(path),
        None => command().with_file_name("libsidestack.so"),
    }
}

/// The `sidestack` command under test.
pub(crate) fn command() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sidestack"))
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Counts, and drops if `silenced`, what the kernel itself sends; but for what it has to say of options, whose packets it
/// has, too, at an address that is shared.
fn own_traffic(silenced: bool) -> String {
    let verdict = if silenced { "drop" } else { "accept" };
    format!(
        "table inet lab {{
            counter kernel_sent {{ }}
            set kernel_said {{
                typeof ip daddr . tcp sport . tcp dport
                flags dynamic
                size 64
            }}
            chain output {{
                type filter hook output priority 0
                oifname \"lab0\" icmp type parameter-problem accept
                oifname \"lab0\" add @kernel_said {{ ip daddr . tcp sport . tcp dport }}
                oifname \"lab0\" meta l4proto {{ tcp, udp, icmp }} counter name kernel_sent {verdict}
            }}
        }}"
    )
}

fn unanswering() -> String {
    let kinds = [
        (0, "net-unreachable"),
        (1, "host-unreachable"),
        (2, "prot-unreachable"),
        (3, "port-unreachable"),
        (9, "net-prohibited"),
        (10, "host-prohibited"),
        (13, "admin-prohibited"),
    ];
    let rejections: String = kinds
        .iter()
        .map(|(code, kind)| format!("th dport {} reject with icmp {kind}\n", UNREACHABLE + code))
        .collect();
    format!(
        "table ip lab {{
            chain input {{
                type filter hook input priority 0
                meta l4proto != {{ tcp, udp }} accept
                th dport {BLACKHOLE} drop
                {rejections}
            }}
        }}"
    )
}

fn shell(script: &str) {
    let out = Command::new("sh")
        .args(["-ec", script])
        .output()
        .expect("sh runs");
    assert!(
        out.status.success(),
        "{script}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
