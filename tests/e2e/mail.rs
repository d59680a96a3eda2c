//! Mail servers, which are made of many programs.

use crate::lab::{Lab, TEST, root};

/// Dovecot makes a new environment for the programs it is made of.
#[test]
fn dovecot_gives_and_takes() {
    let lab = Lab::new();
    lab.plain("install -d -o mail -g mail mail").succeeds();
    lab.plain("chmod 755 .").succeeds();
    let own = lab.path("");
    let own = own.display();
    let configuration = lab.file(
        "dovecot.conf",
        &format!(
            "protocols = imap pop3\nbase_dir = {own}/base\nstate_dir = {own}/state\nlog_path = /dev/stderr
             ssl = no\ndisable_plaintext_auth = no\nmail_location = maildir:{own}/mail/%u\nfirst_valid_uid = 1
             passdb {{\n driver = static\n args = password=secret\n}}
             userdb {{\n driver = static\n args = uid=mail gid=mail home={own}/mail\n}}\n"
        ),
    );
    let dovecot = lab.sidestack(&format!("dovecot -F -c {configuration}"));
    let mut dovecot = dovecot.serving_tcp(143);
    let client = root().join("tests/e2e/mail.py");
    let client = lab.peer(&format!("/usr/bin/python3 {} {TEST}", client.display()));
    assert_eq!(
        client.succeeds().stdout(),
        "5 messages kept\n5 messages waited"
    );
    dovecot.still_runs();
    lab.kernel_was_silent();
}
