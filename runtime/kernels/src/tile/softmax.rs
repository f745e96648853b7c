//! The weights of one row of attention: scores become their exponentials over their sum.

use crate::program::exp_parts;

/// Elements that one step computes: whole vectors of every instruction set.
const STEP: usize = 16;

/// One row of scores and what is added to it.
#[derive(Clone, Copy)]
pub(crate) struct ScoreRow {
    /// The products of query and keys; the weights afterwards.
    pub scores: *mut f32,
    /// Keys.
    pub keys: usize,
    /// The factor of the products.
    pub scale: f32,
    /// Added to the scaled products; null for nothing.
    pub mask: *const f32,
    /// Elements from one key's mask to the next.
    pub mask_key: usize,
}

/// Turns scores into weights. False where the sum of the weights is no number, and the weights are of no use.
///
/// Plain loops over arrays: they become vectors of whatever is enabled where this is inlined.
///
/// # Safety
/// The scores are writable and the mask readable for all keys.
#[inline(always)]
pub(crate) unsafe fn softmax(row: &ScoreRow) -> bool {
    // SAFETY: the caller's promise.
    let scores = unsafe { core::slice::from_raw_parts_mut(row.scores, row.keys) };
    // SAFETY: as above.
    unsafe { scale_and_mask(scores, row) };
    let mut greatest = [f32::NEG_INFINITY; STEP];
    let (steps, rest) = scores.as_chunks::<STEP>();
    for step in steps {
        for i in 0..STEP {
            greatest[i] = if greatest[i] < step[i] { step[i] } else { greatest[i] };
        }
    }
    let greatest = greatest.iter().chain(rest).fold(f32::NEG_INFINITY, |most, &score| if most < score { score } else { most });
    let mut sums = [0.0; STEP];
    let (steps, rest) = scores.as_chunks_mut::<STEP>();
    for step in steps {
        for i in 0..STEP {
            step[i] = exp(step[i] - greatest);
            sums[i] += step[i];
        }
    }
    for score in &mut *rest {
        *score = exp(*score - greatest);
    }
    let sum = sums.iter().chain(&*rest).sum::<f32>();
    let factor = 1.0 / sum;
    scores.iter_mut().for_each(|score| *score *= factor);
    !sum.is_nan()
}

#[inline(always)]
unsafe fn scale_and_mask(scores: &mut [f32], row: &ScoreRow) {
    if row.mask.is_null() {
        scores.iter_mut().for_each(|score| *score *= row.scale);
        return;
    }
    if row.mask_key == 1 {
        // SAFETY: the caller's promise.
        let mask = unsafe { core::slice::from_raw_parts(row.mask, scores.len()) };
        scores.iter_mut().zip(mask).for_each(|(score, &mask)| *score = *score * row.scale + mask);
        return;
    }
    for (j, score) in scores.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *score = *score * row.scale + unsafe { *row.mask.add(j * row.mask_key) };
    }
}

/// `e^x` for `x <= 0`, within two units in the last place; 0 below -87, where `e^x` leaves the normal numbers. A NaN stays one.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let (p, n) = exp_parts(x);
    let power = f32::from_bits((n.wrapping_add(127) as u32) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn the_exponential_is_close_and_ends_in_zero() {
        for i in 0..=87_000 {
            let x = -(i as f32) / 1000.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 2.5e-7 * exact, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1e30), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }
}
