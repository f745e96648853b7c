//! The usual end of eight-bit contractions, `clamp(requantize(sum + bias) + zero)`, in binary32 and yet exact.
//!
//! The exact quotient takes products of 64 bits. Nearly always binary32 rounds to the same integer: the quotient is clamped to a few hundred first, and
//! only where it then lies within [`MARGIN`] of the middle of two integers may it round differently. A tile with such a lane, less than one in a
//! hundred, is computed again with 64 bits.
//!
//! A sum with [`MAGIC`] has the fixed-point form of a small number in its low bits. With one half and [`MARGIN`] on top, its integer part is the rounded
//! number, and a fraction of less than twice the margin tells that it is not sure.

use super::Sums;
use super::epilogue::{Access, CHANNEL};
use crate::wasm::code::{Code, Local, at};
use crate::wasm::eval::Eval;
use crate::wasm::{memory, vector};
use mlp_bundle::loops::{self, BinaryOp, Expr, ExprId, Exprs};
use mlp_bundle::{DType, Scalar};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Fraction bits of the fixed-point form.
const FRACTION: u32 = 14;

/// 1.5 * 2^9, whose last bit is worth 2^-14: sums from 512 to 1024 have one exponent.
const MAGIC: f32 = 768.0;

/// What the fixed-point form may be off, in its last bits, and a little more: a quotient of at most 256 is off by three roundings of 2^-24 of it each, which
/// is 0.76, and its sum with [`MAGIC`] by one half.
const MARGIN: u32 = 2;

/// Quotients from here on might wrap when the zero point is added.
const FAR: f32 = 1_073_741_824.0;

/// The parts of such an epilogue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    bias: Option<ExprId>,
    multiplier: ExprId,
    shift: u8,
    zero: i32,
    low: i32,
    high: i32,
}

/// One of them, where the loads have their addresses and the constants their variables.
pub(crate) struct Requantize {
    dtype: DType,
    bias: Option<usize>,
    multiplier: usize,
    /// Whether a quotient can exceed 30 bits.
    wide: bool,
    zero: Local,
    low: Local,
    high: Local,
    shift: Local,
    vectors: Vectors,
    exact: u32,
}

/// Constants in all lanes, made once a call.
struct Vectors {
    scale: Local,
    low: Local,
    high: Local,
    magic: Local,
}

impl Pattern {
    /// Recognises the epilogue, as the planner writes it.
    pub(crate) fn of(epilogue: &loops::Epilogue) -> Option<Pattern> {
        let exprs = &epilogue.exprs;
        let [store] = &epilogue.stores[..] else { return None };
        let (id, high) = with_constant(exprs, store.value, BinaryOp::Min)?;
        let (id, low) = with_constant(exprs, id, BinaryOp::Max)?;
        let (id, zero) = with_constant(exprs, id, BinaryOp::Add).unwrap_or((id, 0));
        let Expr::Requantize { value, multiplier, shift } = exprs[id] else { return None };
        let bias = match exprs[value] {
            Expr::Total(0) => None,
            Expr::Binary(BinaryOp::Add, total, bias) if exprs[total] == Expr::Total(0) && is_load(exprs, bias) => Some(bias),
            _ => return None,
        };
        // So that quotients, the zero point taken off, stay within 256.
        let small = low <= high && low >= -128 && high <= 255 && high - zero <= 256 && low - zero >= -256;
        (small && is_load(exprs, multiplier)).then_some(Pattern { bias, multiplier, shift, zero, low, high })
    }

