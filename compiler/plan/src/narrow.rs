//! Weights in fewer bits, where those stand for exactly the same numbers.
//!
//! What makes weights small before they come here is forgotten on the way: a file may store binary16, bytes with a factor a channel, or halves of bytes with a factor
//! for every 32 of them, and passes fold, turn and join what comes of them. So nobody is asked: the packed weights themselves tell whether all of them are numbers of
//! such a form. Nothing is rounded, and a plan computes what it would compute without.

use mlp_bundle::DType;
use mlp_bundle::loops::PANEL;
use mlp_bundle::loops::scalar::{f16_to_f32, f32_to_bf16, f32_to_f16};

const LANES: usize = PANEL as usize;

/// Bytes of weights below which nothing is gained.
pub(crate) const LEAST_BYTES: u64 = 1 << 16;

/// How many successive inputs share a factor, where not all of them do: what quantizers use.
const BLOCKS: [usize; 5] = [256, 128, 64, 32, 16];

/// Packed weights in fewer bits.
pub(crate) struct Narrow {
    pub(crate) dtype: DType,
    pub(crate) bytes: Vec<u8>,
    pub(crate) scales: Option<Factors>,
}

/// The factors of whole numbers, as [`mlp_bundle::loops::Scales`] has them.
pub(crate) struct Factors {
    pub(crate) values: Vec<f32>,
    pub(crate) per: u32,
    pub(crate) bits: u8,
}

/// A form that weights may have.
#[derive(Clone, Copy)]
enum Form {
    Whole { bits: u8, per: usize },
    Half,
    Brain,
}

/// Packed weights `[panels][inputs][16]` of `F32` in the form with the fewest bits that has all of them; none where none has. `first` is the first panel of
/// `all`, which makes the others only if that one has a form.
pub(crate) fn narrow(inputs: usize, first: &[f32], all: impl FnOnce() -> Vec<f32>) -> Option<Narrow> {
    let may: Vec<Form> = forms(inputs).filter(|&form| narrowed(first, inputs, form).is_some()).collect();
    if may.is_empty() {
        return None;
    }
    let all = all();
    may.into_iter().find_map(|form| narrowed(&all, inputs, form))
}

/// Numbers in two bytes each, where all of them are such numbers.
pub(crate) fn table(numbers: impl Iterator<Item = f32> + Clone) -> Option<(DType, Vec<u8>)> {
    let halves = halves(numbers.clone()).map(|bytes| (DType::F16, bytes));
    halves.or_else(|| brains(numbers).map(|bytes| (DType::BF16, bytes)))
}

/// Numbers as binary16, where all of them are.
fn halves(numbers: impl Iterator<Item = f32>) -> Option<Vec<u8>> {
    words(numbers, |w| {
        let bits = f32_to_f16(w);
        (w.is_finite() && f16_to_f32(bits).to_bits() == w.to_bits()).then_some(bits)
    })
}

/// Numbers as bfloat16, where all of them are.
fn brains(numbers: impl Iterator<Item = f32>) -> Option<Vec<u8>> {
    words(numbers, |w| (w.is_finite() && w.to_bits() & 0xffff == 0).then(|| f32_to_bf16(w)))
}

/// The forms for so many inputs, those with the fewest bits first.
fn forms(inputs: usize) -> impl Iterator<Item = Form> {
    let blocks = move || std::iter::once(inputs).chain(BLOCKS.into_iter().filter(move |&per| per < inputs && inputs.is_multiple_of(per)));
    let whole = move |bits| blocks().map(move |per| Form::Whole { bits, per });
    whole(4).chain(whole(8)).chain([Form::Half, Form::Brain])
}

