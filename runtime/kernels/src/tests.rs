//! Every tier that this machine runs, and the model of AVX-512's tile shapes, against sums written as plain loops.

mod narrow;
mod programs;

use crate::*;
use proptest::prelude::*;

/// Readable bytes past a buffer's end.
pub(crate) const SLACK: usize = 64;

pub(crate) fn tiers() -> Vec<&'static Kernels> {
    let mut all: Vec<_> = Isa::ALL.into_iter().filter_map(Kernels::get).collect();
    all.push(Kernels::model512());
    all
}

/// A small generator: tests need variety, not quality.
pub(crate) struct Noise(pub u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
    pub(crate) fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() % 2001) as f32 / 1000.0 - 1.0).collect()
    }
    fn ints(&mut self, n: usize, most: i32) -> Vec<i32> {
        (0..n).map(|_| (self.next() as i32).rem_euclid(2 * most + 1) - most).collect()
    }
}

/// The input element of a tap, where it is not padding.
fn place(w: &Window, m: usize, tap: usize, c: usize) -> Option<usize> {
    let (image, y, x) = (m / (w.out_h * w.out_w), m / w.out_w % w.out_h, m % w.out_w);
    let row = w.source(0, y, tap / w.kernel[1])?;
    let column = w.source(1, x, tap % w.kernel[1])?;
    Some(((image * w.in_h + row) * w.in_w + column) * w.in_pixel + w.in_offset + c)
}

fn input_len(w: &Window) -> usize {
    w.batch * w.in_h * w.in_w * w.in_pixel
}

fn taps(w: &Window) -> usize {
    w.kernel[0] * w.kernel[1]
}

fn window() -> impl Strategy<Value = Window> {
    let sizes = (1_usize..3, 1_usize..12, 1_usize..15, 1_usize..20, 1_usize..70);
    let shape = (1_usize..4, 1_usize..6, 1_usize..3, 1_usize..3, 1_usize..3, 1_usize..3);
    let around = (0_usize..3, 0_usize..3, 0_usize..4, 0_usize..3, 0_usize..3, 0_usize..3);
    (sizes, shape, around).prop_map(|((batch, in_h, in_w, in_c, out_c), (kh, kw, sy, sx, dy, dx), (py, px, offset, gap, below, right))| {
        let (kh, kw, py, px) = if sy + sx + dy + dx == 4 { (1, 1, 0, 0) } else { (kh, kw, py.min(kh - 1), px.min(kw - 1)) };
        let out = |size: usize, pad: usize, after: usize, k: usize, s: usize, d: usize| {
            (size + pad + after).saturating_sub((k - 1) * d + 1) / s + 1
        };
        let (below, right) = if kh * kw == 1 { (0, 0) } else { (below, right) };
        Window {
            batch,
            in_h,
            in_w,
            in_c,
            in_pixel: offset + in_c + gap,
            in_offset: offset,
            out_h: out(in_h, py, below, kh, sy, dy),
            out_w: out(in_w, px, right, kw, sx, dx),
            out_c,
            kernel: [kh, kw],
            stride: [sy, sx],
            dilation: [dy, dx],
            pad: [py, px],
        }
    })
}

fn depthwise_window() -> impl Strategy<Value = Window> {
    (window(), 1_usize..70, 1_usize..6).prop_map(|(mut w, c, kh)| {
        let gap = w.in_pixel - w.in_c - w.in_offset;
        w.kernel[0] = kh;
        w.pad[0] = w.pad[0].min(kh - 1);
        (w.in_c, w.out_c, w.in_pixel) = (c, c, w.in_offset + c + gap);
        w
    })
}

pub(crate) fn scratch(bytes: usize) -> Vec<[u64; 8]> {
    vec![[0xa5a5_a5a5_a5a5_a5a5; 8]; bytes.div_ceil(64) + 1]
}

/// A pointer inside `s` aligned to 64 is what `Vec<[u64; 8]>` does not promise; this finds it.
pub(crate) fn aligned(s: &mut [[u64; 8]]) -> *mut u8 {
    let at: *mut u8 = s.as_mut_ptr().cast();
    at.wrapping_add(at.align_offset(64))
}

