//! Ensembles of decision trees: every tree is walked at once, one level of all of them after the other. A level takes four reads and a comparison
//! (see [`steps`]), and the planner makes one kernel of several levels.

use super::linear::of_targets;
use super::scores::{Labels, Transform, above, column, rows, second_class};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

mod forest;
mod read;
mod steps;

use forest::{Forest, Presence};
use steps::{EQUAL_IS_MORE, Form, MISSING_IS_MORE, Steps};

/// How the trees' weights become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Steps {
    /// Where each tree ends for each row: `[trees, rows]` indices of records. Rows are last, so that what one tree reads for all of them lies together.
    fn walk(&self, node: &mut NodeImport<'_>, x: ValueId) -> One {
        let [rows, features] = [node.dims(x)[0], node.dims(x)[1]];
        if let Some(feature) = self.features.iter().find(|&&feature| u64::from(feature) >= features) {
            return invalid(format!("a tree reads feature {feature} of {features}"));
        }
        if rows * features > i32::MAX as u64 {
            return unsupported(format!("{rows} rows of {features} features are too many to be indexed; use smaller batches"));
        }
        if self.levels == 0 {
            let roots = node.positions(self.trees as u64, 0, 2)?;
            return node.broadcast(roots, &[self.trees as u64, rows]);
        }
        let mut at = self.first(node, x)?;
        let count = self.features.len() as u64;
        let flat = node.reshape(x, &[rows * features])?;
        let feature = indices(node, &[count], self.features.iter().copied())?;
        let split = Tensor::from_f64_as(node.dtype(x), &[count], &self.splits).map_err(|error| error.to_string())?;
        let split = node.constant(split);
        let word = indices(node, &[count], self.words.iter().copied())?;
        let starts = node.positions(rows, 1, 2)?;
        let starts = node.with_number(BinaryOp::Mul, starts, features as f64)?;
        for _ in 1..self.levels {
            let feature = node.emit(Op::Gather { axis: 0 }, &[feature, at])?;
            let place = node.binary(BinaryOp::Add, feature, starts)?;
            let value = node.emit(Op::Gather { axis: 0 }, &[flat, place])?;
            let split = node.emit(Op::Gather { axis: 0 }, &[split, at])?;
            at = self.next(node, value, split, |node| node.emit(Op::Gather { axis: 0 }, &[word, at]))?;
        }
        Ok(at)
    }

    /// The records after the roots, which are the same for every row.
    fn first(&self, node: &mut NodeImport<'_>, x: ValueId) -> One {
        let trees = self.trees as u64;
        let feature = indices(node, &[trees], self.features[..self.trees].iter().copied())?;
        let value = node.emit(Op::Gather { axis: 1 }, &[x, feature])?;
        let value = node.emit(Op::Transpose { perm: vec![1, 0] }, &[value])?;
        let split = Tensor::from_f64_as(node.dtype(x), &[trees, 1], &self.splits[..self.trees]).map_err(|error| error.to_string())?;
        let split = node.constant(split);
        let word = indices(node, &[trees, 1], self.words[..self.trees].iter().copied())?;
        self.next(node, value, split, |_| Ok(word))
    }

    /// The record after one that compares `value` with `split`. Its word, which is read more than once, comes after the comparisons, so that the planner makes one
    /// kernel of all.
    fn next(&self, node: &mut NodeImport<'_>, value: ValueId, split: ValueId, word: impl FnOnce(&mut NodeImport<'_>) -> One) -> One {
        let (more, word) = match self.form {
            Form::Same { strict, missing_is_less } => {
                // Only "not less" holds of a NaN as it does of what is greater, and only "greater" fails for it as for what is less.
                let more = match (strict, missing_is_less) {
                    (false, true) => node.compare(CompareOp::Lt, split, value)?,
                    (true, true) => node.compare(CompareOp::Le, split, value)?,
                    (strict, false) => {
                        let less = node.compare(if strict { CompareOp::Lt } else { CompareOp::Le }, value, split)?;
                        node.unary(UnaryOp::Not, less)?
                    }
                };
                (node.cast(DType::I32, more)?, word(node)?)
            }
            Form::Mixed => {
                let (less, equal) = (node.compare(CompareOp::Lt, value, split)?, node.compare(CompareOp::Eq, value, split)?);
                let greater = node.compare(CompareOp::Lt, split, value)?;
                let word = word(node)?;
                let (zero, one) = (node.scalar(DType::I32, 0.0), node.scalar(DType::I32, 1.0));
                let [at_equal, at_missing] = [EQUAL_IS_MORE, MISSING_IS_MORE].map(|bit| {
                    let bit = node.with_number(BinaryOp::Shr, word, f64::from(bit))?;
                    node.with_number(BinaryOp::And, bit, 1.0)
                });
                let unordered = node.select(greater, one, at_missing?)?;
                let not_less = node.select(equal, at_equal?, unordered)?;
                (node.select(less, zero, not_less)?, word)
            }
        };
        let first = node.with_number(BinaryOp::Shr, word, f64::from(self.form.bits()))?;
        let step = node.binary(BinaryOp::And, more, word)?;
        node.binary(BinaryOp::Add, first, step)
    }

    /// What all trees say together: `[rows, targets]`, without base values.
    fn aggregate(&self, node: &mut NodeImport<'_>, forest: &Forest, leaves: ValueId, dtype: DType, aggregate: Aggregate) -> One {
        let missing = match aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        };
        // Before the table exists: the number of targets is a number in a file.
        let count = forest.len().max(self.nodes.len()) as u64;
        if !node.builder.may_create(count.saturating_mul(u64::from(forest.targets)).saturating_mul(8)) {
            return unsupported(format!("{} weights of {} targets are too many", forest.len(), forest.targets));
        }
        let table = self.weights(&forest.table(missing), forest.targets as usize);
        let table = Tensor::from_f64_as(dtype, &[self.nodes.len() as u64, u64::from(forest.targets)], &table);
        let table = table.map_err(|error| error.to_string())?;
        let table = node.constant(table);
        let weights = node.emit(Op::Gather { axis: 0 }, &[table, leaves])?;
        let kind = match aggregate {
            Aggregate::Sum | Aggregate::Average => ReduceKind::Sum,
            Aggregate::Min => ReduceKind::Min,
            Aggregate::Max => ReduceKind::Max,
        };
        let result = node.reduce(kind, &[0], false, weights)?;
        match aggregate {
            Aggregate::Sum => Ok(result),
            Aggregate::Average => {
                let trees = node.scalar(dtype, self.trees as f64);
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
    fn is_present(&self, node: &mut NodeImport<'_>, forest: &Forest, leaves: ValueId, target: u32) -> One {
        let table = self.weights(&forest.presences(target), 1);
        let table = Tensor::from_f64_as(DType::F32, &[table.len() as u64], &table).map_err(|error| error.to_string())?;
        let table = node.constant(table);
        let weights = node.emit(Op::Gather { axis: 0 }, &[table, leaves])?;
        let greatest = node.reduce(ReduceKind::Max, &[0], false, weights)?;
        let rows = node.dims(greatest)[0];
        let greatest = node.reshape(greatest, &[rows, 1])?;
        above(node, greatest, 0.0)
    }
}

/// Where the trees end, and what they are.
struct Walked<'f> {
    forest: &'f Forest,
    steps: Steps,
    /// `[trees, rows]`.
    leaves: ValueId,
}

