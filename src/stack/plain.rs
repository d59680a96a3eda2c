//! Plain data: what may lie in the memory file.
//!
//! A record of the file has one layout (`repr(C)`, no padding, no pointer), and its bytes can be
//! checked before they are believed. zerocopy's derives prove both. Two things have no layout of
//! their own in Rust, options and types of the standard library: they are stored as one [`Word`].
//!
//! Unless a field says otherwise, it is written by whoever drives the stack, at any time, and read by
//! it and by who adopts the stack when its process was killed.

use core::fmt;
use core::marker::PhantomData;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::time::Instant;
use super::wire::seq::Seq;

/// What can be written as one word. Every word can be read back as something, whoever wrote it.
pub(super) trait Word: Copy {
    fn to_word(self) -> u64;
    fn from_word(word: u64) -> Self;
}

/// A `T`, stored as a word.
#[derive(Clone, Copy, PartialEq, Eq, TryFromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub(super) struct Stored<T>(u64, PhantomData<T>);

impl<T: Word> Stored<T> {
    pub(super) fn get(self) -> T {
        T::from_word(self.0)
    }
}

impl<T: Word> From<T> for Stored<T> {
    fn from(value: T) -> Self {
        Self(value.to_word(), PhantomData)
    }
}

impl<T: Word + fmt::Debug> fmt::Debug for Stored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// An `Option<T>`, stored as a word. (The word of all ones means none: no stored value has it.)
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub(super) struct Maybe<T>(u64, PhantomData<T>);

impl<T> Maybe<T> {
    pub(super) const NONE: Self = Self(u64::MAX, PhantomData);
}

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T: Word> Maybe<T> {
    pub(super) fn some(value: T) -> Self {
        Self(value.to_word(), PhantomData)
    }

    pub(super) fn get(self) -> Option<T> {
        (self.0 != u64::MAX).then(|| T::from_word(self.0))
    }

    /// Leaves none.
    pub(super) fn take(&mut self) -> Option<T> {
        let value = self.get();
        *self = Self::NONE;
        value
    }
}

impl<T: Word> From<Option<T>> for Maybe<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::NONE, Self::some)
    }
}

impl<T: Word + fmt::Debug> fmt::Debug for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

macro_rules! unsigned_words {
    ($($number:ty),*) => {$(
        impl Word for $number {
            fn to_word(self) -> u64 {
                self as u64
            }
            fn from_word(word: u64) -> Self {
                word as Self
            }
        }
    )*};
}
unsigned_words!(u16, u32, u64, usize);

impl Word for Instant {
    fn to_word(self) -> u64 {
        self.as_nanos()
    }
    fn from_word(word: u64) -> Self {
        Self::from_nanos(word)
    }
}

impl Word for Duration {
    /// More than 500 years are as good as 500 years.
    fn to_word(self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX - 1)
    }
    fn from_word(word: u64) -> Self {
        Self::from_nanos(word)
    }
}

impl Word for Seq {
    fn to_word(self) -> u64 {
        u64::from(self.0)
    }
    fn from_word(word: u64) -> Self {
        Self(word as u32)
    }
}

/// A range, which is never empty: so it is not the word that means none.
impl Word for (Seq, Seq) {
    fn to_word(self) -> u64 {
        u64::from(self.0.0) << 32 | u64::from(self.1.0)
    }
    fn from_word(word: u64) -> Self {
        (Seq((word >> 32) as u32), Seq(word as u32))
    }
}

impl Word for SocketAddrV4 {
    fn to_word(self) -> u64 {
        u64::from(self.ip().to_bits()) << 16 | u64::from(self.port())
    }
    fn from_word(word: u64) -> Self {
        Self::new(Ipv4Addr::from_bits((word >> 16) as u32), word as u16)
    }
}
