//! Attention and kernels over rows against the evaluator, on every instruction set of this machine, with one thread and with several.

mod support;

use mlp_bundle::loops::{
    Access, AccessDim, Affine, Attention, BinaryOp, Body, Bounds, Expr, ExprId, Exprs, Fold, Mask, Reduction, Rows, Store, Strided, UnaryOp,
};
use mlp_bundle::{DType, Scalar};
use support::{Builder, Noise, binary, dense, float, load};

/// Sizes of an attention over one packed `[batch, rows, 3 * heads * depth]` product where `depth == width` and `rows == keys`.
fn packed(batch: u32, heads: u32, rows: u32, depth: u32, masked: Option<[u64; 4]>, guarded: bool) {
    let mut builder = Builder::new();
    let mut noise = Noise(u64::from(rows * 31 + depth));
    let pixel = 3 * heads * depth;
    let qkv = noise.floats((batch * rows * pixel) as usize);
    let qkv = builder.input(DType::F32, qkv);
    let out = builder.output(DType::F32, (batch * rows * heads * depth) as usize);
    let strided = |buffer, part: u32, pixel: u32| Strided {
        buffer,
        offset: u64::from(part * heads * depth),
        batch: u64::from(rows * pixel),
        head: u64::from(depth),
        row: u64::from(pixel),
    };
    let mask = masked.map(|[image, head, row, key]| {
        let last = u64::from(batch - 1) * image + u64::from(heads - 1) * head + u64::from(rows - 1) * (row + key);
        // Every third element forbids a key; the first row of a mask by rows forbids all.
        let value = |i: u64| if i % 3 == 1 || (row > 0 && i < u64::from(rows)) { f32::NEG_INFINITY } else { i as f32 * 0.01 };
        let bytes = (0..=last).flat_map(|i| value(i).to_le_bytes()).collect();
        Mask { buffer: builder.input(DType::F32, bytes), offset: 0, batch: image, head, row, key }
    });
    builder.kernel(Body::Attention(Attention {
        batch,
        heads,
        rows,
        keys: rows,
        depth,
        width: depth,
        scale: (1.0 / (depth as f32).sqrt()).to_bits(),
        guarded,
        query: strided(qkv, 0, pixel),
        key: strided(qkv, 1, pixel),
        value: strided(qkv, 2, pixel),
        mask,
        out: strided(out, 0, heads * depth),
    }));
    builder.check(2e-5);
}

#[test]
fn attention_over_a_packed_product() {
    for (batch, heads, rows, depth) in [(1, 1, 1, 1), (1, 2, 3, 4), (2, 3, 17, 5), (1, 4, 33, 32), (1, 1, 130, 24), (1, 12, 40, 16)] {
        packed(batch, heads, rows, depth, None, false);
    }
}

#[test]
fn masks_of_any_strides_and_rows_without_a_key() {
    for rows in [5_u64, 16, 37] {
        for guarded in [false, true] {
            packed(2, 2, rows as u32, 8, Some([0, 0, 0, 1]), guarded);
            packed(2, 2, rows as u32, 8, Some([0, 0, rows, 1]), guarded);
            packed(2, 2, rows as u32, 8, Some([2 * rows * rows, rows * rows, 1, rows]), guarded);
            packed(2, 2, rows as u32, 8, Some([1, 2, 3, 0]), guarded);
        }
    }
}

#[test]
fn attention_of_few_queries_over_many_keys() {
    let mut builder = Builder::new();
    let mut noise = Noise(9);
    let (rows, keys, depth, width) = (3, 5000, 7, 19);
    let query = noise.floats(rows * depth);
    let key = noise.floats(keys * depth);
    let value = noise.floats(keys * width);
    let [query, key, value] = [query, key, value].map(|bytes| builder.input(DType::F32, bytes));
    let out = builder.output(DType::F32, rows * (width + 2));
    let strided = |buffer, row: usize| Strided { buffer, offset: 0, batch: 0, head: 0, row: row as u64 };
    builder.kernel(Body::Attention(Attention {
        batch: 1,
        heads: 1,
        rows: rows as u32,
        keys: keys as u32,
        depth: depth as u32,
        width: width as u32,
        scale: 2.0_f32.to_bits(),
        guarded: false,
        query: strided(query, depth),
        key: strided(key, depth),
        value: strided(value, width),
        mask: None,
        out: strided(out, width + 2),
    }));
    builder.check(2e-5);
}

fn unary(exprs: &mut Exprs, op: UnaryOp, x: ExprId) -> ExprId {
    exprs.push(Expr::Unary(op, x))
}

