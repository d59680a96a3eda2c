//! SIDESTACK_PCAP and SIDESTACK_IMPAIR, end to end.

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, TEST, command, library};
use crate::server;

/// What tcpdump reads in a capture of the lab's.
fn tcpdump(lab: &Lab, file: &str, filter: &str) -> String {
    lab.plain(&format!("tcpdump -nr {file} {filter}"))
        .succeeds()
        .stdout()
}

#[test]
fn an_impaired_download_is_whole_and_its_capture_readable() {
    let lab = Lab::new();
    let file = payload::of(MIB);
    let _web = lab
        .peer(&format!(
            "python3 -m http.server 8001 --directory {}",
            payload::directory().display()
        ))
        .serving_tcp(8001);
    let run = format!(
        "{} pcap -o frames.pcapng --impair loss=1%,delay=5ms,seed=7 --library {} -- \
         curl -sS http://{PEER}:8001/{}",
        command().display(),
        library().display(),
        file.name
    );
    assert_eq!(lab.plain(&run).within(60).sha256(), file.sha256);
    lab.kernel_was_silent();
    let syn = tcpdump(&lab, "frames.pcapng", "'tcp[tcpflags] & tcp-syn != 0'");
    assert!(
        syn.contains("Flags [S]") && syn.contains("Flags [S.]"),
        "{syn}"
    );
    let ends = tcpdump(&lab, "frames.pcapng", "'tcp[tcpflags] & tcp-fin != 0'");
    assert!(ends.contains(&format!("> {PEER}.8001: Flags [F")), "{ends}");
}

#[test]
fn a_frame_that_is_late_is_received_though_none_follows() {
    let lab = Lab::new();
    let receive = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7777)); \
                   s.settimeout(15); print(s.recv(10))";
    let receiver = lab
        .sidestack(&format!("python3 -c '{}'", receive.replace('\'', "\"")))
        .env("SIDESTACK_IMPAIR", "delay=20ms")
        .serving_udp(7777);
    let send = format!(
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b\"late\", (\"{TEST}\", 7777))"
    );
    lab.peer(&format!("python3 -c '{send}'")).succeeds();
    assert_eq!(receiver.finish().success().stdout(), "b'late'");
}

#[test]
fn a_capture_is_whole_however_the_process_ends() {
    for (ending, code) in [
        ("os._exit(3)", 3),
        ("sys.exit(4)", 4),
        ("os.kill(os.getpid(), 9)", -1),
    ] {
        let lab = Lab::new();
        let _server = lab.peer(&server(&lab, 100)).serving_tcp(7777);
        let script = lab.file(
            "client.py",
            &format!(
                "import os, socket, sys\n\
                 s = socket.create_connection(('{PEER}', 7777))\n\
                 s.sendall(b'a few last words')\n\
                 s.recv(100, socket.MSG_WAITALL)\n\
                 {ending}\n"
            ),
        );
        let finished = lab
            .sidestack(&format!("python3 {script}"))
            .env("SIDESTACK_PCAP", "frames.pcapng")
            .run();
        assert_eq!(finished.status.code().unwrap_or(-1), code, "{finished}");
        let frames = tcpdump(&lab, "frames.pcapng", "tcp");
        assert!(frames.contains("length 16"), "what was sent: {frames}");
        assert!(frames.contains("length 100"), "what was received: {frames}");
        assert_eq!(frames.contains("Flags [F"), code > 0, "{frames}");
    }
}
