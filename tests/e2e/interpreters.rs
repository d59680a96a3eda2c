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

/// Its extensions are loaded with RTLD_DEEPBIND.
#[test]
fn php_serves_by_its_extension() {
    let lab = Lab::new();
    let script = lab.file(
        "serve.php",
        "<?php $listener = socket_create_listen(8080);
        while ($client = socket_accept($listener)) {
            socket_read($client, 4096);
            socket_getpeername($client, $address);
            socket_write($client, \"HTTP/1.0 200 OK\\r\\n\\r\\na client at $address\");
            socket_close($client);
        }",
    );
    serves(&lab, &format!("php {script}"));
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

/// Its virtual machine has a sigaction(2) of its own, before the next one.
#[test]
fn erlang_serves() {
    let lab = Lab::new();
    let echo = "{ok, L} = gen_tcp:listen(8080, [binary, {active, false}, {reuseaddr, true}, {ip, {0, 0, 0, 0}}]),
        Serve = fun(F) -> {ok, S} = gen_tcp:accept(L), {ok, {{A, B, C, D}, _}} = inet:peername(S),
            {ok, _} = gen_tcp:recv(S, 0),
            gen_tcp:send(S, io_lib:format(\"HTTP/1.0 200 OK\\r\\n\\r\\na client at ~p.~p.~p.~p\", [A, B, C, D])),
            gen_tcp:close(S), F(F) end, Serve(Serve).";
    serves(
        &lab,
        &format!("erl -noshell -eval '{}'", echo.replace('\n', " ")),
    );
}
