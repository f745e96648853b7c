//! Expression DAGs as WGSL statements.
//!
//! An invocation computes one point, or four successive points along the lane axis, in `vec4` values. What does not differ from lane to lane stays scalar.

use super::binding::{Bindings, Need, shift};
use super::helpers::Helpers;
use super::literal::{self, type_name};
use super::operator;
use super::place::{Axes, Spread, Sum};
use mlp_bundle::dtype::{DType, Scalar};
use mlp_bundle::loops::{Access, Bounds, BufferId, Expr, ExprId, Exprs, Store};
use mlp_bundle::plan::Plan;
use std::collections::HashMap;
use std::fmt::Write;

/// Static facts about a DAG.
pub(super) struct Facts {
    /// The compute type of each expression.
    pub(super) types: Vec<DType>,
    /// Whether it differs from lane to lane.
    pub(super) wide: Vec<bool>,
}

impl Facts {
    /// Infers types, and what depends on the lane axis; `sums` are the types of accumulators and totals.
    pub(super) fn of(plan: &Plan, exprs: &Exprs, sums: &[DType], lane: Option<u8>) -> Facts {
        Facts::infer(plan, exprs, sums, lane, true)
    }

    /// The same where totals are one value for all lanes.
    pub(super) fn with_narrow_totals(plan: &Plan, exprs: &Exprs, totals: &[DType], lane: Option<u8>) -> Facts {
        Facts::infer(plan, exprs, totals, lane, false)
    }

    fn infer(plan: &Plan, exprs: &Exprs, sums: &[DType], lane: Option<u8>, wide_sums: bool) -> Facts {
        let mut facts = Facts { types: Vec::new(), wide: Vec::new() };
        for expr in exprs.values() {
            let ty = |id: ExprId| facts.types[id.as_u32() as usize];
            let dtype = match expr {
                Expr::Const(value) => value.dtype(),
                Expr::Axis(_) | Expr::Symbol(_) | Expr::Requantize { .. } => DType::I32,
                Expr::Acc(n) | Expr::Total(n) => sums[usize::from(*n)],
                Expr::Load(access) => plan.buffers[access.buffer].dtype.compute(),
                Expr::Unary(_, a) | Expr::Binary(_, a, _) | Expr::Select(_, a, _) => ty(*a),
                Expr::Compare(..) => DType::Bool,
                Expr::Cast(to, _) | Expr::Bitcast(to, _) => to.compute(),
            };
            let is_wide = |id: ExprId| facts.wide[id.as_u32() as usize];
            let wide = lane.is_some_and(|lane| match expr {
                Expr::Axis(axis) => *axis == lane,
                Expr::Acc(_) | Expr::Total(_) => wide_sums,
                Expr::Load(access) => access
                    .dims
                    .iter()
                    .any(|dim| dim.index.terms.iter().any(|&(axis, _)| axis == lane) || dim.index.dynamic.is_some_and(is_wide)),
                other => {
                    let mut any = false;
                    other.for_each_operand(|id| any |= is_wide(id));
                    any
                }
            });
            facts.types.push(dtype);
            facts.wide.push(wide);
        }
        facts
    }

    pub(super) fn is_wide(&self, id: ExprId) -> bool {
        self.wide[id.as_u32() as usize]
    }

    pub(super) fn ty(&self, id: ExprId) -> DType {
        self.types[id.as_u32() as usize]
    }
}

/// Marks everything that `roots` need.
pub(super) fn reachable(exprs: &Exprs, roots: impl IntoIterator<Item = ExprId>) -> Vec<bool> {
    let mut seen = vec![false; exprs.len()];
    let mut work: Vec<ExprId> = roots.into_iter().collect();
    while let Some(id) = work.pop() {
        if !std::mem::replace(&mut seen[id.as_u32() as usize], true) {
            exprs[id].for_each_operand(|operand| work.push(operand));
        }
    }
    seen
}

/// What an access of a [`Spread`] asks of its buffer's declaration.
pub(super) fn need(dtype: DType, spread: Spread, store: bool) -> Need {
    match spread {
        Spread::Quad => Need::Quad,
        _ if store && dtype.size() < 4 => Need::Narrow,
        _ => Need::Single,
    }
}

/// A computed value: its text is a name or a literal.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) dtype: DType,
    pub(super) wide: bool,
    pub(super) literal: bool,
}

impl Value {
    /// The text as four lanes.
    pub(super) fn splat(&self) -> String {
        if self.wide { self.text.clone() } else { format!("{}({})", type_name(self.dtype, true), self.text) }
    }

    /// The text as four lanes if `wide`.
    pub(super) fn lanes(&self, wide: bool) -> String {
        if wide { self.splat() } else { self.text.clone() }
    }
}

