//! Epilogues of contractions as functions over a block of sums.

use super::emit::{Emitter, Sums};
use super::{Calls, fits_lanes, infer};
use cranelift_codegen::ir::InstBuilder;
use cranelift_frontend::FunctionBuilder;
use mlp_bundle::DType;
use mlp_bundle::loops::Epilogue;

/// Fills a function `(bases, symbols, sums, stride, m0, m1, c0, c1)`.
pub(crate) fn emit(
    b: &mut FunctionBuilder<'_>,
    calls: &mut Calls<'_>,
    epilogue: &Epilogue,
    total: DType,
    extents: [u32; 2],
    kinds: &[DType],
    symbols: usize,
) {
    let dtypes = infer(&epilogue.exprs, kinds, 2, &[], &[total], symbols);
    let vector = kinds.iter().chain(&dtypes).all(|&dtype| fits_lanes(dtype));
    let (mut emitter, params) = Emitter::enter(b, calls, &epilogue.exprs, dtypes, kinds, &epilogue.stores, extents.to_vec());
    let [sums, stride, m0, m1, c0, c1] = [params[2], params[3], params[4], params[5], params[6], params[7]];
    emitter.for_range(m0, m1, 1, |e, m| {
        e.axes[0] = m;
        let row = e.b.ins().isub(m, m0);
        let row = e.b.ins().imul(row, stride);
        let row = e.b.ins().isub(row, c0);
        let row = e.b.ins().imul_imm_s(row, 4);
        let row = e.b.ins().iadd(sums, row);
        let point = |e: &mut Emitter<'_, '_, '_>| {
            let offset = e.b.ins().imul_imm_s(e.axes[1], 4);
            let address = e.b.ins().iadd(row, offset);
            e.sums = Some(Sums { address });
            e.memo.fill(None);
            for store in &epilogue.stores {
                e.store(store);
            }
        };
        if vector {
            e.for_lanes(1, c0, c1, point);
        } else {
            e.for_range(c0, c1, 1, |e, c| {
                e.axes[1] = c;
                point(e);
            });
        }
    });
    emitter.b.ins().return_(&[]);
}
