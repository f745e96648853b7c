//! Sums that differ only by where they read, side by side in one vector.
//!
//! Resampling a photo sums each of its channels over the same rectangle with the same weights: `acc_i + w * cast(load(at + i))`. Such accumulators become the lanes of
//! one, and their loads one load, in the order that they would have been summed in one by one.

use super::emit::{Emitter, LANES, Val};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value, types};
use mlp_bundle::DType;
use mlp_bundle::loops::{Access, BinaryOp, Bounds, Expr, ExprId, Exprs, Nest};

/// Accumulators that are packed.
pub(crate) struct Packed<'n> {
    /// The factor of every lane.
    weight: ExprId,
    /// The loads, adjacent bytes.
    loads: Vec<&'n Access>,
}

impl<'n> Packed<'n> {
    /// The form of a nest's accumulators, where they have it.
    pub(crate) fn of(nest: &'n Nest, kinds: &[DType]) -> Option<Packed<'n>> {
        if !(2..=LANES as usize).contains(&nest.accs.len()) || nest.accs.iter().any(|acc| acc.init.dtype() != DType::F32) {
            return None;
        }
        let terms = nest.accs.iter().enumerate().map(|(i, acc)| term(&nest.exprs, acc.next, i as u8));
        let terms: Vec<(ExprId, &Access)> = terms.collect::<Option<_>>()?;
        let (weight, first) = terms[0];
        let [dim] = &first.dims[..] else { return None };
        let bytes = kinds[first.buffer.as_u32() as usize] == DType::U8 && dim.stride == 1 && i64::from(dim.extent) > LANES;
        let adjacent = |(i, (other, access)): (usize, &(ExprId, &Access))| {
            let mut shifted = first.clone();
            shifted.dims[0].index.constant += i as i64;
            *other == weight && **access == shifted
        };
        let fits = bytes && first.bounds != Bounds::Inside && terms.iter().enumerate().all(adjacent);
        fits.then(|| Packed { weight, loads: terms.into_iter().map(|(_, access)| access).collect() })
    }

    /// Lanes in use.
    pub(crate) fn len(&self) -> usize {
        self.loads.len()
    }
}

/// Of `acc_i + w * cast(load)`: `w` and the load.
fn term(exprs: &Exprs, next: ExprId, acc: u8) -> Option<(ExprId, &Access)> {
    let Expr::Binary(BinaryOp::Add, sum, product) = exprs[next] else { return None };
    let Expr::Binary(BinaryOp::Mul, weight, value) = exprs[product] else { return None };
    let Expr::Cast(DType::F32, byte) = exprs[value] else { return None };
    let Expr::Load(access) = &exprs[byte] else { return None };
    (exprs[sum] == Expr::Acc(acc)).then_some((weight, access))
}

impl Emitter<'_, '_, '_> {
    /// The packed sum after a reduction point.
    pub(crate) fn packed_next(&mut self, packed: &Packed<'_>, sum: Value) -> Value {
        let weight = self.value(packed.weight);
        let weight = self.lanes(weight, DType::F32);
        let bytes = self.packed_load(packed);
        let values = self.b.ins().fcvt_from_sint(types::F32X4, bytes);
        let products = self.b.ins().fmul(weight, values);
        self.b.ins().fadd(sum, products)
    }

    /// The bytes as lanes: one load where all four lie inside, else one by one.
    fn packed_load(&mut self, packed: &Packed<'_>) -> Value {
        let first = packed.loads[0];
        let dim = &first.dims[0];
        let index = self.raw_index(dim, 0);
        let last = self.int(i64::from(dim.extent) - LANES);
        let (inside, outside, done) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let result = self.b.append_block_param(done, types::I32X4);
        // An index below 0 is a great one unsigned.
        let fits = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, index, last);
        self.b.ins().brif(fits, inside, &[], outside, &[]);
        self.b.switch_to_block(inside);
        self.b.seal_block(inside);
        let base = self.bases[first.buffer.as_u32() as usize];
        let address = self.b.ins().iadd(base, index);
        let address = self.b.ins().iadd_imm_s(address, first.offset as i64);
        let words = self.b.ins().uload8x8(super::access::fixed(), address, 0);
        let lanes = self.b.ins().uwiden_low(words);
        self.b.ins().jump(done, &[BlockArg::Value(lanes)]);
        self.b.switch_to_block(outside);
        self.b.seal_block(outside);
        let lanes = self.gather(DType::I32, |e, lane| match packed.loads.get(lane as usize) {
            Some(access) => match e.load(access, DType::I32) {
                Val::One(value) | Val::Lanes(value) => value,
            },
            None => e.b.ins().iconst(types::I32, 0),
        });
        self.b.ins().jump(done, &[BlockArg::Value(lanes)]);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        result
    }
}
