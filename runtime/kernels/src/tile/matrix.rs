//! The tile of a contraction: `MR` pixels by `NV` vectors of channels, its sums in registers from the first tap to the last.

use crate::finish::{BytesOf, FinishF32, FinishI8, finish_f32, finish_fused, finish_i8};
use crate::simd::Simd;
use core::marker::PhantomData;

/// A run of tiles of one size, over the same channels. A step is four bytes of a pixel: one `f32` channel, or two or four integer channels.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// One pointer a pixel, of all tiles.
    pub rows: *const *const u8,
    /// Bytes from a pixel's pointer to each tap.
    pub taps: *const usize,
    /// Taps.
    pub tap_count: usize,
    /// Steps a tap.
    pub steps: usize,
    /// The first panel: 64 bytes a step.
    pub weights: *const u8,
    /// Bytes from one panel to the next.
    pub panel: usize,
    /// What each channel's sum begins with (four bytes a channel), from the tile's first channel.
    pub init: *const u8,
    /// The first tile's first pixel.
    pub pixel: usize,
    /// Tiles.
    pub count: usize,
    /// The first channel, a multiple of 16.
    pub channel: usize,
    /// Channels that are stored.
    pub cols: usize,
}

/// Where a tile's integer sums go.
#[derive(Clone, Copy)]
pub(crate) enum FinishInt<'a> {
    /// To bytes.
    Bytes(FinishI8<'a>),
    /// As they are: `(base, stride)`, as if of pixel 0, channel 0.
    Sums(*mut i32, usize),
}

/// Multiplication and addition of one step.
trait Mac {
    type V: Copy;
    const LANES: usize;
    unsafe fn load(p: *const u8) -> Self::V;
    unsafe fn broadcast(p: *const u8) -> Self::V;
    unsafe fn mac(acc: Self::V, a: Self::V, w: Self::V) -> Self::V;
}

struct FloatMac<S>(PhantomData<S>);
struct IntMac<S>(PhantomData<S>);