pub(crate) fn pack_f32(w: &Window, dense: &[f32]) -> Vec<f32> {
    let k = taps(w) * w.in_c;
    let mut packed = vec![0.0; w.out_c.div_ceil(16) * k * 16 + SLACK / 4];
    for c in 0..w.out_c {
        for i in 0..k {
            packed[(c / 16 * k + i) * 16 + c % 16] = dense[i * w.out_c + c];
        }
    }
    packed
}

fn pack_i8(w: &Window, dense: &[i8]) -> Vec<u8> {
    let quads = w.in_c.div_ceil(4);
    let mut packed = vec![0; w.out_c.div_ceil(16) * taps(w) * quads * 64 + SLACK];
    for c in 0..w.out_c {
        for t in 0..taps(w) {
            for k in 0..w.in_c {
                packed[((c / 16 * taps(w) + t) * quads + k / 4) * 64 + c % 16 * 4 + k % 4] = dense[(t * w.in_c + k) * w.out_c + c] as u8;
            }
        }
    }
    packed
}

pub(crate) fn close(got: f32, want: f64) -> bool {
    (f64::from(got) - want).abs() <= 1e-4 + 1e-5 * want.abs()
}

/// Runs the items out of order and in two pieces, as threads would.
pub(crate) fn halves(items: usize) -> [std::ops::Range<usize>; 2] {
    [items / 2..items, 0..items / 2]
}

fn byte(input: &[u8], at: usize, signed: bool) -> i32 {
    if signed { i32::from(input[at] as i8) } else { i32::from(input[at]) }
}

struct Bytes {
    signed: bool,
    requantization: Requantization,
    multiplier: Vec<i32>,
    zero: i32,
    limits: [i32; 2],
    add: Option<ResidualAdd>,
    residual: Vec<u8>,
}

const SHIFT: u32 = 38;

/// Any sums.
const ANY: [i64; 2] = [i64::MIN, i64::MAX];

fn within(bound: i64) -> [i64; 2] {
    [-bound.min(1 << 40), bound.min(1 << 40)]
}

impl Bytes {
    /// Results are signed or not, factors have 24 bits or more.
    fn new(noise: &mut Noise, w: &Window, signed: bool, adds: bool) -> Bytes {
        let (fused, unsigned) = (noise.next().is_multiple_of(2), !adds && noise.next().is_multiple_of(2));
        let factor = |bits: i32| if fused { bits as f32 as i32 } else { bits | 1 };
        let multiplier: Vec<i32> = (0..w.out_c).map(|_| factor((1 << 25) + (noise.next() % (1 << 28)) as i32)).collect();
        let (zero, limits) = if unsigned { (117, [5, 255]) } else { (3, [-100, 110]) };
        let requantization = Requantization::new(&multiplier, SHIFT, zero, limits[0], limits[1], |_| ANY).expect("factors below 1");
        assert_eq!(requantization.fused(), fused);
        let add =
            ResidualAdd { signed, x_mult: 7_000_001, r_mult: -8_000_003, offset: 1_612_345_678, shift: 23, zero: 2, lo: -128, hi: 127 };
        assert!(add.is_valid());
        Bytes {
            signed,
            requantization,
            multiplier,
            zero,
            limits,
            add: adds.then_some(add),
            residual: noise.bytes(w.pixels() * w.out_c + SLACK),
        }
    }

    fn finish<'a>(&'a self, w: &Window, out: &mut [u8]) -> FinishI8<'a> {
        FinishI8 {
            out: out.as_mut_ptr(),
            out_pixel: w.out_c,
            requantization: &self.requantization,
            residual: if self.add.is_some() { self.residual.as_ptr() } else { std::ptr::null() },
            residual_pixel: w.out_c,
            add: self.add.unwrap_or_default(),
        }
    }

    fn expect(&self, w: &Window, sum: i32, m: usize, c: usize) -> u8 {
        let x = (requantize(sum, self.multiplier[c], SHIFT) + self.zero).clamp(self.limits[0], self.limits[1]);
        let Some(a) = &self.add else { return x as u8 };
        let r = byte(&self.residual, m * w.out_c + c, self.signed);
        let t = (x * a.x_mult).wrapping_add(r * a.r_mult).wrapping_add(a.offset);
        (requantize(t, 1, a.shift) + a.zero).clamp(a.lo, a.hi) as u8
    }
}

