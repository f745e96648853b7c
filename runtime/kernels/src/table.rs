//! The table of tiles of each instruction set.

use crate::finish::{FinishF32, Raw};
use crate::isa::Isa;
use crate::program::{EpilogueProgram, RowsProgram};
use crate::simd::{DotFormat, Simd};
use crate::tile::convert::Pixels;
use crate::tile::depthwise::RowTile;
use crate::tile::matrix::{FinishInt, Tile};
use crate::tile::softmax::ScoreRow;
use crate::tile::widen::Panel;
use crate::tile::winograd::{InputTile, OutputTile};
use std::ops::Range;

pub(crate) type TileF32 = unsafe fn(&Tile, &FinishF32);
pub(crate) type TileI8 = for<'a, 'b, 'c> unsafe fn(&'a Tile, &'b FinishInt<'c>);
pub(crate) type RowF32 = unsafe fn(&RowTile, &FinishF32);
pub(crate) type RowI8 = for<'a, 'b, 'c> unsafe fn(&'a RowTile, &'b FinishInt<'c>);

/// How the weights of integer depthwise tiles are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowFormat {
    /// `[tap][channels rounded up to 16]` of `i16`.
    Taps,
    /// `[channels / 16][ceil(taps / 2)][16][2]` of `i16`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    TapPairs,
}

/// How integer stencils read their weights and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StencilFormat {
    /// Weights `[tap][channels rounded up to 16]` of `f32`, a pointer a column.
    Floats,
    /// As `tile::quads` lays them.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Quads,
}

/// Greatest number of channels of any tile.
pub(crate) const MAX_COLS: usize = 32;

