//! Contractions against the evaluator: every instruction set, common and uncommon epilogues, odd sizes.

mod support;

use mlp_bundle::loops::scalar::{f32_to_bf16, f32_to_f16};
use mlp_bundle::loops::{Access, Arithmetic, BinaryOp, Body, Contract, Epilogue, Expr, ExprId, Exprs, Scales, Store, UnaryOp, Window};
use mlp_bundle::{DType, Scalar};
use proptest::prelude::*;
use support::{Builder, Noise, binary, by_channel, by_pixel, contraction, float, int, load, weights_len};

/// What stands after the sum.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    /// The sum alone.
    Nothing,
    /// Bias and clamp.
    Clamp,
    /// Bias, residual and clamp.
    Residual,
    /// Functions that have vector steps: activations of many kinds, with bias and residual.
    Smooth,
    /// Something that has neither.
    Other,
}

fn window() -> impl Strategy<Value = Window> {
    let sizes = (1_u32..3, 1_u32..8, 1_u32..9, 1_u32..11, 1_u32..40);
    let shape = (1_u32..4, 1_u32..4, 1_u32..3, 1_u32..3, 1_u32..3);
    (sizes, shape, 0_u32..3, 0_u32..3, any::<bool>()).prop_map(
        |((batch, in_h, in_w, in_c, out_c), (kh, kw, stride, dilation, pad), offset, gap, plain)| {
            let (kernel, stride, dilation, pad) = if plain {
                ([1, 1], [1, 1], [1, 1], [0, 0])
            } else {
                ([kh, kw], [stride, stride], [dilation, 1], [pad.min(kh - 1), pad.min(kw - 1)])
            };
            let out = |size: u32, i: usize| (size + 2 * pad[i]).saturating_sub((kernel[i] - 1) * dilation[i] + 1) / stride[i] + 1;
            let in_pixel = offset + in_c + gap;
            Window {
                batch,
                in_h,
                in_w,
                in_c,
                in_pixel,
                in_offset: offset,
                out_h: out(in_h, 0),
                out_w: out(in_w, 1),
                out_c,
                kernel,
                stride,
                dilation,
                pad,
            }
        },
    )
}

fn prepare(depthwise: bool, mut w: Window) -> Window {
    if depthwise {
        w.in_pixel = w.in_pixel - w.in_c + w.out_c;
        w.in_c = w.out_c;
    }
    w
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![Just(After::Nothing), Just(After::Clamp), Just(After::Residual), Just(After::Other)]
}

/// A byte result needs a requantization: a sum alone is no form of it.
fn clamp_int(exprs: &mut Exprs, mut value: ExprId, zero: i32, lo: i32, hi: i32) -> ExprId {
    for (op, constant) in [(BinaryOp::Add, zero), (BinaryOp::Max, lo), (BinaryOp::Min, hi)] {
        let constant = int(exprs, constant);
        value = binary(exprs, op, value, constant);
    }
    value
}

/// `max(gelu(x) - r * sqrt(|x| + 1), min(r, 0.5)) / (1 + e^-x)` with `r` the residual.
fn smooth(exprs: &mut Exprs, x: ExprId, residual: Access) -> ExprId {
    let [half, one, root] = [0.5, 1.0, std::f32::consts::FRAC_1_SQRT_2].map(|value| float(exprs, value));
    let residual = load(exprs, residual);
    let scaled = binary(exprs, BinaryOp::Mul, x, root);
    let erf = exprs.push(Expr::Unary(UnaryOp::Erf, scaled));
    let above = binary(exprs, BinaryOp::Add, erf, one);
    let gelu = binary(exprs, BinaryOp::Mul, x, above);
    let size = exprs.push(Expr::Unary(UnaryOp::Abs, x));
    let size = binary(exprs, BinaryOp::Add, size, one);
    let size = exprs.push(Expr::Unary(UnaryOp::Sqrt, size));
    let part = binary(exprs, BinaryOp::Mul, residual, size);
    let apart = binary(exprs, BinaryOp::Sub, gelu, part);
    let low = binary(exprs, BinaryOp::Min, residual, half);
    let most = binary(exprs, BinaryOp::Max, apart, low);
    let minus = exprs.push(Expr::Unary(UnaryOp::Neg, x));
    let power = exprs.push(Expr::Unary(UnaryOp::Exp, minus));
    let sum = binary(exprs, BinaryOp::Add, power, one);
    let soft = exprs.push(Expr::Unary(UnaryOp::Tanh, most));
    binary(exprs, BinaryOp::Div, soft, sum)
}

