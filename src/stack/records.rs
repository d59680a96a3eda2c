//! A table of plain data in the memory file, whose places are reused; each reuse counts as a
//! generation, so that a stale handle is recognised.
//!
//! The table grows by pages and moves nothing. What is in the file is the places themselves and
//! the number of pages; which places are free is derived.

use core::mem::size_of;
use core::sync::atomic::{Ordering, compiler_fence};

use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// Places per page.
const PAGE: usize = 16;

/// What every record begins with.
#[derive(Clone, Copy, Debug, Default, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Place {
    /// How often the place was reused. Written when it is freed.
    pub(super) generation: u32,
    /// Whether something is there: 1, or 0. Written last when it is taken, first when it is freed.
    taken: u32,
}

/// What a table may hold. All zeros are a record, too: that of a place which was never used.
pub(super) trait Record:
    TryFromBytes + IntoBytes + KnownLayout + Immutable + 'static
{
    fn place(&self) -> &Place;
    fn place_mut(&mut self) -> &mut Place;
}

/// A part of the memory file that one table has.
pub(super) struct Area {
    /// Pages in use. Written when the table grows, read when it is opened.
    pub(super) pages: &'static mut u32,
    pub(super) bytes: &'static mut [u8],
}

/// See the module.
pub(super) struct Records<T: 'static> {
    used: &'static mut u32,
    /// What no page has yet.
    rest: &'static mut [u8],
    pages: Vec<&'static mut [T]>,
    free: Vec<u32>,
    len: usize,
    capacity: usize,
}

impl<T: Record> Records<T> {
    /// An empty table.
    pub(super) fn create(area: Area) -> Self {
        *area.pages = 0;
        Self::over(area)
    }

    /// The table that lies in `area`, and how many of its places had to be emptied because they held
    /// no record.
    pub(super) fn open(area: Area) -> (Self, usize) {
        let pages = *area.pages;
        let mut table = Self::over(area);
        let mut damaged = 0;
        for _ in 0..pages {
            let Some(bytes) = table.next_page() else {
                break;
            };
            for place in bytes.chunks_exact_mut(size_of::<T>()) {
                damaged += usize::from(empty_if_damaged::<T>(place));
            }
            table.add_page(bytes);
        }
        *table.used = table.pages.len() as u32;
        let places = table.pages.iter().flat_map(|page| page.iter()).zip(0..);
        let free = places.filter(|(record, _)| record.place().taken == 0);
        table.free = free.map(|(_, index)| index).collect();
        table.free.reverse();
        table.len = table.pages.len() * PAGE - table.free.len();
        (table, damaged)
    }

    fn over(area: Area) -> Self {
        Self {
            used: area.pages,
            capacity: area.bytes.len() / (PAGE * size_of::<T>()) * PAGE,
            rest: area.bytes,
            pages: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    /// How many places are taken.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many places there can be.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a free place for what `make` makes of its index and of the place; gives the index.
    /// `None`: the table is full.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(u32, Place) -> T) -> Option<u32> {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop()?;
        let record = self.record_mut(index)?;
        let made = make(
            index,
            Place {
                taken: 0,
                ..*record.place()
            },
        );
        *record = made;
        // Whoever finds the place taken finds all of the record.
        compiler_fence(Ordering::SeqCst);
        record.place_mut().taken = 1;
        self.len += 1;
        Some(index)
    }

    /// Frees a place.
    pub(super) fn remove(&mut self, index: u32) {
        let Some(record) = self.get_mut(index) else {
            return;
        };
        let place = record.place_mut();
        place.taken = 0;
        compiler_fence(Ordering::SeqCst);
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        self.len -= 1;
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let page = self.pages.get(index as usize / PAGE)?;
        let record = page.get(index as usize % PAGE)?;
        (record.place().taken != 0).then_some(record)
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let record = self.record_mut(index)?;
        (record.place().taken != 0).then_some(record)
    }

    /// The taken places' records.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let records = self.pages.iter().flat_map(|page| page.iter());
        records.filter(|record| record.place().taken != 0)
    }

    /// Indices of the taken places.
    pub(super) fn indices(&self) -> impl Iterator<Item = u32> {
        let places = self.pages.iter().flat_map(|page| page.iter()).zip(0..);
        places.filter_map(|(record, index)| (record.place().taken != 0).then_some(index))
    }

    fn record_mut(&mut self, index: u32) -> Option<&mut T> {
        let page = self.pages.get_mut(index as usize / PAGE)?;
        page.get_mut(index as usize % PAGE)
    }

    fn grow(&mut self) {
        let Some(bytes) = self.next_page() else {
            return;
        };
        bytes.fill(0);
        let first = (self.pages.len() * PAGE) as u32;
        self.add_page(bytes);
        *self.used = self.pages.len() as u32;
        self.free.extend((first..first + PAGE as u32).rev());
    }

    fn next_page(&mut self) -> Option<&'static mut [u8]> {
        let rest = core::mem::take(&mut self.rest);
        match rest.split_at_mut_checked(PAGE * size_of::<T>()) {
            Some((page, rest)) => {
                self.rest = rest;
                Some(page)
            }
            None => None,
        }
    }

    fn add_page(&mut self, bytes: &'static mut [u8]) {
        // Only an area that is not aligned could fail here, and then it has no places.
        let page = <[T]>::try_mut_from_bytes(bytes).ok().unwrap_or_default();
        self.pages.push(page);
    }
}

/// Makes a place whose bytes are no record a free one; whether it was such.
fn empty_if_damaged<T: Record>(bytes: &mut [u8]) -> bool {
    let sound = T::try_ref_from_bytes(bytes).is_ok_and(|record| record.place().taken <= 1);
    if !sound {
        // Handles that were given out for the place must not fit what comes next.
        let generation =
            Place::try_read_from_prefix(bytes).map_or(0, |(place, _)| place.generation);
        bytes.fill(0);
        if let Ok((place, _)) = Place::try_mut_from_prefix(bytes) {
            place.generation = generation.wrapping_add(1);
        }
    }
    !sound
}
