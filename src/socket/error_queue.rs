//! MSG_ERRQUEUE (recv(2), ip(7) IP_RECVERR): one entry of a socket's error queue.

use core::net::{Ipv4Addr, SocketAddrV4};
use rustix::fd::RawFd;
use rustix::io::Errno;

use super::datagram::{Told, stamp, tell_in, tell_of_sent};
use super::entries::Taken;
use super::{Family, Kind, Socket, State, address, away, errno};
use crate::driver::{self, Arrived, Engine, Entry, Question};
use crate::stack::reports::{Origin, Report};
use crate::stack::sendings::{Sending, Stage};

/// ee_origin and ee_code of linux/errqueue.h.
const ORIGIN_LOCAL: u8 = 1;
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_TIMESTAMPING: u8 = 4;
const ORIGIN_ZEROCOPY: u8 = 5;
const CODE_COPIED: u8 = 1;
/// Bytes of a `struct sock_extended_err`.
const EXTENDED: usize = 16;

/// `struct sock_extended_err`.
struct Extended {
    errno: u32,
    origin: u8,
    kind: u8,
    code: u8,
    info: u32,
    data: u32,
    offender: Option<Ipv4Addr>,
}

/// Takes the oldest entry, with at most `room` bytes of its packet. EAGAIN: there is none.
pub fn take(fd: RawFd, socket: &Socket, room: usize) -> Result<Taken, Errno> {
    let question = Question::ErrorEntry {
        room: i32::try_from(room).unwrap_or(i32::MAX),
    };
    if let Some(answer) = away::ask(fd, socket, &question) {
        return Taken::decode(&answer?).ok_or(Errno::AGAIN);
    }
    let mut engine = driver::lock().ok_or(Errno::AGAIN)?;
    engine.glance(None);
    take_in(&mut engine, socket, &socket.state(), room)
}

/// The same of a socket that the engine serves.
pub(super) fn take_in(
    engine: &mut Engine,
    socket: &Socket,
    state: &State,
    room: usize,
) -> Result<Taken, Errno> {
    let id = state.endpoint.ok_or(Errno::AGAIN)?;
    let entry = engine.take_error_entry(id).ok_or(Errno::AGAIN)?;
    let mut told = match entry {
        Entry::Report(report) => reported(engine, socket, state, &report),
        Entry::Stamped(sending, at) => stamped(engine, socket, state, &sending, at),
        Entry::Sent(first, last) => {
            let extended = Extended {
                errno: 0,
                origin: ORIGIN_ZEROCOPY,
                kind: 0,
                code: CODE_COPIED,
                info: first,
                data: last,
                offender: None,
            };
            Taken {
                told: vec![extended.message(socket.family())],
                ..Taken::default()
            }
        }
    };
    told.packet.truncate(room);
    Ok(told)
}

fn stamped(engine: &Engine, socket: &Socket, state: &State, sending: &Sending, at: u64) -> Taken {
    let stamping = &state.options.stamping;
    let packet: &[u8] = match stamping.gives_packets() {
        true => &sending.frame,
        false => &[],
    };
    let mut told = Vec::new();
    if stamping.tells() {
        told.push(stamp(stamping.name, at));
    }
    let asked = stamping.tells_of_packets() && socket.kind == Kind::Datagram;
    let about = asked.then(|| tell_of_sent(engine, socket.family(), state, packet));
    let about = about.flatten();
    let offender = about.as_ref().map(|(source, _)| *source);
    told.extend(about.into_iter().flat_map(|(_, told)| told));
    let extended = Extended {
        errno: Errno::NOMSG.raw_os_error().unsigned_abs(),
        origin: ORIGIN_TIMESTAMPING,
        kind: 0,
        code: 0,
        info: match sending.stage {
            Stage::Sent => 0,
            Stage::Scheduled => 1,
            Stage::Acknowledged => 2,
        },
        data: stamping.key_of(sending, socket.kind == Kind::Stream),
        offender,
    };
    told.push(extended.message(socket.family()));
    Taken {
        len: packet.len(),
        packet: packet.to_vec(),
        name: None,
        told,
    }
}

fn reported(engine: &Engine, socket: &Socket, state: &State, report: &Report) -> Taken {
    let (origin, kind, code, offender) = match report.origin {
        Origin::Local => (ORIGIN_LOCAL, 0, 0, None),
        Origin::Icmp {
            offender,
            kind,
            code,
            ..
        } => (ORIGIN_ICMP, kind, code, Some(offender)),
    };
    let extended = Extended {
        errno: errno::of(report.error).raw_os_error().unsigned_abs(),
        origin,
        kind,
        code,
        info: report.mtu,
        data: 0,
        offender,
    };
    let mut told = about_message(engine, socket.family(), state, &report.origin);
    told.push(extended.message(socket.family()));
    Taken {
        len: report.payload.len(),
        packet: report.payload.to_vec(),
        name: Some(report.destination),
        told,
    }
}

/// What was asked to be told of datagrams is told of the ICMP message.
fn about_message(engine: &Engine, family: Family, state: &State, origin: &Origin) -> Vec<Told> {
    let Origin::Icmp { offender, ttl, .. } = *origin else {
        return Vec::new();
    };
    let local = state.local;
    let to = local.map_or(Ipv4Addr::UNSPECIFIED, |local| *local.ip());
    let arrived = Arrived {
        ttl,
        at: crate::sys::clock::realtime(),
        ..Arrived::between((offender, 0).into(), to.into())
    };
    tell_in(Some(engine), family, state, &arrived)
}

impl Extended {
    /// The control message: the structure, and behind it the offender's address.
    fn message(&self, family: Family) -> Told {
        let mut data = Vec::with_capacity(EXTENDED + 28);
        data.extend_from_slice(&self.errno.to_ne_bytes());
        data.extend_from_slice(&[self.origin, self.kind, self.code, 0]);
        data.extend_from_slice(&self.info.to_ne_bytes());
        data.extend_from_slice(&self.data.to_ne_bytes());
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let offender = self.offender.map_or(nobody, |ip| SocketAddrV4::new(ip, 0));
        let (bytes, len) = address::write(offender, family);
        if self.offender.is_some() {
            data.extend_from_slice(&bytes[..len]);
        } else {
            data.resize(EXTENDED + len, 0);
        }
        let (level, kind) = match family {
            Family::Inet => (libc::IPPROTO_IP, libc::IP_RECVERR),
            Family::Inet6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        };
        Told { level, kind, data }
    }
}
