//! OpenSSL's recipes of TLS by sockets: its clients and servers on the test side, and the proxy that looks at what they
//! say, and changes it, on the peer's.

use std::path::Path;
use std::process::Command;

use super::{ends_alike, over_the_wire, sources, whole};
use crate::lab::PEER;

const BY_SOCKETS: &str = "70-test_comp 70-test_key_share 70-test_npn 70-test_renegotiation 70-test_sslcbcpadding \
    70-test_sslcertstatus 70-test_sslextension 70-test_sslmessages 70-test_sslrecords 70-test_sslsessiontick \
    70-test_sslsigalgs 70-test_sslsignature 70-test_sslskewith0p 70-test_sslversions 70-test_sslvertol \
    70-test_tls13alerts 70-test_tls13cookie 70-test_tls13downgrade 70-test_tls13hrr 70-test_tls13kexmodes \
    70-test_tls13messages 70-test_tls13psk 70-test_tlsextms";

#[test]
fn those_of_openssl() {
    let Some(sources) = sources("openssl").filter(|_| whole()) else {
        return;
    };
    build_program(&sources);
    let program = sources.join("build/apps/openssl").display().to_string();
    let tests = format!("{PEER} {BY_SOCKETS}");
    ends_alike(1000, &[], |lab, ours| {
        over_the_wire(lab, ours, "openssl.sh", "openssl", &program, &tests)
    });
}

fn build_program(sources: &Path) {
    let script = "[ -e build/made ] || { rm -rf build && mkdir build && cd build &&
        ../Configure -O0 -w && make -s -j2 build_generated &&
        make -s -j2 apps/openssl engines/ossltest.so providers/legacy.so util/shlib_wrap.sh util/wrap.pl &&
        touch made; } >build.log 2>&1";
    let built = Command::new("sh")
        .args(["-c", script])
        .current_dir(sources)
        .status();
    assert!(built.expect("sh runs").success(), "OpenSSL's program");
}
