//! Building the engine: what to drive, with which addresses, or why not.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use std::sync::{Arc, OnceLock};

use super::engine::{Engine, Parts, TOKEN_DESK};
use super::estate;
use super::inspect::Office;
use super::interface;
use super::keeper::Answered;
use super::ports::{Ports, Source};
use super::refusal::{Obstacle, Refusal, no_descriptors};
use super::{ENGINE, Section, convert, news, output, seat};
use crate::control::cutoff::CutOff;
use crate::control::ephemeral::EphemeralPorts;
use crate::control::limits::Limits;
use crate::control::log;
use crate::control::mirror::{Facts, Interface, Mirror};
use crate::control::settings::{Address, Loaded, Loopback, Settings, SettingsError};
use crate::link::{Link, kept};
use crate::memory::Region;
use crate::stack;
use crate::stack::Stack;
use crate::stack::config::Config;
use crate::stack::layout::Memory;
use crate::stack::tcp::Restored;
use crate::stack::time::Instant;
use crate::sys::owned::OwnedFd;
use crate::sys::process::{is_secure, is_vfork_child};
use crate::sys::{clock, descriptor, handlers, strerror};

const UNTRIED: u8 = 0;
const RUNNING: u8 = 1;
const REFUSED: u8 = 2;
const REFUSED_REQUIRED: u8 = 3;
const DENIED: u8 = 4;
const SERVED: u8 = 5;

/// Descriptors that a first connection takes: both ends of its pair, the lease of its port.
const FIRST_CONNECTION: usize = 3;

/// The engine's id; 0: there is none.
static ENGINE_ID: AtomicU64 = AtomicU64::new(0);
static STATE: AtomicU8 = AtomicU8::new(UNTRIED);
/// What was asked for, where it was read before the program changed its root.
static FORESEEN: OnceLock<Asked> = OnceLock::new();
/// Why the stack cannot serve, once that was found out.
static REFUSAL: OnceLock<String> = OnceLock::new();

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

/// Whether a keeper serves the process, as far as it has asked for anybody.
pub fn is_guest() -> bool {
    STATE.load(Ordering::Acquire) == SERVED
}

/// Whether that was not tried yet.
pub(super) fn is_untried() -> bool {
    STATE.load(Ordering::Acquire) == UNTRIED
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
        match build(environment) {
            Ok(engine) => install(&mut slot, engine),
            Err(refusal) => {
                let state = refused(refusal);
                if state == SERVED {
                    handlers::take_over(seat::give_up);
                }
                STATE.store(state, Ordering::Release);
                kept::discard();
            }
        }
    }
    drop(slot);
    drop(section);
    serves(STATE.load(Ordering::Acquire))
}

fn install(slot: &mut Option<Box<Engine>>, engine: Engine) {
    ENGINE_ID.store(engine.id, Ordering::Release);
    estate::note_bell(Some(&engine.driving.wake));
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
    let mut engine = build(|| settings).map_err(|refusal| refusal.reason)?;
    engine.office = Office::Keeper;
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

/// What the settings are, and which program they are for.
#[derive(Clone)]
struct Asked {
    program: String,
    settings: Result<Loaded, SettingsError>,
}

impl Asked {
    fn in_variables(variables: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let program = crate::sys::process::program_name();
        let settings = Settings::load(variables, &program);
        Self { program, settings }
    }
}

/// The program is about to change its root, behind which there may be no files to read.
pub fn before_chroot() {
    if is_untried() && !is_vfork_child() && !is_secure() {
        FORESEEN.get_or_init(|| Asked::in_variables(environment()));
        Limits::remember();
    }
}

fn build(variables: impl FnOnce() -> Vec<(Vec<u8>, Vec<u8>)>) -> Result<Engine, Refusal> {
    // First of all: the variables are the caller's, who may have less rights than the program.
    if is_secure() {
        let reason = "the program gains rights by being executed (set-user-ID, file capabilities), \
                      so its environment is not followed";
        return Err(Refusal::new(reason, false));
    }
    let foreseen = FORESEEN.get().cloned();
    let Asked { program, settings } = foreseen.unwrap_or_else(|| Asked::in_variables(variables()));
    let loaded = settings.map_err(|error| Refusal::new(error.message, error.required))?;
    let settings = loaded.settings;
    log::take_panics();
    if let Err(errno) = log::configure(settings.log, settings.log_file.as_deref()) {
        let words = strerror::of(errno);
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
    let region = Region::new().map_err(|errno| match errno {
        Errno::MFILE => no_descriptors(),
        errno => format!("cannot make the memory file: {}", strerror::of(errno)),
    })?;
    let (file, bytes) = region.into_parts();
    let memory = Memory::create(bytes).ok_or("the memory file is too small")?;
    let id = u64::from_ne_bytes(random()).max(1);
    let mut engine = assemble(id, site, file, |config, _| Stack::new(config, memory))?;
    engine.open_desk(TOKEN_DESK);
    if !descriptor::leaves(FIRST_CONNECTION, engine.memory.as_fd()) {
        return Err(no_descriptors().into());
    }
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
    news::configure(&mut stack, &site.settings, &facts);
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
    let road = stack.take_road().ok_or("the stack has no road")?;
    let parts = Parts {
        id,
        stack,
        ports,
        settings: site.settings,
        link: site.link,
        mirror: Some(site.mirror),
        memory,
        road,
    };
    Engine::new(parts, convert::limits(&limits)).map_err(|errno| match errno {
        Errno::MFILE => no_descriptors(),
        errno => format!("cannot watch descriptors: {}", strerror::of(errno)),
    })
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
        congestion: convert::congestion(settings.congestion),
        limits: convert::limits(limits),
        secret: random(),
        seed: u64::from_ne_bytes(random()),
    }
}

/// The system's limits, for sockets that have no engine.
pub fn system_limits() -> &'static stack::config::Limits {
    static LIMITS: OnceLock<stack::config::Limits> = OnceLock::new();
    LIMITS.get_or_init(|| convert::limits(&Limits::read()))
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