fn narrowed(panels: &[f32], inputs: usize, form: Form) -> Option<Narrow> {
    match form {
        Form::Half => Some(Narrow { dtype: DType::F16, bytes: halves(panels.iter().copied())?, scales: None }),
        Form::Brain => Some(Narrow { dtype: DType::BF16, bytes: brains(panels.iter().copied())?, scales: None }),
        Form::Whole { bits, per } => {
            let limit = 1 << (bits - 1);
            let (mut numbers, mut values) = (vec![0_i8; panels.len()], Vec::with_capacity(panels.len() / per));
            // No factor is shared by panels: they have whole blocks each.
            debug_assert_eq!(inputs % per, 0);
            for (block, numbers) in panels.chunks_exact(per * LANES).zip(numbers.chunks_exact_mut(per * LANES)) {
                for lane in 0..LANES {
                    let weights = || block.iter().skip(lane).step_by(LANES).copied();
                    let scale = factor(weights, limit)?;
                    for (number, weight) in numbers.iter_mut().skip(lane).step_by(LANES).zip(weights()) {
                        *number = whole(weight, scale, limit)?;
                    }
                    values.push(scale);
                }
            }
            let (dtype, bytes) = match bits {
                4 => (DType::U8, numbers.chunks_exact(LANES).flat_map(nibbles).collect()),
                _ => (DType::I8, numbers.iter().map(|&number| number as u8).collect()),
            };
            Some(Narrow { dtype, bytes, scales: Some(Factors { values, per: per as u32, bits }) })
        }
    }
}

/// Two bytes a number, where all numbers have them.
fn words(numbers: impl Iterator<Item = f32>, of: impl Fn(f32) -> Option<u16>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for number in numbers {
        bytes.extend(of(number)?.to_le_bytes());
    }
    Some(bytes)
}

/// Sixteen numbers of four bits: those of channels 0 to 7 in the low halves of eight bytes, of 8 to 15 in the high ones.
fn nibbles(numbers: &[i8]) -> impl Iterator<Item = u8> + '_ {
    let (low, high) = numbers.split_at(LANES / 2);
    low.iter().zip(high).map(|(&low, &high)| (low as u8 & 15) | (high as u8) << 4)
}

/// A factor of which all weights are whole multiples between `-limit` and `limit - 1`; none where there is none.
///
/// The greatest weight is one of them, so its quotient by each whole number is tried, the greatest first: quantizers use the whole range, most often.
/// A quotient is rounded, and so was the product, so its neighbours are tried as well.
fn factor<I: Iterator<Item = f32>>(weights: impl Fn() -> I, limit: i32) -> Option<f32> {
    let greatest = weights().fold(0_f32, |most, w| if w.abs() <= most { most } else { w.abs() });
    if greatest == 0.0 {
        // All are zeros; one of them negative is no whole multiple.
        return weights().all(|w| w.to_bits() == 0).then_some(1.0);
    }
    if !greatest.is_normal() {
        return None;
    }
    let mut quotients = (1..=limit).rev().map(|number| greatest / number as f32);
    quotients.find_map(|quotient| {
        let near = [0_i32, 1, -1, 2, -2].map(|steps| f32::from_bits(quotient.to_bits().wrapping_add_signed(steps)));
        near.into_iter().find(|&scale| scale.is_normal() && weights().all(|w| whole(w, scale, limit).is_some()))
    })
}

