//! The inner loops, written once over [`crate::simd::Simd`].

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
pub(crate) mod winograd;
