//! Loop nests against the evaluator: every operator and element type, every kind of access, reductions.

mod support;

use mlp_bundle::loops::{
    Access, AccessDim, Accumulator, Affine, BinaryOp, Body, Bounds, CompareOp, Expr, ExprId, Exprs, Extent, Nest, Store, UnaryOp,
};
use mlp_bundle::{DType, Scalar};
use support::{Builder, Noise, binary, dense, float, int, load};

/// More than four times the lanes, and a rest.
const COUNT: u32 = 23;

const COMPUTE: [DType; 7] = [DType::Bool, DType::I32, DType::U32, DType::I64, DType::U64, DType::F32, DType::F64];

/// One output of `result` for each expression that `make` pushes over loads of two inputs of `dtype`.
fn check_operators<T: Copy>(
    dtype: DType,
    operators: &[T],
    result: impl Fn(T) -> DType,
    make: impl Fn(&mut Exprs, T, ExprId, ExprId) -> ExprId,
) {
    let mut builder = Builder::new();
    let mut noise = Noise(3);
    let x = noise.elements(dtype, COUNT as usize);
    let y = noise.elements(dtype, COUNT as usize);
    let (x, y) = (builder.input(dtype, x), builder.input(dtype, y));
    for &op in operators {
        let out = builder.output(result(op), COUNT as usize);
        builder.map(&[COUNT], out, |exprs| {
            let (x, y) = (load(exprs, dense(x, &[COUNT])), load(exprs, dense(y, &[COUNT])));
            make(exprs, op, x, y)
        });
    }
    builder.check(2e-6);
}

#[test]
fn unary_operators() {
    let all = [
        UnaryOp::Sqrt,
        UnaryOp::RoundEven,
        UnaryOp::Floor,
        UnaryOp::Ceil,
        UnaryOp::Trunc,
        UnaryOp::Exp,
        UnaryOp::Log,
        UnaryOp::Tanh,
        UnaryOp::Erf,
        UnaryOp::Sin,
        UnaryOp::Cos,
        UnaryOp::Neg,
        UnaryOp::Abs,
    ];
    for dtype in COMPUTE {
        let fitting: &[UnaryOp] = match dtype {
            DType::Bool => &[UnaryOp::Not],
            _ if dtype.is_float() => &all,
            _ => &[UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Not],
        };
        check_operators(dtype, fitting, |_| dtype, |exprs, op, x, _| exprs.push(Expr::Unary(op, x)));
    }
}

#[test]
fn binary_operators() {
    use BinaryOp::{Add, And, Div, Max, Min, Mul, Or, Pow, Rem, Shl, Shr, Sub, Xor};
    for dtype in COMPUTE {
        let fitting: &[BinaryOp] = match dtype {
            DType::Bool => &[Add, Mul, And, Or, Xor],
            _ if dtype.is_float() => &[Add, Sub, Mul, Div, Rem, Min, Max, Pow],
            _ => &[Add, Sub, Mul, Div, Rem, Min, Max, And, Or, Xor, Shl, Shr],
        };
        check_operators(dtype, fitting, |_| dtype, binary);
    }
}

#[test]
fn shifts_by_one_count_for_all() {
    for dtype in [DType::I32, DType::U32, DType::I64] {
        check_operators(
            dtype,
            &[BinaryOp::Shl, BinaryOp::Shr],
            |_| dtype,
            |exprs, op, x, _| {
                let count = match dtype {
                    DType::I32 => Scalar::I32(35),
                    DType::U32 => Scalar::U32(3),
                    _ => Scalar::I64(66),
                };
                let count = exprs.push(Expr::Const(count));
                binary(exprs, op, x, count)
            },
        );
    }
}

#[test]
fn comparisons_and_selections() {
    use CompareOp::{Eq, Le, Lt, Ne};
    for dtype in COMPUTE {
        check_operators(dtype, &[Eq, Ne, Lt, Le], |_| DType::Bool, |exprs, op, x, y| exprs.push(Expr::Compare(op, x, y)));
        check_operators(
            dtype,
            &[Eq, Ne, Lt, Le],
            |_| dtype,
            |exprs, op, x, y| {
                let condition = exprs.push(Expr::Compare(op, x, y));
                exprs.push(Expr::Select(condition, x, y))
            },
        );
    }
}

