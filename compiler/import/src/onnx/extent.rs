//! Integers that only a run knows, but that lie between known bounds: how many rows an operator selected, and what a model computes of that.
//!
//! A model asks for the shape of what was selected and goes on with it: the least of it and 100, a range up to it, zeros of that shape. Each such number has its bounds,
//! by which sizes are chosen here, and a scalar of the graph, by which a run tells how much of them means something.

use super::builder::Builder;
use super::node::{NodeImport, Problem};
use mlp_graph::eval::evaluate;
use mlp_graph::ir::Type;
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, Tensor, ValueId};
use std::collections::HashMap;

/// Longer values are no shapes.
const MOST: u64 = 64;

/// One integer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    /// The least that it may be.
    pub(crate) least: i64,
    /// The most that it may be.
    pub(crate) most: i64,
    /// An `I32` scalar of what it is, where a run decides; none of what is decided by a comparison.
    term: Option<ValueId>,
}

impl Extent {
    /// A number that is known.
    pub(crate) fn exact(number: i64) -> Extent {
        Extent { least: number, most: number, term: None }
    }

    /// A number from 0 to `most` that a run decides.
    pub(crate) fn count(most: u64, term: ValueId) -> Extent {
        Extent { least: 0, most: i64::try_from(most).unwrap_or(i64::MAX), term: Some(term) }
    }

    /// The number, where it is known.
    pub(crate) fn known(self) -> Option<i64> {
        (self.least == self.most).then_some(self.least)
    }

    /// The scalar of the graph, where only a run knows it.
    pub(crate) fn term(self) -> Option<ValueId> {
        self.term.filter(|_| self.known().is_none())
    }

    /// What a function of two such integers lies between; none where that is not known.
    fn between(op: BinaryOp, a: Extent, b: Extent) -> Option<(i64, i64)> {
        Some(match op {
            BinaryOp::Add => (a.least.saturating_add(b.least), a.most.saturating_add(b.most)),
            BinaryOp::Sub => (a.least.saturating_sub(b.most), a.most.saturating_sub(b.least)),
            BinaryOp::Mul if a.least >= 0 && b.least >= 0 => (a.least.saturating_mul(b.least), a.most.saturating_mul(b.most)),
            BinaryOp::Div if a.least >= 0 && b.least > 0 => (a.least / b.most, a.most / b.least),
            BinaryOp::Min => (a.least.min(b.least), a.most.min(b.most)),
            BinaryOp::Max => (a.least.max(b.least), a.most.max(b.most)),
            _ => return None,
        })
    }

    /// Which of the two a function gives in any case.
    fn either(op: BinaryOp, a: Extent, b: Extent) -> Option<Extent> {
        match op {
            BinaryOp::Min if a.most <= b.least => Some(a),
            BinaryOp::Min if b.most <= a.least => Some(b),
            BinaryOp::Max if a.least >= b.most => Some(a),
            BinaryOp::Max if b.least >= a.most => Some(b),
            BinaryOp::Add if a.known() == Some(0) => Some(b),
            BinaryOp::Add | BinaryOp::Sub if b.known() == Some(0) => Some(a),
            BinaryOp::Mul if a.known() == Some(1) => Some(b),
            BinaryOp::Mul | BinaryOp::Div if b.known() == Some(1) => Some(a),
            _ => None,
        }
    }

    /// What a comparison of two such integers gives, as a number.
    fn compared(op: CompareOp, a: Extent, b: Extent) -> Extent {
        let (apart, same) = (a.most < b.least || b.most < a.least, a.known().is_some() && a.known() == b.known());
        let decided = match op {
            CompareOp::Eq => (same, apart),
            CompareOp::Ne => (apart, same),
            CompareOp::Lt => (a.most < b.least, a.least >= b.most),
            CompareOp::Le => (a.most <= b.least, a.least > b.most),
        };
        match decided {
            (true, _) => Extent::exact(1),
            (_, true) => Extent::exact(0),
            _ => Extent { least: 0, most: 1, term: None },
        }
    }
}

/// Two extents as a key: what is computed of the same numbers is computed once, so that equal counts are one value.
type Key = (BinaryOp, (i64, Option<ValueId>), (i64, Option<ValueId>));

/// The values that hold such integers.
#[derive(Default)]
pub(super) struct Extents {
    of: HashMap<ValueId, Vec<Extent>>,
    made: HashMap<Key, ValueId>,
}

