//! The graph while it is written, and what rules make it of.

use super::fit::{self, Fit};
use super::{Failure, Family, Refusal, Varying};
use crate::ir::{Graph, OpId, Origin, Type, ValueId};
use crate::op::{BinaryOp, CompareOp, Op};
use crate::shape::{Dim, Shape, SymId, Symbol};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use mlp_bundle::plan::{Formula, Term};
use mlp_bundle::{DType, Scalar};
use std::collections::HashMap;

/// The size of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Its greatest size, that of the tensor.
    pub(super) max: u64,
    /// What it is in a run, where that varies.
    pub(super) size: Option<SymId>,
}

/// A graph for all sizes while it is written.
pub(super) struct Writer<'f> {
    pub(super) family: &'f Family,
    pub(super) graph: Graph,
    /// Symbols by the values that they have at the family's points.
    sizes: HashMap<Vec<i64>, SymId>,
    /// The same, in the order they were made.
    known: Vec<(Vec<i64>, SymId)>,
    /// The symbols that vary.
    base: Vec<SymId>,
    /// Their values in the graph.
    scalars: HashMap<SymId, ValueId>,
    /// What stands for each value of the greatest member.
    values: SecondaryMap<ValueId, Option<ValueId>>,
    /// Where what is appended comes from.
    origin: Origin,
}

impl<'f> Writer<'f> {
    pub(super) fn new(varying: &[Varying], family: &'f Family) -> Writer<'f> {
        let mut graph = Graph::new(family.first().name.clone());
        // The sides of photos keep their ids.
        graph.symbols = family.first().symbols.clone();
        let mut writer = Writer {
            family,
            graph,
            sizes: HashMap::new(),
            known: Vec::new(),
            base: Vec::new(),
            scalars: HashMap::new(),
            values: SecondaryMap::new(),
            origin: Origin::default(),
        };
        for (index, symbol) in varying.iter().enumerate() {
            let values: Vec<i64> = family.points.iter().map(|point| point[index] as i64).collect();
            let step = symbol.step.max(1);
            let name = if step == 1 { symbol.name.clone() } else { format!("{} / {step}", symbol.name) };
            let id = writer.graph.symbols.push(Symbol { name, max: Some(symbol.steps()), formula: None });
            writer.base.push(id);
            if step > 1 {
                let formula = Formula { terms: vec![Term { coefficient: step as i64, factors: vec![id] }], divisor: 1 };
                let whole = Symbol { name: symbol.name.clone(), max: Some(symbol.steps() * step), formula: Some(formula) };
                let whole = writer.graph.symbols.push(whole);
                writer.remember(values.iter().map(|steps| steps * step as i64).collect(), whole);
            }
            writer.remember(values, id);
        }
        writer
    }

    fn remember(&mut self, values: Vec<i64>, id: SymId) {
        self.sizes.insert(values.clone(), id);
        self.known.push((values, id));
    }

    /// Writes the whole graph.
    pub(super) fn write(mut self) -> Result<Graph, Failure> {
        let first = self.family.first();
        for port in &first.inputs {
            let place = format!("input `{}`", port.name);
            let value = self.input(&port.name, port.value).map_err(|fit| Failure::of(fit, place))?;
            self.values[port.value] = Some(value);
        }
        for &id in &first.order {
            let place = first.origin_name(id);
            self.origin = first.origins[id].clone();
            let results = super::rules::operation(&mut self, id).map_err(|error| match error {
                RuleError::Refused(reason) => Failure::Refused { place: place.clone(), reason },
                RuleError::Fit(fit) => Failure::of(fit, place.clone()),
            })?;
            for (&result, value) in first.ops[id].results.iter().zip(results) {
                self.values[result] = Some(value);
            }
        }
        for port in &first.outputs {
            let place = format!("output `{}`", port.name);
            let value = self.output(port.value).map_err(|fit| Failure::of(fit, place))?;
            self.graph.add_output(port.name.clone(), value);
        }
        self.graph.states.clone_from(&first.states);
        self.graph.counted.clone_from(&first.counted);
        Ok(self.graph)
    }

    fn input(&mut self, name: &str, value: ValueId) -> Result<ValueId, Fit> {
        let ty = self.family.first().ty(value);
        if ty.shape.constants().is_none() {
            return Ok(self.graph.add_input(name, ty.clone()));
        }
        let axes = self.axes(value)?;
        self.origin = Origin::new(name);
        let given = self.graph.add_input(name, Type::new(ty.dtype, symbolic(&axes)));
        Ok(if is_fixed(&axes) { given } else { self.push(Op::Extend, &[given], ty.clone()) })
    }

    fn output(&mut self, value: ValueId) -> Result<ValueId, Fit> {
        let (axes, made) = (self.axes(value)?, self.value(value));
        if is_fixed(&axes) {
            return Ok(made);
        }
        let ty = Type::new(self.graph.ty(made).dtype, symbolic(&axes));
        self.origin = match self.family.first().definition(value) {
            Some((op, _)) => self.family.first().origins[op].clone(),
            None => Origin::default(),
        };
        Ok(self.push(Op::Trim, &[made], ty))
    }

    /// The axes of a value of the greatest member; photos, whose sides are symbols in every member, have none.
    pub(super) fn axes(&mut self, value: ValueId) -> Result<Vec<Axis>, Fit> {
        let ty = self.family.first().ty(value);
        let Some(dims) = ty.shape.constants() else { return Ok(Vec::new()) };
        dims.iter()
            .enumerate()
            .map(|(axis, &max)| {
                let values = self.family.sizes(value, axis).ok_or(Fit::None)?;
                if values.iter().any(|&size| size > max as i64) {
                    return Err(Fit::None);
                }
                Ok(Axis { max, size: self.size(values)? })
            })
            .collect()
    }

    /// The symbol of a size that has these values; none where it does not vary.
    pub(super) fn size(&mut self, values: Vec<i64>) -> Result<Option<SymId>, Fit> {
        if values.iter().all(|&value| value == values[0]) {
            return Ok(None);
        }
        if let Some(&known) = self.sizes.get(&values) {
            return Ok(Some(known));
        }
        let base = self.base.clone();
        let formula = match fit::formula(&self.family.points, &values) {
            Ok(formula) => formula.map(|symbol| base[symbol]),
            Err(Fit::None) => self.product(&values).ok_or(Fit::None)?,
            Err(ambiguous) => return Err(ambiguous),
        };
        let max = values.iter().copied().max().and_then(|most| u64::try_from(most).ok());
        // Its values are never negative where it is a size; a place that one counts from may be.
        let name = self.name(&formula);
        let id = self.graph.symbols.push(Symbol { name, max, formula: Some(formula) });
        self.remember(values, id);
        Ok(Some(id))
    }

    /// A multiple of two sizes that are known.
    fn product(&self, values: &[i64]) -> Option<Formula<SymId>> {
        for (index, (left, a)) in self.known.iter().enumerate() {
            for (right, b) in &self.known[index..] {
                let Some(product) = left[0].checked_mul(right[0]).filter(|&product| product != 0) else { continue };
                let coefficient = values[0] / product;
                let fits = |((&left, &right), &value): ((&i64, &i64), &i64)| coefficient != 0 && left * right * coefficient == value;
                if left.iter().zip(right).zip(values).all(fits) {
                    return Some(Formula { terms: vec![Term { coefficient, factors: vec![*a, *b] }], divisor: 1 });
                }
            }
        }
        None
    }

    /// A readable name of a size that is worked out.
    fn name(&self, formula: &Formula<SymId>) -> String {
        let name = |symbol: SymId| self.graph.symbols[symbol].name.clone();
        let terms = formula.terms.iter().map(|term| {
            let factors: Vec<String> = term.factors.iter().map(|&factor| name(factor)).collect();
            match (term.coefficient, factors.is_empty()) {
                (1, false) => factors.join(" * "),
                (coefficient, false) => format!("{coefficient} * {}", factors.join(" * ")),
                (coefficient, true) => coefficient.to_string(),
            }
        });
        let sum = terms.collect::<Vec<_>>().join(" + ");
        if formula.divisor == 1 { sum } else { format!("({sum}) / {}", formula.divisor) }
    }

    /// What stands for a value of the greatest member.
    pub(super) fn value(&self, value: ValueId) -> ValueId {
        self.values[value].expect("an operand is defined before its use")
    }

    /// The node of the greatest member.
    pub(super) fn node(&self, id: OpId) -> &'f crate::ir::Node {
        &self.family.first().ops[id]
    }

