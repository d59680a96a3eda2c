//! nginx as the tests run it: one process in the foreground.

use crate::lab::{Lab, payload};

/// The command that serves the payload directory at port 80, and takes `PUT /put/NAME` into the lab's
/// directory.
pub(crate) fn nginx(lab: &Lab) -> String {
    let (files, own) = (payload::directory(), lab.path("nginx"));
    std::fs::create_dir_all(own.join("put")).expect("the lab's directory is writable");
    let (files, own) = (files.display(), own.display());
    let configuration = lab.file(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; user root; pid {own}/pid; error_log stderr warn;
             events {{ worker_connections 4096; }}
             http {{
                 access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
                 client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
                 fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
                 server {{
                     listen 80 backlog=1024;
                     location / {{ root {files}; }}
                     location /put/ {{ root {own}; dav_methods PUT; client_max_body_size 0; }}
                 }}
             }}"
        ),
    );
    format!("nginx -e stderr -c {configuration}")
}