impl Builder {
    /// The integers in a value, where each is known or lies between known bounds.
    pub(crate) fn extents(&self, value: ValueId) -> Option<Vec<Extent>> {
        if let Some(extents) = self.extents.of.get(&value) {
            return Some(extents.clone());
        }
        let tensor = self.known(value).filter(|tensor| tensor.len() as u64 <= MOST)?;
        Some(tensor.to_i64()?.into_iter().map(Extent::exact).collect())
    }

    /// Notes what is known of the integers in a value.
    pub(crate) fn note_extents(&mut self, value: ValueId, extents: Vec<Extent>) {
        self.extents.of.insert(value, extents);
    }

    /// An `I32` scalar of an integer.
    pub(crate) fn term(&mut self, extent: Extent) -> Option<ValueId> {
        match extent.known() {
            Some(number) => i32::try_from(number).ok().map(|number| self.constant(Tensor::scalar(number))),
            None => extent.term,
        }
    }

    /// A function of two integers; none where it cannot be said what it lies between.
    pub(crate) fn combined(&mut self, op: BinaryOp, a: Extent, b: Extent) -> Result<Option<Extent>, Problem> {
        if let Some(one) = Extent::either(op, a, b) {
            return Ok(Some(one));
        }
        let Some((least, most)) = Extent::between(op, a, b) else { return Ok(None) };
        if least == most {
            return Ok(Some(Extent::exact(least)));
        }
        let key = (op, (a.least, a.term()), (b.least, b.term()));
        if let Some(&term) = self.extents.made.get(&key) {
            return Ok(Some(Extent { least, most, term: Some(term) }));
        }
        let (Some(x), Some(y)) = (self.term(a), self.term(b)) else { return Ok(None) };
        let term = self.emit(Op::Binary(op), &[x, y], None)?[0];
        self.extents.made.insert(key, term);
        Ok(Some(Extent { least, most, term: Some(term) }))
    }

    /// What an operation makes of such integers, where an operand holds any.
    pub(super) fn extents_after(&mut self, op: &Op, operands: &[ValueId], types: &[Type]) -> Result<Option<Vec<Extent>>, Problem> {
        let [ty] = types else { return Ok(None) };
        let shape = ty.shape.constants().unwrap_or_default();
        let small = !ty.dtype.is_float() && shape.iter().product::<u64>() <= MOST;
        if !small || !operands.iter().any(|operand| self.extents.of.contains_key(operand)) {
            return Ok(None);
        }
        let Some(given) = operands.iter().map(|&operand| self.extents(operand)).collect::<Option<Vec<_>>>() else { return Ok(None) };
        match op {
            Op::Cast(DType::I32 | DType::I64) => Ok(Some(given[0].clone())),
            Op::Binary(_) | Op::Compare(_) => self.pairwise(op, operands, &given, ty),
            Op::Reduce { kind, .. } if shape.iter().product::<u64>() == 1 => self.reduced(*kind, &given[0]),
            Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Concat { .. } | Op::Gather { .. } | Op::Select => {
                Ok(self.moved(op, operands, &given, ty))
            }
            _ => Ok(None),
        }
    }

    fn pairwise(&mut self, op: &Op, operands: &[ValueId], given: &[Vec<Extent>], ty: &Type) -> Result<Option<Vec<Extent>>, Problem> {
        let wide = Type { dtype: DType::I64, ..ty.clone() };
        let mut sides = Vec::with_capacity(2);
        for (operand, extents) in operands.iter().zip(given) {
            let Some(side) = self.moved(&Op::Broadcast, &[*operand], std::slice::from_ref(extents), &wide) else { return Ok(None) };
            sides.push(side);
        }
        let pairs = sides[0].iter().zip(&sides[1]);
        match op {
            Op::Compare(op) => Ok(Some(pairs.map(|(&a, &b)| Extent::compared(*op, a, b)).collect())),
            Op::Binary(op) if ty.dtype != DType::Bool => pairs.map(|(&a, &b)| self.combined(*op, a, b)).collect(),
            _ => Ok(None),
        }
    }

    fn reduced(&mut self, kind: ReduceKind, given: &[Extent]) -> Result<Option<Vec<Extent>>, Problem> {
        let op = match kind {
            ReduceKind::Sum => BinaryOp::Add,
            ReduceKind::Prod => BinaryOp::Mul,
            ReduceKind::Min => BinaryOp::Min,
            ReduceKind::Max => BinaryOp::Max,
            ReduceKind::Mean => return Ok(None),
        };
        let Some((&first, rest)) = given.split_first() else { return Ok(None) };
        let mut total = first;
        for &extent in rest {
            match self.combined(op, total, extent)? {
                Some(next) => total = next,
                None => return Ok(None),
            }
        }
        Ok(Some(vec![total]))
    }

