//! Support vector machines, as libsvm defines them.

use super::super::activation::sigmoid;
use super::scores::{Labels, Transform, above, column, matrix, rows, second_class};
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use mlp_graph::op::{BinaryOp, CompareOp, ReduceKind, UnaryOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

/// Steps of the iteration that couples pairwise probabilities. It stops by itself before that: for 2 to 10 classes after at most 4.
const COUPLING_STEPS: usize = 8;
/// Classes whose probabilities are coupled: the code grows with their number.
const COUPLED_CLASSES: usize = 32;
/// Elements of the differences between rows and support vectors.
const KERNEL_ELEMENTS: u64 = 1 << 28;

/// The kernel of every row with every vector, `[rows, vectors]`.
fn kernel(node: &mut NodeImport<'_>, x: ValueId, vectors: &[f32], count: u64, kind: &str) -> One {
    let features = node.dims(x)[1];
    if count.checked_mul(features) != Some(vectors.len() as u64) {
        return invalid(format!("{} numbers are no {count} support vectors of {features} features", vectors.len()));
    }
    let params = node.attributes.floats("kernel_params")?.unwrap_or_default();
    let number = |index: usize| params.get(index).copied().map_or(0.0, f64::from);
    let (gamma, coef0, degree) = (number(0), number(1), number(2));
    if kind == "RBF" {
        return radial(node, x, vectors, count, gamma);
    }
    let vectors = matrix(node, count, features, vectors)?;
    let vectors = node.transpose(&[1, 0], vectors)?;
    let product = node.emit(Op::MatMul, &[x, vectors])?;
    if kind == "LINEAR" {
        return Ok(product);
    }
    let (gamma, coef0, degree) = (node.scalar(DType::F32, gamma), node.scalar(DType::F32, coef0), node.scalar(DType::F32, degree));
    let scaled = node.binary(BinaryOp::Mul, product, gamma)?;
    let moved = node.binary(BinaryOp::Add, scaled, coef0)?;
    match kind {
        "POLY" => node.binary(BinaryOp::Pow, moved, degree),
        "SIGMOID" => node.unary(UnaryOp::Tanh, moved),
        other => invalid(format!("attribute `kernel_type` is `{other}`, which is none of LINEAR, POLY, RBF and SIGMOID")),
    }
}

/// `e^(-gamma |x - v|^2)`, by differences: a product of the two would lose what they share.
fn radial(node: &mut NodeImport<'_>, x: ValueId, vectors: &[f32], count: u64, gamma: f64) -> One {
    let [rows, features] = [node.dims(x)[0], node.dims(x)[1]];
    if rows.checked_mul(count).and_then(|pairs| pairs.checked_mul(features)).is_none_or(|elements| elements > KERNEL_ELEMENTS) {
        return unsupported(format!("{rows} rows and {count} support vectors of {features} features are too many together"));
    }
    // Vectors are last, so that what neighbouring results read lies side by side.
    let by_feature: Vec<f32> =
        (0..features as usize).flat_map(|feature| vectors.iter().skip(feature).step_by(features as usize).copied()).collect();
    let vectors = matrix(node, features, count, &by_feature)?;
    let x = node.reshape(x, &[rows, features, 1])?;
    let difference = node.binary(BinaryOp::Sub, x, vectors)?;
    let square = node.binary(BinaryOp::Mul, difference, difference)?;
    let distance = node.reduce(ReduceKind::Sum, &[1], false, square)?;
    let gamma = node.scalar(DType::F32, -gamma);
    let exponent = node.binary(BinaryOp::Mul, distance, gamma)?;
    node.unary(UnaryOp::Exp, exponent)
}

/// The constant term of a machine.
fn rho(node: &NodeImport<'_>, count: usize) -> Result<Vec<f32>, Problem> {
    match node.attributes.floats("rho")? {
        Some(rho) if rho.len() >= count => Ok(rho[..count].to_vec()),
        _ => invalid(format!("attribute `rho` has fewer than {count} numbers")),
    }
}

pub(super) fn regressor(node: &mut NodeImport<'_>) -> Imported {
    let x = rows(node, DType::F32)?;
    let count = node.attributes.int("n_supports")?.unwrap_or(0);
    let count = u64::try_from(count).map_err(|_| "attribute `n_supports` is negative")?;
    let coefficients = node.attributes.floats("coefficients")?.unwrap_or_default().to_vec();
    let vectors = node.attributes.floats("support_vectors")?.unwrap_or_default().to_vec();
    let kind = node.attributes.string("kernel_type")?.unwrap_or("LINEAR").to_owned();
    let _ = node.attributes.string("post_transform")?;
    let one_class = node.attributes.int("one_class")?.unwrap_or(0) != 0;
    let rho = rho(node, 1)?[0];
    let inner = if count > 0 {
        kernel(node, x, &vectors, count, &kind)?
    } else {
        let _ = node.attributes.floats("kernel_params")?;
        x
    };
    let terms = node.dims(inner)[1];
    if coefficients.len() as u64 != terms {
        return invalid(format!("{} coefficients are given for {terms} terms", coefficients.len()));
    }
    let coefficients = matrix(node, terms, 1, &coefficients)?;
    let sum = node.emit(Op::MatMul, &[inner, coefficients])?;
    let rho = node.scalar(DType::F32, rho.into());
    let result = node.binary(BinaryOp::Add, sum, rho)?;
    if !one_class {
        return Ok(vec![result]);
    }
    let (inlier, outlier) = (node.scalar(DType::F32, 1.0), node.scalar(DType::F32, -1.0));
    let inside = above(node, result, 0.0)?;
    Ok(vec![node.select(inside, inlier, outlier)?])
}

/// The decisions of a classifier between each two classes.
struct Decisions {
    /// `[rows, pairs]`, pairs `(0, 1), (0, 2) ... (1, 2) ...`; above 0 for the first.
    scores: ValueId,
    /// `[rows, classes]`: how many decisions each class has won.
    votes: ValueId,
}

pub(super) fn classifier(node: &mut NodeImport<'_>) -> Imported {
    let x = rows(node, DType::F32)?;
    let labels = Labels::of(node, "classlabels_ints", "classlabels_strings")?;
    let transform = Transform::of(node)?;
    let sizes = super::super::constant::sizes(node.attributes.ints("vectors_per_class")?.unwrap_or_default())?;
    let coefficients = node.attributes.floats("coefficients")?.unwrap_or_default().to_vec();
    let vectors = node.attributes.floats("support_vectors")?.unwrap_or_default().to_vec();
    let kind = node.attributes.string("kernel_type")?.unwrap_or("LINEAR").to_owned();
    let (a, b) = (node.attributes.floats("prob_a")?.unwrap_or_default(), node.attributes.floats("prob_b")?.unwrap_or_default());
    let (a, b) = (a.to_vec(), b.to_vec());
    let count = sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size)).ok_or("the numbers of support vectors are absurd")?;
    if count == 0 {
        return linear(node, x, &labels, &coefficients, transform);
    }
    let pairs = labels.len() * (labels.len() - 1) / 2;
    if sizes.len() != labels.len() || pairs == 0 {
        return invalid(format!("support vectors of {} classes are given for {} labels", sizes.len(), labels.len()));
    }
    if a.len() != b.len() || !a.is_empty() && a.len() < pairs {
        return invalid(format!("{} and {} parameters of probabilities are given for {pairs} pairs of classes", a.len(), b.len()));
    }
    let kernels = kernel(node, x, &vectors, count, &kind)?;
    let decisions = decide(node, kernels, &sizes, &coefficients)?;
    let label = labels.of_greatest(node, decisions.votes)?;
    let scores = if !a.is_empty() {
        let probabilities = couple(node, decisions.scores, labels.len(), &a[..pairs], &b[..pairs])?;
        transform.apply(node, probabilities)?
    } else if pairs == 1 {
        second_class(node, decisions.scores, transform, transform != Transform::None)?
    } else {
        transform.apply(node, decisions.scores)?
    };
    Ok(vec![label, scores])
}

