//! Depthwise tiles of `f32` for the common windows: `KW` taps in a row with steps of `S`, `P` pixels, one vector of channels. An input vector is
//! loaded once a row of taps and used by every pixel that it reaches; a row of taps' weights stay in registers.

use super::depthwise::RowTile;
use crate::finish::{FinishF32, finish_f32};
use crate::simd::Simd;

/// Pixels of the widest stencil.
pub(crate) const STENCIL_PIXELS: usize = 8;

/// Here [`RowTile::sources`] are `[row of taps][column]`, the columns that the tile reads, and [`RowTile::taps`] counts rows of taps.
///
/// # Safety
/// As for [`super::depthwise::row_f32`].
#[inline(always)]
pub(crate) unsafe fn stencil_f32<S: Simd, const KW: usize, const STEP: usize, const P: usize>(t: &RowTile, f: &FinishF32) {
    let columns = (P - 1) * STEP + KW;
    // SAFETY: the caller's promise.
    unsafe {
        let padded = t.channels.next_multiple_of(16);
        let (t, f) = (*t, *f);
        let mut c = t.from;
        while c < t.to {
            let mut acc = [S::load(t.init.cast::<f32>().add(c)); P];
            let mut w = t.weights.cast::<f32>().add(c);
            let mut sources = t.sources;
            let skip = t.shift + c * 4;
            for _ in 0..t.taps {
                let b: [S::F; KW] = core::array::from_fn(|k| S::load(w.add(k * padded)));
                for column in 0..columns {
                    let x = S::load((*sources.add(column)).add(skip).cast());
                    for i in 0..P {
                        if column >= i * STEP && column - i * STEP < KW {
                            acc[i] = S::fma(x, b[column - i * STEP], acc[i]);
                        }
                    }
                }
                w = w.add(KW * padded);
                sources = sources.add(columns);
            }
            for (i, v) in acc.into_iter().enumerate() {
                finish_f32::<S, 1>(f, [v], t.pixel + i, c, t.channels - c);
            }
            c += S::LANES;
        }
    }
}
