use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;

use crate::control::cutoff::{CutOff, Step};
use crate::control::ephemeral::Protocol;
use crate::control::lease::{Lease, LeaseOptions};
use crate::control::mirror::Mirror;
use crate::netns::Pair;
use crate::sys::filter;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LEFT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const PORT: u16 = 40_007;

/// The interface of the namespace one is in.
fn index() -> u32 {
    let mirror = Mirror::open(None).expect("mirror");
    mirror.facts().interface.index
}

/// A pair, and what the left side's interface is cut off with; `None` on a kernel that cannot.
fn cut_pair() -> Option<(Pair, Arc<CutOff>)> {
    let pair = Pair::new();
    let cut_off = Arc::new(CutOff::new(pair.left.run(index), &[LEFT]));
    match pair.left.run(|| cut_off.install(|step| step())) {
        Ok(()) => Some((pair, cut_off)),
        Err(errno) => {
            assert!(kernel() < (6, 6), "this kernel could: {errno}");
            None
        }
    }
}

/// Major and minor version of the running kernel.
fn kernel() -> (u32, u32) {
    let names = rustix::system::uname();
    let release = names.release().to_string_lossy();
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A silent lease on the left side, cut off where that is due.
fn cut_lease(pair: &Pair, cut_off: &Arc<CutOff>, protocol: Protocol, local: SocketAddrV4) -> Lease {
    let options = LeaseOptions::default();
    let bound = pair.left.run(|| match protocol {
        Protocol::Tcp => Lease::tcp(local, &options),
        Protocol::Udp => Lease::udp(local, &options),
    });
    let mut lease = bound.expect("lease");
    lease.drop_arrivals(None).expect("filter");
    lease.cut_off(cut_off);
    // Only the cut is left to keep packets away.
    filter::detach(lease.fd()).expect("the filter");
    lease
}

/// Whether the kernel has a datagram from the right side to `to` for the lease.
fn kernel_sees(pair: &Pair, to: (Ipv4Addr, u16), lease: &Lease) -> bool {
    let sender = pair.right.run(|| UdpSocket::bind((ANY, 0))).expect("bind");
    sender.send_to(b"x", to).expect("send");
    let wait = Timespec::try_from(Duration::from_millis(200)).expect("short");
    let mut fds = [PollFd::from_borrowed_fd(lease.fd(), PollFlags::IN)];
    poll(&mut fds, Some(&wait)).expect("poll") > 0
}

#[test]
fn the_kernel_does_not_see_what_a_silent_lease_would_drop() {
    let Some((pair, cut_off)) = cut_pair() else {
        return;
    };
    let local = SocketAddrV4::new(ANY, PORT);
    let lease = cut_lease(&pair, &cut_off, Protocol::Udp, local);
    assert!(!kernel_sees(&pair, (LEFT, PORT), &lease));
    drop(lease);

    let options = LeaseOptions::default();
    let mut next = pair.left.run(|| Lease::udp(local, &options)).expect("free");
    next.cut_off(&cut_off);
    assert!(kernel_sees(&pair, (LEFT, PORT), &next), "not silent");
}

#[test]
fn other_ports_protocols_and_addresses_are_the_kernels() {
    let Some((pair, cut_off)) = cut_pair() else {
        return;
    };
    pair.left.ip(&format!("address add {OTHER}/24 dev va"));
    let local = |port| SocketAddrV4::new(ANY, port);
    let options = LeaseOptions::default();
    let _tcp = cut_lease(&pair, &cut_off, Protocol::Tcp, local(PORT));
    let _beside = cut_lease(&pair, &cut_off, Protocol::Udp, local(PORT + 1));
    let plain = pair.left.run(|| Lease::udp(local(PORT), &options));
    let plain = plain.expect("lease");
    assert!(kernel_sees(&pair, (LEFT, PORT), &plain));

    let on_one = SocketAddrV4::new(LEFT, PORT + 2);
    let on_one = cut_lease(&pair, &cut_off, Protocol::Udp, on_one);
    assert!(
        kernel_sees(&pair, (LEFT, PORT + 2), &on_one),
        "the port of other addresses is others'"
    );

    let lease = cut_lease(&pair, &cut_off, Protocol::Udp, local(PORT + 3));
    assert!(
        kernel_sees(&pair, (OTHER, PORT + 3), &lease),
        "an address it was not told of"
    );
}

#[test]
fn what_was_cut_off_before_the_program_was_there_is() {
    let Some((pair, first)) = cut_pair() else {
        return;
    };
    let mirror = pair.left.run(|| Mirror::open(None)).expect("mirror");
    let cut_off = Arc::new(CutOff::new(mirror.facts().interface.index, &[LEFT]));
    let lease = cut_lease(&pair, &cut_off, Protocol::Udp, SocketAddrV4::new(ANY, PORT));
    assert!(kernel_sees(&pair, (LEFT, PORT), &lease));
    drop(first);
    let mut queued = [0u8; 4];
    rustix::io::read(lease.fd(), &mut queued).expect("the datagram");
    pair.left
        .run(|| cut_off.install(|step| step()))
        .expect("a second one");
    assert!(!kernel_sees(&pair, (LEFT, PORT), &lease));
}

/// It is not the cut that does it: who is cut off nowhere is silent, too, and once all that was installed is gone.
#[test]
fn one_filter_silences_any_number_of_leases() {
    let Some((pair, cut_off)) = cut_pair() else {
        return;
    };
    let silent = |port| {
        let local = SocketAddrV4::new(ANY, port);
        let bound = pair
            .left
            .run(|| Lease::udp(local, &LeaseOptions::default()));
        let mut lease = bound.expect("lease");
        lease.drop_cheaply(&cut_off);
        lease
    };
    let leases = [silent(PORT), silent(PORT + 1)];
    drop(cut_off);
    for lease in leases {
        assert!(!kernel_sees(&pair, (LEFT, lease.port()), &lease));
        let fd = lease.into_fd();
        filter::detach(fd.as_fd()).expect_err("a filter is left for the program");
    }
}

#[test]
fn new_addresses_count() {
    let Some((pair, cut_off)) = cut_pair() else {
        return;
    };
    pair.left.ip(&format!("address add {OTHER}/24 dev va"));
    let lease = cut_lease(&pair, &cut_off, Protocol::Udp, SocketAddrV4::new(ANY, PORT));
    cut_off.set_addresses(&[LEFT, OTHER]).expect("addresses");
    assert!(!kernel_sees(&pair, (OTHER, PORT), &lease));
    assert!(!kernel_sees(&pair, (LEFT, PORT), &lease));
}

/// What becomes known while another thread forks is not known to be there in the child.
#[test]
fn what_is_there_becomes_known_in_steps_that_no_fork_comes_between() {
    let Some((pair, _)) = cut_pair() else {
        return;
    };
    let cut_off = CutOff::new(pair.left.run(index), &[LEFT]);
    let known = || format!("{cut_off:?}");
    let last = Mutex::new(known());
    let unforked = |step: Step<'_>| {
        let mut last = last.lock().expect("no other step");
        assert_eq!(*last, known());
        let done = step();
        *last = known();
        done
    };
    let installed = pair.left.run(|| cut_off.install(unforked));
    installed.expect("this kernel can");
    assert_eq!(*last.lock().expect("no step"), known());
}
