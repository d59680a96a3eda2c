//! OpenSSH, on both ends: a server with privilege separation, and its clients.

use std::fs;

use crate::lab::payload::{self, MIB};
use crate::lab::{Lab, PEER, Program, TEST, root};

/// Makes keys, and returns the server's command.
fn server(lab: &Lab) -> String {
    fs::create_dir_all("/run/sshd").expect("root may make the directory that sshd wants");
    for key in ["host", "user"] {
        let path = lab.path(key);
        lab.plain(&format!(
            "ssh-keygen -q -t ed25519 -N '' -f {}",
            path.display()
        ))
        .succeeds();
    }
    let own = lab.path("");
    let own = own.display();
    let configuration = lab.file(
        "sshd_config",
        &format!(
            "ListenAddress 0.0.0.0\nHostKey {own}/host\nAuthorizedKeysFile {own}/user.pub\nPidFile none\n\
             UsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nPrintMotd no\n\
             Subsystem sftp internal-sftp\n"
        ),
    );
    format!("/usr/sbin/sshd -D -e -f {configuration}")
}

/// Options with which the clients ask nothing and know nobody.
fn options(lab: &Lab) -> String {
    let key = lab.path("user");
    format!(
        "-F none -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o BatchMode=yes \
         -o LogLevel=ERROR -i {}",
        key.display()
    )
}

#[test]
fn sshd_serves() {
    let lab = Lab::new();
    let mut server = lab.sidestack(&server(&lab)).serving_tcp(22);
    uses(&lab, TEST, |command| lab.peer(command));
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn ssh_uses_a_server() {
    let lab = Lab::new();
    let _server = lab.peer(&server(&lab)).serving_tcp(22);
    uses(&lab, PEER, |command| lab.sidestack(command));
    lab.kernel_was_silent();
}

/// Commands, copies both ways and a session at a terminal.
fn uses<'lab>(lab: &Lab, host: &str, client: impl Fn(&str) -> Program<'lab>) {
    let options = options(lab);
    let ssh = format!("ssh {options} root@{host}");
    let said = client(&format!("{ssh} 'echo said by the shell; exit 3'")).run();
    assert_eq!(said.exits_with(3).stdout(), "said by the shell");

    let file = payload::of(100 * MIB);
    let (there, back) = (lab.path("there"), lab.path("back"));
    let (local, there, back) = (file.path.display(), there.display(), back.display());
    let scp = format!("scp -q {options}");
    client(&format!("{scp} {local} root@{host}:{there}"))
        .within(60)
        .succeeds();
    client(&format!("{scp} root@{host}:{there} {back}"))
        .within(60)
        .succeeds();
    assert_eq!(payload::sha256(&lab.path("there")), file.sha256);
    assert_eq!(payload::sha256(&lab.path("back")), file.sha256);

    let batch = lab.file(
        "batch",
        &format!("rm {back}\nput {there} {back}\nls -l {back}\n"),
    );
    client(&format!("sftp -q {options} -b {batch} root@{host}"))
        .within(60)
        .succeeds();
    assert_eq!(payload::sha256(&lab.path("back")), file.sha256);

    let typed = lab.file("typed", "echo the sum is $((40 + 2))\nexit 5\n");
    let session = client(&format!("{ssh} -tt"))
        .input(typed.as_ref())
        .run()
        .exits_with(5);
    assert!(session.stdout().contains("the sum is 42"), "{session}");

    let types = root().join("tests/e2e/terminal.py");
    let typed = client(&format!(
        "/usr/bin/python3 {} {ssh} -tt 'exec dash -i'",
        types.display()
    ))
    .within(90);
    assert_eq!(typed.succeeds().stdout(), "typed");
}
