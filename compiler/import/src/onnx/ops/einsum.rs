//! Einstein's sums: operands are contracted one after another, each pair as a matrix product over the labels that nothing later needs.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use mlp_graph::op::{BinaryOp, ReduceKind};
use mlp_graph::{Op, ValueId};
use std::collections::BTreeMap;

pub(super) const TABLE: &[Row] = &[("", "Einsum", einsum)];

/// A label of an axis: a letter, or the distance from the end of an axis that an ellipsis stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// Axes of the ellipsis go by their distance from its last one, so that they are aligned there.
    Ellipsis(usize),
    Letter(char),
}

/// A value whose axes have labels, none twice.
#[derive(Clone)]
struct Term {
    value: ValueId,
    labels: Vec<Label>,
}

fn einsum(node: &mut NodeImport<'_>) -> Imported {
    let Some(equation) = node.attributes.string("equation")? else { return invalid("attribute `equation` is missing") };
    let equation: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
    let inputs = node.all_inputs()?;
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(left, right)| (left, Some(right)));
    let sides: Vec<&str> = left.split(',').collect();
    if sides.len() != inputs.len() {
        return invalid(format!("the equation `{equation}` has {} operands, but {} are given", sides.len(), inputs.len()));
    }
    let mut terms = Vec::with_capacity(inputs.len());
    for (&side, &value) in sides.iter().zip(&inputs) {
        let labels = labels(side, node.rank(value))
            .ok_or_else(|| format!("`{side}` of the equation `{equation}` does not fit an operand of shape {:?}", node.dims(value)))?;
        terms.push(Term { value, labels });
    }
    let output = match right {
        Some(side) => {
            output_labels(side, &terms).ok_or_else(|| format!("`{side}` of the equation `{equation}` is no list of its labels"))?
        }
        None => implied(&terms),
    };
    let sizes = label_sizes(node, &terms)?;
    let mut pending = Vec::with_capacity(terms.len());
    for term in terms {
        pending.push(diagonal(node, term)?);
    }
    let mut pending = pending.into_iter();
    let Some(mut product) = pending.next() else { return invalid("there are no operands") };
    let rest: Vec<Term> = pending.collect();
    for (index, term) in rest.iter().enumerate() {
        let later = &rest[index + 1..];
        let needed = |label: &Label| output.contains(label) || later.iter().any(|term| term.labels.contains(label));
        product = contract(node, product, term.clone(), &sizes, needed)?;
    }
    let product = summed(node, product, |label| output.contains(label))?;
    Ok(vec![arranged(node, &product, &output)?])
}

/// The labels of one operand of this rank.
fn labels(side: &str, rank: usize) -> Option<Vec<Label>> {
    let letters = side.chars().filter(|letter| *letter != '.').count();
    let (before, after) = match side.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (side, None),
    };
    let is_plain = |text: &str| text.chars().all(|letter| letter.is_ascii_alphabetic());
    let plain = is_plain(before) && after.is_none_or(is_plain);
    let hidden = rank.checked_sub(letters)?;
    if !plain || (after.is_none() && hidden > 0) {
        return None;
    }
    let mut labels: Vec<Label> = before.chars().map(Label::Letter).collect();
    if let Some(after) = after {
        labels.extend((0..hidden).rev().map(Label::Ellipsis));
        labels.extend(after.chars().map(Label::Letter));
    }
    Some(labels)
}

/// The labels of the result, each once and each of some operand.
fn output_labels(side: &str, terms: &[Term]) -> Option<Vec<Label>> {
    let hidden = ellipsis(terms);
    let letters = side.chars().filter(|letter| *letter != '.').count();
    let rank = letters + if side.contains("...") { hidden } else { 0 };
    let labels = labels(side, rank)?;
    let known = |label: &Label| terms.iter().any(|term| term.labels.contains(label));
    let once = |label: &Label| labels.iter().filter(|other| *other == label).count() == 1;
    labels.iter().all(|label| known(label) && once(label)).then_some(labels)
}

/// The most axes that an ellipsis stands for.
fn ellipsis(terms: &[Term]) -> usize {
    terms.iter().map(|term| term.labels.iter().filter(|label| matches!(label, Label::Ellipsis(_))).count()).max().unwrap_or(0)
}

/// Without an arrow: the axes of the ellipsis, then the letters that stand once, in the order of the alphabet.
fn implied(terms: &[Term]) -> Vec<Label> {
    let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
    terms.iter().flat_map(|term| &term.labels).for_each(|&label| *counts.entry(label).or_default() += 1);
    let letters = counts.into_iter().filter(|(label, count)| matches!(label, Label::Letter(_)) && *count == 1).map(|(label, _)| label);
    (0..ellipsis(terms)).rev().map(Label::Ellipsis).chain(letters).collect()
}

/// The size of each label; axes of size 1 stretch.
fn label_sizes(node: &NodeImport<'_>, terms: &[Term]) -> Result<BTreeMap<Label, u64>, Problem> {
    let mut sizes: BTreeMap<Label, u64> = BTreeMap::new();
    for term in terms {
        for (&label, size) in term.labels.iter().zip(node.dims(term.value)) {
            let known = sizes.entry(label).or_insert(size);
            if *known == 1 {
                *known = size;
            }
            if size != *known && size != 1 {
                let name = match label {
                    Label::Letter(letter) => format!("label `{letter}`"),
                    Label::Ellipsis(place) => format!("axis {place} from the end of the ellipsis"),
                };
                return invalid(format!("{name} has both the size {known} and the size {size}"));
            }
        }
    }
    Ok(sizes)
}

