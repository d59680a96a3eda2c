//! The programs of c-tests/: each runs on the kernel, under LD_PRELOAD and linked with the library, and must print
//! the same lines everywhere. Where a line has to differ, deviations.txt says which and why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::lab::{Lab, PEER, Program, TEST, library, preloading, root};

/// A `#[test]` for each program, so that one can be run and read about by its name; and the list of them.
macro_rules! c_tests {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { prints_the_same_everywhere(stringify!($name)); })*
        /// The same for a user without rights, whom a keeper serves.
        mod of_a_guest {
            $(#[test] fn $name() { crate::guests::prints_the_same(stringify!($name)); })*
        }
    };
}

c_tests! {
    accept_calls address_form aio anew_elsewhere asleep_elsewhere async_events backlogs bad_arguments bad_buffers bind_listen bound_to_interfaces
    cancellation children close_everything closing connect_blocking connect_nonblocking connect_timeout
    connecting_elsewhere descriptors ending_threads endings ends_elsewhere epoll_edges epoll_levels error_queue
    event_servers every_signal exec_forms failed_sends fast_open first_uses fork_among_threads fresh_sockets inherited
    inherited_options interrupted interruptions ioctls ip_options ip_options_sent jumps late_options later_errors limits
    listeners_elsewhere locked_memory loopback mapped_addresses marks memory messages moving_bytes names opened_fast
    options options_connected options_effect options_inet6 options_matrix options_routing other_families packet_options
    poll_states polled quick_acks
    raw_calls recv_flags repair repaired rights room_to_send send_flags set_elsewhere set_numbers shut_before shutdowns
    small_stacks socket_flags socket_triples splice_arguments states_blocking states_ending states_family states_open
    states_opening states_pairs states_threads states_udp stdio_streams tcp_info threads times_of_sending torn_buffers
    transfers two_writers udp_basics udp_both_families udp_broadcast udp_errors udp_joined unseen_reads urgent urgent_events users
    vectors vfork_first wakeups wide_select window_clamps zerocopy zerocopy_receive
}

/// Those that also run with loopback in the stack.
const WITHIN_THE_HOST: &[&str] = &["loopback", "set_numbers"];

/// Those that also run where the address is the stack's own.
const ON_AN_OWN_ADDRESS: &[&str] = &[
    "states_blocking",
    "states_ending",
    "states_open",
    "states_opening",
    "states_pairs",
    "states_threads",
    "states_udp",
    "udp_both_families",
    "udp_broadcast",
];

#[test]
fn every_program_is_in_the_list() {
    let sources = fs::read_dir(root().join("c-tests")).expect("the directory exists");
    let mut found: Vec<String> = sources
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .map(|path| {
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !["check", "peer", "random_calls"].contains(&name.as_str()))
        .collect();
    found.sort();
    assert_eq!(found, NAMES);
}

fn prints_the_same_everywhere(name: &str) {
    let program = compiled(name, &[]);
    let expected = on_the_kernel(name);
    if !preloading() {
        return;
    }
    let lab = Lab::new();
    let preloaded = printed(&lab, |lab| lab.sidestack(&program.display().to_string()));
    compare(name, "under LD_PRELOAD", &expected, &preloaded);
    lab.kernel_was_silent();
    drop(lab);

    if WITHIN_THE_HOST.contains(&name) {
        let lab = Lab::new();
        let inside = printed(&lab, |lab| {
            lab.sidestack(&program.display().to_string())
                .env("SIDESTACK_LOOPBACK", "stack")
        });
        compare(name, "with SIDESTACK_LOOPBACK=stack", &expected, &inside);
        lab.kernel_was_silent();
    }

    if ON_AN_OWN_ADDRESS.contains(&name) {
        let lab = Lab::new();
        lab.plain("ip address flush dev lab0").succeeds();
        let own = printed(&lab, |lab| {
            lab.sidestack(&program.display().to_string())
                .env("SIDESTACK_INTERFACE", "lab0")
                .env("SIDESTACK_ADDRESS", &format!("{TEST}/24"))
                .env("SIDESTACK_GATEWAY", PEER)
        });
        compare(name, "with SIDESTACK_ADDRESS", &expected, &own);
        lab.kernel_was_silent();
    }

    let lab = Lab::new();
    let linked = compiled(name, &linking());
    let linked = printed(&lab, |lab| lab.plain(&linked.display().to_string()));
    compare(name, "linked", &expected, &linked);
    lab.kernel_was_silent();
}

/// What a program of c-tests/ prints on the kernel.
pub(crate) fn on_the_kernel(name: &str) -> String {
    let program = compiled(name, &[]).display().to_string();
    printed(&Lab::with_plain_programs(), |lab| lab.plain(&program))
}

/// What the program prints in a lab with a peer to talk to.
pub(crate) fn printed(lab: &Lab, program: impl Fn(&Lab) -> Program<'_>) -> String {
    let socket = lab.path("peer").display().to_string();
    let mut peer = lab
        .peer(&format!("{} {socket}", compiled("peer", &[]).display()))
        .start();
    peer.prints("ready");
    let said = program(lab)
        .env("CHECK_PEER", &socket)
        .within(120)
        .succeeds()
        .stdout();
    peer.still_runs();
    said
}

/// A line that is meant to differ from the kernel's; deviations.txt says why.
struct Deviation {
    test: String,
    kernel: String,
    ours: String,
}

/// Those of deviations.txt: the test, the kernel's line, ours and the reason, a tab between each.
fn deviations() -> Vec<Deviation> {
    let path = root().join("c-tests/deviations.txt");
    let text = fs::read_to_string(path).expect("the list of deviations exists");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let deviation = |line: &str| {
        let [test, kernel, ours, _why] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("deviations.txt: four columns are expected: {line:?}");
        };
        Deviation {
            test: test.to_owned(),
            kernel: kernel.to_owned(),
            ours: ours.to_owned(),
        }
    };
    lines.map(deviation).collect()
}

