//! `stat`: a line a counter.

use core::fmt::{Display, Write};

use super::super::Engine;
use super::super::passed::passed;
use super::super::seat::Seat;
use crate::control::settings::Address;

/// The answer under construction.
struct Lines(String);

impl Lines {
    fn put(&mut self, name: impl Display, value: impl Display) {
        // A String takes everything.
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn all(&mut self, prefix: &str, counters: impl Iterator<Item = (&'static str, u64)>) {
        for (name, value) in counters {
            self.put(format_args!("{prefix}{name}"), value);
        }
    }
}

impl Engine {
    /// Every counter of the process's stack.
    pub(super) fn counters(&mut self) -> String {
        let mut lines = Lines(String::new());
        self.what_is_driven(&mut lines);
        self.link_counters(&mut lines);
        lines.all("stack_", self.stack.counters().iter());
        lines.all("tcp_", self.stack.tcp_counters().iter());
        self.present(&mut lines);
        lines.all("passed_to_kernel_", passed());
        lines.0
    }

    fn what_is_driven(&self, lines: &mut Lines) {
        if let Some(mirror) = &self.mirror {
            lines.put("interface", &mirror.facts().interface.name);
        }
        let address = match self.settings.address {
            Address::Host => "host",
            Address::Own(_) => "own",
        };
        lines.put("address", address);
        lines.put("serves_as", self.office.name());
        let driver = match self.driving.seat {
            Seat::Thread(_) => "thread",
            Seat::Background => "background",
            Seat::Empty => "nobody",
        };
        lines.put("driven_by", driver);
        lines.put("forked_processes", self.lifelines.len());
        lines.put("keeper", u8::from(self.is_will_complete()));
        let [thread, background] = self.driving.passes;
        lines.put("passes_thread", thread);
        lines.put("passes_background", background);
    }

    fn link_counters(&mut self, lines: &mut Lines) {
        let link = self.link.statistics();
        lines.put("link_received", link.received);
        lines.put("link_transmitted", link.transmitted);
        lines.put("link_receive_lost", link.receive_lost);
        lines.put("link_receive_unusable", link.receive_unusable);
        lines.put("link_impaired", link.impaired);
        lines.put("link_full", self.output.lost);
        if let Some(errno) = link.capture_error {
            lines.put("capture_error", errno);
        }
    }

    /// What there is now.
    fn present(&self, lines: &mut Lines) {
        let stack = &self.stack;
        lines.put("pool_used_bytes", stack.pool_used());
        lines.put("tcp_listeners", stack.tcp_listeners().count());
        lines.put("tcp_connections", stack.tcp_connections().count());
        lines.put("tcp_time_wait", stack.tcp_time_wait_len());
        lines.put("udp_sockets", stack.udp_sockets().count());
        lines.put("descriptors", self.endpoints.ids().count());
    }
}