/// The sum of a pixel and channel in double precision, over weights `[tap][in_c][out_c]`.
pub(crate) fn sum_of(w: &Window, input: &[f32], dense: &[f32], m: usize, c: usize) -> f64 {
    (0..taps(w))
        .flat_map(|t| (0..w.in_c).map(move |i| (t, i)))
        .filter_map(|(t, i)| Some(f64::from(input[place(w, m, t, i)?]) * f64::from(dense[(t * w.in_c + i) * w.out_c + c])))
        .sum()
}

fn check_f32(w: Window, threads: usize, residual: Option<usize>) -> Result<(), TestCaseError> {
    let mut noise = Noise(7);
    let k = taps(&w) * w.in_c;
    let input = noise.floats(input_len(&w) + SLACK / 4);
    let dense = noise.floats(k * w.out_c);
    let bias = noise.floats(w.out_c);
    let add = noise.floats(w.pixels() * w.out_c);
    let packed = pack_f32(&w, &dense);
    for kernels in tiers() {
        let conv = Contraction::f32(kernels, w, &bias, threads).expect("a small window");
        let mut area = scratch(conv.scratch_bytes());
        let buffers = ContractionBuffers {
            input: input.as_ptr().cast(),
            weights: packed.as_ptr().cast(),
            scales: std::ptr::null(),
            scratch: aligned(&mut area),
        };
        let mut out = vec![f32::NAN; w.pixels() * w.out_c];
        let source = if residual.is_some() { add.as_ptr() } else { std::ptr::null() };
        let residual_cols = residual.unwrap_or(0).min(w.out_c);
        let finish = FinishF32 {
            out: out.as_mut_ptr(),
            out_pixel: w.out_c,
            residual: source,
            residual_pixel: w.out_c,
            residual_cols,
            lo: -1.5,
            hi: 2.5,
        };
        for items in halves(conv.items()) {
            // SAFETY: the buffers are as long as the window says, with slack.
            unsafe { conv.run_f32(items, &buffers, &finish) };
        }
        for m in 0..w.pixels() {
            for c in 0..w.out_c {
                let plus = if c < residual_cols { f64::from(add[m * w.out_c + c]) } else { 0.0 };
                let want = (sum_of(&w, &input, &dense, m, c) + f64::from(bias[c]) + plus).clamp(-1.5, 2.5);
                prop_assert!(
                    close(out[m * w.out_c + c], want),
                    "{}: pixel {m} channel {c}: {} for {want}",
                    kernels.isa(),
                    out[m * w.out_c + c]
                );
            }
        }
    }
    Ok(())
}

/// Images with weights of their own, against each of them alone.
fn check_images(w: Window, threads: usize) -> Result<(), TestCaseError> {
    let mut noise = Noise(5);
    let one = Window { batch: 1, ..w };
    let (pixels, panels) = (one.pixels(), one.out_c.div_ceil(16) * one.in_c * 16);
    let input = noise.floats(input_len(&w) + SLACK / 4);
    let packed = noise.floats(w.batch * panels + SLACK / 4);
    let bias = noise.floats(w.out_c);
    for kernels in tiers() {
        let run = |conv: &Contraction, input: &[f32], packed: &[f32], pixels: usize| {
            let mut area = scratch(conv.scratch_bytes());
            let (scales, residual) = (std::ptr::null(), std::ptr::null());
            let (input, weights) = (input.as_ptr().cast(), packed.as_ptr().cast());
            let buffers = ContractionBuffers { input, weights, scales, scratch: aligned(&mut area) };
            let mut out = vec![f32::NAN; pixels * w.out_c];
            let (lo, hi) = (-1.5, 2.5);
            let finish = FinishF32 { out: out.as_mut_ptr(), out_pixel: w.out_c, residual, residual_pixel: 0, residual_cols: 0, lo, hi };
            for items in halves(conv.items()) {
                // SAFETY: the buffers are as long as the window says, with slack.
                unsafe { conv.run_f32(items, &buffers, &finish) };
            }
            out
        };
        let all = Contraction::per_image(kernels, w, &bias, threads).expect("small matrices");
        let out = run(&all, &input, &packed, w.pixels());
        let alone = Contraction::f32(kernels, one, &bias, 1).expect("a small matrix");
        for image in 0..w.batch {
            let want = run(&alone, &input[image * w.in_h * w.in_w * w.in_pixel..], &packed[image * panels..], pixels);
            prop_assert_eq!(&out[image * pixels * w.out_c..][..pixels * w.out_c], &want[..], "{}: image {}", kernels.isa(), image);
        }
    }
    Ok(())
}

