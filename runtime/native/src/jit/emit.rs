//! Expressions as instructions: a scalar each, or four lanes where one loop's iterations run four at a time.

use super::{Calls, scalar_type};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use cranelift_frontend::{FunctionBuilder, Variable};
use mlp_bundle::loops::{Expr, ExprId, Exprs, Store};
use mlp_bundle::{DType, Scalar};

/// Lanes of a vector.
pub(crate) const LANES: i64 = 4;

/// A value at a point: one for all lanes, or one a lane.
#[derive(Clone, Copy)]
pub(crate) enum Val {
    One(Value),
    Lanes(Value),
}

/// Where a contraction's sums are read.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    /// The address of the sum of this point (its first lane).
    pub address: Value,
}

/// What is known while one kernel's code is made.
pub(crate) struct Emitter<'f, 'b, 'e> {
    pub b: &'f mut FunctionBuilder<'b>,
    pub calls: &'f mut Calls<'e>,
    pub exprs: &'f Exprs,
    /// The compute type of each expression.
    pub dtypes: Vec<DType>,
    /// The element type of each buffer.
    pub kinds: &'f [DType],
    /// Whether some store goes to the buffer: its loads may not be moved.
    pub stored: Vec<bool>,
    /// The address of each buffer.
    pub bases: Vec<Value>,
    pub symbols: Value,
    /// The value of each axis, `I64`; of the vector axis, that of the first lane.
    pub axes: Vec<Value>,
    /// The greatest extent of each axis.
    pub extents: Vec<u32>,
    /// The axis whose iterations are lanes, while code for four at a time is made.
    pub vector: Option<u8>,
    /// Values of this point that are made already.
    pub memo: Vec<Option<Val>>,
    pub accs: Vec<Variable>,
    pub totals: Vec<Val>,
    pub sums: Option<Sums>,
}

impl<'f, 'b, 'e> Emitter<'f, 'b, 'e> {
    /// Starts a function whose first parameters are the addresses of the buffers and the symbols: its emitter, and all parameters.
    pub(crate) fn enter(
        b: &'f mut FunctionBuilder<'b>,
        calls: &'f mut Calls<'e>,
        exprs: &'f Exprs,
        dtypes: Vec<DType>,
        kinds: &'f [DType],
        stores: &[Store],
        extents: Vec<u32>,
    ) -> (Self, Vec<Value>) {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let params = b.block_params(entry).to_vec();
        let bases = (0..kinds.len()).map(|i| b.ins().load(types::I64, super::access::fixed(), params[0], (i * 8) as i32)).collect();
        let mut stored = vec![false; kinds.len()];
        stores.iter().for_each(|store| stored[store.access.buffer.as_u32() as usize] = true);
        let zero = b.ins().iconst(types::I64, 0);
        let emitter = Emitter {
            b,
            calls,
            exprs,
            memo: vec![None; dtypes.len()],
            dtypes,
            kinds,
            stored,
            bases,
            symbols: params[1],
            axes: vec![zero; extents.len()],
            extents,
            vector: None,
            accs: Vec::new(),
            totals: Vec::new(),
            sums: None,
        };
        (emitter, params)
    }
}

