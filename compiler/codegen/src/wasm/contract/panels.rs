//! Panels of weights that are kept in fewer bits, as floats.
//!
//! A block of pixels meets a panel at a time. Its weights are widened into the scratch area first, where the tiles of all pixels read them; blocks are the
//! larger for it.

use super::Job;
use super::drive::end_count;
use crate::wasm::code::{Code, Local, at};
use crate::wasm::eval::Eval;
use crate::wasm::layout::Layout;
use crate::wasm::math::Library;
use mlp_bundle::loops::{Contract, Scales, Stored};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Bytes of sixteen channels of one input as floats.
const STEP: u32 = 64;

/// `2^112`: what the exponents of binary32 and binary16 differ by.
const EXPONENTS: f32 = f32::from_bits(239 << 23);

/// Bytes of sixteen channels of one input.
fn step(stored: Stored) -> u32 {
    match stored {
        Stored::Half | Stored::Brain => 32,
        Stored::Whole(scales) => 2 * u32::from(scales.bits),
    }
}

/// Bytes that a panel takes as floats.
pub(crate) fn scratch(contract: &Contract) -> u64 {
    u64::from(contract.window.in_c) * u64::from(STEP)
}

/// What does not change from panel to panel.
pub(super) struct Panels {
    function: u32,
    scratch: Local,
    /// Bytes of a panel.
    panel: Local,
    /// The first scale, and bytes of a panel's scales.
    scales: Option<(Local, Local)>,
    /// Blocks of inputs that share scales, and inputs of a block.
    blocks: Local,
    per: Local,
}

impl Panels {
    /// Makes the parameters.
    pub(super) fn new(eval: &mut Eval<'_>, layout: &Layout, job: &Job<'_>, stored: Stored) -> Panels {
        let inputs = job.window.in_c;
        let per = if let Stored::Whole(scales) = stored { scales.per } else { inputs };
        let function = function(eval.library, stored);
        let code = &mut eval.code;
        let scales = if let Stored::Whole(scales) = stored {
            let start = code.param(layout.address(scales.buffer) as u32 as i32);
            Some((start, code.param((inputs / per * STEP) as i32)))
        } else {
            None
        };
        let (blocks, per_block) = (code.param((inputs / per) as i32), code.param(per as i32));
        Panels { function, scratch: code.scratch(), panel: code.param((inputs * step(stored)) as i32), scales, blocks, per: per_block }
    }

    /// Widens the panel of a channel, where that is its first one or the `first` of all, into the scratch area; `weights` is the first panel's address.
    pub(super) fn widen(&self, code: &mut Code, weights: Local, channel: Local, first: Local) {
        code.get(channel);
        code.ops([I::I32Const(15), I::I32And, I::I32Eqz]);
        code.get(channel);
        code.get(first);
        code.ops([I::I32Eq, I::I32Or]);
        code.begin_if();
        let panel = |code: &mut Code, start: Local, bytes: Local| {
            code.get(start);
            code.get(channel);
            code.ops([I::I32Const(4), I::I32ShrU]);
            code.get(bytes);
            code.ops([I::I32Mul, I::I32Add]);
        };
        panel(code, weights, self.panel);
        match self.scales {
            Some((start, bytes)) => panel(code, start, bytes),
            None => code.ops([I::I32Const(0)]),
        }
        code.get(self.scratch);
        code.get(self.blocks);
        code.get(self.per);
        code.op(I::Call(self.function));
        code.end();
    }

    /// Pushes the address of a channel's first weight in the scratch area.
    pub(super) fn push_column(&self, code: &mut Code, channel: Local) {
        code.get(self.scratch);
        code.get(channel);
        code.ops([I::I32Const(15), I::I32And, I::I32Const(2), I::I32Shl, I::I32Add]);
    }
}