fn check_f32(depthwise: bool, w: Window, after: After) {
    let w = prepare(depthwise, w);
    let mut builder = Builder::new();
    let mut noise = Noise(21);
    let (pixels, channels) = (w.pixels() as usize, w.out_c as usize);
    let input = builder.input(DType::F32, noise.floats((w.batch * w.in_h * w.in_w * w.in_pixel) as usize));
    let residual = builder.input(DType::F32, noise.floats(pixels * channels));
    let weights = builder.constant(DType::F32, noise.floats(weights_len(depthwise, &w, Arithmetic::F32)));
    let bias = builder.constant(DType::F32, noise.floats(channels));
    // A part of a wider tensor, as a concatenation makes it.
    let out = builder.output(DType::F32, pixels * (channels + 5));
    let mut exprs = Exprs::new();
    let mut value = exprs.push(Expr::Total(0));
    if after != After::Nothing {
        let bias = load(&mut exprs, by_channel(bias, w.out_c));
        value = binary(&mut exprs, BinaryOp::Add, value, bias);
    }
    if after == After::Residual {
        let residual = load(&mut exprs, by_pixel(residual, &w, channels as u64, 0));
        value = binary(&mut exprs, BinaryOp::Add, value, residual);
    }
    match after {
        After::Other => {
            // A slope of 1 at most, so that what sums differ by stays as small.
            value = exprs.push(Expr::Unary(UnaryOp::Sin, value));
        }
        After::Smooth => value = smooth(&mut exprs, value, by_pixel(residual, &w, channels as u64, 0)),
        After::Clamp | After::Residual => {
            for (op, constant) in [(BinaryOp::Max, -0.75), (BinaryOp::Min, 1.5)] {
                let constant = float(&mut exprs, constant);
                value = binary(&mut exprs, op, value, constant);
            }
        }
        After::Nothing => {}
    }
    let stores = vec![Store { access: by_pixel(out, &w, channels as u64 + 5, 3), value }];
    builder.kernel(contraction(depthwise, w, Arithmetic::F32, input, weights, Epilogue { exprs, stores }));
    let transformed = !depthwise && w.out_h * w.out_w > 300 && w.kernel == [3, 3] && w.stride == [1, 1] && w.dilation == [1, 1];
    // Transformed, sums of some tens are rounded on the way.
    builder.check(if transformed { 1e-4 } else { 2e-5 });
    let (_, program) = builder.run(mlp_native::Isa::Portable, 1);
    let code = after == After::Other || (after == After::Smooth && w.out_c < 8);
    let tiles = if transformed { "winograd" } else { "tiles" };
    assert_eq!(program.methods(), [if code { format!("{tiles}+code") } else { tiles.into() }]);
}

/// A product of floats over weights that are kept in fewer bits: whole numbers of so many bits that share a scale by `per` inputs, or none of binary16 and its like.
fn check_narrow(dtype: DType, scaled: Option<(u8, u32)>, [rows, in_c, out_c]: [u32; 3], after: After) {
    let window = Window {
        batch: 1,
        in_h: 1,
        in_w: rows,
        in_c,
        in_pixel: in_c + 3,
        in_offset: 2,
        out_h: 1,
        out_w: rows,
        out_c,
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
    };
    let mut builder = Builder::new();
    let mut noise = Noise(5);
    let input = builder.input(DType::F32, noise.floats((rows * window.in_pixel) as usize));
    let panels = out_c.div_ceil(16) as usize;
    let count = panels * in_c as usize * 16;
    let numbers = match scaled {
        Some((bits, _)) => noise.bytes(count * usize::from(bits) / 8),
        None => noise.floats(count).chunks_exact(4).flat_map(|f| narrowed(dtype, f32::from_le_bytes([f[0], f[1], f[2], f[3]]))).collect(),
    };
    let weights = builder.constant(dtype, numbers);
    let scales = scaled.map(|(bits, per)| {
        let values = noise.floats(panels * (in_c / per) as usize * 16);
        // Small, and of either sign.
        let small = values.chunks_exact(4).flat_map(|f| (f32::from_le_bytes([f[0], f[1], f[2], f[3]]) * 0.01).to_le_bytes());
        Scales { buffer: builder.constant(DType::F32, small.collect()), per, bits }
    });
    let bias = builder.constant(DType::F32, noise.floats(out_c as usize));
    let out = builder.output(DType::F32, (rows * out_c) as usize);
    let mut exprs = Exprs::new();
    let total = exprs.push(Expr::Total(0));
    let bias = load(&mut exprs, by_channel(bias, out_c));
    let mut value = binary(&mut exprs, BinaryOp::Add, total, bias);
    if after == After::Other {
        value = exprs.push(Expr::Unary(UnaryOp::Tanh, value));
    }
    let stores = vec![Store { access: by_pixel(out, &window, u64::from(out_c), 0), value }];
    let epilogue = Epilogue { exprs, stores };
    builder.kernel(Body::Contract(Contract { window, arithmetic: Arithmetic::F32, input, weights, per_image: false, scales, epilogue }));
    builder.check(2e-5);
}

