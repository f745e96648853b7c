//! The inner loops: sums of products over the steps of one run of input channels.

use super::{Kind, Sums, Tile, widen};
use crate::wasm::code::{Code, Local, at};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Accumulators of a tile, one lane an output channel.
pub(crate) struct Products {
    kind: Kind,
    tile: Tile,
    accumulators: Sums,
}

impl Products {
    /// Makes the variables.
    pub(crate) fn new(code: &mut Code, kind: Kind, tile: Tile) -> Products {
        let accumulators = (0..tile.rows).map(|_| (0..tile.vectors).map(|_| code.local_v128()).collect()).collect();
        Products { kind, tile, accumulators }
    }

    /// Sets all sums to 0, or to `start` by vector.
    pub(crate) fn clear(&self, code: &mut Code, start: Option<&[Local]>) {
        for row in &self.accumulators {
            for (n, &accumulator) in row.iter().enumerate() {
                match start {
                    Some(start) => code.get(start[n]),
                    None => code.splat_bits(0),
                }
                code.set(accumulator);
            }
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

    /// Bytes of one step of a pixel.
    pub(crate) fn step_bytes(&self) -> u32 {
        match self.kind {
            Kind::F32 { .. } => 4,
            Kind::Int8 { .. } => widen::STEP,
        }
    }

    /// A loop over `count` steps (a multiple of `unroll`, not 0), moving the pointers of the pixels and the weights past them.
    pub(crate) fn run(&self, code: &mut Code, pixels: &[Local], weights: Local, count: Local, unroll: u32) {
        code.get(count);
        let left = code.take(ValType::I32);
        code.begin_loop();
        for step in 0..u64::from(unroll) {
            match self.kind {
                Kind::F32 { relaxed } => self.step_f32(code, pixels, weights, step, relaxed && self.tile.rows * self.tile.vectors >= 8),
                Kind::Int8 { .. } => self.step_int8(code, pixels, weights, step),
            }
        }
        for &pixel in pixels {
            code.add_const(pixel, (self.step_bytes() * unroll) as i32);
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

    /// Four input channels: two of them, then the other two, so that few vectors of weights are held at a time.
    fn step_int8(&self, code: &mut Code, pixels: &[Local], weights: Local, step: u64) {
        for half in 0..2u64 {
            let columns: Vec<Local> = (0..self.tile.vectors as u64)
                .map(|vector| {
                    code.get(weights);
                    code.op(I::V128Load(at(64 * step + 16 * vector)));
                    widen::push_half(code, half == 1, true);
                    code.take(ValType::V128)
                })
                .collect();
            for (&pixel, sums) in pixels.iter().zip(&self.accumulators) {
                code.get(pixel);
                code.op(I::V128Load32Splat(at(u64::from(widen::STEP) * step + 4 * half)));
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
    }

    /// The sums.
    pub(crate) fn finish(&self) -> Sums {
        self.accumulators.clone()
    }
}
