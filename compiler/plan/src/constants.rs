//! The constants of a plan, in the weights file as they are made: equal ones are kept once.

use mlp_bundle::DType;
use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::SLACK;
use mlp_graph::tensor::hash_sample;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

/// Bytes to which constants are aligned: what WebGPU asks of a bound range.
pub(crate) const CONSTANT_ALIGN: usize = 256;

struct Constant {
    dtype: DType,
    range: Range<usize>,
    buffer: BufferId,
}

/// The constants, in the order of their first use.
#[derive(Default)]
pub(crate) struct Constants {
    file: Vec<u8>,
    list: Vec<Constant>,
    by_hash: HashMap<u64, Vec<usize>>,
}

/// A constant that is kept.
pub(crate) struct Kept {
    /// Its buffer: the one that was offered, or that of an equal constant.
    pub(crate) buffer: BufferId,
    /// Where it begins in the weights file.
    pub(crate) offset: u64,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

impl Constants {
    /// No constants, with room for so many bytes of them.
    pub(crate) fn with_room(bytes: usize) -> Constants {
        Constants { file: Vec::with_capacity(bytes), ..Constants::default() }
    }

    /// Keeps a constant, whose bytes `write` appends to the file. `buffer` is its own unless there is an equal one.
    pub(crate) fn keep(&mut self, dtype: DType, buffer: BufferId, write: impl FnOnce(&mut Vec<u8>)) -> Kept {
        let end = self.file.len();
        let start = end.next_multiple_of(CONSTANT_ALIGN);
        self.file.resize(start, 0);
        write(&mut self.file);
        let bytes = &self.file[start..];
        let mut hasher = DefaultHasher::new();
        hash_sample(bytes, &mut hasher);
        let same = self.by_hash.entry(hasher.finish()).or_default();
        let equal = |known: &&Constant| known.dtype == dtype && self.file[known.range.clone()] == *bytes;
        if let Some(known) = same.iter().map(|&index| &self.list[index]).find(equal) {
            let (offset, bytes) = (known.range.start as u64, bytes.len() as u64);
            self.file.truncate(end);
            return Kept { buffer: known.buffer, offset, bytes };
        }
        let kept = Kept { buffer, offset: start as u64, bytes: bytes.len() as u64 };
        same.push(self.list.len());
        self.list.push(Constant { dtype, range: start..self.file.len(), buffer });
        kept
    }

    /// The weights file: the constants, and what kernels may read beyond the last.
    pub(crate) fn into_file(mut self) -> Vec<u8> {
        self.file.resize(self.file.len() + SLACK as usize, 0);
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_entity::EntityRef;

    #[test]
    fn equal_constants_are_kept_once_and_all_begin_on_the_alignment() {
        let mut constants = Constants::with_room(100);
        let mut keep = |buffer: usize, dtype: DType, bytes: &[u8]| {
            let Kept { buffer, offset, bytes } = constants.keep(dtype, BufferId::new(buffer), |file| file.extend_from_slice(bytes));
            (buffer.index(), offset, bytes)
        };
        let long: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        let mut other = long.clone();
        other[5000] ^= 1;
        assert_eq!(keep(0, DType::I8, &[1, 2, 3]), (0, 0, 3));
        assert_eq!(keep(1, DType::I8, &long), (1, 256, 10_000));
        assert_eq!(keep(2, DType::I8, &[1, 2, 3]), (0, 0, 3));
        // It differs in what the hash does not look at; and the type counts.
        assert_eq!(keep(3, DType::I8, &other), (3, 10_496, 10_000));
        assert_eq!(keep(4, DType::U8, &long), (4, 20_736, 10_000));
        assert_eq!(keep(5, DType::I8, &other), (3, 10_496, 10_000));
        let file = constants.into_file();
        assert_eq!(file.len() as u64, 20_736 + 10_000 + SLACK);
        assert!(file[..3] == [1, 2, 3] && file[256..10_256] == long && file[10_496..20_496] == other && file[20_736..30_736] == long);
    }
}
