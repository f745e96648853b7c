//! The loop IR: what one kernel computes, for every backend alike.
//!
//! A [`Kernel`] is a [`Nest`] (parallel loops, optional reduction loops, a scalar expression DAG, stores), a kernel over whole [`Rows`] (several reductions,
//! then stores), one of two contractions whose inner tiles each backend writes by hand: [`Contract`] (convolution and matrix product over packed weights) and
//! [`Depthwise`], or [`Attention`]. A contraction's [`Epilogue`] is the same expression DAG, evaluated once for each output element.
//!
//! Reads and writes are [`Access`]es: one affine index a dimension, each with its extent, so that staying inside the buffer is
//! decided before anything runs ([`crate::plan::verify`]).

mod attention;
pub mod eval;
mod names;
pub mod parse;
mod print;
mod rows;
pub mod scalar;
pub mod types;

pub use attention::{Attention, Mask, Strided};
pub use rows::{Fold, Reduction, Rows};

use crate::dtype::{DType, Scalar};
use cranelift_entity::{PrimaryMap, entity_impl};
use serde::{Deserialize, Serialize};

/// A buffer of the plan, printed as `b3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BufferId(u32);
entity_impl!(BufferId, "b");

/// A node of an expression DAG, printed as `v3`. An operand's id is smaller than its user's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExprId(u32);
entity_impl!(ExprId, "v");

/// An integer known when a run starts (a photo's height, say), printed as `s0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SymbolId(u32);
entity_impl!(SymbolId, "s");

/// An expression DAG in topological order.
pub type Exprs = PrimaryMap<ExprId, Expr>;

/// One kernel of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    /// A readable name, unique in the plan, made of `[a-z0-9_]`.
    pub name: String,
    /// The graph operations this kernel was made from, by their origin (an ONNX node name, or `file:line` of a source).
    pub origin: Vec<String>,
    /// What it computes.
    pub body: Body,
}

impl Kernel {
    /// Multiply-accumulates of a contraction or of attention; 0 for all else.
    pub fn macs(&self) -> u64 {
        match &self.body {
            Body::Nest(_) | Body::Rows(_) => 0,
            Body::Contract(contract) => contract.window.outputs() * contract.window.taps() * u64::from(contract.window.in_c),
            Body::Depthwise(depthwise) => depthwise.window.outputs() * depthwise.window.taps(),
            Body::Attention(attention) => attention.macs(),
        }
    }

    /// Whether its multiply-accumulates are of bytes.
    pub fn is_int8(&self) -> bool {
        match &self.body {
            Body::Nest(_) | Body::Rows(_) | Body::Attention(_) => false,
            Body::Contract(Contract { arithmetic, .. }) | Body::Depthwise(Depthwise { arithmetic, .. }) => {
                matches!(arithmetic, Arithmetic::Int8 { .. })
            }
        }
    }
}

/// What a kernel computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Body {
    /// A loop nest.
    Nest(Nest),
    /// A convolution or matrix product over packed weights.
    Contract(Contract),
    /// A depthwise convolution.
    Depthwise(Depthwise),
    /// Scaled dot-product attention.
    Attention(Attention),
    /// Reductions along rows, then every element of them.
    Rows(Rows),
}

/// A loop nest: for each point of the parallel loops, run the reduction loops updating the accumulators, then store.
///
/// Axes are numbered over `parallel` first, then `reduce`; [`Expr::Axis`] is the loop variable (`I32`). Iterations of parallel loops are independent:
/// no two points store to one element, and no store touches a buffer that the nest loads, except that an element may be
/// loaded and stored by the same point alone (in-place maps).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nest {
    /// Extents of the parallel loops, outermost first. Empty means one point.
    pub parallel: Vec<u32>,
    /// Extents of the reduction loops, outermost first.
    pub reduce: Vec<Extent>,
    /// The expressions.
    pub exprs: Exprs,
    /// The accumulators, all updated at once at each reduction point.
    pub accs: Vec<Accumulator>,
    /// Done once a parallel point, in order, after the reduction.
    pub stores: Vec<Store>,
}

/// How often a reduction loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// A constant.
    Const(u32),
    /// The value of an `I32` expression over parallel axes, symbols and loads, clamped to `0..=max`.
    Dynamic {
        /// The count.
        count: ExprId,
        /// Its upper bound.
        max: u32,
    },
}

/// A value carried through the reduction loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accumulator {
    /// Its value before the first reduction point.
    pub init: Scalar,
    /// Its value after a reduction point; reads the values before it as [`Expr::Acc`].
    pub next: ExprId,
}

/// A store of one element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Where to.
    pub access: Access,
    /// What: of the compute type of the buffer's element type. Narrow integers keep the low bits; `F16` and `BF16` round to nearest even.
    pub value: ExprId,
}

