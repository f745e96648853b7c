//! Weights of floats that are kept in fewer bits, a panel at a time as the floats that they stand for.

/// Channels of a panel.
const LANES: usize = 16;

/// `2^112`: what the exponents of binary32 and binary16 differ by.
const EXPONENTS: f32 = f32::from_bits(239 << 23);

/// How the weights of a product of floats are kept: each stands for exactly one float.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// binary16, finite.
    F16,
    /// The upper halves of floats.
    BF16,
    /// Signed bytes, multiplied with a scale that `per` successive inputs of a channel share.
    I8 {
        /// A divisor of the inputs.
        per: usize,
    },
    /// Four bits of two's complement, likewise: of a panel's step, channel `c` in the low half of byte `c`, channel `c + 8` in the high half.
    I4 {
        /// A divisor of the inputs.
        per: usize,
    },
}

impl Stored {
    /// Bytes of sixteen channels of one input.
    pub(crate) fn step_bytes(self) -> usize {
        match self {
            Stored::F16 | Stored::BF16 => 2 * LANES,
            Stored::I8 { .. } => LANES,
            Stored::I4 { .. } => LANES / 2,
        }
    }

    /// Inputs that share scales; none where there are no scales.
    pub(crate) fn per(self) -> Option<usize> {
        match self {
            Stored::F16 | Stored::BF16 => None,
            Stored::I8 { per } | Stored::I4 { per } => Some(per),
        }
    }
}

/// A panel to be widened.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub stored: Stored,
    /// [`Stored::step_bytes`] a step.
    pub from: *const u8,
    /// `[steps / per][16]`, where there are scales.
    pub scales: *const f32,
    /// `[steps][16]`.
    pub to: *mut f32,
    pub steps: usize,
}

/// # Safety
/// Weights and scales are readable and the floats writable for all steps.
#[inline(always)]
pub(crate) unsafe fn widen(p: &Panel) {
    // SAFETY: the caller's promise.
    unsafe {
        let to = core::slice::from_raw_parts_mut(p.to.cast::<[f32; LANES]>(), p.steps);
        match p.stored {
            Stored::F16 => unscaled(p, to, |h| {
                let h = u32::from(h);
                // Powers of two but for subnormals, so nothing is rounded.
                let magnitude = f32::from_bits((h & 0x7fff) << 13) * EXPONENTS;
                f32::from_bits(magnitude.to_bits() | (h & 0x8000) << 16)
            }),
            Stored::BF16 => unscaled(p, to, |h| f32::from_bits(u32::from(h) << 16)),
            Stored::I8 { per } => scaled::<LANES>(p, to, per, |bytes, lane| bytes[lane] as i8),
            Stored::I4 { per } => scaled::<8>(p, to, per, |bytes, lane| {
                let pair = bytes[lane % 8];
                (if lane < 8 { pair << 4 } else { pair }) as i8 >> 4
            }),
        }
    }
}

#[inline(always)]
unsafe fn unscaled(p: &Panel, to: &mut [[f32; LANES]], f: impl Fn(u16) -> f32) {
    // SAFETY: the caller's promise.
    let from = unsafe { core::slice::from_raw_parts(p.from.cast::<[[u8; 2]; LANES]>(), to.len()) };
    for (to, from) in to.iter_mut().zip(from) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = f(u16::from_le_bytes(from));
        }
    }
}

#[inline(always)]
unsafe fn scaled<const BYTES: usize>(p: &Panel, to: &mut [[f32; LANES]], per: usize, number: impl Fn(&[u8; BYTES], usize) -> i8) {
    // SAFETY: the caller's promise.
    let (from, scales) = unsafe {
        let scales = core::slice::from_raw_parts(p.scales.cast::<[f32; LANES]>(), to.len() / per);
        (core::slice::from_raw_parts(p.from.cast::<[u8; BYTES]>(), to.len()), scales)
    };
    for ((to, from), scales) in to.chunks_exact_mut(per).zip(from.chunks_exact(per)).zip(scales) {
        for (to, from) in to.iter_mut().zip(from) {
            for lane in 0..LANES {
                to[lane] = f32::from(number(from, lane)) * scales[lane];
            }
        }
    }
}
