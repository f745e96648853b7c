//! Expressions of the loop IR as instructions, one value or four lanes at a time.
//!
//! An [`Eval`] knows which expressions differ from lane to lane (they *vary*); those are vectors, all others scalars that are spread where a vector meets them.
//! Loops around it decide when each expression is put into a variable ([`Eval::materialize`]); what is not, is written where it is used.

use super::address::Address;
use super::code::{Code, Local};
use super::math::Library;
use super::{memory, scalar, vector};
use cranelift_entity::EntityRef;
use mlp_bundle::loops::types::{Scope, infer};
use mlp_bundle::loops::{BinaryOp, BufferId, Expr, ExprId, Exprs};
use mlp_bundle::plan::Plan;
use mlp_bundle::{DType, Scalar};
use wasm_encoder::Instruction as I;
use wasm_encoder::{BlockType, ValType};

/// Where a load finds its element just now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// A variable with the address.
    pub(crate) pointer: Option<Local>,
    /// Bytes on top of it.
    pub(crate) offset: u64,
    /// Variables with the bytes that checked indices add, and with whether they are inside where that matters.
    pub(crate) checked: Vec<(Local, Option<Local>)>,
    /// Where lanes go along a checked index: whether some lane is inside, and which are.
    pub(crate) lanes_inside: Option<(Local, Local)>,
}

/// Emits the expressions of one kernel.
pub(crate) struct Eval<'a> {
    pub(crate) code: Code,
    pub(crate) library: &'a mut Library,
    pub(crate) plan: &'a Plan,
    pub(crate) exprs: &'a Exprs,
    /// The compute type of each expression.
    pub(crate) types: Vec<DType>,
    /// What each load addresses.
    pub(crate) addresses: Vec<Option<Address>>,
    /// Where each load finds it.
    pub(crate) places: Vec<Place>,
    /// The axis that lanes go along.
    pub(crate) lanes: Option<u8>,
    /// Whether accumulators and totals are vectors.
    pub(crate) vector_sums: bool,
    /// Whether an expression differs from lane to lane.
    pub(crate) varies: Vec<bool>,
    /// The variable of each axis; none is 0.
    pub(crate) axes: Vec<Option<Local>>,
    /// The variables of the accumulators.
    pub(crate) accs: Vec<Local>,
    /// The variables of the totals.
    pub(crate) totals: Vec<Local>,
    /// Whether constants become parameters, so that layers which differ in them share code.
    pub(crate) constants_are_params: bool,
    slots: Vec<Option<Local>>,
    spread: Vec<Option<Local>>,
    params: Vec<Option<Local>>,
}

