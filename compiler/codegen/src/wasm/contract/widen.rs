//! Eight-bit inputs of a block of outputs as 16-bit lanes, once for all output channels.
//!
//! `i32x4.dot_i16x8_s` multiplies 16-bit lanes. Widening inputs where they are used would cost as much as the products; so the lines that a block of
//! outputs reads are widened into a scratch area that stays in the nearest cache. What is padding is filled in there, and no tile has to look at edges.
//!
//! A step of four channels `c0 c1 c2 c3` is written as `c0 c2 c1 c3`: a vector of packed weights, four of these for each of four output channels, falls apart
//! into channels 0 and 2 and channels 1 and 3 by shifts alone.

use super::drive::{begin_count, end_count};
use crate::wasm::code::{Code, Local, at};
use crate::wasm::eval::Eval;
use crate::wasm::math::Library;
use mlp_bundle::loops::Window;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Bytes of a step of four channels.
pub(crate) const STEP: u32 = 8;

/// Bytes that are written past the last pixel.
const BEYOND: u32 = 32;

/// Bytes of widened inputs that should stay near while all weights pass by.
const NEAR: u32 = 24 << 10;

/// Halves of 32 bits, taken by turns from two vectors.
const INTERLEAVE_LOW: [u8; 16] = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23];
const INTERLEAVE_HIGH: [u8; 16] = [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31];

/// How the inputs of a block of outputs in one line are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Outputs of a whole block.
    pub(crate) outputs: u32,
    /// Input columns from one widened pixel to the next: the unused ones between windows of one column are left out.
    gather: u32,
    /// Widened pixels from one output to the next.
    pub(crate) stride: u32,
    /// Widened pixels that one output reads.
    span: u32,
    /// Bytes of a widened pixel.
    pub(crate) pixel: u32,
    /// Bytes from one row of taps to the next.
    pub(crate) pitch: u32,
}

impl Block {
    /// For lines of so many outputs, in tiles of `tile` outputs.
    pub(crate) fn new(window: &Window, line: u32, tile: u32) -> Block {
        let pixel = window.in_c.div_ceil(4) * STEP;
        let last = u64::from(window.out_w - 1) * u64::from(window.stride[1]);
        let alone = window.kernel[1] == 1 && window.pad[1] == 0 && last < u64::from(window.in_w);
        let (gather, stride) = if alone { (window.stride[1], 1) } else { (1, window.stride[1]) };
        let span = (window.kernel[1] - 1) * window.dilation[1] + 1;
        let rows = window.kernel[0];
        let fixed = u64::from(rows) * u64::from(pixel) * u64::from(span);
        let each = u64::from(rows) * u64::from(pixel) * u64::from(stride);
        let room = (u64::from(NEAR).saturating_sub(fixed) / each).clamp(1, line.into()) as u32;
        let tiles = (room / tile).max(1);
        // As many blocks as it takes, of one size.
        let count = line.div_ceil(tiles * tile);
        let outputs = line.div_ceil(count).next_multiple_of(tile);
        let pitch = ((outputs - 1) * stride + span) * pixel;
        Block { outputs, gather, stride, span, pixel, pitch }
    }

    /// Bytes of scratch that suffice for every part of a line.
    pub(crate) fn scratch(window: &Window, line: u32, tile: u32) -> u64 {
        let parts = [(line, tile), (line - line % tile, tile), (line.min(tile), 1)].into_iter().filter(|part| part.0 > 0);
        let bytes = parts.map(|(line, tile)| u64::from(window.kernel[0]) * u64::from(Block::new(window, line, tile).pitch));
        bytes.max().unwrap_or(0) + u64::from(BEYOND)
    }
}

/// The pieces of a line that is to be widened.
struct Line {
    /// The address of the first input column that is inside.
    source: Local,
    /// Where the first column goes.
    target: Local,
    /// Columns of padding, columns inside, and columns of padding.
    counts: [Local; 3],
}

/// The rows that a block reads.
pub(crate) struct Rows {
    /// The address of the image.
    pub(crate) start: Local,
    /// The input row of the first tap, which may lie outside.
    pub(crate) y: Local,
    /// Bytes of a row.
    pub(crate) row_bytes: Local,
    /// Bytes of a pixel.
    pub(crate) pixel: Local,
}

/// What does not change from line to line.
pub(crate) struct Widening {
    pub(crate) block: Block,
    function: u32,
    /// Bytes from one input pixel to the next that is taken.
    distance: Local,
    /// Bytes of a widened pixel.
    pixel: Local,
    pad: Local,
    groups: Local,
    contiguous: bool,
    channels: Local,
}