/// An operand in which each label stands once: of two axes with one label the diagonal is left.
fn diagonal(node: &mut NodeImport<'_>, mut term: Term) -> Result<Term, Problem> {
    let repeated = |labels: &[Label]| {
        let pairs = (0..labels.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
        pairs.into_iter().find(|&(first, second)| labels[first] == labels[second])
    };
    while let Some((first, second)) = repeated(&term.labels) {
        let dims = node.dims(term.value);
        if dims[first] != dims[second] {
            return invalid(format!("axes {first} and {second} of sizes {} and {} share a label", dims[first], dims[second]));
        }
        let size = dims[first];
        let others: Vec<usize> = (0..dims.len()).filter(|&axis| axis != first && axis != second).collect();
        let perm: Vec<usize> = others.iter().copied().chain([first, second]).collect();
        let turned = node.transpose(&perm, term.value)?;
        let mut shape: Vec<u64> = others.iter().map(|&axis| dims[axis]).collect();
        shape.push(size * size);
        let flat = node.reshape(turned, &shape)?;
        let (mut steps, last) = (vec![1; shape.len()], shape.len() - 1);
        (steps[last], shape[last]) = (size as i64 + 1, size);
        term.value = node.slice(flat, vec![0; shape.len()], steps, &shape)?;
        let label = term.labels[first];
        term.labels = others.iter().map(|&axis| term.labels[axis]).chain([label]).collect();
    }
    Ok(term)
}

/// A term summed over the labels that are not needed.
fn summed(node: &mut NodeImport<'_>, term: Term, needed: impl Fn(&Label) -> bool) -> Result<Term, Problem> {
    let axes: Vec<usize> = (0..term.labels.len()).filter(|&axis| !needed(&term.labels[axis])).collect();
    let value = node.reduce(ReduceKind::Sum, &axes, false, term.value)?;
    Ok(Term { value, labels: term.labels.into_iter().filter(|label| needed(label)).collect() })
}

/// A term with its axes in the order of these labels, of size 1 where it lacks one.
fn arranged(node: &mut NodeImport<'_>, term: &Term, order: &[Label]) -> One {
    let present: Vec<usize> = order.iter().filter_map(|label| term.labels.iter().position(|own| own == label)).collect();
    let turned = node.transpose(&present, term.value)?;
    let mut sizes = node.dims(turned).into_iter();
    let shape: Vec<u64> = order.iter().map(|label| if term.labels.contains(label) { sizes.next().unwrap_or(1) } else { 1 }).collect();
    node.reshape(turned, &shape)
}

/// The product of two terms, summed over the labels that both have and nothing needs later.
fn contract(
    node: &mut NodeImport<'_>,
    left: Term,
    right: Term,
    sizes: &BTreeMap<Label, u64>,
    needed: impl Fn(&Label) -> bool,
) -> Result<Term, Problem> {
    let (of_right, of_left) = (right.labels.clone(), left.labels.clone());
    let left = summed(node, left, |label| needed(label) || of_right.contains(label))?;
    let right = summed(node, right, |label| needed(label) || of_left.contains(label))?;
    let shared: Vec<Label> = left.labels.iter().copied().filter(|label| right.labels.contains(label)).collect();
    let (batch, inner): (Vec<Label>, Vec<Label>) = shared.iter().copied().partition(&needed);
    let rows: Vec<Label> = left.labels.iter().copied().filter(|label| !shared.contains(label)).collect();
    let columns: Vec<Label> = right.labels.iter().copied().filter(|label| !shared.contains(label)).collect();
    let labels: Vec<Label> = batch.iter().chain(&rows).chain(&columns).copied().collect();
    if inner.is_empty() {
        let (x, y) = (arranged(node, &left, &labels)?, arranged(node, &right, &labels)?);
        return Ok(Term { value: node.binary(BinaryOp::Mul, x, y)?, labels });
    }
    let size_of = |labels: &[Label]| labels.iter().map(|label| sizes.get(label).copied().unwrap_or(1)).collect::<Vec<u64>>();
    let count = |labels: &[Label]| size_of(labels).into_iter().try_fold(1u64, u64::checked_mul).ok_or("the product of sizes overflows");
    let matrix = |node: &mut NodeImport<'_>, term: &Term, first: &[Label], second: &[Label]| -> One {
        let order: Vec<Label> = batch.iter().chain(first).chain(second).copied().collect();
        let value = arranged(node, term, &order)?;
        let value = node.broadcast(value, &size_of(&order))?;
        node.reshape(value, &[count(&batch)?, count(first)?, count(second)?])
    };
    let (x, y) = (matrix(node, &left, &rows, &inner)?, matrix(node, &right, &inner, &columns)?);
    let product = node.emit(Op::MatMul, &[x, y])?;
    Ok(Term { value: node.reshape(product, &size_of(&labels))?, labels })
}