impl<'a> Eval<'a> {
    /// An emitter for `exprs` over axes of these greatest extents.
    pub(crate) fn new(
        plan: &'a Plan,
        library: &'a mut Library,
        exprs: &'a Exprs,
        extents: &[u32],
        accs: &[Scalar],
        totals: &[DType],
    ) -> Result<Eval<'a>, String> {
        let buffer = |id: BufferId| plan.buffers.get(id).map(|buffer| buffer.dtype);
        let scope = Scope { buffer: &buffer, symbols: plan.symbols.len(), axes: extents.len(), accs, totals };
        let types = infer(exprs, &scope)?;
        let address = |expr: &Expr| if let Expr::Load(access) = expr { Some(Address::of(access, extents)) } else { None };
        let count = exprs.len();
        Ok(Eval {
            code: Code::default(),
            library,
            plan,
            exprs,
            types: exprs.keys().map(|id| types[id].unwrap_or(DType::I32)).collect(),
            addresses: exprs.values().map(address).collect(),
            places: vec![Place::default(); count],
            lanes: None,
            vector_sums: false,
            varies: vec![false; count],
            axes: vec![None; extents.len()],
            accs: Vec::new(),
            totals: Vec::new(),
            constants_are_params: false,
            slots: vec![None; count],
            spread: vec![None; count],
            params: vec![None; count],
        })
    }

    /// Chooses the axis of the lanes, and finds what varies along it.
    pub(crate) fn set_lanes(&mut self, lanes: Option<u8>, vector_sums: bool) {
        self.lanes = lanes;
        self.vector_sums = vector_sums;
        for (id, expr) in self.exprs.iter() {
            let mut varies = match expr {
                Expr::Axis(axis) => lanes == Some(*axis),
                Expr::Acc(_) | Expr::Total(_) => vector_sums,
                Expr::Load(_) => {
                    let moves = |address: &Address| lanes.is_some_and(|axis| address.distance(axis) != 0 || address.checks_axis(axis));
                    self.addresses[id.index()].as_ref().is_some_and(moves)
                }
                _ => false,
            };
            expr.for_each_operand(|operand| varies |= self.varies[operand.index()]);
            self.varies[id.index()] = varies;
        }
    }

    /// Forgets the variables of some expressions: they will be computed anew.
    pub(crate) fn forget(&mut self, which: impl Fn(ExprId) -> bool) {
        for id in self.exprs.keys().filter(|&id| which(id)) {
            self.slots[id.index()] = None;
            self.spread[id.index()] = None;
        }
    }

    /// The element type of a buffer.
    pub(crate) fn dtype(&self, buffer: BufferId) -> DType {
        self.plan.buffers[buffer].dtype
    }

    /// The WebAssembly type of an expression as it is held.
    pub(crate) fn held(&self, id: ExprId) -> ValType {
        if self.varies[id.index()] { ValType::V128 } else { scalar::val_type(self.types[id.index()]) }
    }

    /// Computes an expression into a variable now. A constant needs none.
    pub(crate) fn materialize(&mut self, id: ExprId) {
        if self.slots[id.index()].is_some() || matches!(self.exprs[id], Expr::Const(_)) {
            return;
        }
        self.compute(id);
        let local = self.code.take(self.held(id));
        self.slots[id.index()] = Some(local);
    }

    /// Takes the value of an expression from a variable from now on.
    pub(crate) fn hold(&mut self, id: ExprId, local: Local) {
        self.slots[id.index()] = Some(local);
    }

    /// Spreads an expression that does not vary into a vector variable now.
    pub(crate) fn materialize_spread(&mut self, id: ExprId) {
        if self.spread[id.index()].is_none() && !self.varies[id.index()] && vector::holds(self.types[id.index()]) {
            self.vector(id);
            self.spread[id.index()] = Some(self.code.take(ValType::V128));
        }
    }

    /// Pushes an expression: a vector where it varies, else a scalar.
    pub(crate) fn value(&mut self, id: ExprId) {
        match self.slots[id.index()] {
            Some(local) => self.code.get(local),
            None => self.compute(id),
        }
    }

    /// Pushes an expression as a vector.
    pub(crate) fn vector(&mut self, id: ExprId) {
        if self.varies[id.index()] {
            return self.value(id);
        }
        if let Some(local) = self.spread[id.index()] {
            return self.code.get(local);
        }
        self.value(id);
        vector::splat(&mut self.code, self.types[id.index()]);
    }

    fn operand(&mut self, id: ExprId, vector: bool) {
        if vector { self.vector(id) } else { self.value(id) }
    }

    fn compute(&mut self, id: ExprId) {
        let exprs = self.exprs;
        let wide = self.varies[id.index()];
        let ty = self.types[id.index()];
        match &exprs[id] {
            Expr::Const(value) => self.constant(id, *value),
            Expr::Axis(axis) => self.axis(*axis, wide),
            Expr::Symbol(symbol) => {
                let local = self.code.symbol(symbol.index() as u32);
                self.code.get(local);
            }
            Expr::Acc(index) => self.code.get(self.accs[usize::from(*index)]),
            Expr::Total(index) => self.code.get(self.totals[usize::from(*index)]),
            Expr::Load(_) => self.load(id),
            Expr::Unary(op, x) => {
                self.operand(*x, wide);
                let unary = if wide { vector::unary } else { scalar::unary };
                unary(&mut self.code, self.library, *op, ty);
            }
            Expr::Binary(op @ (BinaryOp::Shl | BinaryOp::Shr), x, y) if wide => {
                self.vector(*x);
                self.value(*y);
                vector::shift(&mut self.code, *op, ty);
            }
            Expr::Binary(op, x, y) => {
                self.operand(*x, wide);
                self.operand(*y, wide);
                let binary = if wide { vector::binary } else { scalar::binary };
                binary(&mut self.code, self.library, *op, ty);
            }
            Expr::Compare(op, x, y) => {
                self.operand(*x, wide);
                self.operand(*y, wide);
                let compare = if wide { vector::compare } else { scalar::compare };
                compare(&mut self.code, *op, self.types[x.index()]);
            }
            Expr::Select(condition, x, y) => {
                self.operand(*x, wide);
                self.operand(*y, wide);
                self.operand(*condition, wide);
                self.code.op(if wide { I::V128Bitselect } else { I::Select });
            }
            Expr::Cast(to, x) => {
                self.operand(*x, wide);
                let cast = if wide { vector::cast } else { scalar::cast };
                cast(&mut self.code, self.types[x.index()], *to);
            }
            Expr::Bitcast(to, x) => {
                self.operand(*x, wide);
                if !wide {
                    scalar::bitcast(&mut self.code, self.types[x.index()], *to);
                }
            }
            Expr::Requantize { value, multiplier, shift } => self.requantize(*value, *multiplier, *shift, wide),
        }
    }

    fn requantize(&mut self, value: ExprId, multiplier: ExprId, shift: u8, wide: bool) {
        self.operand(value, wide);
        if wide && shift <= 30 && self.exprs[multiplier] == Expr::Const(Scalar::I32(1)) {
            return vector::round_shift(&mut self.code, shift);
        }
        self.operand(multiplier, wide);
        let requantize = if wide { vector::requantize } else { scalar::requantize };
        requantize(&mut self.code, shift);
    }

    /// Constants that most layers have in common stay in the code.
    fn constant(&mut self, id: ExprId, value: Scalar) {
        match value {
            Scalar::I32(x) if self.constants_are_params && !matches!(x, -128 | -127 | 0 | 1 | 127 | 255) => {
                let param = match self.params[id.index()] {
                    Some(param) => param,
                    None => self.code.param(x),
                };
                self.params[id.index()] = Some(param);
                self.code.get(param);
            }
            _ => scalar::constant(&mut self.code, value),
        }
    }

    fn axis(&mut self, axis: u8, wide: bool) {
        match self.axes[usize::from(axis)] {
            Some(local) => self.code.get(local),
            None => self.code.i32(0),
        }
        if wide {
            self.code.ops([I::I32x4Splat, I::V128Const((1 << 32) | 2 << 64 | 3 << 96), I::I32x4Add]);
        }
    }

    /// Pushes the address of a place, its constant offset left out.
    fn push_address(&mut self, place: &Place) {
        match place.pointer {
            Some(pointer) => self.code.get(pointer),
            None => self.code.i32(0),
        }
        for &(distance, _) in &place.checked {
            self.code.get(distance);
            self.code.op(I::I32Add);
        }
    }

    fn load(&mut self, id: ExprId) {
        let place = self.places[id.index()].clone();
        let address = self.addresses[id.index()].as_ref().expect("every load has an address");
        let (dtype, otherwise) = (self.dtype(address.buffer), address.otherwise);
        let wide = self.varies[id.index()];
        let conditions: Vec<Local> = place.checked.iter().filter_map(|checked| checked.1).collect();
        for (n, &condition) in conditions.iter().enumerate() {
            self.code.get(condition);
            if n > 0 {
                self.code.op(I::I32And);
            }
        }
        if !conditions.is_empty() {
            self.code.op(I::If(BlockType::Result(self.held(id))));
        }
        self.push_address(&place);
        if let Some((any, inside)) = place.lanes_inside {
            // The reserved bytes at the start are read where no lane counts.
            self.code.ops([I::I32Const(0)]);
            self.code.get(any);
            self.code.op(I::Select);
            memory::load_lanes(&mut self.code, dtype, place.offset);
            let value = otherwise.unwrap_or(Scalar::I32(0));
            scalar::constant(&mut self.code, value);
            vector::splat(&mut self.code, value.dtype());
            self.code.get(inside);
            self.code.op(I::V128Bitselect);
        } else if wide {
            memory::load_lanes(&mut self.code, dtype, place.offset)
        } else {
            memory::load(&mut self.code, dtype, place.offset)
        }
        if let (false, Some(value)) = (conditions.is_empty(), otherwise) {
            self.code.op(I::Else);
            scalar::constant(&mut self.code, value);
            if wide {
                vector::splat(&mut self.code, value.dtype());
            }
            self.code.end();
        }
    }

    /// Whether a varying expression has vector code.
    /// Where `masked`, a load may also have a checked index that goes along the lanes ([`Address::lane_check`]).
    pub(crate) fn fits_lanes(&self, id: ExprId, axis: u8, masked: bool) -> bool {
        let ty = self.types[id.index()];
        let kind = |operand: &ExprId| self.types[operand.index()];
        let shape = match &self.exprs[id] {
            Expr::Load(access) => {
                let address = self.addresses[id.index()].as_ref().expect("every load has an address");
                let steady = |dynamic: Option<ExprId>| dynamic.is_none_or(|dynamic| !self.varies[dynamic.index()]);
                let along = address.distance(axis) == 1 && !address.checks_axis(axis);
                (along || (masked && address.lane_check(axis).is_some()))
                    && memory::has_lanes(self.dtype(address.buffer))
                    && access.dims.iter().all(|dim| steady(dim.index.dynamic))
            }
            Expr::Unary(op, _) => vector::has_unary(*op, ty),
            Expr::Binary(op, _, y) => vector::has_binary(*op, ty, !self.varies[y.index()]),
            Expr::Compare(_, x, _) => vector::holds(kind(x)),
            Expr::Cast(to, x) => vector::has_cast(kind(x), *to),
            Expr::Bitcast(_, x) => vector::holds(kind(x)),
            _ => true,
        };
        shape && vector::holds(ty)
    }
}
