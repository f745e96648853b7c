//! The constants of signal processing: windows, transforms, filters. All are computed in binary64.

use std::f64::consts::PI;

/// The Hann window of a periodic signal: `0.5 - 0.5 cos(2 pi n / size)`.
pub(super) fn hann(size: u64) -> Vec<f64> {
    (0..size).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f64 / size as f64).cos()).collect()
}

/// The cosine and sine of `-2 pi k n / size`. The product is reduced first, so that long transforms lose nothing.
fn turn(k: u64, n: u64, size: u64) -> [f64; 2] {
    let angle = -2.0 * PI * ((k * n) % size) as f64 / size as f64;
    [angle.cos(), angle.sin()]
}

/// The Fourier transform of `size` windowed samples as a matrix `[size, 2 * bins]`: real and imaginary part of each frequency side by side.
pub(super) fn fourier(size: u64, bins: u64) -> Vec<f32> {
    let window = hann(size);
    let row = |n: u64| (0..bins).flat_map(move |k| turn(k, n, size));
    (0..size).flat_map(|n| row(n).map(|part| (part * window[n as usize]) as f32).collect::<Vec<f32>>()).collect()
}

/// A transform of `size = outer * inner` samples in two steps (Cooley and Tukey), sample `n = inner * n1 + n2` and frequency `k = k1 + outer * k2`.
pub(super) struct Steps {
    pub(super) outer: u64,
    pub(super) inner: u64,
    /// How many `k2` are needed for the first half of the frequencies.
    pub(super) kept: u64,
    /// `[2 * outer, outer]`: the real parts of the transforms over `n1`, then the imaginary ones.
    pub(super) first: Vec<f32>,
    /// `[outer, inner]` each: cosine and sine of `2 pi k1 n2 / size`.
    pub(super) twiddles: [Vec<f32>; 2],
    /// `[2 * inner, 2 * kept]`: the transform over `n2` of real parts and imaginary parts one after another, to the parts of each `k2` side by side.
    pub(super) second: Vec<f32>,
}

/// The factors of a size that are nearest to each other, the smaller one first.
pub(super) fn factors(size: u64) -> [u64; 2] {
    let outer = (1..=size.isqrt()).rev().find(|factor| size.is_multiple_of(*factor)).unwrap_or(1);
    [outer, size / outer]
}

impl Steps {
    pub(super) fn new(size: u64) -> Steps {
        let [outer, inner] = factors(size);
        let kept = size / 2 / outer + 1;
        let part = |of: usize| (0..outer).flat_map(move |k| (0..outer).map(move |n| turn(k, n, outer)[of] as f32));
        let twiddle = |of: usize, sign: f64| {
            (0..outer).flat_map(|k| (0..inner).map(move |n| (k, n))).map(|(k, n)| (turn(k, n, size)[of] * sign) as f32).collect()
        };
        // (a + bi)(c + si) = (ac - bs) + (as + bc)i
        let reals = (0..inner).flat_map(|n| (0..kept).flat_map(move |k| turn(k, n, inner)));
        let imaginaries = (0..inner).flat_map(|n| {
            (0..kept).flat_map(move |k| {
                let [c, s] = turn(k, n, inner);
                [-s, c]
            })
        });
        Steps {
            outer,
            inner,
            kept,
            first: part(0).chain(part(1)).collect(),
            twiddles: [twiddle(0, 1.0), twiddle(1, -1.0)],
            second: reals.chain(imaginaries).map(|part| part as f32).collect(),
        }
    }
}

/// Slaney's scale, which is linear below 1 kHz and logarithmic above, or that of HTK.
fn to_mel(hertz: f64, is_htk: bool) -> f64 {
    if is_htk {
        return 2595.0 * (1.0 + hertz / 700.0).log10();
    }
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln() }
}

fn to_hertz(mel: f64, is_htk: bool) -> f64 {
    if is_htk {
        return 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    }
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

/// The frequencies of a mel spectrogram, in hertz.
pub(super) struct Bands {
    pub(super) rate: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) is_htk: bool,
}

/// Triangles of one area, as `librosa.filters.mel` makes them: a matrix `[bins, mels]`.
pub(super) fn mel(bins: u64, mels: u64, bands: &Bands) -> Vec<f32> {
    let (low, high) = (to_mel(bands.low, bands.is_htk), to_mel(bands.high, bands.is_htk));
    let edges: Vec<f64> = (0..mels + 2).map(|at| to_hertz(low + (high - low) * at as f64 / (mels + 1) as f64, bands.is_htk)).collect();
    let weight = |bin: u64, band: usize| {
        let hertz = bin as f64 * bands.rate / (2 * (bins - 1)) as f64;
        let rising = (hertz - edges[band]) / (edges[band + 1] - edges[band]);
        let falling = (edges[band + 2] - hertz) / (edges[band + 2] - edges[band + 1]);
        rising.min(falling).max(0.0) * 2.0 / (edges[band + 2] - edges[band])
    };
    (0..bins).flat_map(|bin| (0..mels as usize).map(move |band| (bin, band))).map(|(bin, band)| weight(bin, band) as f32).collect()
}

/// The orthonormal cosine transform of type II: a matrix `[size, count]`.
pub(super) fn cosines(size: u64, count: u64) -> Vec<f32> {
    let entry = |n: u64, k: u64| {
        let scale = if k == 0 { 1.0 } else { 2.0 } / size as f64;
        scale.sqrt() * (PI * k as f64 * (2 * n + 1) as f64 / (2 * size) as f64).cos()
    };
    (0..size).flat_map(|n| (0..count).map(move |k| (n, k))).map(|(n, k)| entry(n, k) as f32).collect()
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..200 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

/// The filter of `scipy.signal.resample_poly`: a sinc under a Kaiser window with `beta = 5`, `10 * max(up, down)` to either side of its middle, with a sum of `up`.
pub(super) fn low_pass(up: u64, down: u64) -> Vec<f64> {
    let most = up.max(down) as f64;
    let half = 10 * up.max(down) as i64;
    let tap = |at: i64| {
        let x = PI * at as f64 / most;
        let sinc = if at == 0 { 1.0 } else { x.sin() / x };
        sinc * bessel(5.0 * (1.0 - (at as f64 / half as f64).powi(2)).max(0.0).sqrt())
    };
    let taps: Vec<f64> = (-half..=half).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| tap * up as f64 / sum).collect()
}