fn narrowed(dtype: DType, value: f32) -> [u8; 2] {
    match dtype {
        DType::F16 => f32_to_f16(value).to_le_bytes(),
        _ => f32_to_bf16(value).to_le_bytes(),
    }
}

#[test]
fn products_of_narrow_weights() {
    let sizes = [[1, 64, 48], [2, 48, 17], [7, 16, 8], [150, 96, 33], [9, 400, 20], [700, 32, 80]];
    for (n, size) in sizes.into_iter().enumerate() {
        let after = if n % 2 == 0 { After::Clamp } else { After::Other };
        check_narrow(DType::F16, None, size, after);
        check_narrow(DType::BF16, None, size, after);
        for per in [size[1], 16] {
            check_narrow(DType::I8, Some((8, per)), size, after);
            check_narrow(DType::U8, Some((4, per)), size, after);
        }
    }
}

fn check_int8(depthwise: bool, w: Window, after: After, signed: bool) {
    let w = prepare(depthwise, w);
    let dtype = if signed { DType::I8 } else { DType::U8 };
    let arithmetic = Arithmetic::Int8 { pad_value: if signed { -3 } else { 140 } };
    let mut builder = Builder::new();
    let mut noise = Noise(22);
    let (pixels, channels) = (w.pixels() as usize, w.out_c as usize);
    let input = builder.input(dtype, noise.bytes((w.batch * w.in_h * w.in_w * w.in_pixel) as usize));
    let residual = builder.input(dtype, noise.bytes(pixels * channels));
    // What lies past the last channel must be zero in plans; in these sums it would be seen.
    let weights = builder.constant(DType::I8, packed(depthwise, &w, &mut noise));
    let ints = |noise: &mut Noise, most: u32, least: i32| {
        (0..channels).flat_map(|_| ((noise.next() % most) as i32 + least).to_le_bytes()).collect()
    };
    let bias = builder.constant(DType::I32, ints(&mut noise, 8000, -4000));
    let multiplier = builder.constant(DType::I32, ints(&mut noise, 1 << 22, 1 << 20));
    let mut exprs = Exprs::new();
    let sum = exprs.push(Expr::Total(0));
    let bias = load(&mut exprs, by_channel(bias, w.out_c));
    let mut value = binary(&mut exprs, BinaryOp::Add, sum, bias);
    if after != After::Nothing {
        let multiplier = load(&mut exprs, by_channel(multiplier, w.out_c));
        value = exprs.push(Expr::Requantize { value, multiplier, shift: 31 });
        value = clamp_int(&mut exprs, value, -2, -100, 120);
    }
    if after == After::Residual {
        let (x, y, k) = (int(&mut exprs, 40_000), int(&mut exprs, 30_001), int(&mut exprs, -777));
        let residual = load(&mut exprs, by_pixel(residual, &w, channels as u64, 0));
        let scaled = binary(&mut exprs, BinaryOp::Mul, residual, y);
        value = binary(&mut exprs, BinaryOp::Mul, value, x);
        value = binary(&mut exprs, BinaryOp::Add, value, scaled);
        value = binary(&mut exprs, BinaryOp::Add, value, k);
        let multiplier = int(&mut exprs, 1);
        value = exprs.push(Expr::Requantize { value, multiplier, shift: 16 });
        value = clamp_int(&mut exprs, value, 1, -128, 127);
    }
    let out = match after {
        After::Nothing => builder.output(DType::I32, pixels * channels),
        After::Smooth => unreachable!("a form of floats"),
        After::Other => builder.output(DType::F32, pixels * channels),
        After::Clamp | After::Residual => builder.output(dtype, pixels * channels),
    };
    if after == After::Other {
        value = exprs.push(Expr::Cast(DType::F32, value));
        let scale = exprs.push(Expr::Const(Scalar::f32(0.125)));
        value = binary(&mut exprs, BinaryOp::Mul, value, scale);
    }
    let stores = vec![Store { access: by_pixel(out, &w, channels as u64, 0), value }];
    builder.kernel(contraction(depthwise, w, arithmetic, input, weights, Epilogue { exprs, stores }));
    builder.check(0.0);
    let (_, program) = builder.run(mlp_native::Isa::Portable, 1);
    let tiles = matches!(after, After::Clamp | After::Residual);
    assert_eq!(program.methods(), [if tiles { "tiles" } else { "tiles+code" }]);
}

