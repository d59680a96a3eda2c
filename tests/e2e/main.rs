//! Unmodified programs over the library, end to end, in network namespaces (see `lab`).
//!
//! `cargo test --test e2e` needs root and the programs that `make test` installs.
//! `LAB_STACK=kernel cargo test --test e2e` runs the same without the library.

#[expect(dead_code, reason = "each test crate uses a part of it")]
#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/lab/mod.rs"]
mod lab;

mod among;
mod c_tests;
mod changes;
mod clients;
mod costs;
mod cpython;
mod databases;
mod executors;
mod family;
mod files;
mod guests;
mod idle;
mod interpreters;
mod keeper;
mod last_words;
mod mail;
mod orphans;
mod plugins;
mod ports;
mod proxies;
mod random_calls;
mod refusals;
mod reuseport;
mod runtimes;
mod served;
mod servers;
mod sharing;
mod shells;
mod small_servers;
mod strangers;
mod suites;
mod versions;
mod web;
mod web_servers;
