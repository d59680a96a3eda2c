//! Sparing the kernel the packets that are ours alone.
//!
//! A packet socket sees a copy. The original goes on into the kernel's own IP and TCP, all the way
//! to the lease, whose filter drops it: a good part of the work of receiving, for nothing. Where the
//! rights allow it, a BPF program at the interface's ingress, right behind the packet taps, drops
//! the originals at once:
//!
//! ```text
//!   interface ─► packet taps (ours, tcpdump's) ─► this program ─► the kernel's IP ─► leases
//! ```
//!
//! It is an improvement and nothing else depends on it: without CAP_BPF and CAP_NET_ADMIN, or on a
//! kernel before 6.6, the lease's filter does.
//!
//! 1. Only a port whose lease is silent on the interface, on all its addresses, is cut off, and
//!    no longer than the lease has it ([`Cut`]): no other program is ever cut off.
//! 2. Only whole IPv4 packets of TCP and UDP to one of the interface's own addresses are: what is
//!    forwarded, tagged for another VLAN or in fragments is none of ours.
//! 3. The kernel takes the program away when the last process that holds it ends, however it ends.
//! 4. A forked child has copies of all descriptors that its memory knows of. fork(2) copies the descriptors first, and
//!    the memory some time later: so none becomes known here meanwhile ([`CutOff::install`]).
//! 5. To put it there and to take it away costs some ten milliseconds (the kernel waits for all
//!    processors), so it is not for programs that exchange a few packets.

mod program;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::ephemeral::Protocol;
use super::ports::block_of;
use crate::sys::bpf::{self, Judges};
use crate::sys::lock::Mutex;
use crate::sys::owned::OwnedFd;
use crate::sys::process::Confinement;

/// Words of the table: a bit a port, TCP's before UDP's.
const WORDS: u32 = 2 * WORDS_OF_ONE;
/// A block of 64 ports is a word.
const WORDS_OF_ONE: u32 = 1024;

/// What is cut off at one interface.
#[derive(Debug)]
pub struct CutOff {
    interface_index: u32,
    state: Mutex<State>,
}

/// What is to be done while no thread forks.
pub type Step<'a> = &'a mut dyn FnMut() -> Result<(), Errno>;

#[derive(Debug)]
struct State {
    addresses: Vec<Ipv4Addr>,
    /// What the table is to hold; no zeros.
    bits: HashMap<u32, u64>,
    /// The table, once there is one.
    words: Option<OwnedFd>,
    /// What keeps the program where it is.
    link: Option<OwnedFd>,
    /// The filter that admits nothing, for leases, once there was one; or why there is none.
    nothing: Option<Result<OwnedFd, Errno>>,
}

impl CutOff {
    /// Nothing is cut off before [`Self::install`].
    pub fn new(interface_index: u32, addresses: &[Ipv4Addr]) -> Self {
        Self {
            interface_index,
            state: Mutex::new(State {
                addresses: addresses.to_vec(),
                bits: HashMap::new(),
                words: None,
                link: None,
                nothing: None,
            }),
        }
    }

    /// Puts the program before the kernel's stack; takes some milliseconds, in which whoever leases a port need not
    /// wait. For one thread, once. No thread may fork in what is run by `unforked`.
    ///
    /// # Errors
    /// EPERM: the rights are missing. EINVAL, ENOSYS: the kernel is too old. Those of `unforked`.
    pub fn install(&self, unforked: impl Fn(Step<'_>) -> Result<(), Errno>) -> Result<(), Errno> {
        let words = bpf::new_words(WORDS)?;
        let raw = words.as_raw_fd();
        let (mut words, mut addresses) = (Some(words), Vec::new());
        unforked(&mut || {
            let mut state = self.state.lock();
            addresses.clone_from(&state.addresses);
            words.take().map_or(Ok(()), |words| state.fill(words))
        })?;
        let program = bpf::load(Judges::Packets, &program::program(raw, &addresses))?;
        let mut link = Some(bpf::attach(program.as_fd(), self.interface_index)?);
        unforked(&mut || {
            let mut state = self.state.lock();
            state.link = link.take();
            match state.addresses == addresses {
                true => Ok(()),
                false => state.renew(),
            }
        })
    }

    /// Has a lease's socket admit nothing, by one filter for all of them: to compile one for each costs more than the
    /// lease itself. No thread may fork meanwhile.
    ///
    /// # Errors
    /// EPERM: the rights for such a filter are missing, or the process's system calls are filtered. As
    /// [`bpf::make_filter`].
    pub fn shut(&self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let load = || match Confinement::now().is_filtered() {
            true => Err(Errno::PERM),
            false => bpf::load(Judges::Arrivals, &program::NOTHING),
        };
        let nothing = state.nothing.get_or_insert_with(load);
        let nothing = nothing.as_ref().map_err(|errno| *errno)?;
        bpf::make_filter(socket, nothing.as_fd())
    }

    /// The addresses of the interface.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.state.lock().addresses.clone()
    }

    /// The interface has other addresses.
    ///
    /// # Errors
    /// ENOLINK: the interface is gone.
    pub fn set_addresses(&self, addresses: &[Ipv4Addr]) -> Result<(), Errno> {
        let mut state = self.state.lock();
        state.addresses = addresses.to_vec();
        state.renew()
    }

    /// Has the kernel see packets to the port no more, or again.
    fn set(&self, protocol: Protocol, port: u16, cut: bool) {
        let first = match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => WORDS_OF_ONE,
        };
        self.state
            .lock()
            .set(first + u32::from(block_of(port)), 1 << (port % 64), cut);
    }
}

impl State {
    fn set(&mut self, index: u32, bit: u64, cut: bool) {
        let before = self.bits.get(&index).copied().unwrap_or(0);
        let after = if cut { before | bit } else { before & !bit };
        if after == 0 {
            self.bits.remove(&index);
        } else {
            self.bits.insert(index, after);
        }
        if let Some(words) = &self.words {
            // The index is the table's; nothing else could be wrong with it.
            let _ = bpf::set_word(words.as_fd(), index, after);
        }
    }

    /// Goes on with this table.
    fn fill(&mut self, words: OwnedFd) -> Result<(), Errno> {
        for (&index, &bits) in &self.bits {
            bpf::set_word(words.as_fd(), index, bits)?;
        }
        self.words = Some(words);
        Ok(())
    }

    /// Replaces the program by one for the present addresses.
    fn renew(&self) -> Result<(), Errno> {
        let (Some(words), Some(link)) = (&self.words, &self.link) else {
            return Ok(());
        };
        let program = program::program(words.as_raw_fd(), &self.addresses);
        let program = bpf::load(Judges::Packets, &program)?;
        bpf::replace(link.as_fd(), program.as_fd())
    }
}

/// A port that is cut off, until this is dropped.
#[derive(Debug)]
pub struct Cut {
    at: Arc<CutOff>,
    protocol: Protocol,
    port: u16,
}

impl Cut {
    /// Cuts the port off.
    pub fn new(at: &Arc<CutOff>, protocol: Protocol, port: u16) -> Self {
        at.set(protocol, port, true);
        Self {
            at: Arc::clone(at),
            protocol,
            port,
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.at.set(self.protocol, self.port, false);
    }
}
