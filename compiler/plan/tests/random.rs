//! Random graphs equal the reference interpreter: whatever is fused with whatever.

mod support;

use mlp_bundle::loops::eval;
use mlp_graph::ir::Type;
use mlp_graph::op::{BinaryOp, CompareOp, Layout, PoolKind, ReduceKind, Spatial, UnaryOp};
use mlp_graph::{DType, Graph, Op, Origin, Shape, Tensor, ValueId};
use mlp_plan::PlanOptions;
use proptest::prelude::*;
use support::{inputs, noise, planned_with};

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

struct Maker {
    graph: Graph,
    dice: Dice,
    /// Values so far, all `F32`.
    values: Vec<ValueId>,
}

/// More elements than this are not made, so that the slow evaluators stay quick.
const MAX_ELEMENTS: u64 = 2000;

impl Maker {
    fn new(seed: u64) -> Maker {
        let mut maker = Maker { graph: Graph::new("random"), dice: Dice(seed), values: Vec::new() };
        for index in 0..1 + maker.dice.below(3) {
            let dims: Vec<u64> = (0..1 + maker.dice.below(4)).map(|_| 1 + maker.dice.below(6) as u64).collect();
            let value = maker.graph.add_input(format!("x{index}"), Type::fixed(DType::F32, &dims));
            maker.values.push(value);
        }
        maker
    }

    fn dims(&self, value: ValueId) -> Vec<u64> {
        self.graph.dims(value).unwrap()
    }

    fn noise(&mut self, dtype: DType, dims: &[u64]) -> ValueId {
        let tensor = noise(dtype, dims, self.dice.below(1000) as u64);
        self.graph.constant(tensor, Origin::new("weights"))
    }

    /// Mostly one of the last values, so that chains form.
    fn any(&mut self) -> ValueId {
        let count = self.values.len();
        let recent = count.saturating_sub(4);
        let index = if self.dice.below(4) == 0 { self.dice.below(count) } else { recent + self.dice.below(count - recent) };
        self.values[index]
    }

    fn append(&mut self, op: Op, operands: &[ValueId]) -> Option<ValueId> {
        self.graph.append_one(op, operands, Origin::new("made")).ok()
    }

    /// Keeps numbers near 1, so that differences mean something.
    fn tame(&mut self, value: ValueId) -> Option<ValueId> {
        self.append(Op::Unary(UnaryOp::Tanh), &[value])
    }

    fn step(&mut self) {
        let x = self.any();
        let made = match self.dice.below(14) {
            0 => {
                let op = self.dice.pick(&[UnaryOp::Neg, UnaryOp::Abs, UnaryOp::Tanh, UnaryOp::Floor]);
                self.append(Op::Unary(op), &[x])
            }
            1..4 => self.binary(x),
            4 => self.transpose(x),
            5 => self.reshape(x),
            6 => self.slice(x),
            7 => self.pad(x),
            8 => self.concat(x),
            9 => self.reduce(x),
            10 => self.matmul(x),
            11 => self.convolve(x),
            12 => self.gather(x),
            _ => self.select(x),
        };
        if let Some(made) = made
            && self.dims(made).iter().product::<u64>() <= MAX_ELEMENTS
        {
            self.values.push(made);
        }
    }

    fn binary(&mut self, x: ValueId) -> Option<ValueId> {
        let dims = self.dims(x);
        let other = match self.dice.below(4) {
            0 => self.noise(DType::F32, &dims[dims.len().min(1)..]),
            1 => self.noise(DType::F32, &[]),
            _ => {
                let like: Vec<ValueId> = self.values.iter().copied().filter(|&value| self.dims(value) == dims).collect();
                self.dice.pick(&like)
            }
        };
        let op = self.dice.pick(&[BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Max, BinaryOp::Min]);
        let made = self.append(Op::Binary(op), &[x, other])?;
        if self.dice.flip() { self.tame(made) } else { Some(made) }
    }

    fn transpose(&mut self, x: ValueId) -> Option<ValueId> {
        let mut perm: Vec<u32> = (0..self.dims(x).len() as u32).collect();
        for index in (1..perm.len()).rev() {
            perm.swap(index, self.dice.below(index + 1));
        }
        self.append(Op::Transpose { perm }, &[x])
    }