    /// Its code, if `accesses`, the loads first, suit it: loads go along channels alone, and the store holds what the clamp lets pass.
    pub(crate) fn prepare(&self, eval: &mut Eval<'_>, accesses: &[Access], loads: &[(ExprId, usize)]) -> Option<Requantize> {
        let [.., store] = accesses else { return None };
        let dtype = eval.dtype(store.address.buffer);
        let range = match dtype {
            DType::U8 => 0..=255,
            DType::I8 => -128..=127,
            _ => return None,
        };
        let find = |id: ExprId| {
            let access = loads.iter().find(|load| load.0 == id)?.1;
            let found = &accesses[access];
            let suits =
                found.address.distance(0) == 0 && found.address.distance(CHANNEL) == 1 && eval.dtype(found.address.buffer) == DType::I32;
            suits.then_some(access)
        };
        let bias = match self.bias {
            Some(id) => Some(find(id)?),
            None => None,
        };
        let multiplier = find(self.multiplier)?;
        if !range.contains(&self.low) || !range.contains(&self.high) {
            return None;
        }
        let exact = vector::requantize_function(eval.library);
        let code = &mut eval.code;
        let mut spread = |bits: u32| {
            let param = code.param(bits as i32);
            code.get(param);
            code.op(I::I32x4Splat);
            code.take(ValType::V128)
        };
        let vectors = Vectors {
            scale: spread((127 - u32::from(self.shift)) << 23),
            low: spread(((self.low - self.zero) as f32).to_bits()),
            high: spread(((self.high - self.zero) as f32).to_bits()),
            magic: spread(magic(self.zero).to_bits()),
        };
        let [zero, low, high, shift] = [self.zero, self.low, self.high, self.shift.into()].map(|value| code.param(value));
        Some(Requantize { dtype, bias, multiplier, wide: self.shift < 32, zero, low, high, shift, vectors, exact })
    }
}

/// What makes a quotient a fixed-point number: [`MAGIC`], the zero point, one half to round by, and the margin.
fn magic(zero: i32) -> f32 {
    MAGIC + zero as f32 + 0.5 + MARGIN as f32 / (1 << FRACTION) as f32
}

/// The first operand, and the constant that is the second.
fn with_constant(exprs: &Exprs, id: ExprId, op: BinaryOp) -> Option<(ExprId, i32)> {
    match exprs[id] {
        Expr::Binary(found, x, y) if found == op => match exprs[y] {
            Expr::Const(Scalar::I32(value)) => Some((x, value)),
            _ => None,
        },
        _ => None,
    }
}

fn is_load(exprs: &Exprs, id: ExprId) -> bool {
    matches!(exprs[id], Expr::Load(_))
}

impl Requantize {
    /// What sums start with: the bias of each vector of channels from `channel` on.
    pub(crate) fn start(&self, code: &mut Code, accesses: &[Access], channel: Local, vectors: usize) -> Option<Vec<Local>> {
        let bias = &accesses[self.bias?];
        code.get(bias.base);
        code.get(channel);
        code.ops([I::I32Const(2), I::I32Shl, I::I32Add]);
        let address = code.take(ValType::I32);
        let load = |vector: usize| {
            code.get(address);
            code.op(I::V128Load(at(16 * vector as u64)));
            code.take(ValType::V128)
        };
        Some((0..vectors).map(load).collect())
    }

    /// Ends a tile whose addresses are in the accesses' `tile` variables; the last vector has `lanes` channels. It stands in a loop that computes the
    /// sums: a tile that needs 64 bits is computed once more, so that its sums need not be kept meanwhile.
    pub(crate) fn tile(&self, code: &mut Code, accesses: &[Access], sums: &Sums, lanes: u8) {
        let exactly = code.local_i32();
        code.get(exactly);
        code.begin_if();
        self.exact_tile(code, accesses, sums, lanes);
        code.i32(0);
        code.set(exactly);
        code.op(I::Else);
        let least = self.quick_tile(code, accesses, sums, lanes);
        code.get(least);
        code.splat_bits(2 * MARGIN);
        code.ops([I::I32x4LtS, I::V128AnyTrue]);
        code.tee(exactly);
        code.ops([I::BrIf(1), I::End]);
    }