/// A machine without support vectors: one row of coefficients a class.
fn linear(node: &mut NodeImport<'_>, x: ValueId, labels: &Labels, coefficients: &[f32], transform: Transform) -> Imported {
    let _ = node.attributes.floats("kernel_params")?;
    let rho = rho(node, 1)?[0];
    let (classes, features) = (labels.len() as u64, node.dims(x)[1]);
    if coefficients.len() as u64 != classes * features {
        return invalid(format!("{} coefficients are given for {classes} classes of {features} features", coefficients.len()));
    }
    if classes == 2 {
        return unsupported("a linear machine of two classes without support vectors is not defined: export it with support vectors");
    }
    let weights = matrix(node, classes, features, coefficients)?;
    let weights = node.transpose(&[1, 0], weights)?;
    let product = node.emit(Op::MatMul, &[x, weights])?;
    let rho = node.scalar(DType::F32, rho.into());
    let scores = node.binary(BinaryOp::Add, product, rho)?;
    let label = labels.of_greatest(node, scores)?;
    Ok(vec![label, transform.apply(node, scores)?])
}

/// One decision a pair of classes, each the sum of the kernels of both classes' vectors. `coefficients` has a row less than there are classes: the vectors of class `i` stand
/// against class `j` in row `j - 1` where `i < j`, else in row `j`.
fn decide(node: &mut NodeImport<'_>, kernels: ValueId, sizes: &[u64], coefficients: &[f32]) -> Result<Decisions, Problem> {
    let (classes, vectors) = (sizes.len(), node.dims(kernels)[1] as usize);
    let pairs = classes * (classes - 1) / 2;
    if coefficients.len() as u64 != (classes as u64 - 1) * vectors as u64 {
        return invalid(format!("{} coefficients are given for {vectors} support vectors of {classes} classes", coefficients.len()));
    }
    let rho = rho(node, pairs)?;
    let bytes = (vectors as u64).saturating_add(2 * classes as u64).saturating_mul(pairs as u64).saturating_mul(4);
    if !node.builder.may_create(bytes) {
        return unsupported(format!("{vectors} support vectors of {classes} classes are too many"));
    }
    let starts: Vec<usize> = sizes.iter().scan(0, |sum, &size| Some(std::mem::replace(sum, *sum + size as usize))).collect();
    let (mut weights, mut wins) = (vec![0f32; vectors * pairs], vec![0f32; 2 * pairs * classes]);
    let both = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j)));
    for (pair, (i, j)) in both.enumerate() {
        for (class, row) in [(i, j - 1), (j, i)] {
            for vector in starts[class]..starts[class] + sizes[class] as usize {
                weights[vector * pairs + pair] = coefficients[row * vectors + vector];
            }
        }
        wins[pair * classes + i] = 1.0;
        wins[(pairs + pair) * classes + j] = 1.0;
    }
    let weights = matrix(node, vectors as u64, pairs as u64, &weights)?;
    let sums = node.emit(Op::MatMul, &[kernels, weights])?;
    let rho = Tensor::from_f32(&[pairs as u64], &rho).map_err(|error| error.to_string())?;
    let rho = node.constant(rho);
    let scores = node.binary(BinaryOp::Add, sums, rho)?;
    let first = above(node, scores, 0.0)?;
    let second = node.unary(UnaryOp::Not, first)?;
    let won = node.emit(Op::Concat { axis: 1 }, &[first, second])?;
    let won = node.cast(DType::F32, won)?;
    let wins = matrix(node, 2 * pairs as u64, classes as u64, &wins)?;
    let votes = node.emit(Op::MatMul, &[won, wins])?;
    Ok(Decisions { scores, votes })
}