    /// Where an operation that only moves elements puts them: found by moving their numbers. Conditions and positions must be known.
    fn moved(&self, op: &Op, operands: &[ValueId], given: &[Vec<Extent>], ty: &Type) -> Option<Vec<Extent>> {
        let mut all: Vec<Extent> = Vec::new();
        let mut tensors = Vec::with_capacity(operands.len());
        for (index, (&operand, extents)) in operands.iter().zip(given).enumerate() {
            let shape = self.dims(operand);
            let exact = || extents.iter().map(|extent| extent.known()).collect::<Option<Vec<i64>>>();
            tensors.push(match op {
                Op::Gather { .. } if index == 1 => Tensor::from_i64(&shape, &exact()?).ok()?,
                Op::Select if index == 0 => {
                    let bytes = exact()?.into_iter().map(|number| u8::from(number != 0)).collect::<Vec<u8>>();
                    Tensor::new(DType::Bool, shape, bytes).ok()?
                }
                _ => {
                    let first = all.len() as i64;
                    all.extend(extents);
                    Tensor::from_i64(&shape, &(first..all.len() as i64).collect::<Vec<_>>()).ok()?
                }
            });
        }
        let wide = Type { dtype: DType::I64, ..ty.clone() };
        let places = evaluate(op, &tensors.iter().collect::<Vec<_>>(), &[wide]).ok()?.first()?.to_i64()?;
        places.into_iter().map(|place| all.get(usize::try_from(place).ok()?).copied()).collect()
    }

    /// A constant of integers that all turn out to be known.
    pub(super) fn exact_tensor(&self, extents: &[Extent], ty: &Type) -> Option<Tensor> {
        let numbers = extents.iter().map(|extent| extent.known()).collect::<Option<Vec<i64>>>()?;
        let tensor = Tensor::from_i64(&ty.shape.constants()?, &numbers).ok()?;
        if ty.dtype == DType::I64 {
            return Some(tensor);
        }
        let zero = Tensor::scalar(0i64);
        let result = match ty.dtype {
            DType::Bool => evaluate(&Op::Compare(CompareOp::Ne), &[&tensor, &zero], std::slice::from_ref(ty)),
            dtype => evaluate(&Op::Cast(dtype), &[&tensor], std::slice::from_ref(ty)),
        };
        result.ok()?.into_iter().next()
    }
}

impl NodeImport<'_> {
    /// The integers in a value that must be known while compiling, or lie between known bounds.
    pub(crate) fn extents(&self, value: ValueId, what: &str) -> Result<Vec<Extent>, Problem> {
        match self.builder.extents(value) {
            Some(extents) if extents.iter().all(|extent| extent.known().is_some() || extent.term().is_some()) => Ok(extents),
            // What is missing is said as it is for what must be known.
            _ => Ok(self.known_integers(value, what)?.into_iter().map(Extent::exact).collect()),
        }
    }

    /// The one integer in such a value.
    pub(crate) fn extent(&self, value: ValueId, what: &str) -> Result<Extent, Problem> {
        match self.extents(value, what)?.as_slice() {
            &[one] => Ok(one),
            several => Err(Problem::Invalid(format!("{what} should hold one integer, but holds {}", several.len()))),
        }
    }

    /// A function of two integers, of which at most a run knows.
    pub(crate) fn combined(&mut self, op: BinaryOp, a: Extent, b: Extent) -> Result<Extent, Problem> {
        match self.builder.combined(op, a, b)? {
            Some(extent) => Ok(extent),
            None => {
                Err(Problem::Unsupported("it goes by a number of which only a run knows what it is, and which has no bounds here".into()))
            }
        }
    }

    /// A value that holds these integers, one after another, as `I64`.
    pub(crate) fn extents_value(&mut self, extents: Vec<Extent>) -> Result<ValueId, Problem> {
        if let Some(known) = extents.iter().map(|extent| extent.known()).collect::<Option<Vec<i64>>>() {
            return self.integers(&known);
        }
        let mut parts = Vec::with_capacity(extents.len());
        for extent in &extents {
            parts.push(match extent.term() {
                Some(term) => {
                    let wide = self.cast(DType::I64, term)?;
                    self.reshape(wide, &[1])?
                }
                None => self.integers(&[extent.least])?,
            });
        }
        let joined = self.emit(Op::Concat { axis: 0 }, &parts)?;
        self.builder.note_extents(joined, extents);
        Ok(joined)
    }
}