    fn reshape(&mut self, x: ValueId) -> Option<ValueId> {
        let mut rest: u64 = self.dims(x).iter().product();
        let mut dims = Vec::new();
        for factor in [2, 3, 5, 2, 3] {
            if rest.is_multiple_of(factor) && self.dice.flip() {
                dims.push(factor);
                rest /= factor;
            }
        }
        let at = self.dice.below(dims.len() + 1);
        dims.insert(at, rest);
        self.graph.reshape(x, Shape::fixed(&dims), Origin::new("made")).ok().filter(|&made| made != x)
    }

    fn slice(&mut self, x: ValueId) -> Option<ValueId> {
        let (mut starts, mut steps, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for size in self.dims(x) {
            let first = self.dice.below(size as usize) as i64;
            let step = self.dice.pick(&[1, 1, 2, -1]);
            let room = if step > 0 { (size as i64 - 1 - first) / step } else { first } + 1;
            starts.push(first);
            steps.push(step);
            counts.push(1 + self.dice.below(room as usize) as u64);
        }
        self.graph.slice(x, starts, steps, Shape::fixed(&counts), Origin::new("made")).ok()
    }

    fn pad(&mut self, x: ValueId) -> Option<ValueId> {
        let rank = self.dims(x).len();
        let mut sizes = || (0..rank).map(|_| self.dice.below(3) as u64).collect::<Vec<_>>();
        let (before, after) = (sizes(), sizes());
        let fill = self.noise(DType::F32, &[]);
        self.append(Op::Pad { before, after }, &[x, fill])
    }

    fn concat(&mut self, x: ValueId) -> Option<ValueId> {
        let dims = self.dims(x);
        let axis = self.dice.below(dims.len());
        if dims.is_empty() {
            return None;
        }
        let fits = |other: &[u64]| other.len() == dims.len() && (0..dims.len()).all(|index| index == axis || other[index] == dims[index]);
        let parts: Vec<ValueId> = self.values.iter().copied().filter(|&value| fits(&self.dims(value))).collect();
        let mut operands = vec![x];
        for _ in 0..1 + self.dice.below(3) {
            operands.push(self.dice.pick(&parts));
        }
        self.append(Op::Concat { axis: axis as u32 }, &operands)
    }

    fn reduce(&mut self, x: ValueId) -> Option<ValueId> {
        let rank = self.dims(x).len();
        let axes: Vec<u32> = (0..rank as u32).filter(|_| self.dice.flip()).collect();
        if axes.is_empty() {
            let axis = self.dice.below(rank) as u32;
            let normalize = Op::Normalize { axis, epsilon: 0.1f32.to_bits(), centred: self.dice.flip() };
            let op = if self.dice.flip() { Op::Softmax { axis } } else { normalize };
            return self.append(op, &[x]);
        }
        if rank == 4 && self.dice.below(3) == 0 {
            return self.attention(x);
        }
        let kind = self.dice.pick(&[ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max, ReduceKind::Min]);
        let keep = self.dice.flip();
        let made = self.append(Op::Reduce { kind, axes, keep }, &[x])?;
        self.tame(made)
    }

    /// Attention of a value to itself, its key or value possibly turned about so that no view says it.
    fn attention(&mut self, x: ValueId) -> Option<ValueId> {
        let [batch, rows, heads, _] = self.dims(x)[..] else { return None };
        let x = self.tame(x)?;
        let mut operands = vec![x, x, self.append(Op::Unary(UnaryOp::Neg), &[x])?];
        if self.dice.flip() {
            let mut mask = [batch, heads, rows, rows];
            mask.iter_mut().filter(|_| self.dice.flip()).for_each(|size| *size = 1);
            operands.push(self.noise(DType::F32, &mask));
        }
        let guarded = self.dice.flip();
        let made = self.append(Op::Attention { scale: 0.5f32.to_bits(), guarded }, &operands)?;
        let order = self.dice.pick(&[[0, 2, 1, 3], [0, 1, 3, 2], [0, 1, 2, 3]]);
        self.append(Op::Transpose { perm: order.to_vec() }, &[made])
    }

    fn matmul(&mut self, x: ValueId) -> Option<ValueId> {
        let dims = self.dims(x);
        let inner = *dims.last()?;
        let other = if self.dice.flip() || dims.len() < 2 {
            let columns = 1 + self.dice.below(20) as u64;
            self.noise(DType::F32, &[inner, columns])
        } else {
            let rank = dims.len() as u32;
            let mut perm: Vec<u32> = (0..rank).collect();
            perm.swap(rank as usize - 1, rank as usize - 2);
            let turned = self.append(Op::Transpose { perm }, &[x])?;
            if self.dice.flip() { self.tame(turned)? } else { turned }
        };
        let made = self.append(Op::MatMul, &[x, other])?;
        self.tame(made)
    }

    fn convolve(&mut self, x: ValueId) -> Option<ValueId> {
        let dims = self.dims(x);
        let &[_, _, _, channels] = dims.as_slice() else { return None };
        let taps = [1 + self.dice.below(2) as u64, 1 + self.dice.below(3) as u64];
        let spatial = Spatial {
            kernel: taps.to_vec(),
            strides: vec![1 + self.dice.below(2) as u64, 1],
            dilations: vec![1, 1],
            pads_begin: vec![0, self.dice.below(2) as u64],
            pads_end: vec![self.dice.below(2) as u64, 1],
        };
        let made = if self.dice.below(3) == 0 {
            let kind = self.dice.pick(&[PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding]);
            self.append(Op::Pool { kind, spatial, layout: Layout::ChannelsLast }, &[x])?
        } else {
            let groups = if self.dice.flip() { channels } else { 1 };
            let outputs = if groups > 1 { channels } else { 1 + self.dice.below(20) as u64 };
            let weights = self.noise(DType::F32, &[outputs, channels / groups, taps[0], taps[1]]);
            self.append(Op::Conv { spatial, groups, layout: Layout::ChannelsLast }, &[x, weights])?
        };
        // A maximum over padding alone is infinite.
        self.tame(made)
    }

    fn gather(&mut self, x: ValueId) -> Option<ValueId> {
        let dims = self.dims(x);
        if dims.is_empty() {
            return None;
        }
        let axis = self.dice.below(dims.len());
        let shape: &[u64] = if self.dice.flip() { &[3] } else { &[2, 2] };
        let dtype = self.dice.pick(&[DType::I32, DType::I64]);
        let indices = self.noise(dtype, shape);
        self.append(Op::Gather { axis: axis as u32 }, &[x, indices])
    }

    fn select(&mut self, x: ValueId) -> Option<ValueId> {
        let zero = self.noise(DType::F32, &[]);
        let positive = self.append(Op::Compare(CompareOp::Lt), &[zero, x])?;
        let negated = self.append(Op::Unary(UnaryOp::Neg), &[x])?;
        self.append(Op::Select, &[positive, x, negated])
    }

    /// A graph of some steps whose outputs are its last value and some others.
    fn finish(mut self, steps: usize) -> Graph {
        for _ in 0..steps {
            self.step();
        }
        let mut outputs = vec![*self.values.last().unwrap()];
        for _ in 0..self.dice.below(3) {
            outputs.push(self.any());
        }
        for (index, value) in outputs.into_iter().enumerate() {
            self.graph.add_output(format!("y{index}"), value);
        }
        self.graph
    }
}

/// A difference far above what rounding makes: steps (`floor`, comparisons) may turn a rounding into a jump, so those graphs are held to most elements.
fn differs(expected: &Tensor, actual: &[u8]) -> Option<String> {
    let actual = Tensor::new(DType::F32, expected.shape().to_vec(), actual.to_vec()).unwrap();
    let (a, b) = (expected.to_f64(), actual.to_f64());
    let far = |a: f64, b: f64| !(a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-3 + 1e-3 * a.abs());
    let wrong = a.iter().zip(&b).filter(|&(&a, &b)| far(a, b)).count();
    let at = a.iter().zip(&b).position(|(&a, &b)| far(a, b))?;
    (wrong * 20 > a.len()).then(|| format!("{wrong} of {} elements, the first {at}: {} is not {}", a.len(), b[at], a[at]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs(seed in any::<u64>(), steps in 1usize..24) {
        let graph = Maker::new(seed).finish(steps);
        let tensors = inputs(&graph, &[]);
        let expected = mlp_graph::eval::run(&graph, &tensors).unwrap();
        let bytes: Vec<&[u8]> = tensors.iter().map(|tensor| tensor.bytes()).collect();
        for options in [PlanOptions::default(), PlanOptions::all()] {
            let planned = planned_with(&graph, &options);
            let actual = eval::run(&planned.plan, &planned.weights, &bytes, &[]).unwrap();
            for (port, (expected, actual)) in graph.outputs.iter().zip(expected.iter().zip(&actual)) {
                if let Some(difference) = differs(expected, actual) {
                    let text = mlp_graph::text::brief(&graph);
                    prop_assert!(false, "output `{}`: {difference}\n{text}\n{}", port.name, planned.plan);
                }
            }
        }
    }
}
