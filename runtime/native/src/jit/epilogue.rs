//! Epilogues of contractions as functions over a block of sums.

use super::emit::{Emitter, Sums};
use super::nest::{load_bases, stored};
use super::{Calls, fits_lanes, infer};
use cranelift_codegen::ir::{InstBuilder, types};
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
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let params = b.block_params(entry).to_vec();
    let bases = load_bases(b, params[0], kinds.len());
    let stored = stored(kinds.len(), epilogue.stores.iter().map(|store| store.access.buffer.as_u32()));
    let vector = kinds.iter().chain(&dtypes).all(|&dtype| fits_lanes(dtype));
    let zero = b.ins().iconst(types::I64, 0);
    let mut emitter = Emitter {
        b,
        calls,
        exprs: &epilogue.exprs,
        memo: vec![None; dtypes.len()],
        dtypes,
        kinds,
        stored,
        bases,
        symbols: params[1],
        axes: vec![zero; 2],
        extents: extents.to_vec(),
        vector: None,
        accs: Vec::new(),
        totals: Vec::new(),
        sums: None,
    };
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
