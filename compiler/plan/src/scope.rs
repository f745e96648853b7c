//! The expressions of one kernel while it is made: shared subexpressions, index arithmetic and accesses.

use crate::location::Location;
use cranelift_entity::EntityRef;
use mlp_bundle::loops::{Access, AccessDim, Affine, BinaryOp, Bounds, CompareOp, Expr, ExprId, Exprs, SymbolId, UnaryOp};
use mlp_bundle::{DType, Scalar};
use mlp_graph::{OpId, ValueId};
use std::collections::HashMap;

/// What is done where an index may leave its extent.
#[derive(Clone, Copy)]
pub(crate) enum Guard {
    /// The index is clamped: the caller does not use the value, or clamping is what it wants.
    Clamp,
    /// The load yields this instead.
    Else(Scalar),
}

/// The expressions of one kernel.
#[derive(Default)]
pub(crate) struct Scope {
    /// The DAG so far.
    pub(crate) exprs: Exprs,
    types: Vec<DType>,
    /// Extents of the axes, parallel first.
    pub(crate) axes: Vec<u32>,
    /// Values that the kernel has computed at the point of its frame.
    bound: HashMap<ValueId, ExprId>,
    /// Values computed from elsewhere, each at some coordinates.
    known: HashMap<ValueId, Vec<(Vec<Affine>, ExprId)>>,
    /// The operations that took part.
    pub(crate) origins: Vec<OpId>,
}

impl Scope {
    /// A scope over loops of these extents.
    pub(crate) fn new(axes: Vec<u32>) -> Scope {
        Scope { axes, ..Scope::default() }
    }

    /// Adds an expression of that type, or finds the same one.
    pub(crate) fn push(&mut self, expr: Expr, dtype: DType) -> ExprId {
        if let Some((id, _)) = self.exprs.iter().rev().find(|(_, other)| **other == expr) {
            return id;
        }
        self.types.push(dtype);
        self.exprs.push(expr)
    }

    /// The compute type of an expression.
    pub(crate) fn ty(&self, id: ExprId) -> DType {
        self.types[id.index()]
    }

    pub(crate) fn constant(&mut self, value: Scalar) -> ExprId {
        self.push(Expr::Const(value), value.dtype())
    }

    pub(crate) fn i32(&mut self, value: i32) -> ExprId {
        self.constant(Scalar::I32(value))
    }

    pub(crate) fn f32(&mut self, value: f32) -> ExprId {
        self.constant(Scalar::f32(value))
    }

    pub(crate) fn total(&mut self, index: u8, dtype: DType) -> ExprId {
        self.push(Expr::Total(index), dtype)
    }

    pub(crate) fn acc(&mut self, index: u8, dtype: DType) -> ExprId {
        self.push(Expr::Acc(index), dtype)
    }

    pub(crate) fn symbol(&mut self, symbol: SymbolId) -> ExprId {
        self.push(Expr::Symbol(symbol), DType::I32)
    }

    pub(crate) fn unary(&mut self, op: UnaryOp, x: ExprId) -> ExprId {
        let ty = self.ty(x);
        self.push(Expr::Unary(op, x), ty)
    }

    pub(crate) fn binary(&mut self, op: BinaryOp, x: ExprId, y: ExprId) -> ExprId {
        let ty = self.ty(x);
        self.push(Expr::Binary(op, x, y), ty)
    }

    pub(crate) fn add(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.binary(BinaryOp::Add, x, y)
    }

    pub(crate) fn sub(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.binary(BinaryOp::Sub, x, y)
    }

    pub(crate) fn mul(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.binary(BinaryOp::Mul, x, y)
    }

    pub(crate) fn div(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.binary(BinaryOp::Div, x, y)
    }

    pub(crate) fn min(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.binary(BinaryOp::Min, x, y)
    }

    pub(crate) fn max(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.binary(BinaryOp::Max, x, y)
    }

    /// Both of two truth values.
    pub(crate) fn both(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.mul(x, y)
    }

    /// Either of two truth values.
    pub(crate) fn either(&mut self, x: ExprId, y: ExprId) -> ExprId {
        self.add(x, y)
    }

    pub(crate) fn compare(&mut self, op: CompareOp, x: ExprId, y: ExprId) -> ExprId {
        self.push(Expr::Compare(op, x, y), DType::Bool)
    }

    pub(crate) fn select(&mut self, condition: ExprId, x: ExprId, y: ExprId) -> ExprId {
        let ty = self.ty(x);
        self.push(Expr::Select(condition, x, y), ty)
    }

    /// Conversion to the compute type of `dtype`, or nothing where it has that.
    pub(crate) fn cast(&mut self, dtype: DType, x: ExprId) -> ExprId {
        let to = dtype.compute();
        if self.ty(x) == to { x } else { self.push(Expr::Cast(to, x), to) }
    }

    /// The same bits as another type of that size.
    pub(crate) fn bitcast(&mut self, dtype: DType, x: ExprId) -> ExprId {
        if self.ty(x) == dtype { x } else { self.push(Expr::Bitcast(dtype, x), dtype) }
    }

