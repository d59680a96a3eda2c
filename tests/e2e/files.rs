//! Servers and clients that only move files, on our stack.

use std::fs;

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, TEST};
use crate::web::nginx;

/// A directory that anybody may read, with a file in it.
fn shown(lab: &Lab) -> payload::Payload {
    let file = payload::of(4 * MIB);
    fs::create_dir_all(lab.path("shown")).expect("the lab's directory is writable");
    fs::copy(&file.path, lab.path("shown/file")).expect("room for a copy");
    lab.plain("chmod 755 . shown").succeeds();
    file
}

/// Its processes are root's and another user's, in an empty root directory; that user's bind to port 20 and connect.
#[test]
fn vsftpd_sends_both_ways() {
    let lab = Lab::new();
    let file = shown(&lab);
    let own = lab.path("");
    let own = own.display();
    lab.plain("install -d empty").succeeds();
    let configuration = lab.file(
        "vsftpd.conf",
        &format!(
            "listen=NO\nlisten_ipv6=YES\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\n\
             anon_root={own}/shown\nsecure_chroot_dir={own}/empty\nconnect_from_port_20=YES\n"
        ),
    );
    let vsftpd = lab.sidestack(&format!("vsftpd {configuration}"));
    let mut vsftpd = vsftpd.serving_tcp(21);
    for way in ["--ftp-pasv", "--ftp-port -"] {
        let curl = format!("curl -sS {way} ftp://{TEST}/file");
        assert_eq!(lab.peer(&curl).sha256(), file.sha256, "{way}");
    }
    vsftpd.still_runs();
    lab.kernel_was_silent();
}

/// Each file is sent by a forked process, which changes its user and its root directory.
#[test]
fn tftpd_sends() {
    let lab = Lab::new();
    let file = shown(&lab);
    let shown = lab.path("shown");
    let tftpd = format!("in.tftpd -L -4 -u nobody -s {}", shown.display());
    let mut tftpd = lab.sidestack(&tftpd).serving_udp(69);
    for _ in 0..2 {
        let curl = lab.peer(&format!("curl -sS --tftp-blksize 1428 tftp://{TEST}/file"));
        assert_eq!(curl.sha256(), file.sha256);
    }
    tftpd.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn downloads_of_every_kind() {
    let lab = Lab::new();
    let file = payload::of(4 * MIB);
    let _web = lab.peer(&nginx(&lab)).serving_tcp(80);
    let url = format!("http://{PEER}/{}", file.name);
    for how in [
        "wget2 -q -O got",
        "aria2c -q -x 4 -k 1M -o got",
        "axel -q -n 4 -o got",
    ] {
        lab.sidestack(&format!("{how} {url}")).succeeds();
        assert_eq!(payload::sha256(&lab.path("got")), file.sha256, "{how}");
        fs::remove_file(lab.path("got")).expect("it was fetched");
    }
    lab.kernel_was_silent();
}