fn check_i8(w: Window, threads: usize, signed: bool, add: bool) -> Result<(), TestCaseError> {
    let mut noise = Noise(11);
    let input = noise.bytes(input_len(&w) + SLACK);
    let dense: Vec<i8> = noise.bytes(taps(&w) * w.in_c * w.out_c).into_iter().map(|b| b as i8).collect();
    let bias = noise.ints(w.out_c, 5000);
    let pad_value = if signed { -5 } else { 131 };
    let packed = pack_i8(&w, &dense);
    let mut sums = vec![0_i32; w.pixels() * w.out_c];
    for m in 0..w.pixels() {
        for c in 0..w.out_c {
            sums[m * w.out_c + c] = bias[c];
            for t in 0..taps(&w) {
                for i in 0..w.in_c {
                    let x = place(&w, m, t, i).map_or(pad_value, |at| byte(&input, at, signed));
                    sums[m * w.out_c + c] += x * i32::from(dense[(t * w.in_c + i) * w.out_c + c]);
                }
            }
        }
    }
    let bytes = Bytes::new(&mut noise, &w, signed, add);
    for kernels in tiers() {
        let conv = Contraction::int8(kernels, w, signed, pad_value, &packed, &bias, threads).expect("a small window");
        let mut area = scratch(conv.scratch_bytes());
        let buffers =
            ContractionBuffers { input: input.as_ptr(), weights: packed.as_ptr(), scales: std::ptr::null(), scratch: aligned(&mut area) };
        let mut out = vec![0xee; w.pixels() * w.out_c];
        let finish = bytes.finish(&w, &mut out);
        let mut raw = vec![i32::MIN; sums.len()];
        for items in halves(conv.items()) {
            // SAFETY: the buffers are as long as the window says, with slack.
            unsafe {
                conv.run_i8(items.clone(), &buffers, &finish);
                conv.run_sums(items, &buffers, |r| copy_sums(&r, &mut raw, w.out_c));
            }
        }
        prop_assert_eq!(&raw, &sums, "{}", kernels.isa());
        for (at, &got) in out.iter().enumerate() {
            let (m, c) = (at / w.out_c, at % w.out_c);
            prop_assert_eq!(got, bytes.expect(&w, sums[at], m, c), "{}: pixel {} channel {}", kernels.isa(), m, c);
        }
    }
    Ok(())
}

pub(crate) fn copy_sums(r: &Raw, to: &mut [i32], out_c: usize) {
    for row in 0..r.rows {
        for col in 0..r.cols {
            // SAFETY: inside the sums handed over.
            to[(r.pixel + row) * out_c + r.channel + col] = unsafe { r.at.cast::<i32>().add(row * r.stride + col).read() };
        }
    }
}

#[test]
fn shares_cover_every_item_once() {
    for (out_h, out_c, shares) in [(1, 16, 2), (7, 1152, 2), (40, 600, 2), (41, 700, 3), (33, 48, 4)] {
        let w = Window {
            batch: 1,
            in_h: out_h,
            in_w: 64,
            in_c: out_c,
            in_pixel: out_c,
            in_offset: 0,
            out_h,
            out_w: 64,
            out_c,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [1, 1],
        };
        for kernels in tiers() {
            let conv = DepthwiseConv::f32(kernels, w, &[]).expect("a small window");
            let mut items: Vec<usize> = (0..shares).flat_map(|index| conv.share(index, shares).flatten()).collect();
            items.sort_unstable();
            assert_eq!(items, (0..conv.items()).collect::<Vec<_>>(), "{out_h} rows of {out_c} channels to {shares}");
        }
    }
}

