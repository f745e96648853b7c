//! Bytes of input as the integer dot product reads them.

use crate::simd::DotFormat;

/// A run of pixels to be converted.
#[derive(Clone, Copy)]
pub(crate) struct Pixels {
    pub from: *const u8,
    pub to: *mut u8,
    pub count: usize,
    /// Channels that are converted; up to a multiple of four, zeros follow.
    pub channels: usize,
    /// Bytes from one input pixel to the next.
    pub pixel: usize,
    pub signed: bool,
}

/// # Safety
/// The input is readable and the output writable for all pixels, with up to three bytes after the input's last.
#[inline(always)]
pub(crate) unsafe fn convert(format: DotFormat, p: &Pixels) {
    // SAFETY: the caller's promise.
    unsafe {
        match (format, p.signed) {
            (DotFormat::PairsI16, false) => pixels(p, i16::from),
            (DotFormat::PairsI16, true) => pixels(p, |b| i16::from(b as i8)),
            (DotFormat::QuadsU8, false) | (DotFormat::QuadsI8, true) => pixels(p, |b| b),
            (DotFormat::QuadsU8, true) | (DotFormat::QuadsI8, false) => pixels(p, |b| b ^ 0x80),
        }
    }
}

#[inline(always)]
unsafe fn pixels<T: Copy + Default>(p: &Pixels, f: impl Fn(u8) -> T + Copy) {
    let padded = p.channels.next_multiple_of(4);
    // SAFETY: the caller's promise.
    unsafe {
        if padded == p.channels && p.pixel == p.channels {
            // Dense pixels are one run.
            run(p.from, p.to.cast(), p.count * padded, f);
        } else if p.channels == 3 {
            few::<T, 3>(p, f);
        } else if p.channels == 2 {
            few::<T, 2>(p, f);
        } else if p.channels == 1 {
            few::<T, 1>(p, f);
        } else {
            for i in 0..p.count {
                let to = p.to.cast::<T>().add(i * padded);
                run(p.from.add(i * p.pixel), to, p.channels, f);
                core::slice::from_raw_parts_mut(to.add(p.channels), padded - p.channels).fill(T::default());
            }
        }
    }
}

/// Fewer than four channels: a photo's, most often.
#[inline(always)]
unsafe fn few<T: Copy + Default, const C: usize>(p: &Pixels, f: impl Fn(u8) -> T + Copy) {
    for i in 0..p.count {
        // SAFETY: the caller's promise.
        unsafe {
            let bytes = p.from.add(i * p.pixel).cast::<[u8; 4]>().read_unaligned();
            let quad: [T; 4] = core::array::from_fn(|c| if c < C { f(bytes[c]) } else { T::default() });
            p.to.cast::<[T; 4]>().add(i).write_unaligned(quad);
        }
    }
}

#[inline(always)]
unsafe fn run<T>(from: *const u8, to: *mut T, count: usize, f: impl Fn(u8) -> T) {
    // SAFETY: the caller's promise.
    let (from, to) = unsafe { (core::slice::from_raw_parts(from, count), core::slice::from_raw_parts_mut(to, count)) };
    for (to, &from) in to.iter_mut().zip(from) {
        *to = f(from);
    }
}
