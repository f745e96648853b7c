//! What a run leaves for the next one.

use super::{Place, Plan};
use crate::loops::BufferId;
use serde::{Deserialize, Serialize};

/// A tensor that stays where the plan runs: a run reads what the run before made of it, the first one zeros.
///
/// No kernel stores to `buffer`. Whoever runs the plan moves the bytes of `next` there once all kernels are done, so that a run which fails leaves the state as it
/// was, and a kernel that is repeated to be measured changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its name: that of the ONNX input, or a path such as `Vad.h`.
    pub name: String,
    /// What a run reads: an arena buffer that shares no byte with another.
    pub buffer: BufferId,
    /// What the next run is to read: an arena buffer of the same type and length.
    pub next: BufferId,
}

/// Bytes to move within the arena after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The first byte to move, from the arena's start.
    pub from: usize,
    /// Where it goes; the state's own bytes begin here.
    pub to: usize,
    /// How many.
    pub bytes: usize,
}

impl Plan {
    /// What is to be moved after a run, in any order: no move reads what another one writes.
    pub fn moves(&self) -> Vec<Move> {
        let offset = |id: BufferId| match self.buffers[id].place {
            Place::Arena { offset } | Place::Weights { offset } => offset as usize,
        };
        let one =
            |state: &State| Move { from: offset(state.next), to: offset(state.buffer), bytes: self.buffers[state.buffer].bytes() as usize };
        self.states.iter().map(one).collect()
    }
}