/// The place of one element in a buffer: `offset + sum(index_d * stride_d)`, with `0 <= index_d < extent_d`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// The buffer.
    pub buffer: BufferId,
    /// Elements before the first one addressed.
    pub offset: u64,
    /// The dimensions. None: the element at `offset`.
    pub dims: Vec<AccessDim>,
    /// What happens where an index leaves its extent.
    pub bounds: Bounds,
}

/// One dimension of an [`Access`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessDim {
    /// The index along the dimension.
    pub index: Affine,
    /// How many positions there are; `offset + sum((extent_d - 1) * stride_d)` is inside the buffer.
    pub extent: u32,
    /// Elements from one position to the next.
    pub stride: u64,
}

/// `constant + sum(coefficient * axis) + dynamic`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affine {
    /// The constant term.
    pub constant: i64,
    /// `(axis, coefficient)`, by rising axis, no coefficient zero.
    pub terms: Vec<(u8, i64)>,
    /// An `I32` expression added to it: a gathered index, a symbol.
    pub dynamic: Option<ExprId>,
}

/// What happens where an index of an access leaves its extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bounds {
    /// It cannot: the verifier proves it. No index is dynamic.
    Inside,
    /// The index is clamped to `0..extent` (loads only).
    Clamp,
    /// The load is not done and yields this value, of the load's compute type (loads only).
    Else(Scalar),
}

/// A scalar expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expr {
    /// A constant.
    Const(Scalar),
    /// The variable of a loop: `I32`.
    Axis(u8),
    /// A symbol's value: `I32`.
    Symbol(SymbolId),
    /// An accumulator's value before this reduction point. Only below some [`Accumulator::next`].
    Acc(u8),
    /// An accumulator's value after the reduction; in an [`Epilogue`], `Total(0)` is the contraction's sum. Only below stores, and in [`Rows`] below later
    /// reductions.
    Total(u8),
    /// One element, widened to the compute type of the buffer's element type.
    Load(Access),
    /// A function of one operand.
    Unary(UnaryOp, ExprId),
    /// A function of two operands of one type.
    Binary(BinaryOp, ExprId, ExprId),
    /// A comparison of two operands of one type: `Bool`. Any comparison with NaN but `Ne` is false.
    Compare(CompareOp, ExprId, ExprId),
    /// `if .0 { .1 } else { .2 }`, both of one type; either may be evaluated.
    Select(ExprId, ExprId, ExprId),
    /// Conversion to a compute type. Float to integer truncates and saturates, NaN becomes 0; integer to narrower integer wraps; to
    /// `Bool` is `!= 0`; from `Bool` is 0 or 1; integer to float rounds to nearest even.
    Cast(DType, ExprId),
    /// The same 32 (or 64) bits as another compute type of that size.
    Bitcast(DType, ExprId),
    /// `saturate_i32(round_half_even(value * multiplier / 2^shift))` with a 64-bit product: the one definition of requantization.
    /// `value` and `multiplier` are `I32`; `1 <= shift <= 62`. With `t = value * multiplier`, the rounded quotient is
    /// `(t + 2^(shift-1) - 1 + ((t >> shift) & 1)) >> shift`, shifts arithmetic.
    Requantize {
        /// The accumulated sum.
        value: ExprId,
        /// The fixed-point factor, possibly one a channel.
        multiplier: ExprId,
        /// Binary places of the factor, one a tensor.
        shift: u8,
    },
}

/// Functions of one operand. Integers wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnaryOp {
    /// Negation.
    Neg,
    /// Absolute value.
    Abs,
    /// Logical not of `Bool`; bitwise complement of integers.
    Not,
    /// Square root of a float; correctly rounded on CPUs.
    Sqrt,
    /// Rounding to nearest, ties to even.
    RoundEven,
    /// Rounding down.
    Floor,
    /// Rounding up.
    Ceil,
    /// Rounding towards zero.
    Trunc,
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Hyperbolic tangent.
    Tanh,
    /// The error function.
    Erf,
    /// Sine of an angle in radians.
    Sin,
    /// Cosine of an angle in radians.
    Cos,
}

/// Functions of two operands of one type. Integers wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BinaryOp {
    /// Sum; logical or of `Bool`.
    Add,
    /// Difference.
    Sub,
    /// Product; logical and of `Bool`.
    Mul,
    /// Quotient. Integers round towards zero; by zero it is 0, and the smallest value by -1 is itself.
    Div,
    /// Remainder with the sign of the dividend; by zero it is 0.
    Rem,
    /// `if b < a { b } else { a }`: a NaN in `a` stays.
    Min,
    /// `if a < b { b } else { a }`: a NaN in `a` stays.
    Max,
    /// `a` to the power of `b`, floats only.
    Pow,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Shift left; the count is taken modulo the width.
    Shl,
    /// Shift right, arithmetic for signed types; the count is taken modulo the width.
    Shr,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

