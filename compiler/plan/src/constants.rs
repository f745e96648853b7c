//! The constants of a plan: equal ones are kept once.

use mlp_bundle::DType;
use mlp_bundle::loops::BufferId;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes to which constants are aligned: what WebGPU asks of a bound range.
pub(crate) const CONSTANT_ALIGN: u64 = 256;

struct Constant {
    dtype: DType,
    bytes: Vec<u8>,
    buffer: Option<BufferId>,
}

/// The constants, in the order of their first use.
#[derive(Default)]
pub(crate) struct Constants {
    list: Vec<Constant>,
    by_hash: HashMap<u64, Vec<usize>>,
}

impl Constants {
    /// Keeps a constant: its index, and its buffer if an equal one has one.
    pub(crate) fn add(&mut self, dtype: DType, bytes: Vec<u8>) -> (usize, Option<BufferId>) {
        let mut hasher = DefaultHasher::new();
        (dtype, &bytes).hash(&mut hasher);
        let same = self.by_hash.entry(hasher.finish()).or_default();
        if let Some(&index) = same.iter().find(|&&index| self.list[index].dtype == dtype && self.list[index].bytes == bytes) {
            return (index, self.list[index].buffer);
        }
        same.push(self.list.len());
        self.list.push(Constant { dtype, bytes, buffer: None });
        (self.list.len() - 1, None)
    }

    /// Says which buffer a constant is.
    pub(crate) fn set_buffer(&mut self, index: usize, buffer: BufferId) {
        self.list[index].buffer = Some(buffer);
    }

    /// Appends one constant to the weights file: its offset.
    pub(crate) fn write(&self, index: usize, file: &mut Vec<u8>) -> u64 {
        file.resize((file.len() as u64).next_multiple_of(CONSTANT_ALIGN) as usize, 0);
        let offset = file.len() as u64;
        file.extend_from_slice(&self.list[index].bytes);
        offset
    }
}