    pub(crate) fn requantize(&mut self, value: ExprId, multiplier: ExprId, shift: u8) -> ExprId {
        self.push(Expr::Requantize { value, multiplier, shift }, DType::I32)
    }

    /// `max(lo)`, then `min(hi)`.
    pub(crate) fn clamp_i32(&mut self, x: ExprId, lo: i32, hi: i32) -> ExprId {
        let (lo, hi) = (self.i32(lo), self.i32(hi));
        let x = self.max(x, lo);
        self.min(x, hi)
    }

    /// `x + k`, or `x` where `k` is 0.
    pub(crate) fn add_i32(&mut self, x: ExprId, k: i32) -> ExprId {
        if k == 0 {
            return x;
        }
        let k = self.i32(k);
        self.add(x, k)
    }

    /// What a value is at the point of the kernel's frame.
    pub(crate) fn bind(&mut self, value: ValueId, expr: ExprId) {
        self.bound.insert(value, expr);
    }

    /// The expression of a value at some coordinates, if it is there already.
    pub(crate) fn recall(&self, value: ValueId, coords: &[Affine]) -> Option<ExprId> {
        let known = || self.known.get(&value)?.iter().find(|(at, _)| at == coords).map(|(_, expr)| *expr);
        self.bound.get(&value).copied().or_else(known)
    }

    /// Keeps the expression of a value at some coordinates.
    pub(crate) fn remember(&mut self, value: ValueId, coords: &[Affine], expr: ExprId) {
        self.known.entry(value).or_default().push((coords.to_vec(), expr));
    }

    /// Notes that an operation takes part in the kernel.
    pub(crate) fn note(&mut self, op: OpId) {
        if !self.origins.contains(&op) {
            self.origins.push(op);
        }
    }

    /// The least and greatest value of an index; none where it has a dynamic part.
    pub(crate) fn range(&self, index: &Affine) -> Option<(i64, i64)> {
        if index.dynamic.is_some() { None } else { index.interval(&self.axes) }
    }

    /// Whether an index is known to stay in `0..extent`.
    pub(crate) fn inside(&self, index: &Affine, extent: u64) -> bool {
        self.range(index).is_some_and(|(low, high)| low >= 0 && (high as u64) < extent)
    }

    /// The sum of two indices.
    pub(crate) fn sum(&mut self, x: &Affine, y: &Affine) -> Affine {
        let mut terms = x.terms.clone();
        for &(axis, coefficient) in &y.terms {
            match terms.iter_mut().find(|term| term.0 == axis) {
                Some(term) => term.1 += coefficient,
                None => terms.push((axis, coefficient)),
            }
        }
        terms.retain(|term| term.1 != 0);
        terms.sort_unstable();
        let dynamic = match (x.dynamic, y.dynamic) {
            (Some(a), Some(b)) => Some(self.add(a, b)),
            (a, b) => a.or(b),
        };
        Affine { constant: x.constant + y.constant, terms, dynamic }
    }

    /// A multiple of an index.
    pub(crate) fn scaled(&mut self, x: &Affine, factor: i64) -> Affine {
        if factor == 0 {
            return Affine::default();
        }
        let dynamic = x.dynamic.map(|dynamic| {
            if factor == 1 {
                return dynamic;
            }
            let factor = self.i32(factor as i32);
            self.mul(dynamic, factor)
        });
        let terms = x.terms.iter().map(|&(axis, coefficient)| (axis, coefficient * factor)).collect();
        Affine { constant: x.constant * factor, terms, dynamic }
    }

    /// `x * factor + constant`.
    pub(crate) fn linear(&mut self, x: &Affine, factor: i64, constant: i64) -> Affine {
        let mut result = self.scaled(x, factor);
        result.constant += constant;
        result
    }

    /// An index as an `I32` expression.
    pub(crate) fn index(&mut self, index: &Affine) -> ExprId {
        let mut sum = index.dynamic;
        for &(axis, coefficient) in &index.terms {
            let mut term = self.push(Expr::Axis(axis), DType::I32);
            if coefficient != 1 {
                let coefficient = self.i32(coefficient as i32);
                term = self.mul(term, coefficient);
            }
            sum = Some(match sum {
                Some(sum) => self.add(sum, term),
                None => term,
            });
        }
        match sum {
            Some(sum) => self.add_i32(sum, index.constant as i32),
            None => self.i32(index.constant as i32),
        }
    }

    /// An index that is an expression.
    pub(crate) fn dynamic(expr: ExprId) -> Affine {
        Affine { dynamic: Some(expr), ..Affine::default() }
    }