/// Fails unless the lines are the same but for the deviations that are listed, all of which must occur.
fn compare(name: &str, how: &str, expected: &str, actual: &str) {
    let mut listed: Vec<Deviation> = deviations()
        .into_iter()
        .filter(|d| d.test == name)
        .collect();
    let (mut expected, mut actual) = (expected.lines(), actual.lines());
    let mut differences = Vec::new();
    loop {
        let (kernel, ours) = match (expected.next(), actual.next()) {
            (None, None) => break,
            (kernel, ours) if kernel == ours => continue,
            (kernel, ours) => (kernel.unwrap_or("-"), ours.unwrap_or("-")),
        };
        match listed
            .iter()
            .position(|d| d.kernel == kernel && d.ours == ours)
        {
            Some(at) => drop(listed.remove(at)),
            None => differences.push(format!("  kernel: {kernel}\n  ours:   {ours}")),
        }
    }
    let gone = listed
        .iter()
        .map(|d| format!("  listed, but does not occur: {} / {}", d.kernel, d.ours));
    differences.extend(gone);
    let shown = &differences[..differences.len().min(40)];
    assert!(
        differences.is_empty(),
        "{how}, {} differences:\n{}",
        differences.len(),
        shown.join("\n")
    );
}

/// The flags that link a program with the library and its header in place of the preload.
fn linking() -> Vec<String> {
    let library = library();
    let directory = library
        .parent()
        .expect("the library is in a directory")
        .display()
        .to_string();
    let header = root().join("include/sidestack.h").display().to_string();
    vec![
        // The header comes first, before the tests say that they use more than the standard.
        "-D_GNU_SOURCE".to_owned(),
        "-include".to_owned(),
        header,
        format!("-L{directory}"),
        format!("-Wl,-rpath,{directory}"),
        "-Wl,--no-as-needed".to_owned(),
        "-lsidestack".to_owned(),
    ]
}

/// Compiles a program of c-tests/; the binary's path.
pub(crate) fn compiled(name: &str, flags: &[String]) -> PathBuf {
    let directory = binaries();
    let program = directory.join(if flags.is_empty() {
        name.to_owned()
    } else {
        format!("{name}-linked")
    });
    if program.exists() {
        return program;
    }
    // Tests compile side by side: whoever is last puts the same file in place.
    let fresh = program.with_extension(format!("{:?}", std::thread::current().id()));
    let out = Command::new("cc")
        .args("-O1 -g -Wall -Wextra -Werror -pedantic -std=gnu11 -o".split(' '))
        .arg(&fresh)
        .args(["check.c", &format!("{name}.c")])
        .args(shared_sources(name))
        .args(flags)
        .arg("-lpthread")
        .current_dir(root().join("c-tests"))
        .output()
        .expect("cc runs");
    assert!(
        out.status.success(),
        "cc {name}.c\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    fs::rename(&fresh, &program).expect("the target directory is writable");
    program
}

/// What programs of one family share: the files of the directory that their names begin with.
fn shared_sources(name: &str) -> Vec<PathBuf> {
    let directory = match name.split_once('_') {
        Some((family, _)) => root().join("c-tests").join(family),
        None => return Vec::new(),
    };
    let Ok(sources) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = sources.map(|entry| entry.expect("a readable directory").path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect()
}

/// An empty directory of this run's own: another run beside it has another.
fn binaries() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-tests");
        let own = all.join(std::process::id().to_string());
        fs::create_dir_all(&own).expect("the target directory is writable");
        remove_ended(&all);
        own
    })
}

/// Removes the directories of runs that are over, each of which has its process's number.
fn remove_ended(all: &Path) {
    for directory in fs::read_dir(all).expect("a readable directory").flatten() {
        if !Path::new("/proc").join(directory.file_name()).exists() {
            // Another run may remove it at the same time.
            let _ = fs::remove_dir_all(directory.path());
        }
    }
}
