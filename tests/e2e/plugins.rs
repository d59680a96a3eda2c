//! Programs that load what opens their sockets.

use crate::lab::{Lab, PEER};

const PLUGIN: &str = "
#include <arpa/inet.h>

int dial(const char *to, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, to, &address.sin_addr);
    return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
}
";

const PROGRAM: &str = "
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **argument) {
    void *plugin = dlopen(\"libplugin.so\", RTLD_NOW | RTLD_DEEPBIND);
    if (!plugin)
        return puts(dlerror()), 1;
    int (*dial)(const char *, int) = (int (*)(const char *, int))dlsym(plugin, \"dial\");
    return dial(argument[1], atoi(argument[2]));
}
";

/// Found by the program's own RUNPATH, and loaded with RTLD_DEEPBIND, which would bind it to the C library past ours.
#[test]
fn a_plugin_dials() {
    let lab = Lab::new();
    let (plugin, program) = (lab.file("plugin.c", PLUGIN), lab.file("program.c", PROGRAM));
    let folder = lab.path("").display().to_string();
    lab.plain(&format!("cc -shared -fPIC -o libplugin.so {plugin}"))
        .succeeds();
    lab.plain(&format!("cc -o program {program} -ldl -Wl,-rpath,{folder}"))
        .succeeds();
    let _echo = lab
        .peer("socat TCP-LISTEN:7000,fork EXEC:cat")
        .serving_tcp(7000);
    lab.sidestack(&format!("./program {PEER} 7000")).succeeds();
    lab.kernel_was_silent();
}
