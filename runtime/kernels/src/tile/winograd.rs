//! The transforms of Winograd's convolution F(4x4, 3x3): six by six input pixels to 36 numbers, 36 sums to four by four outputs, a vector of channels at a time.
//!
//! From A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), with other points of interpolation: 0, ±3/4, ±3/2 and infinity. Their
//! constants are exact in binary, and the error of a result stays near that of a direct sum, where the usual ±1, ±2 make it two or three times as large.

use crate::finish::{FinishF32, finish_f32};
use crate::simd::Simd;

/// The nearer points.
const A: f32 = 0.75;
/// The farther points.
const B: f32 = 1.5;
/// Coefficients of `(x² - A²)(x² - B²)`.
const PRODUCT: f32 = A * A * B * B;
const SUM: f32 = A * A + B * B;

/// Matrices, one a place of the transformed tile.
pub(crate) const PLACES: usize = 36;

/// A tile's input.
#[derive(Clone, Copy)]
pub(crate) struct InputTile {
    /// Pointers to channel 0 of six rows of six pixels, padding included.
    pub pixels: *const *const f32,
    /// Channels; whole vectors are read and written.
    pub channels: usize,
    /// Channel 0 of the tile in the first matrix.
    pub to: *mut f32,
    /// Elements from one matrix to the next.
    pub matrix: usize,
}

/// A tile's sums, and where its results go.
#[derive(Clone, Copy)]
pub(crate) struct OutputTile {
    /// The tile's sums in the first matrix.
    pub sums: *const f32,
    /// Elements from one matrix to the next.
    pub matrix: usize,
    /// Added to each channel's results; readable for whole vectors.
    pub bias: *const f32,
    /// The first result's pixel, and pixels from one row of them to the next.
    pub pixel: usize,
    pub pitch: usize,
    /// The first channel and the number of channels.
    pub channel: usize,
    pub cols: usize,
    /// Rows and columns of results that are inside the output, up to 4.
    pub height: usize,
    pub width: usize,
}

/// One dimension of the input's transform.
#[inline(always)]
unsafe fn input_line<S: Simd>(x: [S::F; 6]) -> [S::F; 6] {
    // SAFETY: arithmetic only.
    unsafe {
        let near = S::fma(S::splat(-B * B), x[2], x[4]);
        let near_odd = S::fma(S::splat(-B * B), x[1], x[3]);
        let far = S::fma(S::splat(-A * A), x[2], x[4]);
        let far_odd = S::fma(S::splat(-A * A), x[1], x[3]);
        [
            S::fma(S::splat(PRODUCT), x[0], S::fma(S::splat(-SUM), x[2], x[4])),
            S::fma(S::splat(A), near_odd, near),
            S::fma(S::splat(-A), near_odd, near),
            S::fma(S::splat(B), far_odd, far),
            S::fma(S::splat(-B), far_odd, far),
            S::fma(S::splat(PRODUCT), x[1], S::fma(S::splat(-SUM), x[3], x[5])),
        ]
    }
}

/// One dimension of the output's transform.
#[inline(always)]
unsafe fn output_line<S: Simd>(m: [S::F; 6]) -> [S::F; 4] {
    // SAFETY: arithmetic only.
    unsafe {
        let (near, near_odd) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (far, far_odd) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(near, far)),
            S::fma(S::splat(A), near_odd, S::mul(S::splat(B), far_odd)),
            S::fma(S::splat(A * A), near, S::mul(S::splat(B * B), far)),
            S::fma(S::splat(A * A * A), near_odd, S::fma(S::splat(B * B * B), far_odd, m[5])),
        ]
    }
}

/// # Safety
/// Pixels are readable and the matrices writable for whole vectors of channels.
#[inline(always)]
pub(crate) unsafe fn input<S: Simd>(t: &InputTile) {
    let mut c = 0;
    while c < t.channels {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |place: usize| S::load((*t.pixels.add(place)).add(c));
            let mut columns = [[S::splat(0.0); 6]; 6];
            for x in 0..6 {
                columns[x] = input_line::<S>([load(x), load(6 + x), load(12 + x), load(18 + x), load(24 + x), load(30 + x)]);
            }
            let to = t.to.add(c);
            for y in 0..6 {
                let row = input_line::<S>([columns[0][y], columns[1][y], columns[2][y], columns[3][y], columns[4][y], columns[5][y]]);
                for x in 0..6 {
                    S::store(to.add((y * 6 + x) * t.matrix), row[x]);
                }
            }
        }
        c += S::LANES;
    }
}

/// # Safety
/// The sums and `bias` are readable for whole vectors, and `f` covers the pixels and channels.
#[inline(always)]
pub(crate) unsafe fn output<S: Simd>(t: &OutputTile, f: &FinishF32) {
    let mut c = 0;
    while c < t.cols {
        // SAFETY: the caller's promise.
        unsafe {
            let sums = t.sums.add(c);
            let load = |place: usize| S::load(sums.add(place * t.matrix));
            let mut columns = [[S::splat(0.0); 4]; 6];
            for x in 0..6 {
                columns[x] = output_line::<S>([load(x), load(6 + x), load(12 + x), load(18 + x), load(24 + x), load(30 + x)]);
            }
            let bias = S::load(t.bias.add(c));
            let plain = f.residual.is_null() && t.width == 4 && t.cols - c >= S::LANES;
            for y in 0..4 {
                if y >= t.height {
                    break;
                }
                let row = output_line::<S>([columns[0][y], columns[1][y], columns[2][y], columns[3][y], columns[4][y], columns[5][y]]);
                let pixel = t.pixel + y * t.pitch;
                for x in 0..4 {
                    let v = [S::add(row[x], bias)];
                    if plain {
                        finish_f32::<S, 1, true>(*f, v, pixel + x, t.channel + c, S::LANES);
                    } else if x < t.width {
                        finish_f32::<S, 1, false>(*f, v, pixel + x, t.channel + c, t.cols - c);
                    }
                }
            }
        }
        c += S::LANES;
    }
}

/// The weights' transform: `[3][3]` taps to the 36 places, for sixteen output channels, in double precision.
pub(crate) fn weights(taps: &[[f64; 16]; 9]) -> [[f32; 16]; PLACES] {
    let columns: [[[f64; 16]; 6]; 3] = core::array::from_fn(|x| weight_line(&taps[x], &taps[3 + x], &taps[6 + x]));
    let mut places = [[0.0; 16]; PLACES];
    for y in 0..6 {
        let row = weight_line(&columns[0][y], &columns[1][y], &columns[2][y]);
        for x in 0..6 {
            for lane in 0..16 {
                places[y * 6 + x][lane] = row[x][lane] as f32;
            }
        }
    }
    places
}

/// One dimension of the weights' transform.
fn weight_line(g0: &[f64; 16], g1: &[f64; 16], g2: &[f64; 16]) -> [[f64; 16]; 6] {
    let (a, b) = (f64::from(A), f64::from(B));
    let (near, far) = (0.5 / (a * a * (a * a - b * b)), 0.5 / (b * b * (b * b - a * a)));
    let mut line = [[0.0; 16]; 6];
    for lane in 0..16 {
        let at = |scale: f64, x: f64| scale * (g0[lane] + x * g1[lane] + x * x * g2[lane]);
        let values = [at(1.0 / (a * a * b * b), 0.0), at(near, a), at(near, -a), at(far, b), at(far, -b), g2[lane]];
        for place in 0..6 {
            line[place][lane] = values[place];
        }
    }
    line
}