/// The tiles of one instruction set.
pub struct Kernels {
    pub(crate) isa: Isa,
    /// Channels of the narrow tile; the wide one has twice as many.
    pub(crate) unit: usize,
    pub(crate) dot: DotFormat,
    pub(crate) row_format: RowFormat,
    /// `[units][pixels - 1]`; at 0 the tiles of half a unit, where there are any.
    pub(crate) tiles_f32: [&'static [TileF32]; 3],
    /// `[units - 1][pixels - 1]`.
    pub(crate) tiles_i8: [&'static [TileI8]; 2],
    /// `[pixels - 1]`.
    pub(crate) rows_f32: [RowF32; 4],
    /// `[pixels - 1]`.
    pub(crate) rows_i8: [RowI8; 4],
    /// For rows of 3 and of 5 taps and steps of 1 and of 2: `[(taps - 3) + (step - 1)][pixels - 1]`.
    pub(crate) stencils_f32: [&'static [RowF32]; 4],
    /// Likewise.
    pub(crate) stencils_i8: [&'static [RowI8]; 4],
    pub(crate) stencil_format: StencilFormat,
    /// Converts pixels to [`Kernels::dot`].
    pub(crate) convert: unsafe fn(&Pixels),
    /// Makes floats of a panel of narrower weights.
    pub(crate) widen: unsafe fn(&Panel),
    /// Runs an epilogue's program over a block of sums.
    pub(crate) program: unsafe fn(&EpilogueProgram, &Raw),
    /// Runs a program over some rows.
    pub(crate) rows: unsafe fn(&RowsProgram, Range<usize>),
    /// Turns a row of attention's scores into weights.
    pub(crate) softmax: unsafe fn(&ScoreRow) -> bool,
    /// The transforms of Winograd's convolution.
    pub(crate) winograd_input: unsafe fn(&InputTile),
    pub(crate) winograd_output: unsafe fn(&OutputTile, &FinishF32),
}

macro_rules! tiles {
    ($f:ident, $nv:literal: $($mr:literal)*) => { &[$($f::<$mr, $nv>),*] };
}

macro_rules! stencils {
    ($f:ident: $($p:literal)*) => {
        [
            &[$($f::<3, 1, $p>),*],
            &[$($f::<3, 2, $p>),*],
            &[$($f::<5, 1, $p>),*],
            &[$($f::<5, 2, $p>),*],
        ]
    };
}

/// A module with the families of functions compiled for `$features`, and their table.
macro_rules! tier {
    ($module:ident, $isa:expr, $simd:ty, $(#[$features:meta])?, $row_format:expr, $row_i8:path,
     stencil $stencil_format:ident $stencil_i8:path: [$($ps:literal)*],
     half $half:ty: [$($m0:literal)*], $n1:literal: [$($m1:literal)*], $n2:literal: [$($m2:literal)*]) => {
        mod $module {
            use super::*;
            use crate::tile::{depthwise, matrix, stencil, winograd};

            $(#[$features])?
            unsafe fn tile_f32<const MR: usize, const NV: usize>(t: &Tile, f: &FinishF32) {
                // SAFETY: the caller's promise, and the features are enabled.
                unsafe { matrix::tile_f32::<$simd, MR, NV>(t, f) }
            }
            /// One vector of half a unit's channels. Not every table has it.
            #[allow(dead_code)]
            $(#[$features])?
            unsafe fn tile_half<const MR: usize, const NV: usize>(t: &Tile, f: &FinishF32) {
                // SAFETY: as above.
                unsafe { matrix::tile_f32::<$half, MR, NV>(t, f) }
            }
            $(#[$features])?
            unsafe fn tile_i8<const MR: usize, const NV: usize>(t: &Tile, f: &FinishInt<'_>) {
                // SAFETY: as above.
                unsafe { matrix::tile_i8::<$simd, MR, NV>(t, f) }
            }
            $(#[$features])?
            unsafe fn row_f32<const P: usize>(t: &RowTile, f: &FinishF32) {
                // SAFETY: as above.
                unsafe { depthwise::row_f32::<$simd, P>(t, f) }
            }
            $(#[$features])?
            unsafe fn stencil_f32<const KW: usize, const STEP: usize, const P: usize>(t: &RowTile, f: &FinishF32) {
                // SAFETY: as above.
                unsafe { stencil::stencil_f32::<$simd, KW, STEP, P>(t, f) }
            }
            $(#[$features])?
            unsafe fn stencil_i8<const KW: usize, const STEP: usize, const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
                // SAFETY: as above.
                unsafe { $stencil_i8(t, f) }
            }
            $(#[$features])?
            unsafe fn convert(p: &Pixels) {
                // SAFETY: as above.
                unsafe { crate::tile::convert::convert(<$simd as Simd>::DOT, p) }
            }
            $(#[$features])?
            unsafe fn widen(p: &Panel) {
                // SAFETY: as above.
                unsafe { crate::tile::widen::widen(p) }
            }
            $(#[$features])?
            unsafe fn program(program: &EpilogueProgram, raw: &Raw) {
                // SAFETY: as above.
                unsafe { crate::program::run_epilogue(program, raw) }
            }
            $(#[$features])?
            unsafe fn rows(program: &RowsProgram, rows: Range<usize>) {
                // SAFETY: as above.
                unsafe { crate::program::run_rows(program, rows) }
            }
            $(#[$features])?
            unsafe fn softmax(row: &ScoreRow) -> bool {
                // SAFETY: as above.
                unsafe { crate::tile::softmax::softmax(row) }
            }
            $(#[$features])?
            unsafe fn winograd_input(t: &InputTile) {
                // SAFETY: as above.
                unsafe { winograd::input::<$simd>(t) }
            }
            $(#[$features])?
            unsafe fn winograd_output(t: &OutputTile, f: &FinishF32) {
                // SAFETY: as above.
                unsafe { winograd::output::<$simd>(t, f) }
            }
            $(#[$features])?
            unsafe fn row_i8<const P: usize>(t: &RowTile, f: &FinishInt<'_>) {
                // SAFETY: as above.
                unsafe { $row_i8(t, f) }
            }
            pub(super) static TABLE: Kernels = Kernels {
                isa: $isa,
                unit: $n1 * <$simd as Simd>::LANES,
                dot: <$simd as Simd>::DOT,
                row_format: $row_format,
                tiles_f32: [tiles!(tile_half, 1: $($m0)*), tiles!(tile_f32, $n1: $($m1)*), tiles!(tile_f32, $n2: $($m2)*)],
                tiles_i8: [tiles!(tile_i8, $n1: $($m1)*), tiles!(tile_i8, $n2: $($m2)*)],
                rows_f32: [row_f32::<1>, row_f32::<2>, row_f32::<3>, row_f32::<4>],
                rows_i8: [row_i8::<1>, row_i8::<2>, row_i8::<3>, row_i8::<4>],
                stencils_f32: stencils!(stencil_f32: 1 2 3 4 5 6 7 8),
                stencils_i8: stencils!(stencil_i8: $($ps)*),
                stencil_format: StencilFormat::$stencil_format,
                convert,
                widen,
                program,
                rows,
                softmax,
                winograd_input,
                winograd_output,
            };
        }
    };
}

tier!(portable, Isa::Portable, crate::simd::portable::Portable<4>, , RowFormat::Taps, depthwise::row_i8::<crate::simd::portable::Portable<4>, P>,
    stencil Floats crate::tile::stencil::stencil_i8::<crate::simd::portable::Portable<4>, KW, STEP, P>: [1 2 3 4 5 6 7 8],
    half crate::simd::portable::Portable<4>: [], 2: [1 2 3 4], 4: [1 2 3 4]);

// The shapes of AVX-512's tiles over plain Rust, for tests on machines without it.
#[cfg(test)]
tier!(model512, Isa::Portable, crate::simd::portable::Portable<16>, , RowFormat::Taps, depthwise::row_i8::<crate::simd::portable::Portable<16>, P>,
    stencil Floats crate::tile::stencil::stencil_i8::<crate::simd::portable::Portable<16>, KW, STEP, P>: [1 2 3 4 5 6 7 8],
    half crate::simd::portable::Portable<8>: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
    1: [1 2 3 4 5 6 7 8 9 10 11 12 13 14], 2: [1 2 3 4 5 6 7 8 9 10 11 12]);

#[cfg(target_arch = "x86_64")]
tier!(avx2, Isa::Avx2, crate::simd::avx2::Avx2, #[target_feature(enable = "avx2,fma")], RowFormat::TapPairs, crate::tile::depthwise_avx2::row_i8::<P>,
    stencil Floats crate::tile::stencil::stencil_i8::<crate::simd::avx2::Avx2, KW, STEP, P>: [1 2 3 4 5 6 7 8],
    half crate::simd::avx2::Avx2: [], 1: [1 2 3 4 5 6 7 8], 2: [1 2 3 4 5 6]);

#[cfg(target_arch = "x86_64")]
tier!(avx512, Isa::Avx512, crate::simd::avx512::Avx512, #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")],
    RowFormat::TapPairs, crate::tile::depthwise_avx2::row_i8::<P>,
    stencil Floats crate::tile::stencil::stencil_i8::<crate::simd::avx512::Avx512, KW, STEP, P>: [1 2 3 4 5 6 7 8],
    half crate::simd::avx2::Avx2: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
    1: [1 2 3 4 5 6 7 8 9 10 11 12 13 14], 2: [1 2 3 4 5 6 7 8 9 10 11 12]);

#[cfg(target_arch = "x86_64")]
tier!(avx512vnni, Isa::Avx512Vnni, crate::simd::avx512::Avx512Vnni,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")], RowFormat::TapPairs, crate::tile::depthwise_avx2::row_i8::<P>,
    stencil Quads crate::tile::stencil_vnni::stencil_i8::<KW, STEP, P>: [1 2 3 4],
    half crate::simd::avx2::Avx2: [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
    1: [1 2 3 4 5 6 7 8 9 10 11 12 13 14], 2: [1 2 3 4 5 6 7 8 9 10 11 12]);

#[cfg(target_arch = "aarch64")]
tier!(neon, Isa::Neon, crate::simd::neon::Neon, #[target_feature(enable = "neon,dotprod")], RowFormat::Taps, depthwise::row_i8::<crate::simd::neon::Neon, P>,
    stencil Floats crate::tile::stencil::stencil_i8::<crate::simd::neon::Neon, KW, STEP, P>: [1 2 3 4 5 6 7 8],
    half crate::simd::neon::Neon: [], 2: [1 2 3 4 5 6 7 8 9 10], 4: [1 2 3 4 5 6]);

impl Kernels {
    /// The table of `isa`, where this machine runs it.
    pub fn get(isa: Isa) -> Option<&'static Kernels> {
        if !isa.is_available() {
            return None;
        }
        match isa {
            Isa::Portable => Some(&portable::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(&avx2::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Some(&avx512::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => Some(&avx512vnni::TABLE),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Some(&neon::TABLE),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    /// The table of the best instruction set of this machine.
    pub fn best() -> &'static Kernels {
        Kernels::get(Isa::best()).unwrap_or(&portable::TABLE)
    }

    /// Runs an epilogue's program over a block of sums.
    ///
    /// # Safety
    /// The sums are of the type that the program takes; what it reads and stores is there for the block's pixels and channels, and no one else stores it.
    pub unsafe fn run_program(&self, program: &EpilogueProgram, sums: &Raw) {
        // SAFETY: the caller's promise; the table is of an instruction set that this machine runs.
        unsafe { (self.program)(program, sums) }
    }

    /// Runs a program over some of its rows.
    ///
    /// # Safety
    /// What the program reads and stores is there for these rows, and no one else stores it.
    pub unsafe fn run_rows(&self, program: &RowsProgram, rows: Range<usize>) {
        // SAFETY: the caller's promise; the table is of an instruction set that this machine runs.
        unsafe { (self.rows)(program, rows) }
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Channels of the tile of half a unit; 0 where there is none.
    pub(crate) fn half_unit(&self) -> usize {
        if self.tiles_f32[0].is_empty() { 0 } else { self.unit / 2 }
    }

    #[cfg(test)]
    pub(crate) fn model512() -> &'static Kernels {
        &model512::TABLE
    }
}
