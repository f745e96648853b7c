//! Where everything lies in a module's memory: 64 reserved bytes, the weights, the arena, room for padding that kernels
//! read, and scratch. A module for threads has bytes for them to agree by before the scratch; further threads have pages of their own after the module's.

use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::{ALIGN, Place, Plan, SLACK};

/// Bytes that no buffer uses, at the start: address 0 stays free, and kernels spill lanes here.
pub(crate) const RESERVED: u64 = 64;

/// Bytes of a page of memory.
pub(crate) const PAGE: u64 = 1 << 16;

/// Bytes of a cache line, which threads hand over whole.
pub(crate) const LINE: u64 = 64;

/// The memory of a module.
pub(crate) struct Layout {
    places: Vec<u64>,
    /// First byte of the weights.
    pub(crate) weights: u64,
    /// First byte of the arena.
    pub(crate) arena: u64,
    /// First byte of the zeros that stand for padding.
    pub(crate) zeros: u64,
    /// First byte of the row of zero points that stands for padding of integer inputs.
    pub(crate) filled: u64,
    /// First byte of where kernels keep what they use again and again.
    pub(crate) scratch: u64,
    /// First byte of what threads agree by.
    pub(crate) control: u64,
    /// Pages of memory.
    pub(crate) pages: u64,
    /// Pages that each further thread has of its own.
    pub(crate) helper_pages: u64,
}

impl Layout {
    /// Lays a plan out, with so many bytes for each kind of padding, so many of scratch and so many for threads to agree by, if there are to be
    /// any; an error where 32 bits do not suffice.
    pub(crate) fn of(plan: &Plan, padding: u64, scratch: u64, threads: Option<u64>) -> Result<Layout, String> {
        let weights = RESERVED;
        let arena = (weights + plan.weights_bytes).next_multiple_of(ALIGN);
        let zeros = (arena + plan.arena_bytes).next_multiple_of(ALIGN);
        let row = if padding == 0 { 0 } else { (padding + SLACK).next_multiple_of(ALIGN) };
        let filled = zeros + row;
        let control = (filled + row).next_multiple_of(LINE);
        // With threads, what the first one spills lies before its scratch, as with all others.
        let kept = threads.map_or(filled + row, |control_bytes| (control + control_bytes + RESERVED).next_multiple_of(LINE));
        let pages = (kept + scratch).div_ceil(PAGE);
        let helper_pages = threads.map_or(0, |_| (RESERVED + scratch).div_ceil(PAGE));
        if pages > PAGE {
            return Err(format!(
                "weights of {} bytes and an arena of {} do not fit in the 4 GiB of a WebAssembly memory; use smaller inputs or a smaller model",
                plan.weights_bytes, plan.arena_bytes
            ));
        }
        let place = |place: Place| match place {
            Place::Arena { offset } => arena + offset,
            Place::Weights { offset } => weights + offset,
        };
        let places = plan.buffers.values().map(|buffer| place(buffer.place)).collect();
        Ok(Layout { places, weights, arena, zeros, filled, scratch: kept, control, pages, helper_pages })
    }

    /// The address of a buffer.
    pub(crate) fn address(&self, buffer: BufferId) -> u64 {
        use cranelift_entity::EntityRef;
        self.places[buffer.index()]
    }
}
