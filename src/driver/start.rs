//! Building the engine: what to drive, with which addresses, or why not.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use once_cell::sync::OnceCell;
use rustix::rand::{GetRandomFlags, getrandom};
use std::sync::Arc;

use super::engine::{Engine, Parts, TOKEN_DESK};
use super::interface::{self, FILTER_MAX};
use super::keeper::Answered;
use super::ports::{Ports, Source};
use super::refusal::{Obstacle, Refusal};
use super::{ENGINE, Section, output, seat};
use crate::control;
use crate::control::cutoff::CutOff;
use crate::control::ephemeral::EphemeralPorts;
use crate::control::limits::Limits;
use crate::control::log;
use crate::control::mirror::{Facts, Interface, Mirror, News};
use crate::control::routes::own_routes;
use crate::control::settings::{Address, Loopback, Settings};
use crate::link::Link;
use crate::memory::Region;
use crate::stack;
use crate::stack::Stack;
use crate::stack::address::Ipv4Cidr;
use crate::stack::config::Config;
use crate::stack::layout::Memory;
use crate::stack::tcp::Restored;
use crate::stack::time::Instant;
use crate::sys::owned::OwnedFd;
use crate::sys::process::is_secure;
use crate::sys::{clock, descriptor, handlers, words};

const UNTRIED: u8 = 0;
const RUNNING: u8 = 1;
const REFUSED: u8 = 2;
const REFUSED_REQUIRED: u8 = 3;
const DENIED: u8 = 4;
const SERVED: u8 = 5;

/// The engine's id; 0: there is none.
static ENGINE_ID: AtomicU64 = AtomicU64::new(0);
static STATE: AtomicU8 = AtomicU8::new(UNTRIED);
/// Why the stack cannot serve, once that was found out.
static REFUSAL: OnceCell<String> = OnceCell::new();

/// Whether the stack serves this process's new sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It does.
    Stack,
    /// That of a keeper does.
    Keeper,
    /// That of a keeper would, but may not.
    Denied,
    /// It cannot, and the program runs on the kernel.
    Kernel,
    /// It cannot, and the user wants the program's socket calls to fail then.
    None,
}

/// Starts the engine at the first call; says who serves.
pub fn service() -> Service {
    match STATE.load(Ordering::Acquire) {
        UNTRIED => start(),
        state => serves(state),
    }
}

fn serves(state: u8) -> Service {
    match state {
        RUNNING => Service::Stack,
        SERVED => Service::Keeper,
        DENIED => Service::Denied,
        REFUSED_REQUIRED => Service::None,
        _ => Service::Kernel,
    }
}

fn start() -> Service {
    if handlers::enter() {
        return Service::Kernel;
    }
    let section = Section;
    let mut slot = ENGINE.lock();
    if slot.is_none() && STATE.load(Ordering::Acquire) == UNTRIED {
        crate::sys::process::note_id();
        match build(environment()) {
            Ok(engine) => install(&mut slot, engine),
            Err(refusal) => STATE.store(refused(refusal), Ordering::Release),
        }
    }
    drop(slot);
    drop(section);
    serves(STATE.load(Ordering::Acquire))
}

fn install(slot: &mut Option<Box<Engine>>, engine: Engine) {
    ENGINE_ID.store(engine.id, Ordering::Release);
    *slot = Some(Box::new(engine));
    handlers::take_over(seat::give_up);
    STATE.store(RUNNING, Ordering::Release);
}

/// Without an engine: what serves then, and a line that says why.
fn refused(refusal: Refusal) -> u8 {
    if refusal.keeper == Answered::Admitted {
        log::info("a keeper serves this program, which may not open a packet socket");
        return SERVED;
    }
    log::error(format_args!("{refusal}"));
    let state = match refusal {
        Refusal {
            keeper: Answered::Denied,
            ..
        } => DENIED,
        Refusal { required: true, .. } => REFUSED_REQUIRED,
        _ => REFUSED,
    };
    let _ = REFUSAL.set(refusal.reason);
    state
}

/// Starts the engine of a keeper, with settings that its command has made.
///
/// # Errors
/// Why it cannot be.
pub(super) fn start_with(settings: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
    let engine = build(settings).map_err(|refusal| refusal.reason)?;
    install(&mut ENGINE.lock(), engine);
    Ok(())
}

/// What other processes know this one's engine by; 0: there is none.
pub fn engine_id() -> u64 {
    ENGINE_ID.load(Ordering::Acquire)
}

/// Why the stack cannot serve; empty if it can.
pub fn refusal() -> &'static str {
    REFUSAL.get().map_or("", String::as_str)
}

/// Forgets that the engine was started: in a forked child, whose first socket starts its own.
pub(super) fn forget() {
    ENGINE_ID.store(0, Ordering::Release);
    if STATE.load(Ordering::Acquire) == RUNNING {
        STATE.store(UNTRIED, Ordering::Release);
    }
}

