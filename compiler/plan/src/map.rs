//! Elementwise operations as scalar expressions.

use crate::planner::Planner;
use crate::scope::Scope;
use mlp_bundle::loops::{Affine, BinaryOp, Expr, ExprId, UnaryOp};
use mlp_bundle::{DType, Scalar};
use mlp_graph::{Op, OpId, ValueId};

impl Planner<'_> {
    /// The result of an elementwise operation at `coords`.
    pub(crate) fn map(&mut self, scope: &mut Scope, op: OpId, coords: &[Affine]) -> ExprId {
        let graph = self.graph;
        let node = &graph.ops[op];
        let dtype = self.dtype(node.results[0]);
        match &node.op {
            Op::Quantize { axis } => return self.quantize(scope, &node.operands, *axis as usize, dtype, coords),
            Op::Dequantize { axis } => return self.dequantize(scope, &node.operands, *axis as usize, coords),
            Op::BatchNorm { epsilon } => return self.batch_norm(scope, &node.operands, *epsilon, coords),
            _ => {}
        }
        let operands: Vec<ExprId> = node.operands.iter().map(|&operand| self.read_broadcast(scope, operand, coords)).collect();
        match &node.op {
            Op::Unary(op) => {
                let result = scope.unary(*op, operands[0]);
                if matches!(op, UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Not) { self.wrapped(scope, dtype, result) } else { result }
            }
            Op::Binary(op) => self.binary(scope, *op, dtype, operands[0], operands[1]),
            Op::Compare(op) => scope.compare(*op, operands[0], operands[1]),
            Op::Select => scope.select(operands[0], operands[1], operands[2]),
            Op::Cast(to) => {
                let from = self.dtype(node.operands[0]);
                let result = scope.cast(*to, operands[0]);
                if from == *to || from == DType::Bool { result } else { self.wrapped(scope, *to, result) }
            }
            Op::Bitcast(to) => scope.bitcast(*to, operands[0]),
            Op::QuantizedAdd { .. } => quantized_add(scope, &node.op, operands[0], operands[1]),
            other => unreachable!("{} is no map", other.name()),
        }
    }

    fn binary(&mut self, scope: &mut Scope, op: BinaryOp, dtype: DType, x: ExprId, y: ExprId) -> ExprId {
        let result = scope.binary(op, x, y);
        let grows = matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Shl);
        if grows { self.wrapped(scope, dtype, result) } else { result }
    }

    /// A scale or zero point of an element at `coords`: of rank 0, of rank 1 along `axis`, or with a block of elements for each.
    fn read_parameter(&mut self, scope: &mut Scope, x: ValueId, parameter: ValueId, axis: usize, coords: &[Affine]) -> ExprId {
        let at = self.parameter_coords(scope, x, parameter, axis, coords);
        self.read(scope, parameter, &at)
    }

    fn parameter_coords(&mut self, scope: &mut Scope, x: ValueId, parameter: ValueId, axis: usize, coords: &[Affine]) -> Vec<Affine> {
        let (sizes, dims) = (self.dims(x).to_vec(), self.dims(parameter).to_vec());
        let along = |index: &Affine, size: u64| if size == 1 { Affine::default() } else { index.clone() };
        match dims.len() {
            0 => Vec::new(),
            1 if sizes.len() != 1 || dims[0] == sizes[0] || dims[0] == 1 => vec![along(&coords[axis], dims[0])],
            _ => (0..dims.len())
                .map(|axis| {
                    if dims[axis] == sizes[axis] || dims[axis] == 1 {
                        return along(&coords[axis], dims[axis]);
                    }
                    let block = scope.i32(sizes[axis].div_ceil(dims[axis]) as i32);
                    let index = scope.index(&coords[axis]);
                    Scope::dynamic(scope.div(index, block))
                })
                .collect(),
        }
    }

    fn quantize(&mut self, scope: &mut Scope, operands: &[ValueId], axis: usize, dtype: DType, coords: &[Affine]) -> ExprId {
        let (x, scale, zero) = (operands[0], operands[1], operands[2]);
        let element = self.read(scope, x, coords);
        let element = scope.cast(DType::F32, element);
        let factor = match self.reciprocals(scale) {
            Some(location) => {
                let at = self.parameter_coords(scope, x, scale, axis, coords);
                match location {
                    Reciprocal::One(value) => scope.f32(value),
                    Reciprocal::Many(location) => scope.load(&location, &at, crate::scope::Guard::Clamp),
                }
            }
            None => {
                let scale = self.read_parameter(scope, x, scale, axis, coords);
                let one = scope.f32(1.0);
                scope.div(one, scale)
            }
        };
        let product = scope.mul(element, factor);
        let rounded = scope.unary(UnaryOp::RoundEven, product);
        let zero = self.read_parameter(scope, x, zero, axis, coords);
        let (Scalar::I32(low), Scalar::I32(high)) = (Scalar::lowest(dtype), Scalar::highest(dtype)) else {
            unreachable!("inference allows 8 and 16 bits only");
        };
        // Saturated as a float first: there the bounds are exact, and no sum can overflow.
        let known = match scope.exprs[zero] {
            Expr::Const(Scalar::I32(zero)) => Some(zero),
            _ => None,
        };
        let (least, greatest) = known.map_or((-131_072, 131_072), |zero| (low - zero, high - zero));
        let (least, greatest) = (scope.f32(least as f32), scope.f32(greatest as f32));
        let bounded = scope.max(rounded, least);
        let bounded = scope.min(bounded, greatest);
        let integer = scope.cast(DType::I32, bounded);
        match known {
            Some(zero) => scope.add_i32(integer, zero),
            None => {
                let sum = scope.add(integer, zero);
                scope.clamp_i32(sum, low, high)
            }
        }
    }

    /// `1 / scale` of constant scales, each one `F32` division made here, so that no backend's division decides a rounding.
    fn reciprocals(&mut self, scale: ValueId) -> Option<Reciprocal> {
        let tensor = self.tensor(scale)?;
        let values: Vec<f32> = tensor.as_f32()?.into_iter().map(|scale| 1.0 / scale).collect();
        let first = *values.first()?;
        if values.iter().all(|value| value.to_bits() == first.to_bits()) {
            return Some(Reciprocal::One(first));
        }
        let name = format!("1/{}", self.value_name(scale));
        let buffer = self.constant(&name, DType::F32, |file| file.extend(values.iter().flat_map(|value| value.to_le_bytes())));
        Some(Reciprocal::Many(crate::location::Location::dense(buffer, DType::F32, tensor.shape())))
    }

    fn dequantize(&mut self, scope: &mut Scope, operands: &[ValueId], axis: usize, coords: &[Affine]) -> ExprId {
        let (x, scale, zero) = (operands[0], operands[1], operands[2]);
        let element = self.read(scope, x, coords);
        let zero = self.read_parameter(scope, x, zero, axis, coords);
        let moved = if scope.exprs[zero] == Expr::Const(Scalar::I32(0)) { element } else { scope.sub(element, zero) };
        let float = scope.cast(DType::F32, moved);
        let scale = self.read_parameter(scope, x, scale, axis, coords);
        scope.mul(float, scale)
    }

    fn batch_norm(&mut self, scope: &mut Scope, operands: &[ValueId], epsilon: u32, coords: &[Affine]) -> ExprId {
        let channel = [coords[1].clone()];
        let x = self.read(scope, operands[0], coords);
        let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|index| self.read(scope, operands[index], &channel));
        let epsilon = scope.constant(Scalar::F32(epsilon));
        let epsilon = cast_float(scope, epsilon, variance);
        let variance = scope.add(variance, epsilon);
        let deviation = scope.unary(UnaryOp::Sqrt, variance);
        let centred = scope.sub(x, mean);
        let normal = scope.div(centred, deviation);
        let scaled = scope.mul(normal, scale);
        scope.add(scaled, bias)
    }
}