/// `(source, scales, target, blocks, per)`: widens `blocks` times `per` steps of sixteen channels.
fn function(library: &mut Library, stored: Stored) -> u32 {
    let (mut code, params) = Code::with_params(&[ValType::I32; 5]);
    let [source, scales, target, blocks, per] = params[..] else { unreachable!("five parameters were asked for") };
    let code = &mut code;
    code.begin_loop();
    let factors: Vec<Local> = match stored {
        Stored::Whole(_) => (0..4)
            .map(|quad| {
                code.get(scales);
                code.op(I::V128Load(at(quad * 16)));
                code.take(ValType::V128)
            })
            .collect(),
        _ => Vec::new(),
    };
    code.get(per);
    let left = code.take(ValType::I32);
    code.begin_loop();
    match stored {
        Stored::Half | Stored::Brain => halves(code, source, target, stored == Stored::Half),
        Stored::Whole(Scales { bits: 4, .. }) => nibbles(code, source, target, &factors),
        Stored::Whole(_) => bytes(code, source, target, &factors),
    }
    code.add_const(source, step(stored) as i32);
    code.add_const(target, STEP as i32);
    end_count(code, left);
    code.add_const(scales, STEP as i32);
    end_count(code, blocks);
    library.functions.intern(code, &[])
}

/// Sixteen channels of two bytes each.
fn halves(code: &mut Code, source: Local, target: Local, binary16: bool) {
    for eight in 0..2 {
        code.get(source);
        code.op(I::V128Load(at(eight * 16)));
        let raw = code.take(ValType::V128);
        for four in 0..2 {
            code.get(target);
            code.get(raw);
            code.op(if four == 0 { I::I32x4ExtendLowI16x8U } else { I::I32x4ExtendHighI16x8U });
            if binary16 {
                let half = code.take(ValType::V128);
                // Powers of two but for subnormals, so nothing is rounded.
                code.get(half);
                code.splat_bits(0x7fff);
                code.ops([I::V128And, I::I32Const(13), I::I32x4Shl]);
                code.splat_bits(EXPONENTS.to_bits());
                code.op(I::F32x4Mul);
                code.get(half);
                code.splat_bits(0x8000);
                code.ops([I::V128And, I::I32Const(16), I::I32x4Shl, I::V128Or]);
            } else {
                code.ops([I::I32Const(16), I::I32x4Shl]);
            }
            code.op(I::V128Store(at(eight * 32 + four * 16)));
        }
    }
}

/// Sixteen channels of a byte each.
fn bytes(code: &mut Code, source: Local, target: Local, factors: &[Local]) {
    code.get(source);
    code.op(I::V128Load(at(0)));
    let raw = code.take(ValType::V128);
    for eight in [I::I16x8ExtendLowI8x16S, I::I16x8ExtendHighI8x16S].into_iter().enumerate() {
        code.get(raw);
        code.op(eight.1);
        scaled(code, target, eight.0, factors);
    }
}

/// Sixteen channels of half a byte each.
fn nibbles(code: &mut Code, source: Local, target: Local, factors: &[Local]) {
    code.get(source);
    code.op(I::V128Load64Zero(at(0)));
    let raw = code.take(ValType::V128);
    for high in [false, true] {
        code.get(raw);
        if !high {
            code.ops([I::I32Const(4), I::I8x16Shl]);
        }
        code.ops([I::I32Const(4), I::I8x16ShrS, I::I16x8ExtendLowI8x16S]);
        scaled(code, target, usize::from(high), factors);
    }
}

/// The popped numbers of 16 bits, those of the first or last eight channels, times their factors.
fn scaled(code: &mut Code, target: Local, eight: usize, factors: &[Local]) {
    let numbers = code.take(ValType::V128);
    for four in 0..2 {
        code.get(target);
        code.get(numbers);
        code.op(if four == 0 { I::I32x4ExtendLowI16x8S } else { I::I32x4ExtendHighI16x8S });
        code.op(I::F32x4ConvertI32x4S);
        code.get(factors[2 * eight + four]);
        code.ops([I::F32x4Mul, I::V128Store(at((eight * 32 + four * 16) as u64))]);
    }
}
