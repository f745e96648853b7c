//! Ensembles of decision trees: every tree is walked at once, one level of all of them after the other.

use super::linear::of_targets;
use super::scores::{Labels, Transform, above, column, rows, second_class};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind};
use mlp_graph::{DType, Op, Tensor, ValueId};

mod forest;
mod read;

use forest::{Forest, Presence};

/// How the trees' weights become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Forest {
    /// Where each tree ends for each row: `[rows, trees]` indices of nodes.
    fn walk(&self, node: &mut NodeImport<'_>, x: ValueId) -> One {
        let [rows, features] = [node.dims(x)[0], node.dims(x)[1]];
        if let Some(feature) = self.features.iter().find(|&&feature| u64::from(feature) >= features) {
            return invalid(format!("a tree reads feature {feature} of {features}"));
        }
        let dtype = node.dtype(x);
        let count = self.features.len() as u64;
        let flat = node.reshape(x, &[rows * features])?;
        let feature = indices(node, &[count], self.features.iter().copied())?;
        let split = Tensor::from_f64_as(dtype, &[count], &self.splits).map_err(|error| error.to_string())?;
        let split = node.constant(split);
        let next = indices(node, &[4 * count], self.next.iter().flatten().copied())?;
        if rows * features > i32::MAX as u64 {
            return unsupported(format!("{rows} rows of {features} features are too many to be indexed; use smaller batches"));
        }
        let starts = node.positions(rows, 0, 2)?;
        let starts = node.with_number(BinaryOp::Mul, starts, features as f64)?;
        let roots = indices(node, &[1, self.roots.len() as u64], self.roots.iter().copied())?;
        let mut at = node.broadcast(roots, &[rows, self.roots.len() as u64])?;
        let (four, codes) = (node.scalar(DType::I32, 4.0), [1.0, 2.0, 3.0].map(|code| node.scalar(DType::I32, code)));
        let zero = node.scalar(DType::I32, 0.0);
        for _ in 0..self.depth {
            let feature = node.emit(Op::Gather { axis: 0 }, &[feature, at])?;
            let place = node.binary(BinaryOp::Add, feature, starts)?;
            let value = node.emit(Op::Gather { axis: 0 }, &[flat, place])?;
            let split = node.emit(Op::Gather { axis: 0 }, &[split, at])?;
            let (less, equal) = (node.compare(CompareOp::Lt, value, split)?, node.compare(CompareOp::Eq, value, split)?);
            let more = node.compare(CompareOp::Lt, split, value)?;
            let unordered = node.select(more, codes[1], codes[2])?;
            let not_less = node.select(equal, codes[0], unordered)?;
            let code = node.select(less, zero, not_less)?;
            let first = node.binary(BinaryOp::Mul, at, four)?;
            let place = node.binary(BinaryOp::Add, first, code)?;
            at = node.emit(Op::Gather { axis: 0 }, &[next, place])?;
        }
        Ok(at)
    }

    /// What all trees say together: `[rows, targets]`, without base values.
    fn aggregate(&self, node: &mut NodeImport<'_>, leaves: ValueId, dtype: DType, aggregate: Aggregate) -> One {
        let missing = match aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        };
        // Before the table exists: the number of targets is a number in a file.
        let bytes = (self.features.len() as u64).saturating_mul(u64::from(self.targets)).saturating_mul(8);
        if !node.builder.may_create(bytes) {
            return unsupported(format!("{} weights of {} targets are too many", self.features.len(), self.targets));
        }
        let table = Tensor::from_f64_as(dtype, &[self.features.len() as u64, self.targets as u64], &self.table(missing));
        let table = table.map_err(|error| error.to_string())?;
        let table = node.constant(table);
        let weights = node.emit(Op::Gather { axis: 0 }, &[table, leaves])?;
        let kind = match aggregate {
            Aggregate::Sum | Aggregate::Average => ReduceKind::Sum,
            Aggregate::Min => ReduceKind::Min,
            Aggregate::Max => ReduceKind::Max,
        };
        let result = node.reduce(kind, &[1], false, weights)?;
        match aggregate {
            Aggregate::Sum => Ok(result),
            Aggregate::Average => {
                let trees = node.scalar(dtype, self.roots.len() as f64);
                node.binary(BinaryOp::Div, result, trees)
            }
            // A target that no tree says anything of is 0.
            Aggregate::Min | Aggregate::Max => {
                let (none, zero) = (node.scalar(dtype, missing), node.scalar(dtype, 0.0));
                let nothing = node.compare(CompareOp::Eq, result, none)?;
                node.select(nothing, zero, result)
            }
        }
    }

    /// Whether some tree says something of a target, a row: `[rows, 1]`.
    fn is_present(&self, node: &mut NodeImport<'_>, leaves: ValueId, target: u32) -> One {
        let mut table = vec![0.0; self.features.len()];
        self.weights.iter().filter(|weight| weight.target == target).for_each(|weight| table[weight.node as usize] = 1.0);
        let table = Tensor::from_f64_as(DType::F32, &[self.features.len() as u64], &table).map_err(|error| error.to_string())?;
        let table = node.constant(table);
        let weights = node.emit(Op::Gather { axis: 0 }, &[table, leaves])?;
        let greatest = node.reduce(ReduceKind::Max, &[1], true, weights)?;
        above(node, greatest, 0.0)
    }
}