#[test]
fn casts() {
    for dtype in COMPUTE {
        check_operators(dtype, &COMPUTE, |to| to, |exprs, to, x, _| exprs.push(Expr::Cast(to, x)));
        let same: Vec<DType> =
            COMPUTE.into_iter().filter(|to| dtype != DType::Bool && *to != DType::Bool && to.size() == dtype.size()).collect();
        check_operators(dtype, &same, |to| to, |exprs, to, x, _| exprs.push(Expr::Bitcast(to, x)));
    }
}

#[test]
fn requantization() {
    check_operators(
        DType::I32,
        &[1, 2, 17, 31, 32, 38, 62],
        |_| DType::I32,
        |exprs, shift, x, y| exprs.push(Expr::Requantize { value: x, multiplier: y, shift }),
    );
}

#[test]
fn storage_types() {
    for dtype in DType::ALL {
        let mut builder = Builder::new();
        let bytes = Noise(5).elements(dtype, COUNT as usize);
        let x = builder.input(dtype, bytes);
        let (same, wide) = (builder.output(dtype, COUNT as usize), builder.output(dtype.compute(), COUNT as usize));
        for out in [same, wide] {
            builder.map(&[COUNT], out, |exprs| load(exprs, dense(x, &[COUNT])));
        }
        builder.check(0.0);
    }
}

#[test]
fn narrow_stores_keep_the_low_bits() {
    let mut builder = Builder::new();
    let bytes = Noise(6).elements(DType::I32, COUNT as usize);
    let x = builder.input(DType::I32, bytes);
    for dtype in [DType::U8, DType::I8, DType::U16, DType::I16] {
        let out = builder.output(dtype, COUNT as usize);
        builder.map(&[COUNT], out, |exprs| load(exprs, dense(x, &[COUNT])));
    }
    builder.check(0.0);
}

#[test]
fn axes_and_constants_as_values() {
    let mut builder = Builder::new();
    let out = builder.output(DType::I32, 5 * 9);
    let flags = builder.output(DType::Bool, 9);
    let symbol = builder.symbol(4, 10);
    builder.map(&[5, 9], out, |exprs| {
        let (row, column) = (exprs.push(Expr::Axis(0)), exprs.push(Expr::Axis(1)));
        let ten = int(exprs, 10);
        let tens = binary(exprs, BinaryOp::Mul, row, ten);
        let sum = binary(exprs, BinaryOp::Add, tens, column);
        let symbol = exprs.push(Expr::Symbol(symbol));
        binary(exprs, BinaryOp::Sub, sum, symbol)
    });
    builder.map(&[9], flags, |exprs| exprs.push(Expr::Const(Scalar::Bool(true))));
    builder.check(0.0);
}

fn dim(terms: &[(u8, i64)], constant: i64, dynamic: Option<ExprId>, extent: u32, stride: u64) -> AccessDim {
    AccessDim { index: Affine { constant, terms: terms.to_vec(), dynamic }, extent, stride }
}

#[test]
fn transposed_strided_and_shifted_accesses() {
    let mut builder = Builder::new();
    let bytes = Noise(8).floats(6 * 7 * 5);
    let x = builder.input(DType::F32, bytes);
    let out = builder.output(DType::F32, 5 * 6 * 7);
    builder.map(&[5, 6, 7], out, |exprs| {
        let dims = vec![dim(&[(1, 1)], 0, None, 6, 35), dim(&[(2, 1)], 0, None, 7, 5), dim(&[(0, 1)], 0, None, 5, 1)];
        load(exprs, Access { buffer: x, offset: 0, dims, bounds: Bounds::Inside })
    });
    // Backwards, every second element, from an offset.
    let back = builder.output(DType::F32, 20);
    builder.map(&[20], back, |exprs| {
        let dims = vec![dim(&[(0, -2)], 40, None, 41, 1)];
        load(exprs, Access { buffer: x, offset: 13, dims, bounds: Bounds::Inside })
    });
    builder.check(0.0);
}

