//! Attention, score by score, in binary64.

use super::Machine;
use crate::dtype::Scalar;
use crate::loops::{Attention, BufferId, scalar};

impl Machine<'_> {
    pub(super) fn attention(&mut self, attention: &Attention) {
        for batch in 0..attention.batch {
            for head in 0..attention.heads {
                for row in 0..attention.rows {
                    self.attention_row(attention, batch, head, row);
                }
            }
        }
    }

    fn attention_row(&mut self, attention: &Attention, batch: u32, head: u32, row: u32) {
        let query = self.floats(attention.query.buffer, attention.query.start(batch, head, row), attention.depth);
        let scores: Vec<f64> = (0..attention.keys)
            .map(|key| {
                let keys = self.floats(attention.key.buffer, attention.key.start(batch, head, key), attention.depth);
                let product: f64 = query.iter().zip(keys).map(|(q, k)| q * k).sum();
                let added = attention.mask.map_or(0.0, |mask| {
                    let [batch, head, row, key] = [batch, head, row, key].map(u64::from);
                    let at = mask.offset + batch * mask.batch + head * mask.head + row * mask.row + key * mask.key;
                    self.floats(mask.buffer, at, 1)[0]
                });
                product * f64::from(attention.factor()) + added
            })
            .collect();
        let greatest = scores.iter().fold(f64::NEG_INFINITY, |max, &score| if max < score { score } else { max });
        let powers: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let mut result = vec![0.0f64; attention.width as usize];
        for (key, power) in (0..).zip(&powers).filter(|(_, power)| **power != 0.0) {
            let values = self.floats(attention.value.buffer, attention.value.start(batch, head, key), attention.width);
            result.iter_mut().zip(values).for_each(|(sum, value)| *sum += power * value);
        }
        let start = self.arena_offset(attention.out.buffer) + attention.out.start(batch, head, row) as usize * 4;
        for (element, value) in result.iter().enumerate() {
            let value = if attention.guarded && sum.is_nan() { 0.0 } else { (value / sum) as f32 };
            self.arena[start + element * 4..][..4].copy_from_slice(&value.to_le_bytes());
        }
    }

    /// Some neighbouring elements of an `F32` buffer.
    fn floats(&self, buffer: BufferId, start: u64, count: u32) -> Vec<f64> {
        let bytes = &self.bytes(buffer)[start as usize * 4..][..count as usize * 4];
        let float = |bytes: &[u8]| match scalar::load(crate::DType::F32, bytes) {
            Scalar::F32(bits) => f64::from(f32::from_bits(bits)),
            _ => unreachable!("the verifier has typed the operands"),
        };
        bytes.chunks_exact(4).map(float).collect()
    }
}
