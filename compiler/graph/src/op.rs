//! The operations of the tensor graph, each with its exact semantics.
//!
//! Unless stated otherwise an operation has one result. `x` is operand 0, `y` operand 1 and so on. Axes are resolved: never negative. Map operations
//! broadcast as NumPy does: shapes are aligned at the last axis, and sizes 1 stretch. Maps compute in the compute type (`DType::compute`) and narrow the
//! result: integers keep their low bits, floats round to nearest even.

use crate::ir::TensorId;
use crate::shape::SymId;
use mlp_bundle::DType;
pub use mlp_bundle::loops::{BinaryOp, CompareOp, UnaryOp};
use serde::{Deserialize, Serialize};

/// How windows and taps of a convolution or pool lie over the spatial axes (all axes after N and C in NCHW, between N and C in NHWC).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spatial {
    /// Taps a spatial axis.
    pub kernel: Vec<u64>,
    /// Steps a spatial axis.
    pub strides: Vec<u64>,
    /// Distance of taps a spatial axis.
    pub dilations: Vec<u64>,
    /// Padding before the first element, a spatial axis.
    pub pads_begin: Vec<u64>,
    /// Padding after the last element, a spatial axis (`ceil_mode` is resolved into it by the importer; negative padding is a `Slice`).
    pub pads_end: Vec<u64>,
}

/// Where the channel axis lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layout {
    /// `[N, C, spatial...]`: what ONNX means.
    ChannelsFirst,
    /// `[N, spatial..., C]`: what kernels want.
    ChannelsLast,
}

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReduceKind {
    /// Sum; 0 of nothing.
    Sum,
    /// Arithmetic mean of floats.
    Mean,
    /// Product; 1 of nothing.
    Prod,
    /// Greatest; a NaN wins.
    Max,
    /// Least; a NaN wins.
    Min,
}

/// What a pool computes of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PoolKind {
    /// The greatest element, as `BinaryOp::Max` from the least value up: padding and NaN do not take part.
    Max,
    /// The mean of the elements that are not padding.
    Mean,
    /// The sum of the elements divided by the window's size, all padding counted as zeros. (Where `ceil_mode` adds padding that does not count, the
    /// importer makes a `Pad` of zeros and a `Mean`.)
    MeanWithPadding,
}

/// How an image is fitted to another aspect ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fit {
    /// The greatest centred part with the target's aspect ratio is taken: `min(rows, columns * height / width)` rows and
    /// `min(columns, rows * width / height)` columns (at least 1; integer divisions), from `(rows - those) / 2` and `(columns - those) / 2`.
    CropCenter,
    /// Both axes are scaled on their own.
    Stretch,
    /// The least area with the target's aspect ratio around the whole image is taken: `max(rows, columns * height / width)` rows and
    /// `max(columns, rows * width / height)` columns, from `-((those - rows) / 2)` and `-((those - columns) / 2)` (integer divisions towards zero).
    Letterbox,
}

