//! Steps that are run as one wave, against the oracle.

mod support;

use mlp_bundle::DType;
use mlp_bundle::loops::{Arithmetic, Body, BufferId, Contract, Epilogue, Expr, Exprs, Store, Window};
use mlp_native::Isa;
use support::*;

const PIXELS: u32 = 40;
const CHANNELS: u32 = 96;
const GROUPS: u32 = 4;

/// A product of `PIXELS` rows: channels `offset..offset + depth` of `input` to channels `to..to + 24` of `out`, its sums alone or added to what `residual` has there.
fn product(
    builder: &mut Builder,
    noise: &mut Noise,
    input: BufferId,
    [offset, depth]: [u32; 2],
    out: BufferId,
    to: u32,
    residual: Option<BufferId>,
) {
    let out_c = CHANNELS / GROUPS;
    let window = Window {
        batch: 1,
        in_h: 1,
        in_w: PIXELS,
        in_c: depth,
        in_pixel: CHANNELS,
        in_offset: offset,
        out_h: 1,
        out_w: PIXELS,
        out_c,
        kernel: [1; 2],
        stride: [1; 2],
        dilation: [1; 2],
        pad: [0; 2],
    };
    let weights = builder.constant(DType::F32, noise.floats((out_c.next_multiple_of(16) * depth) as usize));
    let mut exprs = Exprs::new();
    let mut value = exprs.push(Expr::Total(0));
    if let Some(residual) = residual {
        let residual = load(&mut exprs, by_pixel(residual, &window, u64::from(CHANNELS), u64::from(to)));
        value = binary(&mut exprs, mlp_bundle::loops::BinaryOp::Add, value, residual);
    }
    let stores = vec![Store { access: by_pixel(out, &window, u64::from(CHANNELS), u64::from(to)), value }];
    let epilogue = Epilogue { exprs, stores };
    builder.kernel(Body::Contract(Contract {
        window,
        arithmetic: Arithmetic::F32,
        input,
        weights,
        per_image: false,
        scales: None,
        epilogue,
    }));
}

#[test]
fn groups_are_one_wave_and_their_reader_is_another() {
    let mut builder = Builder::new();
    let mut noise = Noise(5);
    let elements = (PIXELS * CHANNELS) as usize;
    let input = builder.input(DType::F32, noise.floats(elements));
    let middle = builder.output(DType::F32, elements);
    let out = builder.output(DType::F32, elements);
    let own = CHANNELS / GROUPS;
    for group in 0..GROUPS {
        product(&mut builder, &mut noise, input, [group * own, own], middle, group * own, None);
    }
    for group in 0..GROUPS {
        product(&mut builder, &mut noise, middle, [0, CHANNELS], out, group * own, Some(input));
    }
    builder.check(2e-5);
    for threads in [2, 3, 5] {
        let (_, program) = builder.run(Isa::best(), threads);
        assert_eq!(program.waves(), 2);
    }
    let (_, program) = builder.run(Isa::best(), 1);
    assert_eq!(program.waves(), 8, "alone, a thread waits for nobody");
}

/// A product overwrites what others have written, and another reads what it wrote: both wait.
#[test]
fn steps_that_overwrite_one_another_keep_their_order() {
    let mut builder = Builder::new();
    let mut noise = Noise(6);
    let elements = (PIXELS * CHANNELS) as usize;
    let input = builder.input(DType::F32, noise.floats(elements));
    let out = builder.output(DType::F32, elements);
    let last = builder.output(DType::F32, elements);
    let own = CHANNELS / GROUPS;
    for group in 0..GROUPS {
        product(&mut builder, &mut noise, input, [0, CHANNELS], out, group * own, None);
    }
    // Channels 12..36 lie across two groups.
    product(&mut builder, &mut noise, input, [0, own], out, own / 2, None);
    // It reads what the last one wrote.
    product(&mut builder, &mut noise, out, [0, 2 * own], last, 3 * own, None);
    builder.check(2e-5);
    let (_, program) = builder.run(Isa::best(), 2);
    assert_eq!(program.waves(), 3);
}