    /// The tile in binary32; the least fraction, by lane.
    fn quick_tile(&self, code: &mut Code, accesses: &[Access], sums: &Sums, lanes: u8) -> Local {
        let count = sums.first().map_or(0, Vec::len);
        let scales: Vec<Local> = (0..count)
            .map(|vector| {
                code.get(accesses[self.multiplier].tile);
                code.ops([I::V128Load(at(16 * vector as u64)), I::F32x4ConvertI32x4S]);
                code.get(self.vectors.scale);
                code.op(I::F32x4Mul);
                code.take(ValType::V128)
            })
            .collect();
        let least = code.local_v128();
        code.splat_bits(i32::MAX as u32);
        code.set(least);
        let pointer = Pointer::new(code, &accesses[accesses.len() - 1]);
        // Vectors that are packed and stored together.
        let at_once = if count == 1 { 4 } else { 1 };
        for rows in sums.chunks(at_once) {
            let integers: Vec<Vec<Local>> = rows
                .iter()
                .map(|row| row.iter().zip(&scales).map(|(&sum, &scale)| self.quotient(code, sum, scale, least)).collect())
                .collect();
            self.store(code, &pointer, &integers, lanes);
        }
        least
    }

    /// The clamped quotient of a vector of sums, with the zero point; keeps the least fraction in `least`.
    fn quotient(&self, code: &mut Code, sum: Local, scale: Local, least: Local) -> Local {
        let Vectors { low, high, magic, .. } = self.vectors;
        code.get(sum);
        code.op(I::F32x4ConvertI32x4S);
        code.get(scale);
        code.op(I::F32x4Mul);
        if self.wide {
            let quotient = code.take(ValType::V128);
            code.get(least);
            code.get(quotient);
            code.op(I::F32x4Abs);
            code.splat_bits(FAR.to_bits());
            code.ops([I::F32x4Lt, I::V128And]);
            code.set(least);
            code.get(quotient);
        }
        code.get(low);
        code.op(I::F32x4PMax);
        code.get(high);
        code.op(I::F32x4PMin);
        code.get(magic);
        code.op(I::F32x4Add);
        let fixed = code.take(ValType::V128);
        code.get(least);
        code.get(fixed);
        code.splat_bits((1 << FRACTION) - 1);
        code.ops([I::V128And, I::I32x4MinS]);
        code.set(least);
        code.get(fixed);
        code.splat_bits(MAGIC.to_bits());
        code.ops([I::I32x4Sub, I::I32Const(FRACTION as i32), I::I32x4ShrS]);
        code.take(ValType::V128)
    }

    /// Stores up to four vectors: of successive channels where there are several a row, else of successive pixels.
    fn store(&self, code: &mut Code, pointer: &Pointer, rows: &[Vec<Local>], lanes: u8) {
        let vectors: Vec<Local> = rows.iter().flatten().copied().collect();
        let by_pixel = rows[0].len() == 1;
        for (n, vectors) in vectors.chunks(4).enumerate() {
            let pair = |code: &mut Code, at: usize| {
                let last = vectors.len() - 1;
                code.get(vectors[at.min(last)]);
                code.get(vectors[(at + 1).min(last)]);
                code.op(I::I16x8NarrowI32x4S);
            };
            pair(code, 0);
            if vectors.len() > 2 {
                pair(code, 2);
            } else {
                let low = code.take(ValType::V128);
                code.get(low);
                code.get(low);
            }
            code.op(if self.dtype == DType::U8 { I::I8x16NarrowI16x8U } else { I::I8x16NarrowI16x8S });
            let bytes = code.take(ValType::V128);
            if by_pixel {
                for lane in 0..vectors.len() as u8 {
                    pointer.store(code, bytes, lane, lanes.into(), 0);
                    pointer.next(code);
                }
            } else {
                let full = 4 * (vectors.len() as u64 - 1) + if 4 * n + vectors.len() == rows[0].len() { u64::from(lanes) } else { 4 };
                pointer.store(code, bytes, 0, full, 16 * n as u64);
            }
        }
        if !by_pixel {
            pointer.next(code);
        }
    }