fn build(variables: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Engine, Refusal> {
    // First of all: the variables are the caller's, who may have less rights than the program.
    if is_secure() {
        let reason = "the program gains rights by being executed (set-user-ID, file capabilities), \
                      so its environment is not followed";
        return Err(Refusal::new(reason, false));
    }
    let program = crate::sys::process::program_name();
    let loaded = Settings::load(variables, &program)
        .map_err(|error| Refusal::new(error.message, error.required))?;
    let settings = loaded.settings;
    if let Err(errno) = log::configure(settings.log, settings.log_file.as_deref()) {
        let words = words::of(errno);
        log::warn(format_args!(
            "cannot write to SIDESTACK_LOG_FILE ({words}); logging to standard error"
        ));
    }
    loaded
        .warnings
        .iter()
        .for_each(|warning| log::warn(format_args!("{warning}")));
    log::debug(format_args!("settings are those of program \"{program}\""));
    build_with(settings.clone()).map_err(|obstacle| Refusal::of(obstacle, &settings))
}

fn build_with(settings: Settings) -> Result<Engine, Obstacle> {
    descriptor::set_apart();
    let (mirror, link) = interface::open(&settings)?;
    let interface = &mirror.facts().interface;
    log::info(format_args!(
        "driving {}, MTU {} bytes",
        interface.name, interface.mtu
    ));
    let site = Site {
        settings,
        mirror,
        link,
    };
    let region = Region::new()
        .map_err(|errno| format!("cannot make the memory file: {}", words::of(errno)))?;
    let (file, bytes) = region.into_parts();
    let memory = Memory::create(bytes).ok_or("the memory file is too small")?;
    let id = u64::from_ne_bytes(random()).max(1);
    let mut engine = assemble(id, site, file, |config, _| Stack::new(config, memory))?;
    engine.open_desk(TOKEN_DESK);
    Ok(engine)
}

/// An engine that goes on with the stack another process has left in `region`. It has none of its
/// endpoints, nor of its ports. What was found besides.
pub(super) fn restore(id: u64, site: Site, region: Region) -> Result<(Engine, Restored), String> {
    let (file, bytes) = region.into_parts();
    let memory = Memory::open(bytes)
        .map_err(|damage| format!("the memory file is not as it should be: {damage:?}"))?;
    let mut restored = Restored::default();
    let mut engine = assemble(id, site, file, |config, now| {
        let (stack, found) = Stack::restore(config, memory, now);
        log::info(format_args!(
            "going on with {} connections, {} in TIME-WAIT; {} cannot be, {} are not readable",
            found.connections.len(),
            found.time_waits.len(),
            found.reset,
            found.unreadable,
        ));
        restored = found;
        stack
    })?;
    engine.ports.admit_restored(restored.ports());
    Ok((engine, restored))
}

/// Where a stack is to work, and how.
pub(super) struct Site {
    pub(super) settings: Settings,
    pub(super) mirror: Mirror,
    pub(super) link: Box<dyn Link + Send>,
}

/// Puts an engine together, around a stack that `make` makes.
fn assemble(
    id: u64,
    mut site: Site,
    memory: OwnedFd,
    make: impl FnOnce(Config, Instant) -> Stack,
) -> Result<Engine, String> {
    let limits = Limits::read();
    let facts = site.mirror.facts().clone();
    let now = Instant::from_nanos(clock::monotonic());
    let mut stack = make(config(&site.settings, &facts, &limits), now);
    stack.set_link_up(facts.interface.up);
    configure(&mut stack, &site.settings, &facts);
    output::fit(&mut stack, &mut *site.link, &facts.interface);
    if site.settings.address == Address::Host {
        for (address, hardware) in site.mirror.neighbors().unwrap_or_default() {
            stack.learn_neighbor(now, address, hardware);
        }
    }
    let ports = Ports::new(
        source(&site.settings, &facts, &limits),
        limits.ip_unprivileged_port_start,
    );
    let parts = Parts {
        id,
        stack,
        ports,
        settings: site.settings,
        link: site.link,
        mirror: Some(site.mirror),
        memory,
    };
    Engine::new(parts, stack_limits(&limits))
        .map_err(|errno| format!("cannot watch descriptors: {}", words::of(errno)))
}

/// The environment, without std's lock on it: the program may be changing it.
fn environment() -> Vec<(Vec<u8>, Vec<u8>)> {
    crate::sys::environment::variables()
        .into_iter()
        .filter(|(name, _)| name.starts_with(b"SIDESTACK_"))
        .collect()
}

/// The kernel's random numbers. Before its pool is ready the clock has to do.
fn random<const N: usize>() -> [u8; N] {
    let mut random = [0; N];
    if getrandom(&mut random, GetRandomFlags::NONBLOCK) != Ok(N) {
        random[..8].copy_from_slice(&clock::monotonic().to_ne_bytes());
    }
    random
}

fn config(settings: &Settings, facts: &Facts, limits: &Limits) -> Config {
    Config {
        hardware_address: facts.interface.hardware_address,
        mtu: facts.interface.mtu as usize,
        own_address: settings.address != Address::Host,
        loopback: settings.loopback == Loopback::Stack,
        // An impairment is to meet frames, not bundles of them.
        super_packets: settings.impair.is_none(),
        congestion: match settings.congestion {
            control::settings::Congestion::Cubic => stack::config::Congestion::Cubic,
            control::settings::Congestion::Reno => stack::config::Congestion::Reno,
        },
        limits: stack_limits(limits),
        secret: random(),
        seed: u64::from_ne_bytes(random()),
    }
}

/// The system's limits, for sockets that have no engine.
pub fn system_limits() -> &'static stack::config::Limits {
    static LIMITS: OnceCell<stack::config::Limits> = OnceCell::new();
    LIMITS.get_or_init(|| stack_limits(&Limits::read()))
}