impl<'f> Walked<'f> {
    fn new(node: &mut NodeImport<'_>, forest: &'f Forest, x: ValueId) -> Result<Walked<'f>, Problem> {
        let steps = forest.steps()?;
        let leaves = steps.walk(node, x)?;
        Ok(Walked { forest, steps, leaves })
    }

    fn aggregate(&self, node: &mut NodeImport<'_>, dtype: DType, aggregate: Aggregate) -> One {
        self.steps.aggregate(node, self.forest, self.leaves, dtype, aggregate)
    }

    fn is_present(&self, node: &mut NodeImport<'_>, target: u32) -> One {
        self.steps.is_present(node, self.forest, self.leaves, target)
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
    let scores = Walked::new(node, &forest, x)?.aggregate(node, dtype, aggregate)?;
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
    let scores = Walked::new(node, &forest, x)?.aggregate(node, dtype, aggregate)?;
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
    let walked = Walked::new(node, &forest, x)?;
    let sums = walked.aggregate(node, dtype, Aggregate::Sum)?;
    match labels.len() {
        1 => unsupported("a classifier of one class is not defined"),
        2 => of_two_classes(node, &walked, &labels, sums, &base, transform),
        _ => {
            let scores = with_base(node, sums, &base)?;
            let counted = if base.is_empty() { only_present(node, &walked, scores)? } else { scores };
            let label = labels.of_greatest(node, counted)?;
            let scores = node.cast(DType::F32, scores)?;
            Ok(vec![label, transform.apply(node, scores)?])
        }
    }
}

/// Scores to choose the greatest of: a class that no tree says anything of is not chosen.
fn only_present(node: &mut NodeImport<'_>, walked: &Walked<'_>, scores: ValueId) -> One {
    let mut present = Vec::new();
    for target in 0..walked.forest.targets {
        present.push(match walked.forest.presence(target) {
            Presence::Sometimes => walked.is_present(node, target)?,
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
    walked: &Walked<'_>,
    labels: &Labels,
    sums: ValueId,
    base: &[f64],
    transform: Transform,
) -> Imported {
    let forest = walked.forest;
    let two = |node: &mut NodeImport<'_>| two_scores(node, forest, labels, sums, base, transform);
    let one = |node: &mut NodeImport<'_>| one_score(node, forest, labels, sums, base, transform);
    match forest.presence(1) {
        Presence::Always => two(node),
        Presence::Never => one(node),
        Presence::Sometimes => {
            let (yes, no) = (two(node)?, one(node)?);
            let present = walked.is_present(node, 1)?;
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
                first = node.unary(UnaryOp::Neg, second)?;
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
