//! Products over weights that are kept in fewer bits.

use super::{Noise, SLACK, aligned, halves, input_len, scratch, sum_of, tiers};
use crate::*;
use proptest::prelude::*;

/// A product of floats over weights of each narrow kind, against the floats that they stand for.
fn check_narrow(pixels: usize, blocks: usize, per: usize, out_c: usize, threads: usize) -> Result<(), TestCaseError> {
    let in_c = blocks * per;
    let w = Window {
        batch: 1,
        in_h: 1,
        in_w: pixels,
        in_c,
        in_pixel: in_c + 1,
        in_offset: 1,
        out_h: 1,
        out_w: pixels,
        out_c,
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
    };
    let mut noise = Noise(3);
    let input = noise.floats(input_len(&w) + SLACK / 4);
    let (panels, bias) = (out_c.div_ceil(16), noise.floats(out_c));
    let scales = noise.floats(panels * blocks * 16);
    let scale = |step: usize, lane: usize| scales[step / in_c * blocks * 16 + step % in_c / per * 16 + lane];
    for (stored, bits) in [(Stored::F16, 16), (Stored::BF16, 16), (Stored::I8 { per }, 8), (Stored::I4 { per }, 4)] {
        let mut packed = noise.bytes(panels * in_c * 2 * bits);
        if stored == Stored::F16 {
            // No infinities and no NaN: an exponent of 31 becomes one of 15.
            packed.iter_mut().skip(1).step_by(2).for_each(|high| *high &= 0xbf);
        }
        if stored == Stored::BF16 {
            // Numbers of which sums are finite.
            packed.iter_mut().skip(1).step_by(2).for_each(|high| *high = *high & 0x80 | 0x3f);
        }
        packed.resize(packed.len() + SLACK, 0);
        // The float of a step (over all panels) and lane.
        let weight = |step: usize, lane: usize| match stored {
            Stored::F16 => half_to_f32(u16::from_le_bytes([packed[(step * 16 + lane) * 2], packed[(step * 16 + lane) * 2 + 1]])),
            Stored::BF16 => f32::from_bits(u32::from_le_bytes([0, 0, packed[(step * 16 + lane) * 2], packed[(step * 16 + lane) * 2 + 1]])),
            Stored::I8 { .. } => f32::from(packed[step * 16 + lane] as i8) * scale(step, lane),
            Stored::I4 { .. } => {
                let pair = packed[step * 8 + lane % 8];
                f32::from((if lane < 8 { pair << 4 } else { pair }) as i8 >> 4) * scale(step, lane)
            }
        };
        let dense: Vec<f32> =
            (0..in_c).flat_map(|k| (0..out_c).map(move |c| (k, c))).map(|(k, c)| weight(c / 16 * in_c + k, c % 16)).collect();
        for kernels in tiers() {
            let conv = Contraction::narrow(kernels, w, stored, &bias, threads).expect("a small product");
            let mut area = scratch(conv.scratch_bytes());
            let buffers = ContractionBuffers {
                input: input.as_ptr().cast(),
                weights: packed.as_ptr(),
                scales: scales.as_ptr(),
                scratch: aligned(&mut area),
            };
            let mut out = vec![f32::NAN; pixels * out_c];
            let (lo, hi) = (f32::NEG_INFINITY, f32::INFINITY);
            let residual = std::ptr::null();
            let finish = FinishF32 { out: out.as_mut_ptr(), out_pixel: out_c, residual, residual_pixel: 0, residual_cols: 0, lo, hi };
            for items in halves(conv.items()) {
                // SAFETY: the buffers are as long as the window says, with slack.
                unsafe { conv.run_f32(items, &buffers, &finish) };
            }
            for (at, &got) in out.iter().enumerate() {
                let (m, c) = (at / out_c, at % out_c);
                let want = sum_of(&w, &input, &dense, m, c) + f64::from(bias[c]);
                let terms: f64 = (0..in_c).map(|k| f64::from(dense[k * out_c + c]).abs()).sum();
                prop_assert!(
                    (f64::from(got) - want).abs() <= 1e-6 * terms + 1e-6,
                    "{} {stored:?}: {m}, {c}: {got} for {want}",
                    kernels.isa()
                );
            }
        }
    }
    Ok(())
}

/// A finite binary16 by its definition.
fn half_to_f32(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff));
    let magnitude = if exponent == 0 { fraction * 2f32.powi(-24) } else { (1024.0 + fraction) * 2f32.powi(exponent - 25) };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn narrow_products(pixels in 1_usize..40, blocks in 1_usize..5, per in 1_usize..30, out_c in 1_usize..70, threads in 1_usize..4) {
        check_narrow(pixels, blocks, per, out_c, threads)?;
    }
}
