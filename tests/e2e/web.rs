//! nginx as the tests run it.

use crate::lab::{Lab, payload};

/// The command that serves the payload directory at port 80, and takes `PUT /put/NAME` into the lab's
/// directory: one process in the foreground.
pub(crate) fn nginx(lab: &Lab) -> String {
    let (start, server) = ("daemon off; master_process off;", "");
    command(lab, "nginx", start, "root", 80, server)
}

/// The same by a master and two workers; `/upstream/` is fetched from `upstream`. `daemon`: "on" or "off".
pub(crate) fn nginx_with_workers(lab: &Lab, daemon: &str, upstream: &str) -> String {
    workers(lab, daemon, "root", upstream)
}

/// The same in the foreground, with workers that are another user's.
pub(crate) fn nginx_with_workers_of(lab: &Lab, user: &str, upstream: &str) -> String {
    workers(lab, "off", user, upstream)
}

fn workers(lab: &Lab, daemon: &str, user: &str, upstream: &str) -> String {
    let start = format!("daemon {daemon}; worker_processes 2;");
    let server = format!("location /upstream/ {{ proxy_pass http://{upstream}/; }}");
    command(lab, "nginx", &start, user, 80, &server)
}

/// One process in the foreground for the side that is not looked at, with files of its own.
pub(crate) fn nginx_beside(lab: &Lab, port: u16) -> String {
    command(
        lab,
        "beside",
        "daemon off; master_process off;",
        "root",
        port,
        "",
    )
}

fn command(lab: &Lab, name: &str, start: &str, user: &str, port: u16, server: &str) -> String {
    let (files, own) = (payload::directory(), lab.path(name));
    std::fs::create_dir_all(own.join("put")).expect("the lab's directory is writable");
    let (files, own) = (files.display(), own.display());
    let configuration = lab.file(
        &format!("{name}.conf"),
        &format!(
            "{start} user {user}; pid {own}/pid; error_log stderr warn;
             events {{ worker_connections 4096; }}
             http {{
                 access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
                 client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
                 fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
                 server {{
                     listen {port} backlog=1024;
                     location / {{ root {files}; }}
                     location /put/ {{ root {own}; dav_methods PUT; client_max_body_size 0; }}
                     {server}
                 }}
             }}"
        ),
    );
    format!("/usr/sbin/nginx -e stderr -c {configuration}")
}

/// Loads a page from the peer for two seconds, by connections that are kept and by such that are not;
/// fails if one request does.
pub(crate) fn load(lab: &Lab, url: &str) {
    for header in ["", "-H 'Connection: close'"] {
        let wrk = lab.peer(&format!("wrk -t 2 -c 40 -d 2s {header} {url}"));
        no_errors(&wrk.succeeds().stdout());
    }
}

/// Fails if wrk says that a request failed.
pub(crate) fn no_errors(said: &str) {
    let failed = said.contains("errors") || said.contains("Non-2xx");
    assert!(said.contains("Requests/sec") && !failed, "{said}");
}
