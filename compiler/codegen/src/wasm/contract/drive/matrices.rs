//! Loops around the tiles of matrix products: their pixels follow each other at one distance.

use super::super::BLOCK_BYTES;
use super::{Driver, Line};
use crate::wasm::code::Range;
use crate::wasm::contract::drive::end_count;
use mlp_bundle::loops::PANEL;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

impl Driver<'_> {
    /// Blocks of pixels that stay near, each against all columns of the weights.
    pub(super) fn product(&mut self) {
        let size = self.block();
        let input = self.sizes.input;
        let bounds = self.part.pixels;
        let pixels = self.code().range(Range { bounds, unit: size, ragged: true });
        self.blocks(pixels, size, |driver, from, to| match driver.widening {
            Some(_) => {
                let zero = driver.code().local_i32();
                driver.widened(input, None, from, to, zero);
            }
            None => {
                let zero = driver.code().local_i32();
                driver.columns(Line { from, to, first_pixel: zero, input, inside: None });
            }
        });
    }

    /// Pixels of a block.
    fn block(&self) -> u32 {
        let rows = self.part.tile.rows as u32;
        match &self.widening {
            Some(widening) => widening.block.outputs,
            // Weights that are widened once a block want more pixels for it.
            None => (BLOCK_BYTES / (self.steps * 4 * rows)).clamp(if self.panels.is_some() { 8 } else { 2 }, 16) * rows,
        }
    }

    /// One image after the other, each a product with weights of its own.
    pub(super) fn images(&mut self) {
        let (window, size) = (self.window, self.block());
        let (first, last) = self.part.pixels;
        let (input, weights) = (self.sizes.input, self.sizes.weights);
        let code = self.code();
        let (first_image, last_image) = code.range(Range { bounds: (0, window.batch), unit: 1, ragged: true });
        let columns = (code.param(first as i32), code.param(last as i32));
        let input_bytes = code.param((window.in_w * window.in_pixel * 4) as i32);
        let weight_bytes = code.param((window.out_c.div_ceil(PANEL) * window.in_c * 64) as i32);
        for (base, bytes) in [(input, input_bytes), (weights, weight_bytes)] {
            code.get(base);
            code.get(first_image);
            code.get(bytes);
            code.ops([I::I32Mul, I::I32Add]);
            code.set(base);
        }
        code.get(first_image);
        code.ops([I::I32Const(window.out_w as i32), I::I32Mul]);
        let first_pixel = code.take(ValType::I32);
        code.get(last_image);
        code.get(first_image);
        code.op(I::I32Sub);
        let left = code.take(ValType::I32);
        code.begin_loop();
        self.blocks(columns, size, |driver, from, to| driver.columns(Line { from, to, first_pixel, input, inside: None }));
        let code = self.code();
        code.add_const(first_pixel, window.out_w as i32);
        code.add_local(input, input_bytes);
        code.add_local(weights, weight_bytes);
        end_count(code, left);
    }
}