/// Softmax and layer normalization of `[parallel.., length]`, the second in place.
fn check_rows(parallel: &[u32], length: u32) {
    let mut builder = Builder::new();
    let mut noise = Noise(u64::from(length));
    let sizes: Vec<u32> = parallel.iter().copied().chain([length]).collect();
    let count = sizes.iter().product::<u32>() as usize;
    let x = noise.floats(count);
    let x = builder.input(DType::F32, x);
    let soft = builder.output(DType::F32, count);
    let norm = builder.output(DType::F32, count);
    let scale = noise.floats(length as usize);
    let scale = builder.constant(DType::F32, scale);

    let mut exprs = Exprs::new();
    let value = load(&mut exprs, dense(x, &sizes));
    let most = exprs.push(Expr::Total(0));
    let shifted = binary(&mut exprs, BinaryOp::Sub, value, most);
    let power = unary(&mut exprs, UnaryOp::Exp, shifted);
    let sum = exprs.push(Expr::Total(1));
    let share = binary(&mut exprs, BinaryOp::Div, power, sum);
    let reductions = vec![Reduction { fold: Fold::Max, value }, Reduction { fold: Fold::Sum, value: power }];
    let stores = [soft, norm].map(|out| Store { access: dense(out, &sizes), value: share }).to_vec();
    builder.kernel(Body::Rows(Rows { parallel: parallel.to_vec(), length, exprs, reductions, stores }));

    let mut exprs = Exprs::new();
    let value = load(&mut exprs, dense(norm, &sizes));
    let sum = exprs.push(Expr::Total(0));
    let part = float(&mut exprs, 1.0 / length as f32);
    let mean = binary(&mut exprs, BinaryOp::Mul, sum, part);
    let apart = binary(&mut exprs, BinaryOp::Sub, value, mean);
    let square = binary(&mut exprs, BinaryOp::Mul, apart, apart);
    let squares = exprs.push(Expr::Total(1));
    let variance = binary(&mut exprs, BinaryOp::Mul, squares, part);
    let epsilon = float(&mut exprs, 1e-3);
    let variance = binary(&mut exprs, BinaryOp::Add, variance, epsilon);
    let deviation = unary(&mut exprs, UnaryOp::Sqrt, variance);
    let scaled = binary(&mut exprs, BinaryOp::Div, apart, deviation);
    let axis = parallel.len() as u8;
    let dims = vec![AccessDim { index: Affine::axis(axis), extent: length, stride: 1 }];
    let factor = load(&mut exprs, Access { buffer: scale, offset: 0, dims, bounds: Bounds::Inside });
    let result = binary(&mut exprs, BinaryOp::Mul, scaled, factor);
    let reductions = vec![Reduction { fold: Fold::Sum, value }, Reduction { fold: Fold::Sum, value: square }];
    let stores = vec![Store { access: dense(norm, &sizes), value: result }];
    builder.kernel(Body::Rows(Rows { parallel: parallel.to_vec(), length, exprs, reductions, stores }));
    builder.check(1e-5);
}

#[test]
fn softmax_and_layer_normalization_of_rows() {
    for length in [1, 3, 4, 7, 16, 23, 64, 129] {
        check_rows(&[5], length);
    }
    check_rows(&[], 40);
    check_rows(&[2, 3, 4], 21);
    check_rows(&[300, 2], 64);
}

#[test]
fn rows_of_bytes_and_of_doubles() {
    // Doubles do not fit four lanes: such rows are walked one element at a time.
    for dtype in [DType::U8, DType::F64] {
        let mut builder = Builder::new();
        let mut noise = Noise(4);
        let bytes = if dtype == DType::U8 {
            noise.bytes(4 * 19)
        } else {
            (0..4 * 19).flat_map(|i| (f64::from(i) * 0.5 - 9.0).to_le_bytes()).collect()
        };
        let x = builder.input(dtype, bytes);
        let out = builder.output(DType::F32, 4 * 19);
        let mut exprs = Exprs::new();
        let value = load(&mut exprs, dense(x, &[4, 19]));
        let value = exprs.push(Expr::Cast(DType::F32, value));
        let (low, high) = (exprs.push(Expr::Total(0)), exprs.push(Expr::Total(1)));
        let span = binary(&mut exprs, BinaryOp::Sub, high, low);
        let above = binary(&mut exprs, BinaryOp::Sub, value, low);
        let share = binary(&mut exprs, BinaryOp::Div, above, span);
        let reductions = vec![Reduction { fold: Fold::Min, value }, Reduction { fold: Fold::Max, value }];
        let stores = vec![Store { access: dense(out, &[4, 19]), value: share }];
        builder.kernel(Body::Rows(Rows { parallel: vec![4], length: 19, exprs, reductions, stores }));
        builder.check(1e-6);
    }
}

#[test]
fn the_error_function_in_lanes() {
    let mut builder = Builder::new();
    let count = 4003_u32;
    let x = (0..count).flat_map(|i| ((i as f32 - 2000.0) * 0.003).to_le_bytes()).collect();
    let x = builder.input(DType::F32, x);
    let out = builder.output(DType::F32, count as usize);
    builder.map(&[count], out, |exprs| {
        let x = load(exprs, dense(x, &[count]));
        let nan = exprs.push(Expr::Const(Scalar::f32(f32::NAN)));
        let big = exprs.push(Expr::Compare(mlp_bundle::loops::CompareOp::Eq, x, x));
        let x = exprs.push(Expr::Select(big, x, nan));
        exprs.push(Expr::Unary(UnaryOp::Erf, x))
    });
    builder.check(6e-7);
}