impl Widening {
    /// Makes the parameters.
    pub(crate) fn new(eval: &mut Eval<'_>, window: &Window, block: Block, signed: bool, pad: i32) -> Widening {
        let small = window.in_c <= 4;
        let contiguous = !small && block.gather == 1 && window.in_pixel == window.in_c && window.in_c.is_multiple_of(4);
        let function = function(eval.library, signed, small);
        let code = &mut eval.code;
        Widening {
            block,
            function,
            distance: code.param((window.in_pixel * block.gather) as i32),
            pixel: code.param(block.pixel as i32),
            pad: code.param(pad),
            groups: code.param(window.in_c.div_ceil(16) as i32),
            contiguous,
            channels: code.param(window.in_c as i32),
        }
    }

    /// Widens `outputs` pixels from pixel `from` on of one run of pixels.
    pub(crate) fn run(&self, code: &mut Code, input: Local, pixel: Local, scratch: Local, from: Local, outputs: Local) {
        code.get(input);
        code.get(from);
        code.get(pixel);
        code.ops([I::I32Mul, I::I32Add]);
        let source = code.take(ValType::I32);
        let zero = code.local_i32();
        self.line(code, &Line { source, target: scratch, counts: [zero, outputs, zero] });
    }

    /// Widens all that `outputs` windows from output column `from` on read, row by row.
    pub(crate) fn lines(&self, code: &mut Code, window: &Window, rows: Rows, scratch: Local, from: Local, outputs: Local) {
        let in_h = code.param(window.in_h as i32);
        let (source, counts) = self.columns(code, window, &rows, from, outputs);
        let nothing = code.local_i32();
        code.get(rows.y);
        let y = code.take(ValType::I32);
        code.get(scratch);
        let target = code.take(ValType::I32);
        code.get(counts[0]);
        code.get(counts[1]);
        code.get(counts[2]);
        code.ops([I::I32Add, I::I32Add]);
        let all = code.take(ValType::I32);
        let left = begin_count(code, window.kernel[0]);
        code.get(y);
        code.get(in_h);
        code.op(I::I32LtU);
        code.begin_if();
        code.get(source);
        code.get(y);
        code.get(rows.row_bytes);
        code.ops([I::I32Mul, I::I32Add]);
        let inside = code.take(ValType::I32);
        self.line(code, &Line { source: inside, target, counts });
        code.op(I::Else);
        self.line(code, &Line { source, target, counts: [all, nothing, nothing] });
        code.end();
        code.add_const(y, window.dilation[0] as i32);
        code.add_const(target, self.block.pitch as i32);
        end_count(code, left);
    }

    /// The address in row 0 of the first column that is inside, and how many columns are before, inside and after.
    fn columns(&self, code: &mut Code, window: &Window, rows: &Rows, from: Local, outputs: Local) -> (Local, [Local; 3]) {
        let block = self.block;
        code.get(from);
        code.ops([I::I32Const(window.stride[1] as i32), I::I32Mul, I::I32Const(window.pad[1] as i32), I::I32Sub]);
        let column = code.take(ValType::I32);
        code.get(outputs);
        code.ops([I::I32Const(1), I::I32Sub, I::I32Const(block.stride as i32), I::I32Mul, I::I32Const(block.span as i32), I::I32Add]);
        let count = code.take(ValType::I32);
        let at_most = |code: &mut Code, limit: Local| {
            // Between 0 and the limit.
            let value = code.take(ValType::I32);
            code.get(limit);
            code.get(value);
            code.i32(0);
            code.get(value);
            code.ops([I::I32Const(0), I::I32GtS, I::Select]);
            code.tee(value);
            code.get(limit);
            code.get(value);
            code.ops([I::I32LtS, I::Select]);
            code.take(ValType::I32)
        };
        code.i32(0);
        code.get(column);
        code.op(I::I32Sub);
        let before = at_most(code, count);
        code.get(count);
        code.get(before);
        code.op(I::I32Sub);
        let rest = code.take(ValType::I32);
        let inside = if block.gather == 1 {
            let in_w = code.param(window.in_w as i32);
            code.get(in_w);
            code.get(column);
            code.get(before);
            code.ops([I::I32Add, I::I32Sub]);
            at_most(code, rest)
        } else {
            rest
        };
        code.get(rest);
        code.get(inside);
        code.op(I::I32Sub);
        let after = code.take(ValType::I32);
        code.get(rows.start);
        code.get(column);
        code.get(before);
        code.op(I::I32Add);
        code.get(rows.pixel);
        code.ops([I::I32Mul, I::I32Add]);
        (code.take(ValType::I32), [before, inside, after])
    }

