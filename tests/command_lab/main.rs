//! The `sidestack` command and the variables, on the library itself, in network namespaces.
//!
//! Needs root, like every test with a lab.

#[expect(
    dead_code,
    unused_imports,
    reason = "each test crate uses a part of the lab"
)]
#[path = "../support/lab/mod.rs"]
mod lab;

mod capture;
mod refusals;
mod window;

/// A server of one connection at the peer: sends what it is told to, and then waits.
fn server(lab: &lab::Lab, bytes: usize) -> String {
    let script = lab.file(
        "server.py",
        &format!(
            "import socket\n\
             listener = socket.socket()\n\
             listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
             listener.bind(('', 7777))\n\
             listener.listen()\n\
             client, _ = listener.accept()\n\
             client.sendall(b'x' * {bytes})\n\
             while client.recv(65536): pass\n"
        ),
    );
    format!("python3 {script}")
}