    /// The types that the greatest member has for the results.
    pub(super) fn result_types(&self, id: OpId) -> Vec<Type> {
        self.family.first().operand_types(&self.node(id).results)
    }

    /// Appends an operation of that result type.
    pub(super) fn push(&mut self, op: Op, operands: &[ValueId], ty: Type) -> ValueId {
        self.graph.push(op, operands.to_vec(), vec![ty], self.origin.clone())[0]
    }

    /// Appends an operation of several results.
    pub(super) fn push_all(&mut self, op: Op, operands: &[ValueId], types: Vec<Type>) -> Vec<ValueId> {
        self.graph.push(op, operands.to_vec(), types, self.origin.clone())
    }

    /// Appends an operation whose type follows.
    pub(super) fn append(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, RuleError> {
        self.graph.append_one(op, operands, self.origin.clone()).map_err(|error| RuleError::Refused(error.to_string()))
    }

    pub(super) fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId) -> Result<ValueId, RuleError> {
        self.append(Op::Binary(op), &[x, y])
    }

    pub(super) fn compare(&mut self, op: CompareOp, x: ValueId, y: ValueId) -> Result<ValueId, RuleError> {
        self.append(Op::Compare(op), &[x, y])
    }

    pub(super) fn select(&mut self, condition: ValueId, x: ValueId, y: ValueId) -> Result<ValueId, RuleError> {
        self.append(Op::Select, &[condition, x, y])
    }

