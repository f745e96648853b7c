//! The softmax of each row of a block of scores, in place, its last division left to the results.

use super::{Emitter, FACTOR, bytes, key_bytes};
use crate::wasm::code::{Code, Local, at};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Below, powers are taken for 0: what is left of them is less than any sum of a row can hold.
const LEAST: f32 = -86.0;

/// Added to a number of less than 2^22, it leaves the number's nearest integer in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;

impl Emitter<'_> {
    /// Every row of the block.
    pub(super) fn softmax(&mut self) {
        let attention = self.attention;
        let scores = self.part(self.parts.scores);
        let factors = self.part(self.parts.factors);
        let mask = attention.mask.zip(self.bases.mask).map(|(mask, base)| {
            let terms = [(self.batch, bytes(mask.batch)), (self.head, bytes(mask.head)), (self.row, bytes(mask.row))];
            self.push_address(base, &terms);
            self.code.take(ValType::I32)
        });
        let row = self.code.local_i32();
        self.count(row, self.rows, 1, |emitter| {
            let greatest = emitter.greatest(scores, mask);
            let sum = emitter.powers(scores, greatest);
            emitter.factor(factors, sum);
            emitter.code.add_const(scores, emitter.parts.score_row as i32);
            emitter.code.add_const(factors, FACTOR as i32);
            if let (Some(local), Some(mask)) = (mask, attention.mask) {
                emitter.code.add_const(local, bytes(mask.row));
            }
        });
    }

    /// Adds the mask to the scores, sets those past the last key to `-inf`, and leaves the greatest in all lanes of a variable. A NaN is passed over.
    fn greatest(&mut self, scores: Local, mask: Option<Local>) -> Local {
        let (keys, apart) = (self.attention.keys, self.attention.mask.as_ref().map_or(0, key_bytes));
        let rest = keys % 4;
        self.code.splat_bits(f32::NEG_INFINITY.to_bits());
        let greatest = self.code.take(ValType::V128);
        self.code.get(scores);
        let score = self.code.take(ValType::I32);
        let mask = mask.map(|mask| {
            self.code.get(mask);
            self.code.take(ValType::I32)
        });
        let key = self.code.local_i32();
        if keys >= 4 {
            self.count(key, keys - rest, 4, |emitter| {
                emitter.masked(score, mask, apart, 4, greatest);
                emitter.code.add_const(score, 16);
                if let Some(mask) = mask {
                    emitter.code.add_const(mask, apart.wrapping_mul(4) as i32);
                }
            });
        }
        if rest > 0 {
            self.masked(score, mask, apart, rest, greatest);
        }
        self.across(greatest, I::F32x4PMax);
        greatest
    }

    fn masked(&mut self, score: Local, mask: Option<Local>, apart: u32, lanes: u32, greatest: Local) {
        self.code.get(score);
        self.code.op(I::V128Load(at(0)));
        if let Some(mask) = mask {
            self.push_apart(mask, apart, lanes);
            self.code.op(I::F32x4Add);
        }
        if lanes < 4 {
            self.code.splat_bits(f32::NEG_INFINITY.to_bits());
            self.code.ops([I::V128Const(((1u128 << (32 * lanes)) - 1) as i128), I::V128Bitselect]);
        }
        let value = self.code.take(ValType::V128);
        if mask.is_some() || lanes < 4 {
            self.code.get(score);
            self.code.get(value);
            self.code.op(I::V128Store(at(0)));
        }
        self.code.get(greatest);
        self.code.get(value);
        self.code.op(I::F32x4PMax);
        self.code.set(greatest);
    }

    /// Powers of the scores less the greatest, in place, and their sum in all lanes of a variable. Two vectors a turn share their constants.
    fn powers(&mut self, scores: Local, greatest: Local) -> Local {
        self.code.splat_bits(0);
        let sum = self.code.take(ValType::V128);
        self.code.get(scores);
        let score = self.code.take(ValType::I32);
        let vectors = self.attention.keys.div_ceil(4);
        let vector = self.code.local_i32();
        if vectors >= 2 {
            self.count(vector, vectors - vectors % 2, 2, |emitter| {
                emitter.power(score, 0, greatest, sum);
                emitter.power(score, 16, greatest, sum);
                emitter.code.add_const(score, 32);
            });
        }
        if !vectors.is_multiple_of(2) {
            self.power(score, 0, greatest, sum);
        }
        self.across(sum, I::F32x4Add);
        sum
    }

    fn power(&mut self, score: Local, offset: u64, greatest: Local, sum: Local) {
        let code = &mut self.code;
        code.get(score);
        code.op(I::V128Load(at(offset)));
        code.get(greatest);
        code.op(I::F32x4Sub);
        exp_of_negative(code, self.relaxed);
        let power = code.take(ValType::V128);
        code.get(score);
        code.get(power);
        code.op(I::V128Store(at(offset)));
        code.get(sum);
        code.get(power);
        code.op(I::F32x4Add);
        code.set(sum);
    }

    /// Folds the lanes of a variable, the result in each of them.
    fn across(&mut self, variable: Local, fold: I<'static>) {
        for distance in [8, 4] {
            self.code.get(variable);
            self.code.get(variable);
            self.code.get(variable);
            self.code.op(I::I8x16Shuffle(std::array::from_fn(|byte| (byte as u8 + distance) % 16)));
            self.code.op(fold.clone());
            self.code.set(variable);
        }
    }

    /// What the row's results are multiplied by, and where they are guarded, which lanes are kept: all, or none where there is no sum.
    fn factor(&mut self, factors: Local, sum: Local) {
        let code = &mut self.code;
        code.get(factors);
        code.splat_bits(1f32.to_bits());
        code.get(sum);
        code.ops([I::F32x4Div, I::V128Store(at(0))]);
        if self.attention.guarded {
            code.get(factors);
            code.get(sum);
            code.get(sum);
            code.ops([I::F32x4Eq, I::V128Store(at(16))]);
        }
    }
}

