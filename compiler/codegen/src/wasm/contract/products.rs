//! The inner loops: sums of products over the steps of one run of input channels.

use super::{Kind, Sums, Tile};
use crate::wasm::code::{Code, Local, at};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Accumulators of a tile. Eight-bit sums are kept as pairs, two lanes a channel, until the tile is done.
pub(crate) struct Products {
    kind: Kind,
    tile: Tile,
    accumulators: Sums,
}

impl Products {
    /// Makes the variables.
    pub(crate) fn new(code: &mut Code, kind: Kind, tile: Tile) -> Products {
        let width = match kind {
            Kind::F32 { .. } => tile.vectors,
            Kind::Int8 { .. } => 2 * tile.vectors,
        };
        let accumulators = (0..tile.rows).map(|_| (0..width).map(|_| code.local_v128()).collect()).collect();
        Products { kind, tile, accumulators }
    }

    /// Sets all sums to 0.
    pub(crate) fn clear(&self, code: &mut Code) {
        for &accumulator in self.accumulators.iter().flatten() {
            code.splat_bits(0);
            code.set(accumulator);
        }
    }

    /// Steps to do in one turn of the loop, for a count that layers of this shape have.
    pub(crate) fn unroll(&self, steps: u32) -> u32 {
        let most: u32 = match self.kind {
            Kind::F32 { .. } => 4,
            Kind::Int8 { .. } => 2,
        };
        (1..=most).rev().find(|turn| steps.is_multiple_of(*turn)).unwrap_or(1)
    }

    /// A loop over `count` steps (a multiple of `unroll`, not 0), moving the pointers of the pixels and the weights past them.
    pub(crate) fn run(&self, code: &mut Code, pixels: &[Local], weights: Local, count: Local, unroll: u32) {
        code.get(count);
        let left = code.take(ValType::I32);
        code.begin_loop();
        for step in 0..u64::from(unroll) {
            match self.kind {
                Kind::F32 { relaxed } => self.step_f32(code, pixels, weights, step, relaxed && self.tile.rows * self.tile.vectors >= 8),
                Kind::Int8 { signed } => self.step_int8(code, pixels, weights, step, signed),
            }
        }
        for &pixel in pixels {
            code.add_const(pixel, 4 * unroll as i32);
        }
        code.add_const(weights, 64 * unroll as i32);
        code.get(left);
        code.ops([I::I32Const(unroll as i32), I::I32Sub]);
        code.tee(left);
        code.ops([I::BrIf(0), I::End]);
    }

    fn step_f32(&self, code: &mut Code, pixels: &[Local], weights: Local, step: u64, fused: bool) {
        let columns: Vec<Local> = (0..self.tile.vectors as u64)
            .map(|vector| {
                code.get(weights);
                code.op(I::V128Load(at(64 * step + 16 * vector)));
                code.take(ValType::V128)
            })
            .collect();
        for (&pixel, sums) in pixels.iter().zip(&self.accumulators) {
            code.get(pixel);
            code.op(I::V128Load32Splat(at(4 * step)));
            let value = code.take(ValType::V128);
            for (&column, &sum) in columns.iter().zip(sums) {
                if fused {
                    code.get(value);
                    code.get(column);
                    code.get(sum);
                    code.op(I::F32x4RelaxedMadd);
                } else {
                    code.get(sum);
                    code.get(value);
                    code.get(column);
                    code.ops([I::F32x4Mul, I::F32x4Add]);
                }
                code.set(sum);
            }
        }
    }

    /// Four input channels: each `dot` makes two partial sums for each of two output channels.
    fn step_int8(&self, code: &mut Code, pixels: &[Local], weights: Local, step: u64, signed: bool) {
        let columns: Vec<Local> = (0..2 * self.tile.vectors as u64)
            .map(|pair| {
                code.get(weights);
                code.op(I::V128Load8x8S(at(64 * step + 8 * pair)));
                code.take(ValType::V128)
            })
            .collect();
        for (&pixel, sums) in pixels.iter().zip(&self.accumulators) {
            code.get(pixel);
            code.op(I::V128Load32Splat(at(4 * step)));
            code.op(if signed { I::I16x8ExtendLowI8x16S } else { I::I16x8ExtendLowI8x16U });
            let value = code.take(ValType::V128);
            for (&column, &sum) in columns.iter().zip(sums) {
                code.get(sum);
                code.get(value);
                code.get(column);
                code.ops([I::I32x4DotI16x8S, I::I32x4Add]);
                code.set(sum);
            }
        }
    }

    /// The sums, one lane a channel.
    pub(crate) fn finish(&self, code: &mut Code) -> Sums {
        if let Kind::F32 { .. } = self.kind {
            return self.accumulators.clone();
        }
        let join = |code: &mut Code, pair: &[Local]| {
            for first in [0u8, 4] {
                code.get(pair[0]);
                code.get(pair[1]);
                code.op(I::I8x16Shuffle(std::array::from_fn(|byte| first + 8 * (byte / 4) as u8 + (byte % 4) as u8)));
            }
            code.op(I::I32x4Add);
            code.take(ValType::V128)
        };
        self.accumulators.iter().map(|row| row.chunks(2).map(|pair| join(code, pair)).collect()).collect()
    }
}
