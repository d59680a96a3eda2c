//! What the kernel knows of the interface, its addresses and its routes, and what of it changes: told to the stack and to
//! the packet socket's filter.

use core::net::Ipv4Addr;

use super::interface::FILTER_MAX;
use super::{Engine, convert, output};
use crate::control::log;
use crate::control::mirror::{Facts, News};
use crate::control::routes::{Route, own_routes};
use crate::control::settings::{Address, Settings};
use crate::stack::Stack;
use crate::stack::address::Ipv4Cidr;
use crate::sys::{filter, strerror};

/// Tells the stack its addresses and routes.
pub(super) fn configure(stack: &mut Stack, settings: &Settings, facts: &Facts) {
    let (addresses, routes) = match &settings.address {
        Address::Host => (facts.addresses.clone(), facts.routes.clone()),
        Address::Own(addresses) => {
            let mut routes = own_routes(addresses, settings.gateway);
            // The host's own loopback is there besides.
            routes.extend(
                facts
                    .routes
                    .iter()
                    .filter(|route| is_loopback(route))
                    .copied(),
            );
            (addresses.clone(), routes)
        }
    };
    stack.set_mtu(facts.interface.mtu as usize);
    stack.set_hardware_address(facts.interface.hardware_address);
    let addresses: Vec<Ipv4Cidr> = addresses
        .iter()
        .map(|cidr| Ipv4Cidr::new(cidr.address, cidr.prefix_len))
        .collect();
    stack.set_addresses(&addresses);
    stack.set_routes(routes.iter().map(convert::route).collect());
}

fn is_loopback(route: &Route) -> bool {
    route.destination.address.is_loopback()
}

impl Engine {
    /// The kernel says that the interface, its addresses or its routes have changed.
    pub(super) fn receive_news(&mut self) {
        let Some(mirror) = &mut self.mirror else {
            return;
        };
        let news: News = mirror.receive_news();
        if !news.any() || mirror.refresh(news).is_err() {
            return;
        }
        let facts = mirror.facts().clone();
        self.stack.set_link_up(facts.interface.up);
        configure(&mut self.stack, &self.settings, &facts);
        output::fit(&mut self.stack, &mut *self.link, &facts.interface);
        self.ports.refilter();
        self.refilter();
        let addresses = self.own_addresses();
        self.ports.set_addresses(&addresses);
    }

    fn own_addresses(&self) -> Vec<Ipv4Addr> {
        let addresses = self.stack.addresses().iter();
        addresses.map(|cidr| cidr.address).collect()
    }

    /// Where packets for us are sent to.
    fn destinations(&self) -> Vec<Ipv4Addr> {
        let networks = self.stack.addresses().iter();
        let to_all = networks.filter_map(|cidr| cidr.broadcast());
        let mut destinations = self.own_addresses();
        destinations.extend(to_all.chain([Ipv4Addr::BROADCAST]));
        destinations
    }

    /// Brings the packet socket's filter up to date with ports and addresses.
    pub fn refilter(&mut self) {
        let destinations = self.destinations();
        let Some(wanted) = self.ports.changed_filter(&destinations) else {
            return;
        };
        let fd = self.link.wait_fd();
        let installed = wanted.install(FILTER_MAX, |program| filter::attach(fd, program));
        if let Err(errno) = installed {
            log::error(format_args!(
                "cannot set the packet filter: {}",
                strerror::of(errno)
            ));
        }
    }
}