/// The shape of a two-dimensional convolution over NHWC, groups apart. A matrix product `[M, K] x [K, N]` is `in_w = out_w = M`, `in_c = K`, `out_c = N`,
/// all else 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Images.
    pub batch: u32,
    /// Input rows, columns and channels that this kernel reads.
    pub in_h: u32,
    /// Input columns.
    pub in_w: u32,
    /// Input channels summed over (for [`Depthwise`], all channels).
    pub in_c: u32,
    /// Elements from one input pixel to the next (at least `in_offset + in_c`); rows and images are dense over it.
    pub in_pixel: u32,
    /// The first input channel.
    pub in_offset: u32,
    /// Output rows.
    pub out_h: u32,
    /// Output columns.
    pub out_w: u32,
    /// Output channels (for [`Depthwise`], equal to `in_c`).
    pub out_c: u32,
    /// Taps, vertically and horizontally.
    pub kernel: [u32; 2],
    /// Input pixels from one output to the next.
    pub stride: [u32; 2],
    /// Input pixels from one tap to the next.
    pub dilation: [u32; 2],
    /// Padding above and to the left; what lies below and to the right follows from the output's size.
    pub pad: [u32; 2],
}

impl Window {
    /// Output elements of all images.
    pub fn outputs(&self) -> u64 {
        u64::from(self.pixels()) * u64::from(self.out_c)
    }

    /// Taps of the window.
    pub fn taps(&self) -> u64 {
        u64::from(self.kernel[0]) * u64::from(self.kernel[1])
    }
}

/// Element types and padding of a contraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arithmetic {
    /// `F32` input and weights, `F32` sum; padding is 0. The order of summation is free.
    F32,
    /// `U8` or `I8` input (the buffer says which), `I8` weights, exact wrapping `I32` sum of `x * w`. Padding reads `pad_value`,
    /// the input's zero point; the epilogue's bias has taken `zero_point * sum(w)` off already.
    Int8 {
        /// The value of a padded input element.
        pad_value: i32,
    },
}

/// Output channels in one panel of packed weights.
pub const PANEL: u32 = 16;

/// A convolution (one group) or matrix product: for output pixel `m` and channel `c`,
/// `Total(0) = sum over taps t and input channels k of input[pixel(m, t), k] * weight[t, k, c]`.
///
/// Packed weights. `F32`: `[ceil(out_c/16)][kh][kw][in_c][16]`, those of a product ([`Window::is_product`]) also narrower: `F16`, `BF16`, or whole numbers
/// with [`Scales`]. Each stands for exactly one number of `F32`. `Int8`: `[ceil(out_c/16)][kh][kw][ceil(in_c/4)][16][4]`, the last axis four successive input channels.
/// Channels past `out_c` and `in_c` are zero, so a backend may read up to 15 bytes past the end of an `Int8` input pixel's channels (buffers end with
/// [`crate::plan::SLACK`] readable bytes).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// Sizes.
    pub window: Window,
    /// Element types.
    pub arithmetic: Arithmetic,
    /// The dense NHWC input.
    pub input: BufferId,
    /// The packed weights. Those of `F32` may lie in the arena, where earlier kernels have packed them.
    pub weights: BufferId,
    /// Whether each image of the window has packed weights of its own, one after the other, as in a product of two computed operands: an image is then a matrix,
    /// of one row of pixels ([`Window::is_product`], `out_h` 1), and weights are floats.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_image: bool,
    /// What whole numbers that stand for weights are multiplied with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<Scales>,
    /// What is done with each sum.
    pub epilogue: Epilogue,
}

/// Factors of the whole numbers that stand for weights of [`Arithmetic::F32`]: a weight is the product of the number, as `F32`, and its scale, rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scales {
    /// The `F32` factors, `[ceil(out_c/16)][in_c/per][16]`, in the weights.
    pub buffer: BufferId,
    /// Successive input channels that share a factor; a divisor of their number.
    pub per: u32,
    /// 8: the weights are `I8`. 4: they are `U8` that hold two numbers of two's complement each, `[ceil(out_c/16)][in_c][8]`: that of channel `c` below 8 of a
    /// panel in the low half, that of channel `c + 8` in the high half.
    pub bits: u8,
}

/// How weights of [`Arithmetic::F32`] are kept in fewer bits ([`crate::plan::Plan::stored`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// `F16`.
    Half,
    /// `BF16`.
    Brain,
    /// Whole numbers, with their factors.
    Whole(Scales),
}