fn packed(depthwise: bool, w: &Window, noise: &mut Noise) -> Vec<u8> {
    let len = weights_len(depthwise, w, Arithmetic::Int8 { pad_value: 0 });
    let mut bytes = noise.bytes(len);
    let quads = w.in_c.div_ceil(4) as usize;
    for (i, byte) in bytes.iter_mut().enumerate() {
        let (channel, k) = if depthwise {
            (i % w.out_c.next_multiple_of(16) as usize, 0)
        } else {
            let quad = i / 64;
            (quad / (w.taps() as usize * quads) * 16 + i / 4 % 16, quad % quads * 4 + i % 4)
        };
        if channel >= w.out_c as usize || (!depthwise && k >= w.in_c as usize) {
            *byte = 0;
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_f32(w in window(), after in after(), depthwise: bool) {
        check_f32(depthwise, w, after);
    }

    #[test]
    fn of_f32_with_activations(w in window(), depthwise: bool) {
        check_f32(depthwise, w, After::Smooth);
    }

    #[test]
    fn of_bytes(w in window(), after in after(), depthwise: bool, signed: bool) {
        check_int8(depthwise, w, after, signed);
    }
}

/// Long enough to be spread over threads, in blocks and in runs of channels.
#[test]
fn spread_over_threads() {
    for (h, w, in_c, out_c, kernel) in [(28, 28, 40, 72, 3), (7, 7, 300, 400, 1), (1, 1, 500, 600, 1)] {
        let pad = kernel / 2;
        let window = Window {
            batch: 1,
            in_h: h,
            in_w: w,
            in_c,
            in_pixel: in_c,
            in_offset: 0,
            out_h: h,
            out_w: w,
            out_c,
            kernel: [kernel; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [pad; 2],
        };
        for depthwise in [false, true] {
            check_f32(depthwise, window, After::Residual);
            check_int8(depthwise, window, After::Residual, false);
        }
        check_f32(false, window, After::Smooth);
        check_f32(false, window, After::Other);
    }
}

/// Factors whose quotients leave 32 bits leave the fast form too, and stay exact.
#[test]
fn a_multiplier_too_great_for_the_tiles() {
    let window = Window {
        batch: 1,
        in_h: 3,
        in_w: 5,
        in_c: 7,
        in_pixel: 7,
        in_offset: 0,
        out_h: 3,
        out_w: 5,
        out_c: 19,
        kernel: [1; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pad: [0; 2],
    };
    let mut builder = Builder::new();
    let mut noise = Noise(23);
    let input = builder.input(DType::U8, noise.bytes(15 * 7));
    let weights = builder.constant(DType::I8, packed(false, &window, &mut noise));
    let multiplier = builder.constant(DType::I32, (0..19).flat_map(|_| (noise.next() as i32).to_le_bytes()).collect());
    let out = builder.output(DType::U8, 15 * 19);
    let mut exprs = Exprs::new();
    let value = exprs.push(Expr::Total(0));
    let multiplier = load(&mut exprs, by_channel(multiplier, 19));
    let value = exprs.push(Expr::Requantize { value, multiplier, shift: 12 });
    let value = clamp_int(&mut exprs, value, 100, 0, 255);
    let stores = vec![Store { access: by_pixel(out, &window, 19, 0), value }];
    builder.kernel(contraction(false, window, Arithmetic::Int8 { pad_value: 9 }, input, weights, Epilogue { exprs, stores }));
    builder.check(0.0);
    let (_, program) = builder.run(mlp_native::Isa::Portable, 1);
    assert_eq!(program.methods(), ["tiles+code"]);
}