fn check_depthwise_f32(w: Window) -> Result<(), TestCaseError> {
    let mut noise = Noise(13);
    let padded = w.out_c.next_multiple_of(16);
    let input = noise.floats(input_len(&w) + SLACK / 4);
    let mut weights = noise.floats(taps(&w) * padded + SLACK / 4);
    (0..taps(&w)).for_each(|t| weights[t * padded + w.out_c..(t + 1) * padded].fill(0.0));
    let bias = noise.floats(w.out_c);
    for kernels in tiers() {
        let conv = DepthwiseConv::f32(kernels, w, &bias).expect("a small window");
        let mut area = scratch(conv.scratch_bytes());
        let buffers = DepthwiseBuffers { input: input.as_ptr().cast(), weights: weights.as_ptr().cast(), scratch: aligned(&mut area) };
        let mut out = vec![f32::NAN; w.pixels() * w.out_c];
        let finish = FinishF32 {
            out: out.as_mut_ptr(),
            out_pixel: w.out_c,
            residual: std::ptr::null(),
            residual_pixel: 0,
            residual_cols: 0,
            lo: 0.0,
            hi: f32::INFINITY,
        };
        for items in halves(conv.items()) {
            // SAFETY: the buffers are as long as the window says, with slack.
            unsafe { conv.run_f32(items, &buffers, &finish) };
        }
        for (at, &got) in out.iter().enumerate() {
            let (m, c) = (at / w.out_c, at % w.out_c);
            let products = (0..taps(&w)).filter_map(|t| Some(f64::from(input[place(&w, m, t, c)?]) * f64::from(weights[t * padded + c])));
            let want = (products.sum::<f64>() + f64::from(bias[c])).max(0.0);
            prop_assert!(close(got, want), "{}: pixel {m} channel {c}: {got} for {want}", kernels.isa());
        }
    }
    Ok(())
}

