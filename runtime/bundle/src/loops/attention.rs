//! Scaled dot-product attention as one kernel, whose scores never lie in memory.

use super::BufferId;
use serde::{Deserialize, Serialize};

/// Scaled dot-product attention, all in `F32`. For image `b`, head `h` and row `i`, with `j` over the keys and `d` over the features:
///
/// - `s[j] = scale * sum over d < depth of query[b, h, i, d] * key[b, h, j, d]`, plus `mask[b, h, i, j]` where there is a mask;
/// - `m = max over j of s[j]`, `p[j] = exp(s[j] - m)`, `l = sum over j of p[j]`;
/// - `out[b, h, i, d] = (sum over j of p[j] * value[b, h, j, d]) / l` for `d < width`.
///
/// Sums are taken in `F32` and in any order, and a backend may take the keys in blocks, with `p` and `l` corrected where `m` rises.
///
/// A score of `-inf` has the weight 0 as long as another score of its row is finite; what the value row of a key of weight 0 holds counts only as long as it
/// is finite (0 times infinity is not defined here). A row without a finite score, a row with a NaN or `+inf` among its scores: `l` is NaN. Then, where
/// `guarded`, the row's results are all 0, and else all NaN. (In blocks: `m` starts at `-inf`, and `exp(-inf - -inf)`, a NaN, must be taken for 0 until some
/// score is finite.)
///
/// The results share no byte with anything read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Images.
    pub batch: u32,
    /// Heads.
    pub heads: u32,
    /// Rows of the query and of the result.
    pub rows: u32,
    /// Rows of key and value.
    pub keys: u32,
    /// Features of a row of query and key.
    pub depth: u32,
    /// Features of a row of value and result.
    pub width: u32,
    /// Bits of the `F32` by which scores are multiplied; a finite number.
    pub scale: u32,
    /// Whether rows without a sum of weights are 0 rather than NaN.
    pub guarded: bool,
    /// `[batch, heads, rows, depth]`.
    pub query: Strided,
    /// `[batch, heads, keys, depth]`.
    pub key: Strided,
    /// `[batch, heads, keys, width]`.
    pub value: Strided,
    /// `[batch, heads, rows, keys]`, added to the scores.
    pub mask: Option<Mask>,
    /// `[batch, heads, rows, width]`, in the arena, no two elements at one place.
    pub out: Strided,
}

/// An operand of [`Attention`]: element `[b, h, i, d]` is at `offset + b * batch + h * head + i * row + d` of an `F32` buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strided {
    /// The buffer.
    pub buffer: BufferId,
    /// The first element.
    pub offset: u64,
    /// Elements from image to image.
    pub batch: u64,
    /// Elements from head to head.
    pub head: u64,
    /// Elements from row to row.
    pub row: u64,
}

/// What is added to scores: element `[b, h, i, j]` is at `offset + b * batch + h * head + i * row + j * key` of an `F32` buffer. A stride of 0 repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// The buffer.
    pub buffer: BufferId,
    /// The first element.
    pub offset: u64,
    /// Elements from image to image.
    pub batch: u64,
    /// Elements from head to head.
    pub head: u64,
    /// Elements from row to row.
    pub row: u64,
    /// Elements from key to key.
    pub key: u64,
}

impl Attention {
    /// The number that `scale` is the bits of.
    pub fn factor(&self) -> f32 {
        f32::from_bits(self.scale)
    }

    /// Elements of the result.
    pub fn outputs(&self) -> u64 {
        [self.heads, self.rows, self.width].iter().fold(u64::from(self.batch), |product, &size| product.saturating_mul(u64::from(size)))
    }

    /// Multiply-accumulates of both products.
    pub fn macs(&self) -> u64 {
        let features = u64::from(self.depth) + u64::from(self.width);
        [self.batch, self.heads, self.rows, self.keys].iter().fold(features, |product, &size| product.saturating_mul(u64::from(size)))
    }

    /// The buffers that it reads.
    pub fn reads(&self) -> impl Iterator<Item = BufferId> {
        [self.query.buffer, self.key.buffer, self.value.buffer].into_iter().chain(self.mask.map(|mask| mask.buffer))
    }

    /// Calls `visit` with every buffer, to rename it.
    pub fn for_each_buffer(&mut self, mut visit: impl FnMut(&mut BufferId)) {
        [&mut self.query, &mut self.key, &mut self.value, &mut self.out].into_iter().for_each(|view| visit(&mut view.buffer));
        self.mask.iter_mut().for_each(|mask| visit(&mut mask.buffer));
    }
}

impl Strided {
    /// Where a row starts.
    pub fn start(&self, batch: u32, head: u32, row: u32) -> u64 {
        self.offset + u64::from(batch) * self.batch + u64::from(head) * self.head + u64::from(row) * self.row
    }
}