    /// Where the element at `coords` of a value lies. Dimensions known to stay inside are merged into one; others are guarded one by one.
    pub(crate) fn access(&mut self, location: &Location, coords: &[Affine], guard: Guard) -> Access {
        let mut inside = Affine::default();
        let mut dims = Vec::new();
        for (dim, index) in location.dims.iter().zip(coords) {
            if self.inside(index, dim.extent) {
                let part = self.scaled(index, dim.stride as i64);
                inside = self.sum(&inside, &part);
            } else if dim.stride != 0 || matches!(guard, Guard::Else(_)) {
                dims.push(AccessDim { index: index.clone(), extent: dim.extent as u32, stride: dim.stride });
            }
        }
        let bounds = match guard {
            _ if dims.is_empty() => Bounds::Inside,
            Guard::Clamp => Bounds::Clamp,
            Guard::Else(value) => Bounds::Else(value),
        };
        let mut offset = location.offset;
        let (low, high) = self.range(&inside).expect("indices that stay inside are not dynamic");
        if !inside.terms.is_empty() {
            // The least address goes into the offset, so that the index starts at 0.
            inside.constant -= low;
            dims.push(AccessDim { index: inside, extent: (high - low + 1) as u32, stride: 1 });
        }
        offset += low as u64;
        Access { buffer: location.buffer, offset, dims, bounds }
    }

    /// Loads the element at `coords`.
    pub(crate) fn load(&mut self, location: &Location, coords: &[Affine], guard: Guard) -> ExprId {
        let ty = location.dtype.compute();
        if location.dims.iter().any(|dim| dim.extent == 0) {
            return self.constant(Scalar::of(ty, 0));
        }
        let access = self.access(location, coords, guard);
        self.push(Expr::Load(access), ty)
    }

    /// Whether `coords` lie inside `dims`, as a truth value; none where they are known to.
    pub(crate) fn is_inside(&mut self, coords: &[Affine], dims: &[u64]) -> Option<ExprId> {
        let mut all = None;
        for (index, &extent) in coords.iter().zip(dims) {
            let range = self.range(index);
            if range.is_none_or(|(low, _)| low < 0) {
                let (zero, at) = (self.i32(0), self.index(index));
                let check = self.compare(CompareOp::Le, zero, at);
                all = Some(all.map_or(check, |all| self.both(all, check)));
            }
            if range.is_none_or(|(_, high)| high >= extent as i64) {
                let (at, extent) = (self.index(index), self.i32(extent as i32));
                let check = self.compare(CompareOp::Lt, at, extent);
                all = Some(all.map_or(check, |all| self.both(all, check)));
            }
        }
        all
    }

    /// The coordinates under shape `to` of the element that has `coords` under shape `from`; none where that takes a division.
    pub(crate) fn reshaped(&mut self, coords: &[Affine], from: &[u64], to: &[u64]) -> Option<Vec<Affine>> {
        let mut result = vec![Affine::default(); to.len()];
        let (mut i, mut j) = (0, 0);
        while i < from.len() && j < to.len() {
            let (first, target) = (i, j);
            let (mut a, mut b) = (from[i], to[j]);
            (i, j) = (i + 1, j + 1);
            while a != b {
                if a < b {
                    a *= *from.get(i)?;
                    i += 1;
                } else {
                    b *= *to.get(j)?;
                    j += 1;
                }
            }
            let mut rest = Affine::default();
            for axis in first..i {
                rest = self.scaled(&rest, from[axis] as i64);
                rest = self.sum(&rest, &coords[axis]);
            }
            for axis in (target + 1..j).rev() {
                let (outer, inner) = self.split(&rest, to[axis])?;
                result[axis] = inner;
                rest = outer;
            }
            result[target] = rest;
        }
        Some(result)
    }

    /// `(index / size, index % size)`, where both are affine.
    fn split(&self, index: &Affine, size: u64) -> Option<(Affine, Affine)> {
        let size = size as i64;
        if index.dynamic.is_some() {
            return None;
        }
        let (outer, inner): (Vec<_>, Vec<_>) = index.terms.iter().partition(|term| term.1 % size == 0);
        let inner = Affine { constant: index.constant, terms: inner, dynamic: None };
        let (low, high) = self.range(&inner)?;
        let quotient = low.div_euclid(size);
        if high - quotient * size >= size {
            return None;
        }
        let outer = outer.into_iter().map(|(axis, coefficient)| (axis, coefficient / size)).collect();
        let outer = Affine { constant: quotient, terms: outer, dynamic: None };
        Some((outer, Affine { constant: index.constant - quotient * size, ..inner }))
    }

    /// As [`reshaped`](Scope::reshaped), with divisions at run time where it takes them.
    pub(crate) fn divided(&mut self, coords: &[Affine], from: &[u64], to: &[u64]) -> Vec<Affine> {
        if let Some(coords) = self.reshaped(coords, from, to) {
            return coords;
        }
        let mut rest = Affine::default();
        for (index, &size) in coords.iter().zip(from) {
            rest = self.scaled(&rest, size as i64);
            rest = self.sum(&rest, index);
        }
        let mut rest = self.index(&rest);
        let mut result = vec![Affine::default(); to.len()];
        for axis in (0..to.len()).rev() {
            let size = self.i32(to[axis] as i32);
            let index = if axis == 0 { rest } else { self.binary(BinaryOp::Rem, rest, size) };
            result[axis] = Scope::dynamic(index);
            if axis > 0 {
                rest = self.div(rest, size);
            }
        }
        result
    }
}