/// How source elements are weighed by their distance `x` from the centre of a result, in elements of the result where the image shrinks and of the source where
/// it grows: the filters of Pillow's `Resample.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// The element that the centre lies in, alone.
    Nearest,
    /// `1 - x` below 1.
    Triangle,
    /// `(1.5 x - 2.5) x^2 + 1` below 1, `-0.5 (((x - 5) x + 8) x - 4)` below 2: the cubic convolution of Keys with `a = -0.5`.
    Cubic,
    /// `sinc(x) sinc(x / 3)` below 3, with `sinc(x) = sin(pi x) / (pi x)`.
    Lanczos,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// A constant tensor. No operands.
    Constant(TensorId),
    /// The value of a symbol in this run, an `I32` scalar. No operands.
    Symbol(SymId),
    /// A size of a graph that is made at several sizes to be [joined](crate::dynamic), an `I32` scalar: what a constant would be, but that no pass computes with it, so
    /// that the graphs stay alike where it differs. No operands.
    Size {
        /// Which of the graph's sizes it is.
        id: u32,
        /// What it is here.
        value: u32,
    },

    // Maps.
    /// `f(x)`, elementwise.
    Unary(UnaryOp),
    /// `f(x, y)` with broadcasting, elementwise, one dtype.
    Binary(BinaryOp),
    /// `f(x, y)` with broadcasting, elementwise, one dtype in, `Bool` out.
    Compare(CompareOp),
    /// `x ? y : z` with broadcasting, elementwise; `x` is `Bool`, `y` and `z` have one dtype.
    Select,
    /// Conversion to an element type, as `loops::Expr::Cast` defines it; narrowing to 8 and 16 bits wraps.
    Cast(DType),
    /// The same bits as another element type, elementwise; both have 32 bits or both 64.
    Bitcast(DType),

    // Movement.
    /// The same elements in row-major order under the result's shape.
    Reshape,
    /// Result axis `i` is operand axis `perm[i]`.
    Transpose {
        /// A permutation of the axes.
        perm: Vec<u32>,
    },
    /// Sizes 1 stretched to the result's shape, aligned at the last axis.
    Broadcast,
    /// Along each axis `start, start + step, ...`; the counts are the result's shape. A negative step walks down.
    Slice {
        /// First index an axis.
        starts: Vec<i64>,
        /// Step an axis, not 0.
        steps: Vec<i64>,
    },
    /// `x` with `before` and `after` elements of the scalar `y` (same dtype, rank 0) around it, an axis.
    Pad {
        /// Elements before, an axis.
        before: Vec<u64>,
        /// Elements after, an axis.
        after: Vec<u64>,
    },
    /// The operands one after another along an axis.
    Concat {
        /// The axis.
        axis: u32,
    },
    /// `x` at the integer indices `y` along an axis: the result's shape is `x[..axis] + y.shape + x[axis+1..]`. Negative indices count from the
    /// end; others out of range are clamped.
    Gather {
        /// The axis of `x`.
        axis: u32,
    },

    /// `x`, whose sizes may be symbols, at the start of a tensor of the result's constant sizes, none of which is less. All else may be anything; the reference
    /// interpreter makes it NaN, or the greatest integer, so that whoever looks at it is found out.
    Extend,
    /// The start of `x`, whose sizes are constant: as much of every axis as the result's sizes, which may be symbols, say.
    Trim,

    // Reductions.
    /// Over `axes`; they stay with size 1 where `keep`.
    Reduce {
        /// What is computed.
        kind: ReduceKind,
        /// The axes, ascending.
        axes: Vec<u32>,
        /// Whether reduced axes stay.
        keep: bool,
    },
    /// The `I64` position of the greatest (or least) element along an axis. A NaN is passed over unless it comes first.
    ArgReduce {
        /// Greatest rather than least.
        max: bool,
        /// The axis.
        axis: u32,
        /// Whether the axis stays with size 1.
        keep: bool,
        /// The last of equal elements rather than the first.
        last: bool,
    },
    /// Results: values, and their `I64` positions, of the `k` greatest (or least) elements along an axis, best first; of equal
    /// elements the earlier position first.
    TopK {
        /// How many.
        k: u64,
        /// The axis.
        axis: u32,
        /// Greatest rather than least.
        largest: bool,
    },

    // Contractions.
    /// NumPy's `matmul`: `[..., M, K] x [..., K, N]`, batch axes broadcast; rank 1 operands gain an axis that the result lacks. Any numeric dtype.
    MatMul,
    /// Convolution: `x`, weights `y` `[O, I/groups, taps...]` (always that order), and a bias `[O]` where there is a third operand. `F32` (or `F64`, `F16`).
    Conv {
        /// Windows.
        spatial: Spatial,
        /// Groups.
        groups: u64,
        /// Layout of `x` and of the result.
        layout: Layout,
    },
    /// A window reduction of `x`, channels apart.
    Pool {
        /// What is computed.
        kind: PoolKind,
        /// Windows.
        spatial: Spatial,
        /// Layout of `x` and of the result.
        layout: Layout,
    },
    /// The `I64` position of the greatest element of each window, as ONNX `MaxPool` numbers them: row-major in the whole of `x` (or column-major over
    /// the spatial axes).
    MaxPoolIndices {
        /// Windows.
        spatial: Spatial,
        /// Column-major over the spatial axes.
        column_major: bool,
    },

    // Quantization.
    /// `saturate(round_half_even(x * (1 / scale)) + zero_point)`; `x` is `F32` or `I32`, `y` the `F32` scale (rank 0, or rank 1 along `axis`, or
    /// `x`'s rank with blocks), `z` the zero point of the result's dtype (`U8`, `I8`, `U16`, `I16`). The reciprocal is one `F32` division.
    Quantize {
        /// The axis of a rank 1 scale.
        axis: u32,
    },
    /// `(x - zero_point) * scale` in `F32`; operands as for `Quantize`; `x` may also be `I32`.
    Dequantize {
        /// The axis of a rank 1 scale.
        axis: u32,
    },
    /// Integer convolution with requantization: `x` (`U8` or `I8`), weights `y` (`I8` `[O, I/groups, taps...]`, zero point 0), bias `z` (`I32` `[O]`, in which
    /// `-zero_point(x) * sum(weights)` is folded already), multiplier `w` (`I32` `[O]`). The result is `saturate(clamp(requantize(sum + bias, multiplier, shift) + out_zero, lo, hi))`, where
    /// padding reads `in_zero` and `requantize` is `loops::Expr::Requantize`. Where `dtype` is `I32` nothing is requantized: the result is `sum + bias` (and there is no
    /// multiplier operand).
    QuantizedConv {
        /// Windows.
        spatial: Spatial,
        /// Groups.
        groups: u64,
        /// Layout of `x` and of the result.
        layout: Layout,
        /// Value of padding.
        in_zero: i32,
        /// The result's zero point.
        out_zero: i32,
        /// Binary places of the multiplier.
        shift: u8,
        /// The result's dtype: `U8`, `I8` or `I32`.
        dtype: DType,
        /// Least result (a fused activation), within the dtype.
        lo: i32,
        /// Greatest result.
        hi: i32,
    },
    /// As `QuantizedConv` for `x [M, K]` and weights `y [K, N]`; bias and multiplier `[N]`. Where `dtype` is `I32` nothing is requantized: the result is `sum + bias`
    /// (and there is no multiplier operand).
    QuantizedMatMul {
        /// The result's zero point.
        out_zero: i32,
        /// Binary places of the multiplier.
        shift: u8,
        /// The result's dtype: `U8`, `I8` or `I32`.
        dtype: DType,
        /// Least result.
        lo: i32,
        /// Greatest result.
        hi: i32,
    },
    /// `saturate(clamp(round_half_even(((x - x_zero) * x_mult + (y - y_zero) * y_mult) / 2^shift) + out_zero, lo, hi))`, all in `I32`, for `U8` or `I8`
    /// with broadcasting; whoever makes it proves that the sum stays inside 31 bits.
    QuantizedAdd {
        /// Zero point of `x`.
        x_zero: i32,
        /// Zero point of `y`.
        y_zero: i32,
        /// Fixed-point factor of `x`.
        x_mult: i32,
        /// Fixed-point factor of `y`.
        y_mult: i32,
        /// The result's zero point.
        out_zero: i32,
        /// Binary places of the factors.
        shift: u8,
        /// The result's dtype.
        dtype: DType,
        /// Least result.
        lo: i32,
        /// Greatest result.
        hi: i32,
    },
    /// `saturate(clamp(requantize(sum(x - in_zero), multiplier, shift) + out_zero, lo, hi))` over `axes`, which stay with size 1: an integer mean.
    QuantizedMean {
        /// The axes, ascending.
        axes: Vec<u32>,
        /// Zero point of `x`.
        in_zero: i32,
        /// Fixed-point factor.
        multiplier: i32,
        /// Binary places of the factor.
        shift: u8,
        /// The result's zero point.
        out_zero: i32,
        /// The result's dtype.
        dtype: DType,
        /// Least result.
        lo: i32,
        /// Greatest result.
        hi: i32,
    },

    // Composites: kept whole, each with a decomposition.
    /// `exp(x - max) / sum(exp(x - max))` along an axis.
    Softmax {
        /// The axis.
        axis: u32,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`: operands `x, scale, bias, mean, variance`, all but `x` of shape `[C]`; channels are
    /// axis 1. Epsilon is the bits of an `F32`.
    BatchNorm {
        /// Bits of the `F32` epsilon.
        epsilon: u32,
    },
    /// `d / sqrt(mean(d * d) + epsilon)` along an axis of `F32`, where `d` is `x - mean(x)` if `centred` (layer normalization) and `x` if not (root mean
    /// square). Epsilon is the bits of an `F32`.
    Normalize {
        /// The axis.
        axis: u32,
        /// Bits of the `F32` epsilon.
        epsilon: u32,
        /// Whether the mean is taken off.
        centred: bool,
    },
    /// Scaled dot-product attention of a query `x [B, N, H, D]`, a key `y [B, M, H, D]` and a value `z [B, M, H, W]`, with a mask that stretches to
    /// `[B, H, N, M]` where there is a fourth operand; all `F32`. For each image and head, `softmax(query key^T * scale + mask) value`, as
    /// `[B, N, H, W]`. A row whose softmax is NaN is 0 where `guarded`. The scale is the bits of an `F32`.
    Attention {
        /// Bits of the `F32` factor of the scores.
        scale: u32,
        /// Whether rows without a softmax are 0.
        guarded: bool,
    },
    /// A photo `x` (`U8 [height, width, 4]`, RGBA, sizes symbolic) as `F32 [out_height, out_width, 3]` in `0..=255`: resampled separably, columns first, with a
    /// filter widened to the scale where it shrinks (as Pillow does with a box); weights of a pixel sum to 1, edges use what is inside the photo. Along an axis of
    /// `size` elements, of which `count` from `start` are fitted to `made` results: `scale = count / made`, `centre = start + (i + 0.5) * scale`; result `i` reads
    /// the positions `p` inside the photo with the weights of the filter at `|p + 0.5 - centre| / max(scale, 1)` over their sum. Positions are exact. Where a centre
    /// lies outside the photo along either axis, the result is `fill`. Filters that overshoot (`Cubic`, `Lanczos`) are clamped to `0..=255`.
    ImageResize {
        /// Rows of the result.
        height: u64,
        /// Columns of the result.
        width: u64,
        /// How the aspect ratio is met.
        fit: Fit,
        /// How elements are weighed.
        filter: Filter,
        /// Bits of the `F32` that stands around the photo.
        fill: u32,
    },
    /// The height and the width of a photo `x` (`U8 [height, width, 4]`, sizes symbolic) as `I32 [2]`.
    ImageSize,
}
