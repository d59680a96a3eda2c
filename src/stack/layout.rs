//! The memory file: where in it what lies.
//!
//! ```text
//!   Header │ road │ connections │ TIME-WAIT │ listeners │ links │ chunks ...
//! ```
//!
//! The tables hold plain records ([`super::records`]), the chunks the bytes of all queues, the links
//! say which chunk follows which ([`super::pool`]), the road what is on its way ([`super::passing`]). All else of a stack
//! is derived.
//!
//! Whoever drives the stack writes the file, and nobody else reads it meanwhile. Who adopts the stack
//! of a process that was killed ([`super::Stack::restore`]) finds all its stores, up to some moment.

use core::mem::{offset_of, size_of};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::passing::Road;
use super::pool::{CHUNK, Link, Pool};
use super::records::Area;
use super::tcp::{Cookies, RECORDS, Secret};

/// "sidestck", in the machine's byte order.
const MAGIC: u64 = u64::from_ne_bytes(*b"sidestck");

/// The file begins with it. Written by the stack that made the file, read by who adopts it.
#[derive(FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
struct Header {
    /// [`MAGIC`].
    magic: u64,
    /// [`VERSION`].
    version: u64,
    /// Length of the file in bytes.
    len: u64,
    /// Pages of each table in use. Written when one grows, by whoever drives the stack.
    pages: [u32; 3],
    _unused: u32,
    /// Of what peers were told that is made of it, they tell whoever goes on. Written by the stack that made the file.
    secret: Secret,
    /// Written when one is sent, by whoever drives the stack.
    cookies: Cookies,
}

const _: () = assert!(size_of::<Header>() == 64);
const _: () = assert!(offset_of!(Header, version) == 8 && offset_of!(Header, pages) == 24);
const _: () = assert!(offset_of!(Header, secret) == 40 && offset_of!(Header, cookies) == 56);
const _: () = assert!(RECORDS[0] == 2200 && RECORDS[1] == 88 && RECORDS[2] == 216);

/// Changes with whatever changes the records.
const VERSION: u64 =
    6 << 48 | (RECORDS[0] as u64) << 32 | (RECORDS[1] as u64) << 16 | RECORDS[2] as u64;

/// What each table has of the file, as a fraction: connections, TIME-WAIT, listeners. In the largest
/// file there is room for 250,000 connections, in the smallest for 1,900.
const SHARES: [usize; 3] = [4, 32, 64];

/// TCP's parts of the file.
pub struct Tables {
    pub(super) secret: &'static mut Secret,
    pub(super) cookies: &'static mut Cookies,
    pub(super) connections: Area,
    pub(super) time_waits: Area,
    pub(super) listeners: Area,
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It does not begin as a memory file does.
    Magic,
    /// It was made by a version whose records are others.
    Version,
    /// It is cut off, or not aligned.
    Size,
}

/// The memory file, cut up.
pub struct Memory {
    /// For [`super::tcp::Tcp`].
    pub tables: Tables,
    /// For the queues.
    pub pool: Pool,
    /// For whoever passes bytes on to users, and from them.
    pub road: &'static mut Road,
}

impl Memory {
    /// Makes a file of `bytes`, which are aligned to eight and of which the chunks take what the
    /// tables leave. `None`: they are not, or too few.
    pub fn create(bytes: &'static mut [u8]) -> Option<Self> {
        let len = bytes.len();
        let (header, rest) = Header::mut_from_prefix(bytes).ok()?;
        header.magic = MAGIC;
        header.version = VERSION;
        header.len = len as u64;
        header.pages = [0; 3];
        Self::cut(header, rest, len)
    }

    /// Takes in a file that another stack made, for [`super::Stack::restore`].
    ///
    /// Errors: what shows that it is none, or none that this version can read. What lies in it is
    /// not looked at yet.
    pub fn open(bytes: &'static mut [u8]) -> Result<Self, Damage> {
        let len = bytes.len();
        let (header, rest) = Header::mut_from_prefix(bytes).map_err(|_| Damage::Size)?;
        if header.magic != MAGIC {
            return Err(Damage::Magic);
        }
        if header.version != VERSION {
            return Err(Damage::Version);
        }
        if header.len != len as u64 {
            return Err(Damage::Size);
        }
        Self::cut(header, rest, len).ok_or(Damage::Size)
    }

    fn cut(header: &'static mut Header, rest: &'static mut [u8], len: usize) -> Option<Self> {
        let (road, mut rest) = Road::mut_from_prefix(rest).ok()?;
        let mut areas = header.pages.iter_mut().zip(SHARES).map(|(pages, share)| {
            let (bytes, left) =
                core::mem::take(&mut rest).split_at_mut_checked(len / share / 8 * 8)?;
            rest = left;
            Some(Area { pages, bytes })
        });
        let tables = Tables {
            secret: &mut header.secret,
            cookies: &mut header.cookies,
            connections: areas.next()??,
            time_waits: areas.next()??,
            listeners: areas.next()??,
        };
        drop(areas);
        let links = rest.len() / (CHUNK + size_of::<Link>());
        let (links, chunks) = <[Link]>::mut_from_prefix_with_elems(rest, links).ok()?;
        Some(Self {
            tables,
            pool: Pool::new(links, chunks),
            road,
        })
    }
}
