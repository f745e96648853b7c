//! Random graphs: optimized they compute the same, and so they do when printed and read back.

use mlp_graph::ir::Type;
use mlp_graph::op::{BinaryOp, Layout, PoolKind, ReduceKind, Spatial, UnaryOp};
use mlp_graph::{DType, Graph, Op, Origin, Shape, Tensor, ValueId, eval, passes, text};
use proptest::prelude::*;

/// Chooses by what `proptest` gives, so that failures shrink.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % count
    }
}

fn origin() -> Origin {
    Origin::new("generated")
}

fn constant(graph: &mut Graph, shape: &[u64], seed: usize) -> ValueId {
    graph.constant(Tensor::noise(DType::F32, shape, seed as u64).unwrap(), origin())
}

fn square(kernel: u64, stride: u64, pad: u64) -> Spatial {
    let both = |value| vec![value, value];
    Spatial { kernel: both(kernel), strides: both(stride), dilations: both(1), pads_begin: both(pad), pads_end: both(pad) }
}

fn append(graph: &mut Graph, op: Op, operands: &[ValueId]) -> Option<ValueId> {
    graph.append_one(op, operands, origin()).ok()
}

/// Appends one operation to a value of rank 4, or nothing where the choice does not fit it.
fn extend(graph: &mut Graph, made: &[ValueId], choices: &mut Choices) -> Option<ValueId> {
    let (x, y) = (made[choices.below(made.len())], made[choices.below(made.len())]);
    let dims = graph.dims(x)?;
    match choices.below(4) {
        0 => windows(graph, x, dims[1], choices),
        1 => maps(graph, x, y, dims[1], choices),
        2 => pieces(graph, x, y, &dims, choices),
        _ => shuffle(graph, x, &dims, choices),
    }
}

/// Convolutions, pools and normalization.
fn windows(graph: &mut Graph, x: ValueId, channels: u64, choices: &mut Choices) -> Option<ValueId> {
    let seed = choices.below(50);
    match choices.below(4) {
        0 => {
            let (kernel, stride) = (1 + choices.below(3) as u64, 1 + choices.below(2) as u64);
            let weights = constant(graph, &[3, channels, kernel, kernel], seed);
            append(graph, Op::Conv { spatial: square(kernel, stride, kernel / 2), groups: 1, layout: Layout::ChannelsFirst }, &[x, weights])
        }
        1 => {
            let (weights, bias) = (constant(graph, &[channels, 1, 3, 3], seed), constant(graph, &[channels], seed));
            let op = Op::Conv { spatial: square(3, 1, 1), groups: channels, layout: Layout::ChannelsFirst };
            append(graph, op, &[x, weights, bias])
        }
        2 => {
            let kind = [PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding][choices.below(3)];
            append(graph, Op::Pool { kind, spatial: square(2, 1, choices.below(2) as u64), layout: Layout::ChannelsFirst }, &[x])
        }
        _ => {
            let parameters: Vec<ValueId> = (0..3).map(|index| constant(graph, &[channels], seed + index)).collect();
            let variance = graph.constant(Tensor::splat(DType::F32, &[channels], 1.5).unwrap(), origin());
            append(graph, Op::BatchNorm { epsilon: 1e-3f32.to_bits() }, &[x, parameters[0], parameters[1], parameters[2], variance])
        }
    }
}

/// Elementwise operations, among them those that do nothing.
fn maps(graph: &mut Graph, x: ValueId, y: ValueId, channels: u64, choices: &mut Choices) -> Option<ValueId> {
    let seed = choices.below(50);
    match choices.below(4) {
        0 => {
            let bound = graph.scalar(DType::F32, seed as f64 / 25.0 - 1.0, origin());
            append(graph, Op::Binary([BinaryOp::Max, BinaryOp::Min][choices.below(2)]), &[x, bound])
        }
        1 => append(graph, Op::Unary([UnaryOp::Tanh, UnaryOp::Neg, UnaryOp::Abs][choices.below(3)]), &[x]),
        2 => append(graph, Op::Binary([BinaryOp::Add, BinaryOp::Mul, BinaryOp::Sub][choices.below(3)]), &[x, y]),
        _ => {
            let shapes = [vec![], vec![1], vec![channels, 1, 1], vec![1, channels, 1, 1]];
            let shape = &shapes[choices.below(4)];
            let value = [0.0, 1.0, 0.5][choices.below(3)];
            let y = graph.constant(Tensor::splat(DType::F32, shape, value).unwrap(), origin());
            let operands = if seed.is_multiple_of(2) { [x, y] } else { [y, x] };
            append(graph, Op::Binary([BinaryOp::Add, BinaryOp::Mul][choices.below(2)]), &operands)
        }
    }
}