/// Indices as a constant.
fn indices(node: &mut NodeImport<'_>, shape: &[u64], values: impl Iterator<Item = u32>) -> One {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let tensor = Tensor::from_i32(shape, &values).map_err(|error| error.to_string())?;
    Ok(node.constant(tensor))
}

/// `scores + base`, where there are base values, one a target.
fn with_base(node: &mut NodeImport<'_>, scores: ValueId, base: &[f64]) -> One {
    if base.len() as u64 != node.dims(scores)[1] {
        return Ok(scores);
    }
    let base = Tensor::from_f64_as(node.dtype(scores), &[base.len() as u64], base).map_err(|error| error.to_string())?;
    let base = node.constant(base);
    node.binary(BinaryOp::Add, scores, base)
}

/// The element type that a model's input is compared in.
fn compared(node: &NodeImport<'_>) -> Result<DType, Problem> {
    Ok(if node.dtype(node.input(0)?) == DType::F64 { DType::F64 } else { DType::F32 })
}

pub(super) fn regressor(node: &mut NodeImport<'_>) -> Imported {
    let dtype = compared(node)?;
    let x = rows(node, dtype)?;
    let targets = node.attributes.int("n_targets")?.unwrap_or(1);
    let forest = read::classic(node, "target", targets)?;
    let aggregate = match node.attributes.string("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => return invalid(format!("attribute `aggregate_function` is `{other}`, which is no such function")),
    };
    let transform = Transform::of(node)?;
    let base = read::base_values(node)?;
    let leaves = forest.walk(node, x)?;
    let scores = forest.aggregate(node, leaves, dtype, aggregate)?;
    let scores = with_base(node, scores, &base)?;
    let scores = node.cast(DType::F32, scores)?;
    Ok(vec![of_targets(node, scores, transform)?])
}

/// The operator of version 5 that stands for both others.
pub(super) fn ensemble(node: &mut NodeImport<'_>) -> Imported {
    let dtype = compared(node)?;
    let given = node.dtype(node.input(0)?);
    let x = rows(node, dtype)?;
    let forest = read::ensemble(node)?;
    let aggregate = match node.attributes.int("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return invalid(format!("attribute `aggregate_function` is {other}, which is no such function")),
    };
    let transform = match node.attributes.int("post_transform")?.unwrap_or(0) {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => return invalid(format!("attribute `post_transform` is {other}, which is no transform")),
    };
    let leaves = forest.walk(node, x)?;
    let scores = forest.aggregate(node, leaves, dtype, aggregate)?;
    let scores = of_targets(node, scores, transform)?;
    Ok(vec![node.cast(given, scores)?])
}

pub(super) fn classifier(node: &mut NodeImport<'_>) -> Imported {
    let dtype = compared(node)?;
    let x = rows(node, dtype)?;
    let labels = Labels::of(node, "classlabels_int64s", "classlabels_strings")?;
    let forest = read::classic(node, "class", labels.len() as i64)?;
    let transform = Transform::of(node)?;
    let base = read::base_values(node)?;
    let leaves = forest.walk(node, x)?;
    let sums = forest.aggregate(node, leaves, dtype, Aggregate::Sum)?;
    match labels.len() {
        1 => unsupported("a classifier of one class is not defined"),
        2 => of_two_classes(node, &forest, &labels, sums, leaves, &base, transform),
        _ => {
            let scores = with_base(node, sums, &base)?;
            let counted = if base.is_empty() { only_present(node, &forest, scores, leaves)? } else { scores };
            let label = labels.of_greatest(node, counted)?;
            let scores = node.cast(DType::F32, scores)?;
            Ok(vec![label, transform.apply(node, scores)?])
        }
    }
}