/// `1 / scale`.
enum Reciprocal {
    /// The same for all.
    One(f32),
    /// In memory, under the scale's shape.
    Many(crate::location::Location),
}

fn cast_float(scope: &mut Scope, x: ExprId, like: ExprId) -> ExprId {
    let dtype = scope.ty(like);
    scope.cast(dtype, x)
}

/// `requantize(sum, multiplier, shift) + zero`, clamped: what a quantized contraction does with its sum.
pub(crate) fn requantized(scope: &mut Scope, sum: ExprId, multiplier: ExprId, shift: u8, zero: i32, range: (i32, i32)) -> ExprId {
    let value = if shift == 0 { scope.mul(sum, multiplier) } else { scope.requantize(sum, multiplier, shift) };
    let value = scope.add_i32(value, zero);
    scope.clamp_i32(value, range.0, range.1)
}

/// The clamp of a quantized result, within its element type.
pub(crate) fn result_range(dtype: DType, lo: i32, hi: i32) -> (i32, i32) {
    match (Scalar::lowest(dtype), Scalar::highest(dtype)) {
        (Scalar::I32(least), Scalar::I32(greatest)) => (lo.clamp(least, greatest), hi.clamp(least, greatest)),
        _ => (lo, hi),
    }
}

fn quantized_add(scope: &mut Scope, op: &Op, x: ExprId, y: ExprId) -> ExprId {
    let Op::QuantizedAdd { x_zero, y_zero, x_mult, y_mult, out_zero, shift, dtype, lo, hi } = op else {
        unreachable!("called for a quantized sum");
    };
    // The zero points' part is one constant; sums wrap, so that taking it out changes no bit.
    let constant = (x_zero.wrapping_mul(*x_mult).wrapping_add(y_zero.wrapping_mul(*y_mult))).wrapping_neg();
    let (x_mult, y_mult) = (scope.i32(*x_mult), scope.i32(*y_mult));
    let x = scope.mul(x, x_mult);
    let y = scope.mul(y, y_mult);
    let sum = scope.add(x, y);
    let sum = scope.add_i32(sum, constant);
    let range = result_range(*dtype, *lo, *hi);
    if *shift == 0 {
        let value = scope.add_i32(sum, *out_zero);
        return scope.clamp_i32(value, range.0, range.1);
    }
    let one = scope.i32(1);
    requantized(scope, sum, one, *shift, *out_zero, range)
}