    /// Widens one line.
    fn line(&self, code: &mut Code, line: &Line) {
        let [left, inside, right] = line.counts;
        code.get(line.source);
        code.get(line.target);
        code.get(left);
        code.get(right);
        code.get(self.pixel);
        code.get(self.pad);
        // One run of groups where pixels lie side by side.
        if self.contiguous {
            code.get(inside);
            code.ops([I::I32Const(0), I::I32Ne]);
            code.get(self.distance);
            code.get(inside);
            code.get(self.channels);
            code.ops([I::I32Mul, I::I32Const(15), I::I32Add, I::I32Const(4), I::I32ShrU]);
            code.get(inside);
            code.get(self.pixel);
            code.op(I::I32Mul);
        } else {
            code.get(inside);
            code.get(self.distance);
            code.get(self.groups);
            code.get(self.pixel);
        }
        code.op(I::Call(self.function));
    }
}

/// `(source, target, left, right, pixel, pad, runs, distance, groups, run bytes)`: `left` pixels of padding, runs of groups of 16 channels, `right` pixels of padding.
fn function(library: &mut Library, signed: bool, small: bool) -> u32 {
    let (mut code, params) = Code::with_params(&[ValType::I32; 10]);
    let [source, target, left, right, pixel, pad, runs, distance, groups, bytes] = params[..] else {
        unreachable!("ten parameters were asked for")
    };
    fill(&mut code, target, left, pixel, pad);
    code.get(runs);
    code.begin_if();
    code.begin_loop();
    if small {
        code.get(target);
        code.get(source);
        code.op(I::V128Load32Zero(at(0)));
        let raw = code.take(ValType::V128);
        code.get(raw);
        push_half(&mut code, false, signed);
        code.get(raw);
        push_half(&mut code, true, signed);
        code.op(I::I8x16Shuffle(INTERLEAVE_LOW));
        code.op(I::V128Store64Lane { memarg: at(0), lane: 0 });
    } else {
        run(&mut code, [source, target, groups], signed);
    }
    code.add_local(source, distance);
    code.add_local(target, bytes);
    code.get(runs);
    code.ops([I::I32Const(1), I::I32Sub]);
    code.tee(runs);
    code.ops([I::BrIf(0), I::End, I::End]);
    fill(&mut code, target, right, pixel, pad);
    library.functions.intern(&code, &[])
}

/// Groups of 16 channels, one after the other.
fn run(code: &mut Code, [source, target, groups]: [Local; 3], signed: bool) {
    let [from, to, left] = [source, target, groups].map(|start| {
        code.get(start);
        code.take(ValType::I32)
    });
    code.begin_loop();
    code.get(from);
    code.op(I::V128Load(at(0)));
    let raw = code.take(ValType::V128);
    let [even, odd] = [false, true].map(|odd| {
        code.get(raw);
        push_half(code, odd, signed);
        code.take(ValType::V128)
    });
    for (offset, order) in [(0, INTERLEAVE_LOW), (16, INTERLEAVE_HIGH)] {
        code.get(to);
        code.get(even);
        code.get(odd);
        code.ops([I::I8x16Shuffle(order), I::V128Store(at(offset))]);
    }
    code.add_const(from, 16);
    code.add_const(to, 32);
    code.get(left);
    code.ops([I::I32Const(1), I::I32Sub]);
    code.tee(left);
    code.ops([I::BrIf(0), I::End]);
}

/// Writes `count` pixels of padding at `target`, and moves it past them.
fn fill(code: &mut Code, target: Local, count: Local, pixel: Local, pad: Local) {
    code.get(count);
    code.begin_if();
    code.get(target);
    code.get(count);
    code.get(pixel);
    code.ops([I::I32Mul, I::I32Add]);
    let end = code.take(ValType::I32);
    code.begin_loop();
    code.get(target);
    code.get(pad);
    code.ops([I::I16x8Splat, I::V128Store64Lane { memarg: at(0), lane: 0 }]);
    code.add_const(target, STEP as i32);
    code.get(target);
    code.get(end);
    code.ops([I::I32LtU, I::BrIf(0), I::End, I::End]);
}

/// Of the popped bytes, the odd or the even ones as 16-bit lanes.
pub(crate) fn push_half(code: &mut Code, odd: bool, signed: bool) {
    match (odd, signed) {
        (true, true) => code.ops([I::I32Const(8), I::I16x8ShrS]),
        (true, false) => code.ops([I::I32Const(8), I::I16x8ShrU]),
        (false, true) => code.ops([I::I32Const(8), I::I16x8Shl, I::I32Const(8), I::I16x8ShrS]),
        (false, false) => {
            code.splat_bits(0x00ff_00ff);
            code.op(I::V128And);
        }
    }
}