impl Emitter<'_, '_, '_> {
    pub(crate) fn int(&mut self, value: i64) -> Value {
        self.b.ins().iconst(types::I64, value)
    }

    pub(crate) fn float_lanes(&mut self, value: f32) -> Value {
        let value = self.b.ins().f32const(value);
        self.b.ins().splat(types::F32X4, value)
    }

    pub(crate) fn int_lanes(&mut self, value: i32) -> Value {
        let value = self.b.ins().iconst(types::I32, i64::from(value));
        self.b.ins().splat(types::I32X4, value)
    }

    /// The type of four lanes of a compute type; truth values are masks.
    pub(crate) fn lanes_type(dtype: DType) -> Type {
        if dtype == DType::F32 { types::F32X4 } else { types::I32X4 }
    }

    /// The value of an expression at this point.
    pub(crate) fn value(&mut self, id: ExprId) -> Val {
        let index = id.as_u32() as usize;
        if let Some(value) = self.memo[index] {
            return value;
        }
        let value = self.make(id);
        self.memo[index] = Some(value);
        value
    }

    /// The value as a scalar; for a value a lane, of lane `lane`.
    pub(crate) fn scalar(&mut self, value: Val, dtype: DType, lane: i64) -> Value {
        match value {
            Val::One(value) => value,
            Val::Lanes(value) => {
                let one = self.b.ins().extractlane(value, lane as u8);
                if dtype == DType::Bool { self.b.ins().icmp_imm_s(cranelift_codegen::ir::condcodes::IntCC::NotEqual, one, 0) } else { one }
            }
        }
    }

    /// The value as four lanes.
    pub(crate) fn lanes(&mut self, value: Val, dtype: DType) -> Value {
        match value {
            Val::Lanes(value) => value,
            Val::One(value) if dtype == DType::Bool => {
                let wide = self.b.ins().uextend(types::I32, value);
                let mask = self.b.ins().ineg(wide);
                self.b.ins().splat(types::I32X4, mask)
            }
            Val::One(value) => self.b.ins().splat(Self::lanes_type(dtype), value),
        }
    }

    /// Four scalars as lanes.
    pub(crate) fn gather(&mut self, dtype: DType, mut lane: impl FnMut(&mut Self, i64) -> Value) -> Value {
        let first = lane(self, 0);
        let mut result = self.lanes(Val::One(first), dtype);
        for i in 1..LANES {
            let mut one = lane(self, i);
            if dtype == DType::Bool {
                let wide = self.b.ins().uextend(types::I32, one);
                one = self.b.ins().ineg(wide);
            }
            result = self.b.ins().insertlane(result, one, i as u8);
        }
        result
    }

    pub(crate) fn constant(&mut self, value: Scalar) -> Value {
        match value {
            Scalar::Bool(x) => self.b.ins().iconst(types::I8, i64::from(x)),
            Scalar::I32(x) => self.b.ins().iconst(types::I32, i64::from(x)),
            Scalar::U32(x) => self.b.ins().iconst(types::I32, i64::from(x)),
            Scalar::I64(x) => self.b.ins().iconst(types::I64, x),
            Scalar::U64(x) => self.b.ins().iconst(types::I64, x as i64),
            Scalar::F32(bits) => self.b.ins().f32const(f32::from_bits(bits)),
            Scalar::F64(bits) => self.b.ins().f64const(f64::from_bits(bits)),
        }
    }

    fn make(&mut self, id: ExprId) -> Val {
        let exprs = self.exprs;
        let dtype = self.dtypes[id.as_u32() as usize];
        match &exprs[id] {
            Expr::Const(value) => Val::One(self.constant(*value)),
            Expr::Axis(axis) => self.axis(*axis),
            Expr::Symbol(symbol) => {
                let offset = (symbol.as_u32() * 4) as i32;
                Val::One(self.b.ins().load(types::I32, super::access::fixed(), self.symbols, offset))
            }
            Expr::Acc(index) => {
                let value = self.b.use_var(self.accs[usize::from(*index)]);
                self.wrap(value)
            }
            Expr::Total(index) => match self.sums {
                Some(sums) => {
                    let ty = if self.vector.is_some() { Self::lanes_type(dtype) } else { scalar_type(dtype) };
                    let value = self.b.ins().load(ty, super::access::plain(), sums.address, 0);
                    self.wrap(value)
                }
                None => self.totals[usize::from(*index)],
            },
            Expr::Load(access) => self.load(access, dtype),
            Expr::Unary(op, x) => self.unary(*op, *x),
            Expr::Binary(op, x, y) => self.binary(*op, *x, *y),
            Expr::Compare(op, x, y) => self.compare(*op, *x, *y),
            Expr::Select(condition, x, y) => self.select(*condition, *x, *y),
            Expr::Cast(to, x) => self.cast(*to, *x),
            Expr::Bitcast(to, x) => self.bitcast(*to, *x),
            Expr::Requantize { value, multiplier, shift } => {
                self.map(&[*value, *multiplier], DType::I32, |e, x| e.requantize(x[0], x[1], *shift))
            }
        }
    }

    /// A value of the mode that code is being made in.
    fn wrap(&self, value: Value) -> Val {
        if self.vector.is_some() { Val::Lanes(value) } else { Val::One(value) }
    }

    fn axis(&mut self, axis: u8) -> Val {
        let value = self.b.ins().ireduce(types::I32, self.axes[usize::from(axis)]);
        if self.vector != Some(axis) {
            return Val::One(value);
        }
        let first = self.b.ins().splat(types::I32X4, value);
        let steps = self.gather(DType::I32, |e, lane| e.b.ins().iconst(types::I32, lane));
        Val::Lanes(self.b.ins().iadd(first, steps))
    }

    /// Applies a scalar function: once where no operand differs by lane, else lane by lane.
    pub(crate) fn map(&mut self, operands: &[ExprId], result: DType, f: impl Fn(&mut Self, &[Value]) -> Value) -> Val {
        let values: Vec<(Val, DType)> = operands.iter().map(|&id| (self.value(id), self.dtypes[id.as_u32() as usize])).collect();
        if values.iter().all(|(value, _)| matches!(value, Val::One(_))) {
            let scalars: Vec<Value> = values.iter().map(|&(value, dtype)| self.scalar(value, dtype, 0)).collect();
            return Val::One(f(self, &scalars));
        }
        Val::Lanes(self.gather(result, |e, lane| {
            let scalars: Vec<Value> = values.iter().map(|&(value, dtype)| e.scalar(value, dtype, lane)).collect();
            f(e, &scalars)
        }))
    }
}
