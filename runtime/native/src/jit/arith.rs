//! Operators.

use super::emit::{Emitter, Val};
use super::math::{little, unary_call};
use super::scalar_type;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use mlp_bundle::DType;
use mlp_bundle::loops::{BinaryOp, CompareOp, ExprId, UnaryOp};

impl Emitter<'_, '_, '_> {
    pub(crate) fn dtype(&self, id: ExprId) -> DType {
        self.dtypes[id.as_u32() as usize]
    }

    /// Both operands as scalars, or both as lanes where one of them is.
    fn pair(&mut self, x: ExprId, y: ExprId) -> (Value, Value, bool) {
        let dtype = self.dtype(x);
        match (self.value(x), self.value(y)) {
            (Val::One(x), Val::One(y)) => (x, y, false),
            (x, y) => (self.lanes(x, dtype), self.lanes(y, dtype), true),
        }
    }

    fn wrapped(value: Value, lanes: bool) -> Val {
        if lanes { Val::Lanes(value) } else { Val::One(value) }
    }

    pub(crate) fn unary(&mut self, op: UnaryOp, x: ExprId) -> Val {
        let dtype = self.dtype(x);
        let (value, lanes) = match self.value(x) {
            Val::One(value) => (value, false),
            Val::Lanes(value) => (value, true),
        };
        if let Some(names) = unary_call(op) {
            if op == UnaryOp::Exp && lanes {
                return Val::Lanes(self.exp_lanes(value));
            }
            if op == UnaryOp::Erf && lanes {
                return Val::Lanes(self.erf_lanes(value));
            }
            if op == UnaryOp::Tanh && lanes {
                return Val::Lanes(self.tanh_lanes(value));
            }
            let name = names[usize::from(dtype == DType::F64)];
            let ty = scalar_type(dtype);
            return self.map(&[x], dtype, |e, x| e.call(name, ty, x, ty));
        }
        let b = self.b.ins();
        let result = match op {
            UnaryOp::Neg if dtype.is_float() => b.fneg(value),
            UnaryOp::Neg => b.ineg(value),
            UnaryOp::Abs if dtype.is_float() => b.fabs(value),
            UnaryOp::Abs if dtype.is_signed_int() => b.iabs(value),
            UnaryOp::Abs => value,
            UnaryOp::Not if dtype == DType::Bool && !lanes => b.bxor_imm_u(value, 1),
            UnaryOp::Not => b.bnot(value),
            UnaryOp::Sqrt => b.sqrt(value),
            UnaryOp::RoundEven => b.nearest(value),
            UnaryOp::Floor => b.floor(value),
            UnaryOp::Ceil => b.ceil(value),
            UnaryOp::Trunc => b.trunc(value),
            UnaryOp::Exp | UnaryOp::Log | UnaryOp::Tanh | UnaryOp::Erf | UnaryOp::Sin | UnaryOp::Cos => unreachable!("called above"),
        };
        Self::wrapped(result, lanes)
    }

    pub(crate) fn call(&mut self, name: &'static str, ty: types::Type, x: &[Value], result: types::Type) -> Value {
        let callee = self.calls.get(self.b, name, ty, x.len(), result);
        let call = self.b.ins().call(callee, x);
        self.b.inst_results(call)[0]
    }

    pub(crate) fn binary(&mut self, op: BinaryOp, x: ExprId, y: ExprId) -> Val {
        let dtype = self.dtype(x);
        if dtype.is_float() {
            return self.binary_float(op, x, y);
        }
        let signed = dtype.is_signed_int();
        match op {
            BinaryOp::Div | BinaryOp::Rem => return self.map(&[x, y], dtype, |e, x| e.divide(x[0], x[1], signed, op == BinaryOp::Rem)),
            BinaryOp::Shl | BinaryOp::Shr => return self.shift(op, x, y, signed),
            _ => {}
        }
        let (x, y, lanes) = self.pair(x, y);
        let b = self.b.ins();
        let result = match op {
            BinaryOp::Add if dtype == DType::Bool => b.bor(x, y),
            BinaryOp::Mul if dtype == DType::Bool => b.band(x, y),
            BinaryOp::Add => b.iadd(x, y),
            BinaryOp::Sub => b.isub(x, y),
            BinaryOp::Mul => b.imul(x, y),
            BinaryOp::Min if signed => b.smin(x, y),
            BinaryOp::Min => b.umin(x, y),
            BinaryOp::Max if signed => b.smax(x, y),
            BinaryOp::Max => b.umax(x, y),
            BinaryOp::And => b.band(x, y),
            BinaryOp::Or => b.bor(x, y),
            BinaryOp::Xor => b.bxor(x, y),
            BinaryOp::Div | BinaryOp::Rem | BinaryOp::Shl | BinaryOp::Shr | BinaryOp::Pow => {
                unreachable!("done above, or refused by the verifier")
            }
        };
        Self::wrapped(result, lanes)
    }

    /// The count is taken modulo the width, as Cranelift does.
    fn shift(&mut self, op: BinaryOp, x: ExprId, y: ExprId, signed: bool) -> Val {
        let apply = move |e: &mut Self, x: Value, y: Value| match (op, signed) {
            (BinaryOp::Shl, _) => e.b.ins().ishl(x, y),
            (_, true) => e.b.ins().sshr(x, y),
            (_, false) => e.b.ins().ushr(x, y),
        };
        if let (Val::Lanes(value), Val::One(count)) = (self.value(x), self.value(y)) {
            return Val::Lanes(apply(self, value, count));
        }
        let dtype = self.dtype(x);
        self.map(&[x, y], dtype, move |e, x| apply(e, x[0], x[1]))
    }

    fn binary_float(&mut self, op: BinaryOp, x: ExprId, y: ExprId) -> Val {
        let dtype = self.dtype(x);
        let names = match op {
            BinaryOp::Pow => Some(["mlp_powf", "mlp_pow"]),
            BinaryOp::Rem => Some(["mlp_remf", "mlp_rem"]),
            _ => None,
        };
        if let Some(names) = names {
            let (name, ty) = (names[usize::from(dtype == DType::F64)], scalar_type(dtype));
            return self.map(&[x, y], dtype, |e, x| e.call(name, ty, x, ty));
        }
        let (x, y, lanes) = self.pair(x, y);
        let b = self.b.ins();
        let result = match op {
            BinaryOp::Add => b.fadd(x, y),
            BinaryOp::Sub => b.fsub(x, y),
            BinaryOp::Mul => b.fmul(x, y),
            BinaryOp::Div => b.fdiv(x, y),
            BinaryOp::Min => return Self::wrapped(self.pick(y, x, lanes), lanes),
            BinaryOp::Max => {
                let less = self.b.ins().fcmp(FloatCC::LessThan, x, y);
                return Self::wrapped(self.choose(less, y, x, lanes), lanes);
            }
            _ => unreachable!("the verifier refuses other operations on floats"),
        };
        Self::wrapped(result, lanes)
    }

    /// `if x < y { x } else { y }` of floats.
    fn pick(&mut self, x: Value, y: Value, lanes: bool) -> Value {
        let less = self.b.ins().fcmp(FloatCC::LessThan, x, y);
        self.choose(less, x, y, lanes)
    }

    fn choose(&mut self, condition: Value, x: Value, y: Value, lanes: bool) -> Value {
        if !lanes {
            return self.b.ins().select(condition, x, y);
        }
        let ty = self.b.func.dfg.value_type(x);
        let mask = if ty == types::I32X4 { condition } else { self.b.ins().bitcast(ty, little(), condition) };
        self.b.ins().bitselect(mask, x, y)
    }

    pub(crate) fn compare(&mut self, op: CompareOp, x: ExprId, y: ExprId) -> Val {
        let dtype = self.dtype(x);
        let (x, y, lanes) = self.pair(x, y);
        let result = if dtype.is_float() {
            let condition = match op {
                CompareOp::Eq => FloatCC::Equal,
                CompareOp::Ne => FloatCC::NotEqual,
                CompareOp::Lt => FloatCC::LessThan,
                CompareOp::Le => FloatCC::LessThanOrEqual,
            };
            self.b.ins().fcmp(condition, x, y)
        } else {
            // Masks of lanes order as `false > true` when signed: unsigned they order right.
            let signed = dtype.is_signed_int();
            let condition = match op {
                CompareOp::Eq => IntCC::Equal,
                CompareOp::Ne => IntCC::NotEqual,
                CompareOp::Lt if signed => IntCC::SignedLessThan,
                CompareOp::Lt => IntCC::UnsignedLessThan,
                CompareOp::Le if signed => IntCC::SignedLessThanOrEqual,
                CompareOp::Le => IntCC::UnsignedLessThanOrEqual,
            };
            self.b.ins().icmp(condition, x, y)
        };
        Self::wrapped(result, lanes)
    }

    pub(crate) fn select(&mut self, condition: ExprId, x: ExprId, y: ExprId) -> Val {
        let dtype = self.dtype(x);
        match (self.value(condition), self.value(x), self.value(y)) {
            (Val::One(condition), Val::One(x), Val::One(y)) => Val::One(self.b.ins().select(condition, x, y)),
            (Val::One(condition), x, y) => {
                let (x, y) = (self.lanes(x, dtype), self.lanes(y, dtype));
                Val::Lanes(self.b.ins().select(condition, x, y))
            }
            (Val::Lanes(condition), x, y) => {
                let (x, y) = (self.lanes(x, dtype), self.lanes(y, dtype));
                Val::Lanes(self.choose(condition, x, y, true))
            }
        }
    }

    pub(crate) fn bitcast(&mut self, to: DType, x: ExprId) -> Val {
        match self.value(x) {
            Val::One(value) if scalar_type(self.dtype(x)) == scalar_type(to) => Val::One(value),
            Val::One(value) => Val::One(self.b.ins().bitcast(scalar_type(to), MEM, value)),
            Val::Lanes(value) if Self::lanes_type(self.dtype(x)) == Self::lanes_type(to) => Val::Lanes(value),
            Val::Lanes(value) => Val::Lanes(self.b.ins().bitcast(Self::lanes_type(to), little(), value)),
        }
    }

    pub(crate) fn cast(&mut self, to: DType, x: ExprId) -> Val {
        let from = self.dtype(x);
        match self.value(x) {
            value if from == to => value,
            Val::One(value) => Val::One(self.cast_scalar(from, to, value)),
            Val::Lanes(value) => Val::Lanes(self.cast_lanes(from, to, value)),
        }
    }

    fn cast_scalar(&mut self, from: DType, to: DType, x: Value) -> Value {
        let (ty, from_ty) = (scalar_type(to), scalar_type(from));
        let signed = from.is_signed_int();
        if to == DType::Bool {
            return match from {
                DType::F32 => {
                    let zero = self.b.ins().f32const(0.0);
                    self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
                }
                DType::F64 => {
                    let zero = self.b.ins().f64const(0.0);
                    self.b.ins().fcmp(FloatCC::NotEqual, x, zero)
                }
                _ => self.b.ins().icmp_imm_s(IntCC::NotEqual, x, 0),
            };
        }
        let x = if from == DType::Bool { self.b.ins().uextend(types::I32, x) } else { x };
        let from_ty = if from == DType::Bool { types::I32 } else { from_ty };
        let b = self.b.ins();
        match (from.is_float(), to.is_float()) {
            (true, true) if ty == types::F64 => b.fpromote(types::F64, x),
            (true, true) => b.fdemote(types::F32, x),
            (true, false) if to.is_signed_int() => b.fcvt_to_sint_sat(ty, x),
            (true, false) => b.fcvt_to_uint_sat(ty, x),
            (false, true) if signed => b.fcvt_from_sint(ty, x),
            (false, true) => b.fcvt_from_uint(ty, x),
            (false, false) if ty == from_ty => x,
            (false, false) if ty.bits() < from_ty.bits() => b.ireduce(ty, x),
            (false, false) if signed => b.sextend(ty, x),
            (false, false) => b.uextend(ty, x),
        }
    }

    /// Among the types of four lanes: 32-bit ones and truth values.
    fn cast_lanes(&mut self, from: DType, to: DType, x: Value) -> Value {
        if to == DType::Bool {
            if from == DType::F32 {
                let zero = self.float_lanes(0.0);
                return self.b.ins().fcmp(FloatCC::NotEqual, x, zero);
            }
            let zero = self.int_lanes(0);
            return self.b.ins().icmp(IntCC::NotEqual, x, zero);
        }
        let x = if from == DType::Bool { self.b.ins().ineg(x) } else { x };
        match (from, to) {
            (DType::F32, DType::U32) => self.b.ins().fcvt_to_uint_sat(types::I32X4, x),
            (DType::F32, _) => self.b.ins().fcvt_to_sint_sat(types::I32X4, x),
            (DType::U32, DType::F32) => self.b.ins().fcvt_from_uint(types::F32X4, x),
            (_, DType::F32) => self.b.ins().fcvt_from_sint(types::F32X4, x),
            _ => x,
        }
    }
}

const MEM: cranelift_codegen::ir::MemFlagsData = cranelift_codegen::ir::MemFlagsData::new();