/// The whole number between `-limit` and `limit - 1` whose product with `scale` is exactly `weight`.
fn whole(weight: f32, scale: f32, limit: i32) -> Option<i8> {
    let number = (weight / scale).round_ties_even();
    let within = number >= -limit as f32 && number < limit as f32;
    // Zeros count by their sign: the product of no whole number is a negative one.
    (within && (number as i32 as f32 * scale).to_bits() == weight.to_bits()).then_some(number as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of whole numbers `number(input, lane)` with factors `scale(input, lane)`.
    fn weights(inputs: usize, of: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        (0..inputs * LANES).map(|i| of(i / LANES, i % LANES)).collect()
    }

    fn narrow_all(inputs: usize, all: &[f32]) -> Option<Narrow> {
        narrow(inputs, &all[..inputs * LANES], || all.to_vec())
    }

    fn mixed(input: usize, lane: usize, limit: i64) -> i64 {
        let random = (input as u64 * 2_654_435_761 + lane as u64 * 40_503 + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        random as i64 % (2 * limit) - limit
    }

    /// What the narrow weights stand for.
    fn widened(narrow: &Narrow, inputs: usize) -> Vec<f32> {
        let at = |index: usize| -> f32 {
            let (step, lane) = (index / LANES, index % LANES);
            let half = |i: usize| u16::from_le_bytes([narrow.bytes[2 * i], narrow.bytes[2 * i + 1]]);
            match (&narrow.scales, narrow.dtype) {
                (None, DType::F16) => f16_to_f32(half(index)),
                (None, _) => f32::from_bits(u32::from(half(index)) << 16),
                (Some(scales), _) => {
                    let number = match scales.bits {
                        4 => ((narrow.bytes[step * 8 + lane % 8] << if lane < 8 { 4 } else { 0 }) as i8) >> 4,
                        _ => narrow.bytes[index] as i8,
                    };
                    f32::from(number) * scales.values[step / scales.per as usize * LANES + lane]
                }
            }
        };
        let count = narrow.bytes.len() * 8 / narrow.scales.as_ref().map_or(16, |scales| scales.bits as usize);
        assert_eq!(count % (inputs * LANES), 0);
        (0..count).map(at).collect()
    }

    #[test]
    fn quantized_weights_are_found_with_their_factors() {
        for (bits, limit) in [(8, 128), (4, 8)] {
            for per in [96, 32, 16] {
                let scale = |input: usize, lane: usize| 0.001 + 0.000_37 * ((input / per) * LANES + lane) as f32;
                let all = weights(96, |input, lane| mixed(input, lane, limit) as f32 * scale(input, lane));
                let narrow = narrow_all(96, &all).unwrap_or_else(|| panic!("{bits} bits, {per} a factor"));
                let scales = narrow.scales.as_ref().unwrap();
                assert_eq!((scales.bits, scales.per as usize), (bits, per));
                assert_eq!(narrow.bytes.len() * 8, all.len() * usize::from(bits));
                assert_eq!(widened(&narrow, 96), all);
            }
        }
    }

    #[test]
    fn halves_and_upper_halves_are_found() {
        let halves = weights(64, |input, lane| f16_to_f32(f32_to_f16((input as f32 - 31.7) * 0.013 + lane as f32 * 0.771)));
        let narrow = narrow_all(64, &halves).unwrap();
        assert_eq!((narrow.dtype, widened(&narrow, 64)), (DType::F16, halves));
        let brains =
            weights(64, |input, lane| f32::from_bits(((input as f32 - 31.7) * 1e9 + (lane as f32 * 0.771).exp()).to_bits() & 0xffff_0000));
        let narrow = narrow_all(64, &brains).unwrap();
        assert_eq!((narrow.dtype, widened(&narrow, 64)), (DType::BF16, brains));
    }

    #[test]
    fn what_has_no_form_stays_as_it_is() {
        let trained = weights(64, |input, lane| ((input * 16 + lane) as f32 * 0.77).sin());
        assert!(narrow_all(64, &trained).is_none());
        // A panel that differs from the first one.
        let mut all = weights(128, |input, lane| mixed(input, lane, 128) as f32 * 0.01);
        assert!(narrow_all(64, &all).is_some());
        all[64 * LANES + 5] = 0.123_456_7;
        assert!(narrow_all(64, &all).is_none());
        for odd in [f32::NAN, f32::INFINITY, -0.0] {
            let mut all = weights(64, |input, lane| mixed(input, lane, 8) as f32 * 0.3);
            all[77] = odd;
            let narrow = narrow_all(64, &all);
            assert!(narrow.is_none_or(|narrow| narrow.scales.is_none()), "{odd}");
        }
    }

    #[test]
    fn channels_of_zeros_take_any_factor() {
        let all = weights(32, |input, lane| if lane == 3 { 0.0 } else { mixed(input, lane, 128) as f32 * 0.02 });
        let narrow = narrow_all(32, &all).unwrap();
        assert_eq!(widened(&narrow, 32), all);
    }
}