#[test]
fn accesses_that_leave_their_extent() {
    for (bounds, seed) in [(Bounds::Clamp, 1), (Bounds::Else(Scalar::f32(-7.5)), 2)] {
        let mut builder = Builder::new();
        let bytes = Noise(seed).floats(6 * 9);
        let x = builder.input(DType::F32, bytes);
        // Along both axes, along the outer only, and along the inner only.
        for (outer, inner) in [(-2, -3), (-1, 0), (0, -4)] {
            let out = builder.output(DType::F32, 9 * 14);
            let columns = if inner == 0 { 9 } else { 14 };
            builder.map(&[9, columns], out, |exprs| {
                let dims = vec![dim(&[(0, 1)], outer, None, 6, 9), dim(&[(1, 1)], inner, None, 9, 1)];
                load(exprs, Access { buffer: x, offset: 0, dims, bounds })
            });
        }
        builder.check(0.0);
    }
}

#[test]
fn indices_computed_at_run_time() {
    for bounds in [Bounds::Clamp, Bounds::Else(Scalar::f32(0.25))] {
        let mut builder = Builder::new();
        let mut noise = Noise(9);
        let table = builder.input(DType::F32, noise.floats(12 * 6));
        let rows =
            builder.input(DType::I32, [3, -4, 11, 12, 0, i32::MIN, i32::MAX, 7, 5].iter().flat_map(|i: &i32| i.to_le_bytes()).collect());
        // One row an outer iteration: lanes side by side. One element each: lanes anywhere.
        let (by_row, by_element) = (builder.output(DType::F32, 9 * 6), builder.output(DType::F32, 9));
        builder.map(&[9, 6], by_row, |exprs| {
            let index = load(exprs, Access { dims: vec![dim(&[(0, 1)], 0, None, 9, 1)], ..dense(rows, &[]) });
            let dims = vec![dim(&[], 0, Some(index), 12, 6), dim(&[(1, 1)], 0, None, 6, 1)];
            load(exprs, Access { buffer: table, offset: 0, dims, bounds })
        });
        builder.map(&[9], by_element, |exprs| {
            let index = load(exprs, dense(rows, &[9]));
            let dims = vec![dim(&[(0, 1)], -2, Some(index), 12, 6)];
            load(exprs, Access { buffer: table, offset: 4, dims, bounds })
        });
        // Nothing but the index, of a row and of a column: all lanes are clamped at once.
        let alone = builder.output(DType::F32, 9);
        builder.map(&[9], alone, |exprs| {
            let index = load(exprs, dense(rows, &[9]));
            let dims = vec![dim(&[], 0, Some(index), 12, 6), dim(&[], 0, Some(index), 5, 1)];
            load(exprs, Access { buffer: table, offset: 1, dims, bounds })
        });
        builder.check(0.0);
    }
}

#[test]
fn parts_of_buffers_that_differ_in_their_place_alone() {
    let mut builder = Builder::new();
    let bytes = Noise(11).floats(64);
    let x = builder.input(DType::F32, bytes);
    for first in [0, 3, 17] {
        let out = builder.output(DType::F32, 11);
        builder.map(&[11], out, |exprs| {
            let later = load(exprs, Access { offset: first + 30, ..dense(x, &[11]) });
            let earlier = load(exprs, Access { offset: first, ..dense(x, &[11]) });
            binary(exprs, BinaryOp::Sub, later, earlier)
        });
    }
    builder.check(0.0);
}

#[test]
fn a_map_in_place() {
    let mut builder = Builder::new();
    let bytes = Noise(10).floats(COUNT as usize);
    let x = builder.input(DType::F32, bytes);
    let y = builder.output(DType::F32, COUNT as usize);
    builder.map(&[COUNT], y, |exprs| load(exprs, dense(x, &[COUNT])));
    builder.map(&[COUNT], y, |exprs| {
        let value = load(exprs, dense(y, &[COUNT]));
        let two = float(exprs, 2.0);
        let double = binary(exprs, BinaryOp::Mul, value, two);
        binary(exprs, BinaryOp::Add, double, value)
    });
    builder.check(0.0);
}