/// A depthwise convolution with multiplier 1: `Total(0) = sum over taps t of input[pixel(m, t), c] * weight[t, c]`.
///
/// Weights: `[kh][kw][ceil(c/16)*16]`, `F32` or `I8`, channels past `out_c` zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Depthwise {
    /// Sizes; `in_c == out_c`.
    pub window: Window,
    /// Element types.
    pub arithmetic: Arithmetic,
    /// The dense NHWC input.
    pub input: BufferId,
    /// The weights.
    pub weights: BufferId,
    /// What is done with each sum.
    pub epilogue: Epilogue,
}

/// What a contraction does with each sum. Axis 0 is the output pixel `m` in `0 .. batch*out_h*out_w`, axis 1 the output channel; the
/// sum is `Total(0)`. Loads and the stores go by these two axes, so that a bias has the terms `(1, 1)`, a residual and the output
/// `(0, pixel stride), (1, 1)`, and a concatenation writes its part at an offset.
///
/// Any DAG is legal. The planner writes the common ones in one order, so that a backend can recognise them and write them as vector code:
///
/// - `F32`: `t = Total(0)`; `t = Add(t, Load bias)`; `t = Add(t, Load residual)`; `t = Max(t, Const lo)`; `t = Min(t, Const hi)`; store. Every step
///   but the store may be missing, and activations other than a clamp stand where the clamp is.
/// - `Int8`: `t = Total(0)`; `t = Add(t, Load bias)`; `t = Requantize { value: t, multiplier: Load, shift }`; `t = Add(t, Const zero)`, missing where
///   the zero point is 0; `t = Max(t, Const lo)`; `t = Min(t, Const hi)`; store. A quantized sum with a residual follows that clamp:
///   `t = Mul(t, Const x)`; `r = Mul(Load residual, Const y)`; `t = Add(t, r)`; `t = Add(t, Const k)`, missing where it is 0;
///   `t = Requantize { value: t, multiplier: Const 1, shift }`; then `Add`, `Max`, `Min` as before.
///
/// A constant operand is always the second one. Where `out_c` is 1 or there is one pixel, the terms of axes 1 and 0 stay all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epilogue {
    /// The expressions.
    pub exprs: Exprs,
    /// Done for each pixel and channel.
    pub stores: Vec<Store>,
}

impl Extent {
    /// The greatest count.
    pub fn max(&self) -> u32 {
        match self {
            Extent::Const(n) => *n,
            Extent::Dynamic { max, .. } => *max,
        }
    }

    /// The expression of a dynamic count.
    pub fn count(&self) -> Option<ExprId> {
        match self {
            Extent::Const(_) => None,
            Extent::Dynamic { count, .. } => Some(*count),
        }
    }
}

impl Expr {
    /// Calls `visit` with each operand, those of an access's indices included.
    pub fn for_each_operand(&self, mut visit: impl FnMut(ExprId)) {
        match self {
            Expr::Const(_) | Expr::Axis(_) | Expr::Symbol(_) | Expr::Acc(_) | Expr::Total(_) => {}
            Expr::Load(access) => access.dims.iter().filter_map(|dim| dim.index.dynamic).for_each(visit),
            Expr::Unary(_, x) | Expr::Cast(_, x) | Expr::Bitcast(_, x) => visit(*x),
            Expr::Binary(_, x, y) | Expr::Compare(_, x, y) => {
                visit(*x);
                visit(*y);
            }
            Expr::Select(condition, x, y) => {
                visit(*condition);
                visit(*x);
                visit(*y);
            }
            Expr::Requantize { value, multiplier, .. } => {
                visit(*value);
                visit(*multiplier);
            }
        }
    }
}

impl Affine {
    /// A constant index.
    pub fn constant(constant: i64) -> Affine {
        Affine { constant, ..Affine::default() }
    }

    /// The variable of an axis.
    pub fn axis(axis: u8) -> Affine {
        Affine { terms: vec![(axis, 1)], ..Affine::default() }
    }

    /// The coefficient of an axis.
    pub fn coefficient(&self, axis: u8) -> i64 {
        self.terms.iter().find(|term| term.0 == axis).map_or(0, |term| term.1)
    }

    /// The least and the greatest value over loops of these extents (none empty), the dynamic part left out; none on overflow.
    pub fn interval(&self, extents: &[u32]) -> Option<(i64, i64)> {
        let (mut low, mut high) = (self.constant, self.constant);
        for &(axis, coefficient) in &self.terms {
            let last = i64::from(extents.get(usize::from(axis))?.saturating_sub(1));
            let reach = coefficient.checked_mul(last)?;
            if reach < 0 {
                low = low.checked_add(reach)?;
            } else {
                high = high.checked_add(reach)?;
            }
        }
        Some((low, high))
    }
}
