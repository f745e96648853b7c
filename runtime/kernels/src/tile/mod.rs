//! The inner loops, written once over [`crate::simd::Simd`].

/// A loop of at most fourteen rounds without a loop: the compiler would keep it, and the sums in memory.
macro_rules! written_out {
    ($i:ident in 0..$end:expr, $body:expr) => { written_out!(@ $i, $end, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (@ $i:ident, $end:expr, $body:expr, $($n:literal)*) => {
        $(if $n < $end {
            let $i: usize = $n;
            $body
        })*
    };
}
pub(crate) mod convert;
pub(crate) mod depthwise;
#[cfg(target_arch = "x86_64")]
pub(crate) mod depthwise_avx2;
pub(crate) mod matrix;
pub(crate) mod quads;
pub(crate) mod softmax;
pub(crate) mod stencil;
#[cfg(target_arch = "x86_64")]
pub(crate) mod stencil_vnni;
pub(crate) mod widen;
pub(crate) mod winograd;
