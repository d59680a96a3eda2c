//! A table on the heap whose places are reused; each reuse counts as a generation, so that a stale
//! handle is recognised. TCP's tables are in the memory file: [`super::records`].

/// Places per page. Growing adds a page and moves nothing.
const PAGE: usize = 64;

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// See the module.
pub(super) struct Slab<T> {
    pages: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes a free place for what `make` makes of its index and generation; gives the index.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(u32, u32) -> T) -> u32 {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop().unwrap_or_default();
        let slot = &mut self.pages[index as usize / PAGE][index as usize % PAGE];
        slot.value = Some(make(index, slot.generation));
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slot_mut(index)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    pub(super) fn get(&self, index: u32) -> Option<&T> {
        let page = self.pages.get(index as usize / PAGE)?;
        page[index as usize % PAGE].value.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slot_mut(index)?.value.as_mut()
    }

    /// The taken places' values.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let slots = self.pages.iter().flat_map(|page| page.iter());
        slots.filter_map(|slot| slot.value.as_ref())
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let page = self.pages.get_mut(index as usize / PAGE)?;
        Some(&mut page[index as usize % PAGE])
    }

    fn grow(&mut self) {
        let first = (self.pages.len() * PAGE) as u32;
        let empty = || Slot {
            generation: 0,
            value: None,
        };
        self.pages
            .push(core::iter::repeat_with(empty).take(PAGE).collect());
        self.free.extend((first..first + PAGE as u32).rev());
    }
}
