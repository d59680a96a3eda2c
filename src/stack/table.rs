//! A table whose places are reused, and whose handles know when that has happened.

use super::ids::{Kind, SocketId};

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values of one kind of socket, by handle.
pub(crate) struct Table<T> {
    kind: Kind,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Table<T> {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> SocketId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        SocketId {
            kind: self.kind,
            index,
            generation: slot.generation,
        }
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        let current = id.kind == self.kind && id.generation == slot.generation;
        slot.value.as_ref().filter(|_| current)
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        let current = id.kind == self.kind && id.generation == slot.generation;
        slot.value.as_mut().filter(|_| current)
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        self.get(id)?;
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        slot.value.take()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SocketId> {
        let occupied = self.slots.iter().enumerate();
        occupied
            .filter(|(_, slot)| slot.value.is_some())
            .map(|(index, slot)| SocketId {
                kind: self.kind,
                index: index as u32,
                generation: slot.generation,
            })
    }
}