/// Replaces the popped `x` of at most 0, or NaN, by `e^x = 2^n e^r` with `|r| <= ln(2)/2`; powers below [`LEAST`] are 0.
fn exp_of_negative(code: &mut Code, relaxed: bool) {
    let splat = |code: &mut Code, value: f32| code.splat_bits(value.to_bits());
    let add = |code: &mut Code, addend: f32| {
        if !relaxed {
            code.op(I::F32x4Mul);
        }
        splat(code, addend);
        code.op(if relaxed { I::F32x4RelaxedMadd } else { I::F32x4Add });
    };
    let x = code.take(ValType::V128);
    // A NaN counts as 0 here, so that it keeps its exponent below; in r it stays a NaN.
    splat(code, 0.0);
    code.get(x);
    code.op(I::F32x4PMin);
    splat(code, std::f32::consts::LOG2_E);
    add(code, ROUNDER);
    let rounded = code.take(ValType::V128);
    code.get(rounded);
    splat(code, ROUNDER);
    code.op(I::F32x4Sub);
    let n = code.take(ValType::V128);
    code.get(x);
    // ln 2 in two parts, the first short enough that its product with n is exact.
    for part in [0.693_359_4_f32, -2.121_944_4e-4] {
        if relaxed {
            let rest = code.take(ValType::V128);
            code.get(n);
            splat(code, part);
            code.get(rest);
            code.op(I::F32x4RelaxedNmadd);
        } else {
            code.get(n);
            splat(code, part);
            code.ops([I::F32x4Mul, I::F32x4Sub]);
        }
    }
    let r = code.take(ValType::V128);
    splat(code, 1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        code.get(r);
        add(code, coefficient);
    }
    code.get(rounded);
    code.ops([I::I32Const(23), I::I32x4Shl, I::I32x4Add]);
    code.get(x);
    splat(code, LEAST);
    code.ops([I::F32x4Lt, I::V128AndNot]);
}