    pub(super) fn cast(&mut self, dtype: DType, x: ValueId) -> Result<ValueId, RuleError> {
        if self.graph.ty(x).dtype == dtype { Ok(x) } else { self.append(Op::Cast(dtype), &[x]) }
    }

    pub(super) fn reshape(&mut self, x: ValueId, dims: &[u64]) -> ValueId {
        let ty = Type::fixed(self.graph.ty(x).dtype, dims);
        if ty == *self.graph.ty(x) { x } else { self.push(Op::Reshape, &[x], ty) }
    }

    pub(super) fn constant(&mut self, tensor: Tensor) -> ValueId {
        self.graph.constant(tensor, self.origin.clone())
    }

    pub(super) fn number(&mut self, dtype: DType, value: f64) -> ValueId {
        self.constant(Tensor::scalar_of(dtype, value))
    }

    /// The value of a symbol in this run: an `I32` scalar.
    pub(super) fn scalar(&mut self, symbol: SymId) -> ValueId {
        if let Some(&known) = self.scalars.get(&symbol) {
            return known;
        }
        let value = self.push(Op::Symbol(symbol), &[], Type::fixed(DType::I32, &[]));
        self.scalars.insert(symbol, value);
        value
    }

    /// A number of the family as an `I32` scalar: a constant or a symbol.
    pub(super) fn counted(&mut self, values: Vec<i64>) -> Result<ValueId, RuleError> {
        let first = values[0];
        Ok(match self.size(values)? {
            Some(symbol) => self.scalar(symbol),
            None => self.number(DType::I32, first as f64),
        })
    }

    /// How many elements an axis has in this run, as a scalar.
    pub(super) fn length(&mut self, axis: Axis, dtype: DType) -> Result<ValueId, RuleError> {
        match axis.size {
            Some(symbol) => {
                let size = self.scalar(symbol);
                self.cast(dtype, size)
            }
            None => Ok(self.number(dtype, axis.max as f64)),
        }
    }

    /// `0, 1, 2, ...` along the axis of a tensor of that rank whose other axes are 1: `I32`.
    pub(super) fn positions(&mut self, rank: usize, axis: usize, count: u64) -> Result<ValueId, RuleError> {
        let count = i32::try_from(count).map_err(|_| RuleError::Refused(format!("an axis of {count} elements is too long")))?;
        let mut dims = vec![1; rank];
        dims[axis] = count as u64;
        let tensor = Tensor::from_i32(&dims, &(0..count).collect::<Vec<_>>()).map_err(|error| RuleError::Refused(error.to_string()))?;
        Ok(self.constant(tensor))
    }

    /// Where an axis of a tensor of that rank is no rest.
    pub(super) fn is_live(&mut self, rank: usize, axis: usize, of: Axis) -> Result<Option<ValueId>, RuleError> {
        let Some(symbol) = of.size else { return Ok(None) };
        let (at, size) = (self.positions(rank, axis, of.max)?, self.scalar(symbol));
        self.compare(CompareOp::Lt, at, size).map(Some)
    }

    /// A value whose rest along these axes is `fill`.
    pub(super) fn filled(&mut self, mut x: ValueId, axes: &[Axis], along: &[usize], fill: Scalar) -> Result<ValueId, RuleError> {
        let dtype = self.graph.ty(x).dtype;
        for &axis in along {
            let Some(live) = self.is_live(axes.len(), axis, axes[axis])? else { continue };
            let fill = self.constant(scalar(dtype, fill));
            x = self.select(live, x, fill)?;
        }
        Ok(x)
    }
}

/// A rank 0 tensor of a narrow or compute type that holds a compute scalar.
fn scalar(dtype: DType, value: Scalar) -> Tensor {
    let wide = match value {
        Scalar::Bool(x) => f64::from(u8::from(x)),
        Scalar::I32(x) => f64::from(x),
        Scalar::U32(x) => f64::from(x),
        Scalar::F32(bits) => f64::from(f32::from_bits(bits)),
        Scalar::F64(bits) => f64::from_bits(bits),
        Scalar::I64(x) => return Tensor::scalar(x),
        Scalar::U64(x) => return Tensor::scalar(x),
    };
    Tensor::scalar_of(dtype, wide)
}

/// Whether no axis varies.
pub(super) fn is_fixed(axes: &[Axis]) -> bool {
    axes.iter().all(|axis| axis.size.is_none())
}

fn symbolic(axes: &[Axis]) -> Shape {
    Shape(axes.iter().map(|axis| axis.size.map_or(Dim::Const(axis.max), Dim::Symbol)).collect())
}

/// Why a rule has nothing for an operation.
#[derive(Debug)]
pub(super) enum RuleError {
    Refused(Refusal),
    Fit(Fit),
}

impl From<Fit> for RuleError {
    fn from(fit: Fit) -> RuleError {
        RuleError::Fit(fit)
    }
}

pub(super) type Ruled = Result<ValueId, RuleError>;

/// A refusal.
pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError::Refused(reason.into()))
}