fn stack_limits(limits: &Limits) -> stack::config::Limits {
    let buffers = |buffers: &control::limits::Buffers| {
        [
            buffers.min as usize,
            buffers.default as usize,
            buffers.max as usize,
        ]
    };
    stack::config::Limits {
        somaxconn: limits.somaxconn,
        max_syn_backlog: limits.tcp_max_syn_backlog,
        max_time_wait: limits.tcp_max_tw_buckets as usize,
        tcp_rmem: buffers(&limits.tcp_rmem),
        tcp_wmem: buffers(&limits.tcp_wmem),
        rmem_max: limits.rmem_max as usize,
        wmem_max: limits.wmem_max as usize,
        rmem_default: limits.rmem_default as usize,
        wmem_default: limits.wmem_default as usize,
        ..stack::config::Limits::default()
    }
}

fn source(settings: &Settings, facts: &Facts, limits: &Limits) -> Source {
    let seed = clock::monotonic() ^ u64::from(crate::sys::raw::process_id()) << 32;
    let range = limits.ip_local_port_range;
    match settings.address {
        Address::Host => {
            let Interface {
                index, loopback, ..
            } = facts.interface;
            let addresses: Vec<_> = facts.addresses.iter().map(|cidr| cidr.address).collect();
            let cut_off = Arc::new(CutOff::new(index, &addresses));
            let index = (!loopback).then_some(index);
            let reserved = &limits.ip_local_reserved_ports;
            let ports = EphemeralPorts::new(index, range, reserved, seed, cut_off);
            Source::Kernel(Box::new(ports), index)
        }
        Address::Own(_) => Source::Own {
            range: (range.first, range.last),
            next: seed,
        },
    }
}

/// Tells the stack its addresses and routes.
fn configure(stack: &mut Stack, settings: &Settings, facts: &Facts) {
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
    stack.set_routes(routes.iter().map(route).collect());
}

fn is_loopback(route: &control::routes::Route) -> bool {
    route.destination.address.is_loopback()
}

fn route(route: &control::routes::Route) -> stack::routes::Route {
    stack::routes::Route {
        destination: Ipv4Cidr::new(route.destination.address, route.destination.prefix_len),
        gateway: route.gateway,
        source: route.source,
        mtu: route.mtu.map(|mtu| mtu as usize),
        metric: route.metric,
        egress: match route.egress {
            control::routes::Egress::Stack => stack::routes::Egress::Stack,
            control::routes::Egress::Local => stack::routes::Egress::Local,
            control::routes::Egress::Kernel => stack::routes::Egress::Kernel,
            control::routes::Egress::Unreachable => stack::routes::Egress::Unreachable,
        },
    }
}

/// The stack's offload as the link names it.
pub(super) fn offload(offload: stack::transmit::Offload) -> crate::link::Offload {
    crate::link::Offload {
        checksum_start: offload.checksum_start,
        checksum_offset: offload.checksum_offset,
        gso: offload.gso.map(|gso| crate::link::Gso {
            size: gso.size,
            header_len: gso.header_len,
        }),
    }
}

/// What goes with a frame, as the link names it.
pub(super) const fn treatment(treatment: stack::transmit::Treatment) -> crate::link::Treatment {
    crate::link::Treatment {
        mark: treatment.mark,
        priority: treatment.priority,
    }
}

/// The link's checksum verdict as the stack names it.
pub(super) fn checksum(checksum: crate::link::Checksum) -> stack::ethernet::Checksum {
    match checksum {
        crate::link::Checksum::Verify => stack::ethernet::Checksum::Verify,
        crate::link::Checksum::Trusted => stack::ethernet::Checksum::Trusted,
    }
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
        let Some(filter) = self.ports.changed_filter(&destinations) else {
            return;
        };
        let fd = self.link.wait_fd();
        let installed = filter.install(FILTER_MAX, |program| {
            crate::sys::filter::attach(fd, program)
        });
        if let Err(errno) = installed {
            log::error(format_args!(
                "cannot set the packet filter: {}",
                words::of(errno)
            ));
        }
    }
}
