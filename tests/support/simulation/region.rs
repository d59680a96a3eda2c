//! A stack's memory, which outlives it.

/// Memory that one stack after the other has.
pub(crate) struct Region(*mut [u8]);

impl Region {
    /// A region of `len` zeros, and its bytes for the first stack.
    pub(crate) fn new(len: usize) -> (Self, &'static mut [u8]) {
        // Words, since the memory file is aligned to them.
        let words = Box::leak(vec![0_u64; len.div_ceil(8)].into_boxed_slice());
        let region = Self(core::ptr::slice_from_raw_parts_mut(
            words.as_mut_ptr().cast(),
            len,
        ));
        let bytes = region.again();
        (region, bytes)
    }

    /// The bytes, for a stack whose predecessor is used no more.
    pub(crate) fn again(&self) -> &'static mut [u8] {
        // SAFETY: leaked by `new`, so valid for ever; as the caller has it, nobody uses the slice
        // that was given out before.
        unsafe { &mut *self.0 }
    }
}

// SAFETY: a region is bytes, which belong to no thread.
unsafe impl Send for Region {}