/// Scores to choose the greatest of: a class that no tree says anything of is not chosen.
fn only_present(node: &mut NodeImport<'_>, forest: &Forest, scores: ValueId, leaves: ValueId) -> One {
    let mut present = Vec::new();
    for target in 0..forest.targets {
        present.push(match forest.presence(target) {
            Presence::Sometimes => forest.is_present(node, leaves, target)?,
            sure => {
                let rows = node.dims(scores)[0];
                let sure = node.scalar(DType::Bool, f64::from(u8::from(sure == Presence::Always)));
                node.broadcast(sure, &[rows, 1])?
            }
        });
    }
    let present = node.emit(Op::Concat { axis: 1 }, &present)?;
    let least = node.scalar(node.dtype(scores), f64::NEG_INFINITY);
    node.select(present, scores, least)
}

/// Of two classes, exporters often give the scores of one alone.
fn of_two_classes(
    node: &mut NodeImport<'_>,
    forest: &Forest,
    labels: &Labels,
    sums: ValueId,
    leaves: ValueId,
    base: &[f64],
    transform: Transform,
) -> Imported {
    let two = |node: &mut NodeImport<'_>| two_scores(node, forest, labels, sums, base, transform);
    let one = |node: &mut NodeImport<'_>| one_score(node, forest, labels, sums, base, transform);
    match forest.presence(1) {
        Presence::Always => two(node),
        Presence::Never => one(node),
        Presence::Sometimes => {
            let (yes, no) = (two(node)?, one(node)?);
            let present = forest.is_present(node, leaves, 1)?;
            let scores = node.select(present, yes[1], no[1])?;
            let rows = node.dims(present)[0];
            let present = node.reshape(present, &[rows])?;
            Ok(vec![node.select(present, yes[0], no[0])?, scores])
        }
    }
}

/// Rows in which the second class has a score.
fn two_scores(node: &mut NodeImport<'_>, forest: &Forest, labels: &Labels, sums: ValueId, base: &[f64], transform: Transform) -> Imported {
    let (mut first, mut second) = (column(node, sums, 0)?, column(node, sums, 1)?);
    let has_first = forest.presence(0) != Presence::Never;
    match base {
        [_, other] => {
            let other = node.scalar(node.dtype(sums), *other);
            second = node.binary(BinaryOp::Add, first, other)?;
            if has_first {
                first = node.unary(mlp_graph::op::UnaryOp::Neg, second)?;
            }
        }
        [only] if has_first => {
            let only = node.scalar(node.dtype(sums), *only);
            first = node.binary(BinaryOp::Add, first, only)?;
        }
        _ => {}
    }
    let scores = node.emit(Op::Concat { axis: 1 }, &[first, second])?;
    let label = if has_first {
        labels.of_greatest(node, scores)?
    } else {
        let chosen = above(node, second, if forest.is_positive() { 0.5 } else { 0.0 })?;
        labels.of_two(node, chosen)?
    };
    let scores = node.cast(DType::F32, scores)?;
    Ok(vec![label, transform.apply(node, scores)?])
}

/// Rows in which only the first class has a score, which is the second's: the standard's binary case.
fn one_score(node: &mut NodeImport<'_>, forest: &Forest, labels: &Labels, sums: ValueId, base: &[f64], transform: Transform) -> Imported {
    let mut score = column(node, sums, 0)?;
    if let Some(&base) = base.first() {
        let base = node.scalar(node.dtype(sums), base);
        score = node.binary(BinaryOp::Add, score, base)?;
    }
    let chosen = above(node, score, if forest.is_positive() { 0.5 } else { 0.0 })?;
    let label = labels.of_two(node, chosen)?;
    let score = node.cast(DType::F32, score)?;
    if base.len() == 2 {
        let nothing = node.scalar(DType::F32, 0.0);
        let rows = node.dims(score)[0];
        let nothing = node.broadcast(nothing, &[rows, 1])?;
        let scores = node.emit(Op::Concat { axis: 1 }, &[score, nothing])?;
        return Ok(vec![label, transform.apply(node, scores)?]);
    }
    Ok(vec![label, second_class(node, score, transform, forest.is_positive())?])
}