/// A reduction over one inner axis of `inner` iterations, of a tensor `[outer, middle]` or its transpose.
fn reduce(
    builder: &mut Builder,
    parallel: &[u32],
    reduce: Vec<Extent>,
    exprs: Exprs,
    accs: Vec<Accumulator>,
    outs: &[(mlp_bundle::loops::BufferId, ExprId)],
) {
    let stores = outs.iter().map(|&(out, value)| Store { access: dense(out, parallel), value }).collect();
    builder.kernel(Body::Nest(Nest { parallel: parallel.to_vec(), reduce, exprs, accs, stores }));
}

#[test]
fn reductions_with_lanes_across_and_along() {
    for (parallel, strides) in [(13_u32, (1, 13)), (13, (11, 1)), (1, (11, 1))] {
        let mut builder = Builder::new();
        let bytes = Noise(12).floats(13 * 11);
        let x = builder.input(DType::F32, bytes);
        let (sum, most, place) = (builder.output(DType::F32, 13), builder.output(DType::F32, 13), builder.output(DType::I64, 13));
        let mut exprs = Exprs::new();
        let dims = vec![dim(&[(0, 1)], 0, None, 13, strides.0), dim(&[(1, 1)], 0, None, 11, strides.1)];
        let value = load(&mut exprs, Access { buffer: x, offset: 0, dims, bounds: Bounds::Inside });
        let acc: Vec<ExprId> = (0..3).map(|i| exprs.push(Expr::Acc(i))).collect();
        let next_sum = binary(&mut exprs, BinaryOp::Add, acc[0], value);
        let better = exprs.push(Expr::Compare(CompareOp::Lt, acc[1], value));
        let next_most = exprs.push(Expr::Select(better, value, acc[1]));
        let here = exprs.push(Expr::Axis(1));
        let next_place = exprs.push(Expr::Select(better, here, acc[2]));
        let totals: Vec<ExprId> = (0..3).map(|i| exprs.push(Expr::Total(i))).collect();
        let wide = exprs.push(Expr::Cast(DType::I64, totals[2]));
        let accs = vec![
            Accumulator { init: Scalar::f32(0.5), next: next_sum },
            Accumulator { init: Scalar::f32(f32::NEG_INFINITY), next: next_most },
            Accumulator { init: Scalar::I32(-1), next: next_place },
        ];
        reduce(&mut builder, &[parallel], vec![Extent::Const(11)], exprs, accs, &[(sum, totals[0]), (most, totals[1]), (place, wide)]);
        builder.check(1e-6);
    }
}

#[test]
fn a_count_that_differs_from_point_to_point() {
    let mut builder = Builder::new();
    let mut noise = Noise(14);
    let x = builder.input(DType::F32, noise.floats(10 * 8));
    let counts = builder.input(DType::I32, [0, 1, 8, 9, -3, i32::MAX, 4, 5, 2, 3].iter().flat_map(|i: &i32| i.to_le_bytes()).collect());
    let out = builder.output(DType::F32, 10);
    let (steps, symbol) = (builder.output(DType::I32, 10), builder.symbol(3, 5));
    let mut exprs = Exprs::new();
    let count = load(&mut exprs, dense(counts, &[10]));
    let second = exprs.push(Expr::Symbol(symbol));
    let dims = vec![dim(&[(0, 1)], 0, None, 10, 8), dim(&[(1, 1)], 0, None, 8, 1)];
    let value = load(&mut exprs, Access { buffer: x, offset: 0, dims, bounds: Bounds::Inside });
    let (acc, ticks) = (exprs.push(Expr::Acc(0)), exprs.push(Expr::Acc(1)));
    let next = binary(&mut exprs, BinaryOp::Add, acc, value);
    let one = int(&mut exprs, 1);
    let tick = binary(&mut exprs, BinaryOp::Add, ticks, one);
    let (total, ticked) = (exprs.push(Expr::Total(0)), exprs.push(Expr::Total(1)));
    let accs = vec![Accumulator { init: Scalar::f32(1.0), next }, Accumulator { init: Scalar::I32(0), next: tick }];
    let extents = vec![Extent::Dynamic { count, max: 8 }, Extent::Dynamic { count: second, max: 2 }];
    reduce(&mut builder, &[10], extents, exprs, accs, &[(out, total), (steps, ticked)]);
    builder.check(1e-6);
}

