//! Servers of web applications: processes that share a listener, in several languages.

use crate::lab::{Lab, PEER, TEST, root};

/// Starts it and asks it, many times over.
fn serves(lab: &Lab, command: &str) {
    let mut server = lab.sidestack(command).within(30).serving_tcp(8080);
    let client = format!("curl -sS --retry 9 --retry-connrefused -Z http://{TEST}:8080/?[1-300]");
    let client = lab.peer(&client);
    let said = client.within(30).succeeds().stdout();
    assert_eq!(said.matches(&format!("a client at {PEER}")).count(), 300);
    server.still_runs();
    lab.kernel_was_silent();
}

#[test]
fn php_serves() {
    let lab = Lab::new();
    lab.file(
        "index.php",
        "<?php echo 'a client at ' . $_SERVER['REMOTE_ADDR'];",
    );
    serves(
        &lab,
        "env PHP_CLI_SERVER_WORKERS=3 php -S 0.0.0.0:8080 -t .",
    );
}

#[test]
fn gunicorn_serves() {
    let lab = Lab::new();
    let chdir = root().join("tests/e2e");
    let command = format!(
        "/usr/bin/python3 -B /usr/bin/gunicorn --chdir {} -w 3 -b 0.0.0.0:8080 application:application",
        chdir.display()
    );
    serves(&lab, &command);
}