fn check_depthwise_i8(w: Window, signed: bool, add: bool) -> Result<(), TestCaseError> {
    let mut noise = Noise(17);
    let padded = w.out_c.next_multiple_of(16);
    let input = noise.bytes(input_len(&w) + SLACK);
    let mut weights = noise.bytes(taps(&w) * padded + SLACK);
    (0..taps(&w)).for_each(|t| weights[t * padded + w.out_c..(t + 1) * padded].fill(0));
    let bias = noise.ints(w.out_c, 5000);
    let pad_value = if signed { -5 } else { 131 };
    let sum = |m: usize, c: usize| -> i32 {
        let tap = |t: usize| place(&w, m, t, c).map_or(pad_value, |at| byte(&input, at, signed)) * i32::from(weights[t * padded + c] as i8);
        bias[c] + (0..taps(&w)).map(tap).sum::<i32>()
    };
    let bytes = Bytes::new(&mut noise, &w, signed, add);
    for kernels in tiers() {
        let conv = DepthwiseConv::int8(kernels, w, signed, pad_value, &weights, &bias).expect("a small window");
        let mut area = scratch(conv.scratch_bytes());
        let buffers = DepthwiseBuffers { input: input.as_ptr(), weights: weights.as_ptr(), scratch: aligned(&mut area) };
        let mut out = vec![0xee; w.pixels() * w.out_c];
        let finish = bytes.finish(&w, &mut out);
        let raw = std::cell::RefCell::new(vec![i32::MIN; out.len()]);
        for items in halves(conv.items()) {
            // SAFETY: the buffers are as long as the window says, with slack.
            unsafe {
                conv.run_i8(items.clone(), &buffers, &finish);
                conv.run_sums(items, &buffers, |r| copy_sums(&r, &mut raw.borrow_mut(), w.out_c));
            }
        }
        for (at, &got) in out.iter().enumerate() {
            let (m, c) = (at / w.out_c, at % w.out_c);
            prop_assert_eq!(raw.borrow()[at], sum(m, c), "{}: pixel {} channel {}", kernels.isa(), m, c);
            prop_assert_eq!(got, bytes.expect(&w, sum(m, c), m, c), "{}: pixel {} channel {}", kernels.isa(), m, c);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contraction_f32(w in window(), threads in 1_usize..5, residual in proptest::option::of(1_usize..70)) {
        check_f32(w, threads, residual)?;
    }

    #[test]
    fn images(batch in 1_usize..5, pixels in 1_usize..40, in_c in 1_usize..50, spare in 0_usize..4, out_c in 1_usize..70, threads in 1_usize..4) {
        let (in_h, in_w, out_h, out_w) = (1, pixels, 1, pixels);
        let (kernel, stride, dilation, pad, in_pixel) = ([1; 2], [1; 2], [1; 2], [0; 2], in_c + spare);
        check_images(Window { batch, in_h, in_w, in_c, in_pixel, in_offset: spare, out_h, out_w, out_c, kernel, stride, dilation, pad }, threads)?;
    }

    #[test]
    fn contraction_i8(w in window(), threads in 1_usize..5, signed: bool, add: bool) {
        check_i8(w, threads, signed, add)?;
    }

    #[test]
    fn depthwise_f32(w in depthwise_window()) {
        check_depthwise_f32(w)?;
    }

    #[test]
    fn depthwise_i8(w in depthwise_window(), signed: bool, add: bool) {
        check_depthwise_i8(w, signed, add)?;
    }

    #[test]
    fn requantization_rounds_half_to_even(value: i32, multiplier: i32, shift in 1_u32..63) {
        let exact = i128::from(value) * i128::from(multiplier);
        let unit = 1_i128 << shift;
        let (floor, rest) = (exact.div_euclid(unit), exact.rem_euclid(unit));
        let up = rest * 2 > unit || (rest * 2 == unit && floor % 2 != 0);
        let want = (floor + i128::from(up)).clamp(i128::from(i32::MIN), i128::from(i32::MAX));
        prop_assert_eq!(i128::from(requantize(value, multiplier, shift)), want);
    }
}

/// Sums at ties and beside them, where the `f32` estimate cannot decide.
#[test]
fn ties_are_exact() {
    let out_c = 48;
    let w = Window {
        batch: 1,
        in_h: 1,
        in_w: 64,
        in_c: 4,
        in_pixel: 4,
        in_offset: 0,
        out_h: 1,
        out_w: 64,
        out_c,
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pad: [0, 0],
    };
    let input: Vec<u8> = (0..64 * 4 + SLACK).map(|i| (i * 37 % 256) as u8).collect();
    let dense: Vec<i8> = (0..4 * out_c).map(|i| (i * 91 % 255) as i8).collect();
    // A half, and a hair to either side of it: every odd sum is a tie or beside one. A hair of two is beyond binary32 below, and in it above.
    for (hair, fused) in [(1, false), (2, true)] {
        let multiplier: Vec<i32> = (0..out_c as i32).map(|c| (1 << 24) + (c % 3 - 1) * hair).collect();
        let requantization = Requantization::new(&multiplier, 31, 0, -128, 127, |_| within(1 << 20)).expect("small factors");
        assert_eq!(requantization.fused(), fused);
        check_ties(&w, &input, &dense, &multiplier, &requantization);
    }
}

fn check_ties(w: &Window, input: &[u8], dense: &[i8], multiplier: &[i32], requantization: &Requantization) {
    let (w, out_c, packed) = (*w, w.out_c, pack_i8(w, dense));
    for kernels in tiers() {
        let conv = Contraction::int8(kernels, w, false, 0, &packed, &[], 1).expect("a small window");
        let mut area = scratch(conv.scratch_bytes());
        let buffers =
            ContractionBuffers { input: input.as_ptr(), weights: packed.as_ptr(), scales: std::ptr::null(), scratch: aligned(&mut area) };
        let mut out = vec![0; 64 * out_c];
        let finish = FinishI8 {
            out: out.as_mut_ptr(),
            out_pixel: out_c,
            requantization,
            residual: std::ptr::null(),
            residual_pixel: 0,
            add: ResidualAdd::default(),
        };
        // SAFETY: the buffers are as long as the window says, with slack.
        unsafe { conv.run_i8(0..conv.items(), &buffers, &finish) };
        for m in 0..64 {
            for c in 0..out_c {
                let sum: i32 = (0..4).map(|i| i32::from(input[m * 4 + i]) * i32::from(dense[i * out_c + c])).sum();
                let want = requantize(sum, multiplier[c], 31).clamp(-128, 127) as u8;
                assert_eq!(out[m * out_c + c], want, "{}: sum {sum}, factor {}", kernels.isa(), multiplier[c]);
            }
        }
    }
}

#[test]
fn requantization_refuses_what_the_estimate_cannot_hold() {
    assert!(Requantization::new(&[i32::MAX], 31, 0, -128, 127, |_| ANY).is_none(), "a factor of about 1");
    assert!(Requantization::new(&[i32::MAX], 31, 0, -128, 127, |_| within(1 << 30)).is_some(), "a factor of about 1, of lesser sums");
    assert!(Requantization::new(&[1 << 30], 24, 0, -128, 127, |_| within(1 << 25)).is_none(), "a factor of 64");
    assert!(Requantization::new(&[1 << 20], 31, 0, -4096, 127, |_| within(1)).is_none(), "a wide range");
    assert!(Requantization::new(&[1 << 20], 63, 0, -128, 127, |_| within(1)).is_none(), "a shift too far");
    let fused = |factor, shift, zero, [lo, hi]: [i32; 2], bound: i64| {
        Requantization::new(&[factor], shift, zero, lo, hi, |_| within(bound)).expect("within the estimate").fused()
    };
    assert!(fused(1 << 20, 31, 0, [-128, 127], i64::MAX));
    assert!(!fused(1 << 20, 31, 0, [-128, 255], i64::MAX), "limits of no byte");
    assert!(!fused((1 << 24) + 1, 34, 0, [-128, 127], 1 << 24), "a factor of 25 bits");
    assert!(!fused(1 << 20, 40, 0, [-128, 127], 1 << 25), "sums that binary32 rounds, with quotients inside the limits");
    assert!(fused(1 << 20, 40, 0, [-128, 127], 1 << 24));
    assert!(!fused(1 << 30, 32, 0, [-128, 127], 1 << 24), "quotients of 22 bits");
    let channel = |sums| Requantization::new(&[1 << 10], 34, 0, -128, 127, |_| sums).expect("within the estimate").fused();
    assert!(channel([(50 << 24) - 1000, (50 << 24) + 1000]), "all results are 50");
    assert!(channel([-(1 << 31), -(255 << 23) - 10_000]), "all results are the least");
    assert!(!channel([(50 << 24) - (1 << 23), (50 << 24) + 1000]), "a tie");
}

#[test]
fn names_of_instruction_sets_read_back() {
    for isa in Isa::ALL {
        assert_eq!(Isa::from_name(isa.name()), Some(isa));
    }
    assert!(Isa::best().is_available());
}

/// A window that few elements describe and no memory holds.
#[test]
fn windows_beyond_memory_are_refused() {
    let far = Window {
        batch: 1,
        in_h: 1,
        in_w: 1,
        in_c: 1,
        in_pixel: 1,
        in_offset: 0,
        out_h: 1 << 20,
        out_w: 1 << 20,
        out_c: 1,
        kernel: [2, 2],
        stride: [(1 << 24) - 1; 2],
        dilation: [(1 << 24) - 1; 2],
        pad: [0, 0],
    };
    let wide = Window { out_w: (1 << 24) - 1, kernel: [1 << 10, 1 << 10], ..far };
    for kernels in tiers() {
        assert!(Contraction::f32(kernels, far, &[], 1).is_none());
        assert!(Contraction::int8(kernels, far, true, 0, &[0; 1024], &[], 4).is_none());
        assert!(DepthwiseConv::f32(kernels, wide, &[]).is_none());
    }
}