#[test]
fn a_nest_of_one_point() {
    let mut builder = Builder::new();
    let bytes = Noise(15).floats(1);
    let x = builder.input(DType::F32, bytes);
    let y = builder.output(DType::F32, 1);
    builder.map(&[], y, |exprs| {
        let x = load(exprs, dense(x, &[]));
        exprs.push(Expr::Unary(UnaryOp::Neg, x))
    });
    builder.check(0.0);
}

#[test]
fn the_exponential_is_accurate_over_its_range() {
    let mut builder = Builder::new();
    let inputs: Vec<f32> = (-1100..=950).map(|i| i as f32 / 10.0).chain([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0]).collect();
    let count = inputs.len() as u32;
    let x = builder.input(DType::F32, inputs.iter().flat_map(|x| x.to_le_bytes()).collect());
    let y = builder.output(DType::F32, count as usize);
    builder.map(&[count], y, |exprs| {
        let x = load(exprs, dense(x, &[count]));
        exprs.push(Expr::Unary(UnaryOp::Exp, x))
    });
    builder.expect();
    let (got, _) = builder.run(mlp_native::Isa::Portable, 1);
    for (x, y) in inputs.iter().zip(got[0].chunks(4)) {
        let (y, exact) = (f32::from_le_bytes(y.try_into().unwrap()), f64::from(*x).exp() as f32);
        let ulp = (exact.abs() * f32::EPSILON).max(f32::MIN_POSITIVE * f32::EPSILON);
        assert!(y == exact || (y.is_nan() && exact.is_nan()) || (y - exact).abs() <= 2.0 * ulp, "e^{x} is {exact}, not {y}");
    }
}

/// Three channels of a photo summed over a rectangle with common weights, near its edges too.
#[test]
fn sums_side_by_side() {
    for bounds in [Bounds::Clamp, Bounds::Else(Scalar::I32(9))] {
        let mut builder = Builder::new();
        let mut noise = Noise(16);
        let photo = builder.input(DType::U8, noise.bytes(6 * 7 * 4));
        let weights = builder.input(DType::F32, noise.floats(5 * 3));
        let out = builder.output(DType::F32, 8 * 3);
        let width = builder.symbol(7, 9);
        let mut exprs = Exprs::new();
        let weight = load(&mut exprs, Access { dims: vec![dim(&[(1, 3)], 0, None, 13, 1)], ..dense(weights, &[]) });
        let width = exprs.push(Expr::Symbol(width));
        let row = exprs.push(Expr::Axis(0));
        let start = binary(&mut exprs, BinaryOp::Mul, row, width);
        let four = int(&mut exprs, 4);
        let start = binary(&mut exprs, BinaryOp::Mul, start, four);
        let mut accs = Vec::new();
        for channel in 0..3_u8 {
            let dims = vec![dim(&[(1, 4)], i64::from(channel) - 8, Some(start), 6 * 7 * 4, 1)];
            let byte = load(&mut exprs, Access { buffer: photo, offset: 0, dims, bounds });
            let value = exprs.push(Expr::Cast(DType::F32, byte));
            let product = binary(&mut exprs, BinaryOp::Mul, weight, value);
            let acc = exprs.push(Expr::Acc(channel));
            let next = binary(&mut exprs, BinaryOp::Add, acc, product);
            accs.push(Accumulator { init: Scalar::f32(f32::from(channel)), next });
        }
        let totals: Vec<ExprId> = (0..3).map(|i| exprs.push(Expr::Total(i))).collect();
        let store = |(channel, &value): (usize, &ExprId)| {
            let dims = vec![dim(&[(0, 3)], 0, None, 22, 1)];
            Store { access: Access { buffer: out, offset: channel as u64, dims, bounds: Bounds::Inside }, value }
        };
        let stores = totals.iter().enumerate().map(store).collect();
        // A count a point keeps points from becoming lanes.
        let reduce = vec![Extent::Dynamic { count: row, max: 5 }];
        builder.kernel(Body::Nest(Nest { parallel: vec![8], reduce, exprs, accs, stores }));
        builder.check(1e-6);
    }
}