/// Writes the statements of one DAG.
pub(super) struct Emitter<'a> {
    pub(super) exprs: &'a Exprs,
    pub(super) facts: &'a Facts,
    pub(super) axes: Axes,
    pub(super) bindings: &'a Bindings,
    pub(super) helpers: &'a mut Helpers,
    /// Set when a symbol is read.
    pub(super) symbols: &'a mut bool,
    /// The statements so far.
    pub(super) out: String,
    /// Values that stand in the open blocks, and index expressions bound to names there.
    pub(super) values: HashMap<ExprId, Value>,
    bound: HashMap<String, String>,
    names: u32,
}

/// What is known inside a block, to be restored when it closes.
pub(super) struct Block {
    values: HashMap<ExprId, Value>,
    bound: HashMap<String, String>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(
        exprs: &'a Exprs,
        facts: &'a Facts,
        axes: Axes,
        bindings: &'a Bindings,
        helpers: &'a mut Helpers,
        symbols: &'a mut bool,
    ) -> Emitter<'a> {
        Emitter {
            exprs,
            facts,
            axes,
            bindings,
            helpers,
            symbols,
            out: String::new(),
            values: HashMap::new(),
            bound: HashMap::new(),
            names: 0,
        }
    }

    pub(super) fn open(&mut self, head: &str) -> Block {
        let _ = writeln!(self.out, "{head}{{");
        Block { values: self.values.clone(), bound: self.bound.clone() }
    }

    pub(super) fn close(&mut self, block: Block) {
        self.out.push_str("}\n");
        self.values = block.values;
        self.bound = block.bound;
    }

    /// Binds an expression to a new name.
    pub(super) fn bind(&mut self, text: &str) -> String {
        if let Some(name) = self.bound.get(text) {
            return name.clone();
        }
        self.names += 1;
        let name = format!("t{}", self.names);
        let _ = writeln!(self.out, "let {name}={text};");
        self.bound.insert(text.to_owned(), name.clone());
        name
    }

    /// The value of an expression, computed where the statements now stand unless it is known there.
    pub(super) fn value(&mut self, id: ExprId) -> Result<Value, String> {
        if let Some(value) = self.values.get(&id) {
            return Ok(value.clone());
        }
        let value = self.compute(id)?;
        self.values.insert(id, value.clone());
        Ok(value)
    }

    fn compute(&mut self, id: ExprId) -> Result<Value, String> {
        let exprs = self.exprs;
        let dtype = self.facts.ty(id);
        if dtype == DType::F64 {
            return Err("it computes in f64, which WebGPU has not; use f32".to_owned());
        }
        let wide = self.facts.is_wide(id);
        let named = |emitter: &mut Self, text: String| Value { text: emitter.bind(&text), dtype, wide, literal: false };
        Ok(match &exprs[id] {
            Expr::Const(value) => return Ok(self.constant(*value)),
            Expr::Axis(axis) => {
                let text = if wide { format!("(a{axis}+vec4i(0,1,2,3))") } else { format!("a{axis}") };
                Value { text, dtype, wide, literal: false }
            }
            Expr::Symbol(symbol) => {
                *self.symbols = true;
                let place = symbol.as_u32();
                named(self, format!("i32(sy[{}].{})", place / 4, ["x", "y", "z", "w"][place as usize % 4]))
            }
            Expr::Acc(n) => Value { text: format!("c{n}"), dtype, wide, literal: false },
            Expr::Total(n) => Value { text: format!("c{n}"), dtype, wide, literal: false },
            Expr::Load(access) => self.load(access, dtype)?,
            Expr::Unary(op, a) => {
                let a = self.operand(*a)?;
                let text = operator::unary(self.helpers, *op, &a)?;
                named(self, text)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = self.pair(*a, *b)?;
                let text = operator::binary(self.helpers, *op, &a, &b, wide)?;
                named(self, text)
            }
            Expr::Compare(op, a, b) => {
                let (a, b) = self.pair(*a, *b)?;
                let text = operator::compare(self.helpers, *op, &a, &b, wide)?;
                named(self, text)
            }
            Expr::Select(condition, yes, no) => {
                let condition = self.operand(*condition)?;
                let (yes, no) = (self.value(*yes)?, self.value(*no)?);
                named(self, format!("select({},{},{})", no.lanes(wide), yes.lanes(wide), condition.lanes(wide)))
            }
            Expr::Cast(to, a) => {
                let a = self.operand(*a)?;
                let text = operator::cast(self.helpers, to.compute(), &a)?;
                named(self, text)
            }
            Expr::Bitcast(to, a) => {
                let a = self.operand(*a)?;
                let to = to.compute();
                if to.size() != a.dtype.size() {
                    return Err(format!("it reads the bits of {} as {to}", a.dtype));
                }
                named(self, if to.size() == 8 { a.text } else { format!("bitcast<{}>({})", type_name(to, wide), a.text) })
            }
            Expr::Requantize { value, multiplier, shift } => {
                let (value, multiplier) = self.pair(*value, *multiplier)?;
                if !(1..=62).contains(shift) {
                    return Err(format!("it requantizes by 2^{shift}; 1 to 62 are possible"));
                }
                let helper = self.helpers.need(if *shift < 32 { "rq" } else { "rw" });
                named(self, format!("{helper}({},{},{shift}u){}", value.splat(), multiplier.splat(), if wide { "" } else { ".x" }))
            }
        })
    }

    pub(super) fn constant(&mut self, value: Scalar) -> Value {
        let literal = literal::scalar(value);
        if literal.by_bits {
            self.helpers.need("fb");
        }
        Value { text: literal.text, dtype: value.dtype(), wide: false, literal: true }
    }

    /// A single operand, never a literal: WGSL evaluates functions of literals at compile time and refuses overflow, division by zero and NaN there.
    fn operand(&mut self, id: ExprId) -> Result<Value, String> {
        let value = self.value(id)?;
        Ok(if value.literal { self.run_time(&value) } else { value })
    }

    /// Two operands, not both literals.
    fn pair(&mut self, a: ExprId, b: ExprId) -> Result<(Value, Value), String> {
        let (a, b) = (self.value(a)?, self.value(b)?);
        Ok(if a.literal && b.literal { (self.run_time(&a), b) } else { (a, b) })
    }

    fn run_time(&mut self, value: &Value) -> Value {
        self.names += 1;
        let name = format!("t{}", self.names);
        let _ = writeln!(self.out, "var {name}={};", value.text);
        Value { text: name, literal: false, ..value.clone() }
    }

    /// The index along one dimension, as the given lane sees it.
    fn index(&mut self, access: &Access, dim: usize, lane: usize) -> Result<Sum, String> {
        let index = &access.dims[dim].index;
        let mut sum = Sum::constant(index.constant);
        for &(axis, coefficient) in &index.terms {
            sum.add(format!("a{axis}"), coefficient);
            if self.axes.lane == Some(axis) {
                sum.constant += coefficient * lane as i64;
            }
        }
        if let Some(id) = index.dynamic {
            let value = self.operand(id)?;
            sum.add(if value.wide { format!("{}[{lane}]", value.text) } else { value.text }, 1);
        }
        Ok(sum)
    }

    /// The element's index in its binding divided by `divide`, and the conditions under which it is inside.
    fn place(&mut self, access: &Access, lane: usize, divide: i64) -> Result<(Sum, Vec<String>), String> {
        let shift = self.bindings.get(access.buffer).shift;
        let mut sum = Sum::constant((access.offset + shift) as i64);
        let mut conditions = Vec::new();
        for (number, dim) in access.dims.iter().enumerate() {
            let checked = access.bounds != Bounds::Inside && self.axes.leaves(dim);
            let stride = dim.stride as i64;
            if checked {
                let index = self.index(access, number, lane)?.text();
                let name = match access.bounds {
                    Bounds::Clamp => self.bind(&format!("clamp({index},0,{})", i64::from(dim.extent) - 1)),
                    _ => self.bind(&index),
                };
                if access.bounds != Bounds::Clamp {
                    conditions.push(format!("u32({name})<{}u", dim.extent));
                }
                sum.add(name, stride / divide);
                continue;
            }
            sum.constant += dim.index.constant * stride;
            for &(axis, coefficient) in &dim.index.terms {
                let on_lane = self.axes.lane == Some(axis);
                match on_lane && divide == 4 {
                    // The lane axis counts quads where quads are read.
                    true => sum.add(format!("q{axis}"), coefficient * stride),
                    false => sum.add(format!("a{axis}"), coefficient * stride / divide),
                }
                if on_lane {
                    sum.constant += coefficient * stride * lane as i64;
                }
            }
            if let Some(id) = dim.index.dynamic {
                let value = self.operand(id)?;
                sum.add(if value.wide { format!("{}[{lane}]", value.text) } else { value.text }, stride / divide);
            }
        }
        sum.constant /= divide;
        Ok((sum, conditions))
    }

    fn index_name(&mut self, sum: &Sum) -> String {
        if sum.is_simple() { sum.text() } else { self.bind(&sum.text()) }
    }

    fn spread(&self, access: &Access) -> Spread {
        let facts = self.facts;
        self.axes.spread(access, self.bindings.get(access.buffer).shift, &|id| facts.is_wide(id))
    }

    fn load(&mut self, access: &Access, dtype: DType) -> Result<Value, String> {
        let otherwise = match access.bounds {
            Bounds::Else(value) => Some(self.constant(value)),
            Bounds::Inside | Bounds::Clamp => None,
        };
        let spread = self.spread(access);
        let mut lanes = Vec::new();
        for lane in 0..if spread == Spread::Each { 4 } else { 1 } {
            let (sum, conditions) = self.place(access, lane, if spread == Spread::Quad { 4 } else { 1 })?;
            let index = self.index_name(&sum);
            let text = match spread {
                Spread::Quad => self.bindings.read_quad(self.helpers, access.buffer, &index),
                _ => self.bindings.read(access.buffer, &index),
            };
            lanes.push(match (&otherwise, conditions.is_empty()) {
                (Some(otherwise), false) => {
                    self.names += 1;
                    let name = format!("t{}", self.names);
                    let otherwise = otherwise.lanes(spread == Spread::Quad);
                    let _ = writeln!(self.out, "var {name}={otherwise};\nif({}){{{name}={text};}}", conditions.join("&&"));
                    name
                }
                _ => text,
            });
        }
        let wide = spread != Spread::Same;
        let text = if lanes.len() == 1 { lanes.remove(0) } else { format!("{}({})", type_name(dtype, true), lanes.join(",")) };
        // Loads are never merged by their text: a store may stand between two of them.
        self.names += 1;
        let name = format!("t{}", self.names);
        let _ = writeln!(self.out, "let {name}={text};");
        Ok(Value { text: name, dtype, wide, literal: false })
    }

    /// Computes all stored values, then stores them.
    pub(super) fn stores(&mut self, stores: &[Store]) -> Result<(), String> {
        let mut values = Vec::new();
        for store in stores {
            values.push(self.value(store.value)?);
        }
        for (store, value) in stores.iter().zip(values) {
            self.store(&store.access, value)?;
        }
        Ok(())
    }

    fn store(&mut self, access: &Access, value: Value) -> Result<(), String> {
        let facts = self.facts;
        let spread = self.axes.store_spread(access, self.bindings.get(access.buffer).shift, &|id| facts.is_wide(id));
        let value = match (spread, value.wide) {
            (Spread::Same, false) => value.text,
            // Only a lane axis of one point may be missing in a store.
            (Spread::Same, true) => format!("{}[0]", value.text),
            (_, _) => value.splat(),
        };
        let value = if literal_like(&value) { self.bind(&value) } else { value };
        match spread {
            Spread::Quad => {
                let (sum, _) = self.place(access, 0, 4)?;
                let index = self.index_name(&sum);
                let text = self.bindings.write_quad(self.helpers, access.buffer, &index, &value);
                self.out.push_str(&text);
            }
            Spread::Same => {
                let (sum, _) = self.place(access, 0, 1)?;
                let index = self.index_name(&sum);
                let text = self.bindings.write(self.helpers, access.buffer, &index, &value);
                self.out.push_str(&text);
            }
            Spread::Each => {
                let axis = self.axes.lane.unwrap_or_default();
                for lane in 0..4 {
                    let (sum, _) = self.place(access, lane, 1)?;
                    let index = self.index_name(&sum);
                    let text = self.bindings.write(self.helpers, access.buffer, &index, &format!("{value}[{lane}]"));
                    if self.axes.ragged && lane > 0 {
                        let last = i64::from(self.axes.extents[usize::from(axis)]) - lane as i64;
                        let _ = writeln!(self.out, "if(a{axis}<{last}){{\n{text}}}");
                    } else {
                        self.out.push_str(&text);
                    }
                }
            }
        }
        Ok(())
    }
}

/// True for texts that cannot be indexed or negated as they stand.
fn literal_like(text: &str) -> bool {
    !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || text.starts_with(|c: char| c.is_ascii_digit())
}

/// Notes the accesses of a DAG that are reachable from the stores and `roots`.
pub(super) fn note_accesses(
    plan: &Plan,
    exprs: &Exprs,
    stores: &[Store],
    live: &[bool],
    axes: &Axes,
    facts: &Facts,
    bindings: &mut Bindings,
) -> Result<(), String> {
    let shift = |buffer: BufferId| shift(plan, buffer);
    let wide = |id: ExprId| facts.is_wide(id);
    for (id, expr) in exprs.iter() {
        if let (true, Expr::Load(access)) = (live[id.as_u32() as usize], expr) {
            let spread = axes.spread(access, shift(access.buffer), &wide);
            bindings.note(plan, access.buffer, need(plan.buffers[access.buffer].dtype, spread, false), false)?;
        }
    }
    for store in stores {
        let spread = axes.store_spread(&store.access, shift(store.access.buffer), &wide);
        bindings.note(plan, store.access.buffer, need(plan.buffers[store.access.buffer].dtype, spread, true), true)?;
    }
    Ok(())
}
