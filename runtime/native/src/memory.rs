//! Memory aligned to cache lines.

use crate::CompileError;
use mlp_bundle::contents::{Bytes, CONTENT_ALIGN};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Bytes to which memory is aligned.
const ALIGN: usize = CONTENT_ALIGN;

/// Weights, where they lie if they are aligned, else copied once.
pub(crate) enum Weights {
    Shared(Bytes),
    Own(Memory),
}

impl Weights {
    pub(crate) fn new(bytes: Bytes) -> Result<Weights, CompileError> {
        if (bytes.as_ptr() as usize).is_multiple_of(ALIGN) {
            return Ok(Weights::Shared(bytes));
        }
        let mut own = Memory::zeroed(bytes.len() as u64)?;
        own.bytes_mut().copy_from_slice(&bytes);
        Ok(Weights::Own(own))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Weights::Shared(bytes) => bytes,
            Weights::Own(memory) => memory.bytes(),
        }
    }
}

/// Zeroed memory, freed on drop.
pub(crate) struct Memory {
    base: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: the memory is owned, and handed out by the rules of references only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub(crate) fn zeroed(bytes: u64) -> Result<Memory, CompileError> {
        let refused = CompileError::Memory(bytes);
        let len = usize::try_from(bytes).map_err(|_| refused.clone())?;
        let layout = Layout::from_size_align(len.max(ALIGN), ALIGN).map_err(|_| refused.clone())?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(refused)?;
        Ok(Memory { base, layout, len })
    }

    pub(crate) fn base(&mut self) -> *mut u8 {
        self.base.as_ptr()
    }

    pub(crate) fn start(&self) -> *const u8 {
        self.base.as_ptr()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the memory is this long, initialized, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed for writing with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}