impl<S: Simd> Mac for FloatMac<S> {
    type V = S::F;
    const LANES: usize = S::LANES;
    #[inline(always)]
    unsafe fn load(p: *const u8) -> S::F {
        // SAFETY: the caller's pointer.
        unsafe { S::load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn broadcast(p: *const u8) -> S::F {
        // SAFETY: the caller's pointer.
        unsafe { S::splat(p.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn mac(acc: S::F, a: S::F, w: S::F) -> S::F {
        // SAFETY: arithmetic only.
        unsafe { S::fma(a, w, acc) }
    }
}

impl<S: Simd> Mac for IntMac<S> {
    type V = S::I;
    const LANES: usize = S::LANES;
    #[inline(always)]
    unsafe fn load(p: *const u8) -> S::I {
        // SAFETY: the caller's pointer.
        unsafe { S::iload(p.cast()) }
    }
    #[inline(always)]
    unsafe fn broadcast(p: *const u8) -> S::I {
        // SAFETY: the caller's pointer.
        unsafe { S::isplat(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn mac(acc: S::I, a: S::I, w: S::I) -> S::I {
        // SAFETY: arithmetic only.
        unsafe { S::dot(acc, a, w) }
    }
}

#[inline(always)]
unsafe fn sums<M: Mac, const MR: usize, const NV: usize>(t: &Tile, tile: usize) -> [[M::V; NV]; MR] {
    // SAFETY: the caller vouches for every pixel's taps and for whole panels of weights; `init` reaches past the last vector.
    unsafe {
        let first: [M::V; NV] = core::array::from_fn(|j| M::load(t.init.add(j * M::LANES * 4)));
        let mut acc = [first; MR];
        let offset: [usize; NV] = core::array::from_fn(|j| j * M::LANES / 16 * t.panel + j * M::LANES % 16 * 4);
        let mut w = t.weights;
        let rows = t.rows.add(tile * MR);
        for tap in 0..t.tap_count {
            let skip = *t.taps.add(tap);
            let a: [*const u8; MR] = core::array::from_fn(|i| (*rows.add(i)).add(skip));
            let mut at = 0;
            while at < t.steps * 4 {
                let b: [M::V; NV] = core::array::from_fn(|j| M::load(w.add(offset[j])));
                for i in 0..MR {
                    let x = M::broadcast(a[i].add(at));
                    for j in 0..NV {
                        acc[i][j] = M::mac(acc[i][j], x, b[j]);
                    }
                }
                w = w.add(64);
                at += 4;
            }
        }
        acc
    }
}

/// # Safety
/// The operands of `t` are readable as [`Tile`] says, and `f` covers its pixels and channels.
#[inline(always)]
pub(crate) unsafe fn tile_f32<S: Simd, const MR: usize, const NV: usize>(t: &Tile, f: &FinishF32) {
    // SAFETY: the caller's promise.
    unsafe {
        if f.residual.is_null() && t.cols >= NV * S::LANES {
            float_tiles::<S, MR, NV, true>(*t, *f);
        } else {
            float_tiles::<S, MR, NV, false>(*t, *f);
        }
    }
}

#[inline(always)]
unsafe fn float_tiles<S: Simd, const MR: usize, const NV: usize, const PLAIN: bool>(t: Tile, f: FinishF32) {
    for tile in 0..t.count {
        // SAFETY: the caller's promise.
        unsafe {
            let acc = sums::<FloatMac<S>, MR, NV>(&t, tile);
            written_out!(i in 0..MR, finish_f32::<S, NV, PLAIN>(f, acc[i], t.pixel + tile * MR + i, t.channel, t.cols));
        }
    }
}

/// # Safety
/// As for [`tile_f32`]; raw sums are stored for whole vectors.
#[inline(always)]
pub(crate) unsafe fn tile_i8<S: Simd, const MR: usize, const NV: usize>(t: &Tile, f: &FinishInt<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        let t = *t;
        match f {
            FinishInt::Bytes(f) => {
                let b = BytesOf::<S>::new(f);
                match (b.is_plain::<NV>(t.cols), b.is_fused()) {
                    (true, true) => byte_tiles::<S, MR, NV, true, true>(&t, &b),
                    (false, true) => byte_tiles::<S, MR, NV, false, true>(&t, &b),
                    (true, false) if !S::FUSED => byte_tiles::<S, MR, NV, true, false>(&t, &b),
                    _ => byte_tiles::<S, MR, NV, false, false>(&t, &b),
                }
            }
            FinishInt::Sums(base, stride) => {
                for tile in 0..t.count {
                    let acc = sums::<IntMac<S>, MR, NV>(&t, tile);
                    for (i, row) in acc.into_iter().enumerate() {
                        let at = base.wrapping_add((t.pixel + tile * MR + i) * stride + t.channel);
                        for (j, v) in row.into_iter().enumerate() {
                            S::istore(at.wrapping_add(j * S::LANES), v);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn byte_tiles<S: Simd, const MR: usize, const NV: usize, const PLAIN: bool, const FUSED: bool>(t: &Tile, b: &BytesOf<'_, S>) {
    for tile in 0..t.count {
        // SAFETY: the caller's promise.
        unsafe {
            let acc = sums::<IntMac<S>, MR, NV>(t, tile);
            let pixel = t.pixel + tile * MR;
            if PLAIN && FUSED && S::PAIRS {
                written_out!(i in 0..MR / 2, finish_fused::<S, NV>(b, [acc[2 * i], acc[2 * i + 1]], pixel + 2 * i, t.channel));
                if MR % 2 == 1 {
                    finish_i8::<S, NV, PLAIN, FUSED>(b, acc[MR - 1], pixel + MR - 1, t.channel, t.cols);
                }
            } else {
                written_out!(i in 0..MR, finish_i8::<S, NV, PLAIN, FUSED>(b, acc[i], pixel + i, t.channel, t.cols));
            }
        }
    }
}