    /// The whole tile with 64 bits.
    fn exact_tile(&self, code: &mut Code, accesses: &[Access], sums: &Sums, lanes: u8) {
        let count = sums.first().map_or(0, Vec::len);
        let pointer = Pointer::new(code, &accesses[accesses.len() - 1]);
        for row in sums {
            for (n, &sum) in row.iter().enumerate() {
                code.get(sum);
                code.get(accesses[self.multiplier].tile);
                code.op(I::V128Load(at(16 * n as u64)));
                code.get(self.shift);
                code.op(I::Call(self.exact));
                for (constant, op) in [(self.zero, I::I32x4Add), (self.low, I::I32x4MaxS), (self.high, I::I32x4MinS)] {
                    code.get(constant);
                    code.ops([I::I32x4Splat, op]);
                }
                let value = code.take(ValType::V128);
                memory::store_lanes(code, self.dtype, pointer.address, value, 4 * n as u64, if n + 1 == count { lanes } else { 4 });
            }
            pointer.next(code);
        }
    }
}

/// Where a row of a tile is stored.
struct Pointer {
    address: Local,
    pixel: Option<Local>,
}

impl Pointer {
    fn new(code: &mut Code, store: &Access) -> Pointer {
        code.get(store.tile);
        Pointer { address: code.take(ValType::I32), pixel: store.pixel }
    }

    fn next(&self, code: &mut Code) {
        if let Some(pixel) = self.pixel {
            code.add_local(self.address, pixel);
        }
    }

    /// Stores `count` of the bytes from four times `quad` on.
    fn store(&self, code: &mut Code, bytes: Local, quad: u8, count: u64, offset: u64) {
        let mut done = 0;
        while done < count {
            let from = u64::from(quad) * 4 + done;
            let memarg = at(offset + done);
            let (size, store) = match count - done {
                16.. if from == 0 => (16, I::V128Store(memarg)),
                8.. if from.is_multiple_of(8) => (8, I::V128Store64Lane { memarg, lane: (from / 8) as u8 }),
                4.. => (4, I::V128Store32Lane { memarg, lane: (from / 4) as u8 }),
                _ => (1, I::V128Store8Lane { memarg, lane: from as u8 }),
            };
            code.get(self.address);
            code.get(bytes);
            code.op(store);
            done += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FAR, FRACTION, MAGIC, MARGIN, magic};
    use mlp_bundle::loops::scalar;

    /// The same steps in Rust; `None` where 64 bits have to decide.
    fn quick(value: i32, multiplier: i32, shift: u8, zero: i32, low: i32, high: i32) -> Option<i32> {
        let scale = multiplier as f32 * f32::from_bits((127 - u32::from(shift)) << 23);
        let quotient = value as f32 * scale;
        if shift < 32 && quotient.abs() >= FAR {
            return None;
        }
        let quotient = quotient.max((low - zero) as f32).min((high - zero) as f32);
        let fixed = (quotient + magic(zero)).to_bits();
        let sure = fixed & ((1 << FRACTION) - 1) >= 2 * MARGIN;
        sure.then_some((fixed as i32 - MAGIC.to_bits() as i32) >> FRACTION)
    }

    #[test]
    fn quotients_that_are_sure_are_right() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (mut sure, count) = (0, 400_000);
        for n in 0..count {
            let shift = 1 + (next() % 62) as u8;
            let multiplier = if n % 3 == 0 { next() as i32 } else { (1 << 30) + (next() >> 34) as i32 };
            // Half of the values are near the middle of two results.
            let target = (next() % 700) as f64 - 350.0 + if n % 2 == 0 { 0.5 } else { 0.0 };
            let value = (target * 2f64.powi(shift.into()) / f64::from(multiplier)).clamp(-2147483648.0, 2147483647.0) as i32;
            let value = value.wrapping_add((next() % 5) as i32 - 2);
            let (zero, low, high) = if n % 5 < 3 { (0, 0, 255) } else { ((next() % 256) as i32 - 128, -128, 127) };
            if let Some(result) = quick(value, multiplier, shift, zero, low, high) {
                sure += 1;
                let exact = scalar::requantize(value, multiplier, shift).wrapping_add(zero).max(low).min(high);
                assert_eq!(result, exact, "{value} * {multiplier} >> {shift}, zero {zero}, {low} to {high}");
            }
        }
        assert!(sure > count / 4, "only {sure} of {count} were sure");
    }
}