/// Operations that put parts together, take parts out, or reduce.
fn pieces(graph: &mut Graph, x: ValueId, y: ValueId, dims: &[u64], choices: &mut Choices) -> Option<ValueId> {
    let seed = choices.below(50) as u64;
    match choices.below(5) {
        0 => {
            let axis = choices.below(4);
            let mut shape = dims.to_vec();
            shape[axis] = 1;
            let y = graph.constant(Tensor::splat(DType::F32, &shape, (seed % 2) as f64).unwrap(), origin());
            append(graph, Op::Concat { axis: axis as u32 }, &[x, y])
        }
        1 => append(graph, Op::Concat { axis: 1 + choices.below(3) as u32 }, &[x, y]),
        2 => {
            let value = graph.scalar(DType::F32, (seed % 2) as f64, origin());
            append(graph, Op::Pad { before: vec![0, seed % 3, 1, 0], after: vec![0, 0, seed % 2, 1] }, &[x, value])
        }
        3 => {
            let shape = Shape::fixed(&[dims[0], dims[1].div_ceil(2), dims[2], dims[3]]);
            graph.slice(x, vec![0, 0, dims[2] as i64 - 1, 0], vec![1, 2, -1, 1], shape, origin()).ok()
        }
        _ => {
            let kind = [ReduceKind::Mean, ReduceKind::Max, ReduceKind::Sum][choices.below(3)];
            let axes = [vec![2, 3], vec![1], vec![0]][choices.below(3)].clone();
            append(graph, Op::Reduce { kind, axes, keep: true }, &[x])
        }
    }
}

/// Reshapes and transposes that end with rank 4.
fn shuffle(graph: &mut Graph, x: ValueId, dims: &[u64], choices: &mut Choices) -> Option<ValueId> {
    match choices.below(4) {
        0 => graph.transpose(x, [&[0, 2, 3, 1], &[0, 3, 1, 2], &[0, 1, 3, 2], &[1, 0, 2, 3]][choices.below(4)], origin()).ok(),
        1 if dims[1].is_multiple_of(2) => {
            let split = graph.reshape(x, Shape::fixed(&[dims[0], 2, dims[1] / 2, dims[2], dims[3]]), origin()).ok()?;
            let turned = graph.transpose(split, &[0, 2, 1, 3, 4], origin()).ok()?;
            graph.reshape(turned, Shape::fixed(dims), origin()).ok()
        }
        2 => graph.reshape(x, Shape::fixed(&[dims[0], dims[1] * dims[2], dims[3], 1]), origin()).ok(),
        _ => {
            let rows = graph.reshape(x, Shape::fixed(&[dims[0] * dims[1], dims[2] * dims[3]]), origin()).ok()?;
            let soft = graph.append_one(Op::Softmax { axis: 1 }, &[rows], origin()).ok()?;
            graph.reshape(soft, Shape::fixed(&[dims[0], dims[1], dims[3], dims[2]]), origin()).ok()
        }
    }
}

fn generate(choices: &[u8]) -> Graph {
    let mut graph = Graph::new("generated");
    let mut choices = Choices(choices.iter());
    let batch = 1 + choices.below(2) as u64;
    let mut made = vec![graph.add_input("x", Type::fixed(DType::F32, &[batch, 4, 5, 3]))];
    while choices.0.len() > 0 {
        made.extend(extend(&mut graph, &made, &mut choices));
    }
    // The last value, and one from the middle, which has other readers too.
    graph.add_output("last", made[made.len() - 1]);
    graph.add_output("middle", made[made.len() / 2]);
    graph
}

/// Whether outputs agree as floats do after reordered sums.
fn close(left: &Tensor, right: &Tensor) -> bool {
    let scale = left.to_f64().iter().map(|value| value.abs()).filter(|value| value.is_finite()).fold(1.0, f64::max);
    let near = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-4 * scale || !b.is_finite() && !a.is_finite();
    left.shape() == right.shape() && left.to_f64().iter().zip(&right.to_f64()).all(near)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn optimized_graphs_compute_the_same(choices in proptest::collection::vec(any::<u8>(), 4..60)) {
        let graph = generate(&choices);
        let mut optimized = graph.clone();
        passes::optimize(&mut optimized).unwrap();
        let input = Tensor::noise(DType::F32, &graph.dims(graph.inputs[0].value).unwrap(), 11).unwrap();
        let (before, after) = (eval::run(&graph, std::slice::from_ref(&input)).unwrap(), eval::run(&optimized, &[input]).unwrap());
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(close(before, after), "{}\n{}\n{before:?}\n{after:?}", text::brief(&graph), text::brief(&optimized));
        }
        let all_last = optimized.order.iter().all(|&id| match &optimized.ops[id].op {
            Op::Conv { layout, .. } | Op::Pool { layout, .. } => *layout == Layout::ChannelsLast,
            Op::BatchNorm { .. } => false,
            _ => true,
        });
        prop_assert!(all_last, "{}", text::brief(&optimized));
    }

    #[test]
    fn graphs_survive_their_text(choices in proptest::collection::vec(any::<u8>(), 4..60)) {
        let graph = generate(&choices);
        let text = text::print(&graph);
        let read = text::parse(&text).unwrap();
        prop_assert_eq!(&text::print(&read), &text);
        let input = [Tensor::noise(DType::F32, &graph.dims(graph.inputs[0].value).unwrap(), 5).unwrap()];
        prop_assert_eq!(eval::run(&read, &input).unwrap(), eval::run(&graph, &input).unwrap());
    }
}