/// Probabilities of classes from those of pairs: the method of Wu, Lin and Weng ("Probability Estimates for Multi-class Classification by Pairwise Coupling", algorithm 2), with
/// libsvm's bound of 0.005 over the number of classes. A row that has come to rest stays as it is.
fn couple(node: &mut NodeImport<'_>, scores: ValueId, classes: usize, a: &[f32], b: &[f32]) -> One {
    if classes > COUPLED_CLASSES {
        return unsupported(format!(
            "probabilities of {classes} classes; up to {COUPLED_CLASSES} are supported: export the model without them"
        ));
    }
    let pairs = a.len() as u64;
    let (a, b) = (matrix(node, 1, pairs, a)?, matrix(node, 1, pairs, b)?);
    let scaled = node.binary(BinaryOp::Mul, scores, a)?;
    let moved = node.binary(BinaryOp::Add, scaled, b)?;
    let negated = node.unary(UnaryOp::Neg, moved)?;
    let likely = sigmoid(node, negated)?;
    let (low, high) = (node.scalar(DType::F32, 1e-7), node.scalar(DType::F32, f64::from(1.0f32 - 1e-7)));
    let likely = node.binary(BinaryOp::Max, likely, low)?;
    let likely = node.binary(BinaryOp::Min, likely, high)?;
    let matrix = coupling_matrix(node, likely, classes)?;
    let rows = node.dims(scores)[0];
    let start = node.scalar(DType::F32, 1.0 / classes as f64);
    let mut p = node.broadcast(start, &[rows, classes as u64])?;
    for _ in 0..COUPLING_STEPS {
        p = coupling_step(node, matrix, p, classes)?;
    }
    Ok(p)
}

/// `Q[rows, classes, classes]`: on the diagonal the sums of `r_ji^2` over the others, elsewhere `-r_ji r_ij`, where `r_ij` is how likely `i` is among `i` and `j`.
fn coupling_matrix(node: &mut NodeImport<'_>, likely: ValueId, classes: usize) -> One {
    let [rows, pairs] = [node.dims(likely)[0], node.dims(likely)[1]];
    let one = node.scalar(DType::F32, 1.0);
    let other = node.binary(BinaryOp::Sub, one, likely)?;
    let nothing = node.scalar(DType::F32, 0.0);
    let nothing = node.broadcast(nothing, &[rows, 1])?;
    // Columns: r of each pair, then its complement, then 0 for the diagonal.
    let all = node.emit(Op::Concat { axis: 1 }, &[likely, other, nothing])?;
    let mut places = vec![2 * pairs as i64; classes * classes];
    let both = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j)));
    for (pair, (i, j)) in both.enumerate() {
        places[i * classes + j] = pair as i64;
        places[j * classes + i] = pairs as i64 + pair as i64;
    }
    let places = node.integers(&places)?;
    let flat = node.emit(Op::Gather { axis: 1 }, &[all, places])?;
    let r = node.reshape(flat, &[rows, classes as u64, classes as u64])?;
    let transposed = node.transpose(&[0, 2, 1], r)?;
    let product = node.binary(BinaryOp::Mul, r, transposed)?;
    let negated = node.unary(UnaryOp::Neg, product)?;
    let squares = node.binary(BinaryOp::Mul, transposed, transposed)?;
    let sums = node.reduce(ReduceKind::Sum, &[2], true, squares)?;
    let eye: Vec<f32> = (0..classes * classes).map(|place| f32::from(u8::from(place % (classes + 1) == 0))).collect();
    let eye = matrix(node, classes as u64, classes as u64, &eye)?;
    let diagonal = node.binary(BinaryOp::Mul, sums, eye)?;
    node.binary(BinaryOp::Add, negated, diagonal)
}

/// One pass over all classes, for the rows that are not at rest.
fn coupling_step(node: &mut NodeImport<'_>, q: ValueId, start: ValueId, classes: usize) -> One {
    let rows = node.dims(start)[0];
    let size = classes as u64;
    let mut p = start;
    let across = node.reshape(p, &[rows, 1, size])?;
    let products = node.binary(BinaryOp::Mul, q, across)?;
    let mut qp = node.reduce(ReduceKind::Sum, &[2], false, products)?;
    let weighted = node.binary(BinaryOp::Mul, p, qp)?;
    let mut pqp = node.reduce(ReduceKind::Sum, &[1], true, weighted)?;
    let difference = node.binary(BinaryOp::Sub, qp, pqp)?;
    let errors = node.unary(UnaryOp::Abs, difference)?;
    let error = node.reduce(ReduceKind::Max, &[1], true, errors)?;
    let bound = node.scalar(DType::F32, 0.005 / classes as f64);
    let at_rest = node.compare(CompareOp::Lt, error, bound)?;
    let (one, two) = (node.scalar(DType::F32, 1.0), node.scalar(DType::F32, 2.0));
    for class in 0..size {
        let row = node.slice(q, vec![0, class as i64, 0], vec![1, 1, 1], &[rows, 1, size])?;
        let row = node.reshape(row, &[rows, size])?;
        let own = column(node, row, class)?;
        let at = column(node, qp, class)?;
        let rest = node.binary(BinaryOp::Sub, pqp, at)?;
        let step = node.binary(BinaryOp::Div, rest, own)?;
        let whole = node.binary(BinaryOp::Add, one, step)?;
        // pQp becomes (pQp + step (step Q_tt + 2 Qp_t)) / (1 + step)^2.
        let (scaled, doubled) = (node.binary(BinaryOp::Mul, step, own)?, node.binary(BinaryOp::Mul, two, at)?);
        let sum = node.binary(BinaryOp::Add, scaled, doubled)?;
        let change = node.binary(BinaryOp::Mul, step, sum)?;
        let moved = node.binary(BinaryOp::Add, pqp, change)?;
        let once = node.binary(BinaryOp::Div, moved, whole)?;
        pqp = node.binary(BinaryOp::Div, once, whole)?;
        let change = node.binary(BinaryOp::Mul, step, row)?;
        let moved = node.binary(BinaryOp::Add, qp, change)?;
        qp = node.binary(BinaryOp::Div, moved, whole)?;
        let unit: Vec<f32> = (0..size).map(|other| f32::from(u8::from(other == class))).collect();
        let unit = matrix(node, 1, size, &unit)?;
        let change = node.binary(BinaryOp::Mul, step, unit)?;
        let moved = node.binary(BinaryOp::Add, p, change)?;
        p = node.binary(BinaryOp::Div, moved, whole)?;
    }
    node.select(at_rest, start, p)
}
